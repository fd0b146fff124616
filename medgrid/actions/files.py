"""Files of this host that commands write: whole or not at all, over nothing that was there."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from medgrid.config import make_dirs, sync_folder
from medgrid.errors import AlreadyExists, Denied, MedgridError, Unreachable, UsageError

__all__ = [
    "LocalDiskFull",
    "atomic_file",
    "free_path",
    "local_error",
    "make_folder",
    "sync_files",
    "take_name",
]


class LocalDiskFull(Unreachable):
    """A file of this host cannot be written: no room."""


def local_error(exc: OSError, path: Path, doing: str) -> MedgridError:
    """Turn an error on a file of this host into one of medgrid's; `doing` is "read", "written"."""
    reason = os.strerror(exc.errno).lower() if exc.errno else type(exc).__name__
    message = f"{path}: cannot be {doing}: {reason}"
    if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return LocalDiskFull(message, hint="make room, or name another place")
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Denied(message)
    return UsageError(message)


def make_folder(folder: Path) -> Path:
    """Make `folder` and its parents where they are missing.

    Raises
    ------
    MedgridError
        It cannot be made, or is something else.
    """
    try:
        make_dirs(folder)
    except OSError as exc:
        raise local_error(exc, folder, "made") from exc
    return folder


def free_path(path: Path, *, force: bool) -> None:
    """Raise unless a file can take the name `path`.

    Raises
    ------
    AlreadyExists
        Something is there, and `force` is not given or it is a folder.
    MedgridError
        No file can have this name.
    """
    try:
        is_folder = path.is_dir() and not path.is_symlink()
    except OSError as exc:
        raise local_error(exc, path, "written") from exc
    if is_folder:
        raise AlreadyExists(f"{path} exists already and is a folder")
    if not force and os.path.lexists(path):
        raise AlreadyExists(f"{path} exists already", hint="say --force to write over it")


@contextmanager
def atomic_file(path: Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """Write a file under a temporary name beside `path`; it takes its name at the end, durably.

    When the block raises, nothing is left. The mode follows the umask.

    Raises
    ------
    AlreadyExists
        `path` exists and `force` is not given.
    MedgridError
        It cannot be written.
    """
    free_path(path, force=force)
    temporary = path.with_name(f".medgrid-{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        stream = os.fdopen(os.open(temporary, flags, 0o666), "wb")
    except OSError as exc:
        raise local_error(exc, path, "written") from exc
    try:
        try:
            with stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            take_name(temporary, path, force)
            sync_folder(path.parent)
        except OSError as exc:
            raise local_error(exc, path, "written") from exc
    except BaseException:
        with contextlib.suppress(OSError):
            stream.close()
        temporary.unlink(missing_ok=True)
        raise


def take_name(temporary: Path, path: Path, force: bool) -> None:
    """Call a file `path`, over another one only by `force`.

    Raises
    ------
    AlreadyExists
        `path` exists and `force` is not given.
    OSError
        The disk reports an error.
    """
    if force:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)  # unlike a rename, never replaces
    except FileExistsError:
        free_path(path, force=False)
        raise
    except OSError:
        free_path(path, force=False)  # a file system without hard links
        temporary.replace(path)
        return
    temporary.unlink()


def sync_files(folder: Path) -> None:
    """Make the files in a folder survive a power cut, whatever they will be called then.

    Raises
    ------
    OSError
        The disk reports an error.
    """
    for path in folder.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    sync_folder(folder)
