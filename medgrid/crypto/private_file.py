"""Files that only their owner may read: checked when read, and written whole or not at all."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from medgrid.config import private_dir, sync_folder
from medgrid.errors import ConfigError

__all__ = ["create_private", "locked", "read_passphrase", "read_private", "replace_private"]

_MAX_BYTES = 64 * 1024
_DRAFT_S = 60.0  # a draft is renamed within moments: an older one is that of a killed writer
_OTHERS_READ, _OTHERS_WRITE = 0o077, 0o022


def read_private(file: Path, what: str, *, public: bool = False) -> bytes:
    """Read a small file that only its owner may read or, when `public`, only its owner may change.

    Parameters
    ----------
    file : Path
        A file, or a pipe such as ``/dev/fd/63``.
    what : str
        What it holds, for messages: ``key``.
    public : bool
        Its content is no secret, but nobody else may change it.

    Raises
    ------
    ConfigError
        It is not there, cannot be read, is too large, or others can read (change) it.
    """
    try:
        with file.open("rb", buffering=0) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if mode & (_OTHERS_WRITE if public else _OTHERS_READ):
                raise ConfigError(
                    f"{file}: others can {'change' if public else 'read'} it",
                    hint=f"chmod {'644' if public else '600'} {file}",
                )
            data = b""
            while len(data) <= _MAX_BYTES and (more := stream.read(_MAX_BYTES)):
                data += more
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such {what}") from None
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be read: {exc.strerror}") from exc
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{file}: too large to be a {what}")
    return data


def read_passphrase(file: Path) -> bytes:
    """First line of a file that only its owner may read.

    Raises
    ------
    ConfigError
        It cannot be read, others can read it, or the line is empty.
    """
    line = read_private(file, "passphrase file").partition(b"\n")[0].removesuffix(b"\r")
    if not line:
        raise ConfigError(f"{file}: its first line is empty, expected a passphrase")
    return line


def create_private(file: Path, data: bytes) -> bool:
    """Write a new file, mode 0600, durable when this returns; one that is there always stays.

    Returns
    -------
    bool
        False when there is a file of this name, which is left alone.

    Raises
    ------
    ConfigError
        It cannot be written.
    """
    draft = _draft(file, data)
    try:
        try:
            os.link(draft, file)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(file.parent)
    except FileExistsError:
        return False
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be written: {exc.strerror}") from exc
    return True


def replace_private(file: Path, data: bytes) -> None:
    """Put `data` in the place of a file, mode 0600, durable when this returns.

    At any moment it is wholly old or wholly new.

    Raises
    ------
    ConfigError
        It cannot be written.
    """
    draft = _draft(file, data)
    try:
        draft.replace(file)
        sync_folder(file.parent)
    except OSError as exc:
        draft.unlink(missing_ok=True)
        raise ConfigError(f"{file}: cannot be written: {exc.strerror}") from exc


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes of this user from changing what lies in `folder`; it is made if needed.

    What a killed writer left behind is removed.

    Raises
    ------
    ConfigError
        The directory cannot be made private or locked.
    """
    try:
        descriptor = os.open(private_dir(folder) / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as exc:
        raise ConfigError(f"{folder}: cannot be locked: {exc.strerror}") from exc
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as exc:
            raise ConfigError(f"{folder}: cannot be locked: {exc.strerror}") from exc
        for draft in folder.glob(".draft.*"):
            with suppress(OSError):
                if draft.stat().st_mtime < time.time() - _DRAFT_S:
                    draft.unlink()
        yield
    finally:
        os.close(descriptor)


def _draft(file: Path, data: bytes) -> Path:
    """Write `data` beside `file`, under a name that `locked` removes when it stays."""
    draft = file.with_name(f".draft.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as exc:
        with suppress(OSError):
            draft.unlink()
        raise ConfigError(f"{file}: cannot be written: {exc.strerror}") from exc
    return draft
