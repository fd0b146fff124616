"""Storage in a directory of a file system that this host has mounted."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from medgrid.config import make_dirs, sync_folder
from medgrid.errors import ConfigError, IntegrityError, NotFound
from medgrid.model import Sha256, StorageElement
from medgrid.storage.base import (
    CHUNK_BYTES,
    TEMPORARY_DIR,
    Stored,
    Temporary,
    check_pfn,
    check_stored,
    digest_of,
    part_name,
)
from medgrid.storage.errors import RootMissing, StorageFull, storage_error

__all__ = ["PosixStorage"]


class PosixStorage:
    """Files below a root directory; temporary ones in its ``.tmp``.

    Bytes are digested while they are written; after the flush their size is compared with what was
    written. They are not read back: that would read the page cache, not the disk. ``fsck --deep``
    reads the disk later.

    Contract: `medgrid.storage.base.Storage`, checked by ``tests/storage/test_contract.py``.
    """

    def __init__(self, element: StorageElement) -> None:
        url = urlsplit(element.url)
        path = unquote(url.path)
        if url.netloc not in ("", "localhost") or not path.startswith("/"):
            raise ConfigError(
                f"storage element {element.name}: {element.url!r} names no absolute directory",
                hint="write file:///data/medgrid, with three slashes",
            )
        self.name = element.name
        self._root = Path(os.path.normpath(path))

    def put(self, pfn: str, chunks: Iterable[bytes], expected: Sha256 | None = None) -> Stored:
        check_pfn(pfn)
        temporary = self._root / TEMPORARY_DIR / secrets.token_hex(16)
        with self._errors(f"writing {pfn}"):
            handle = self._open_new(temporary)
        try:
            return self._write(handle, temporary, pfn, lambda _: chunks, expected)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def resume(
        self, pfn: str, chunks_from: Callable[[int], Iterable[bytes]], expected: Sha256
    ) -> Stored:
        part = self._root / part_name(pfn)
        with self._errors(f"writing {pfn}"):
            handle = self._open_new(part, flags=0)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another adds to it, or the file system has no locks
            os.close(handle)
            return self.put(pfn, chunks_from(0), expected)
        try:
            return self._write(handle, part, pfn, chunks_from, expected)
        except (IntegrityError, StorageFull):
            with contextlib.suppress(OSError):
                part.unlink()
            raise

    def _open_new(self, temporary: Path, flags: int = os.O_EXCL) -> int:
        self._make_dirs(temporary.parent)
        flags |= os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(temporary, flags, 0o600)

    def _write(
        self,
        handle: int,
        temporary: Path,
        pfn: str,
        chunks_from: Callable[[int], Iterable[bytes]],
        expected: Sha256 | None,
    ) -> Stored:
        """Add what is missing to an open temporary file, make it safe, and name it."""
        target = self._root / pfn
        doing = f"writing {pfn}"
        with os.fdopen(handle, "r+b", buffering=0) as stream:
            hasher = hashlib.sha256()
            with self._errors(doing):
                while chunk := stream.read(CHUNK_BYTES):
                    hasher.update(chunk)
                size_bytes = stream.tell()
            for chunk in chunks_from(size_bytes):
                hasher.update(chunk)
                size_bytes += len(chunk)
                with self._errors(doing):
                    _write_all(stream.fileno(), chunk)
            with self._errors(doing):
                os.fsync(stream.fileno())
                found_bytes = os.fstat(stream.fileno()).st_size
        stored = Stored(pfn, size_bytes, Sha256(hasher.hexdigest()))
        check_stored(f"storage element {self.name}: {doing}", stored, found_bytes, expected)
        with self._errors(doing):
            self._make_dirs(target.parent)
            temporary.replace(target)
            sync_folder(target.parent)
        return stored

    @contextmanager
    def open(self, pfn: str) -> Iterator[BinaryIO]:
        with self._errors(f"opening {pfn}"):
            handle = os.open(
                self._root / check_pfn(pfn), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            )
        with io.BufferedReader(_Reader(handle, self.name, pfn), CHUNK_BYTES) as stream:
            yield stream

    def size(self, pfn: str) -> int | None:
        found = self._stat(pfn)
        return found.st_size if found else None

    def age_s(self, pfn: str) -> float | None:
        found = self._stat(pfn)
        return max(0.0, time.time() - found.st_mtime) if found else None

    def _stat(self, pfn: str) -> os.stat_result | None:
        try:
            with self._errors(f"looking at {pfn}"):
                found = (self._root / check_pfn(pfn)).lstat()
        except NotFound:
            return None
        return found if stat.S_ISREG(found.st_mode) else None

    def digest(self, pfn: str) -> Sha256:
        with self.open(pfn) as stream:
            return digest_of(stream)

    def delete(self, pfn: str) -> bool:
        try:
            with self._errors(f"deleting {pfn}"):
                (self._root / check_pfn(pfn)).unlink()
        except NotFound:
            return False
        return True

    def walk(self) -> Iterator[tuple[str, int]]:
        with self._errors("listing"):
            self._require_root()
        folders = [""]
        while folders:
            folder = folders.pop()
            for entry in self._entries(folder):
                name = f"{folder}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if name != TEMPORARY_DIR:
                        folders.append(f"{name}/")
                elif (found := _stat(entry)) is not None:
                    yield name, found.st_size

    def temporaries(self) -> Iterator[Temporary]:
        with self._errors("listing"):
            self._require_root()
        for entry in self._entries(TEMPORARY_DIR):
            found = _stat(entry)
            if found is not None:
                age_s = max(0.0, time.time() - found.st_mtime)
                yield Temporary(f"{TEMPORARY_DIR}/{entry.name}", found.st_size, age_s)

    def free_bytes(self) -> int | None:
        with self._errors("looking at its root directory"):
            found = os.statvfs(self._root)
        return found.f_bavail * found.f_frsize

    def local_path(self, pfn: str) -> str | None:
        path = self._root / check_pfn(pfn)
        return str(path) if path.is_file() else None

    def create(self) -> None:
        with self._errors("making its root directory"):
            make_dirs(self._root, mode=0o700)

    def check(self) -> None:
        probe = f"{TEMPORARY_DIR}/check-{secrets.token_hex(8)}"
        self.put(probe, [b"medgrid"])
        with self.open(probe) as stream:
            stream.read()
        self.delete(probe)

    def close(self) -> None:
        pass

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Turn errors of the operating system into medgrid's."""
        try:
            yield
        except OSError as exc:
            if isinstance(exc, FileNotFoundError):
                self._require_root(exc)
            raise storage_error(exc, self.name, doing) from exc

    def _require_root(self, cause: BaseException | None = None) -> None:
        if not self._root.is_dir():
            raise RootMissing(self.name, self._root) from cause

    def _make_dirs(self, directory: Path) -> None:
        """Make directories below the root, durably; never the root, whose disk may be unmounted."""
        if directory.is_dir():
            return
        if directory != self._root:
            self._make_dirs(directory.parent)
            directory.mkdir(mode=0o700, exist_ok=True)
            sync_folder(directory.parent)
        else:
            self._require_root()

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._root / folder) as found:
                return list(found)
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise storage_error(
                exc, self.name, f"listing {folder or 'its root directory'}"
            ) from exc


class _Reader(io.RawIOBase):
    """A file whose read errors are medgrid's."""

    def __init__(self, handle: int, se: str, pfn: str) -> None:
        self._handle = handle
        self._se = se
        self._pfn = pfn

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return os.lseek(self._handle, offset, whence)

    def readinto(self, buffer: Any, /) -> int:
        try:
            return os.readv(self._handle, [buffer])
        except OSError as exc:
            raise storage_error(exc, self._se, f"reading {self._pfn}") from exc

    def close(self) -> None:
        if not self.closed:
            os.close(self._handle)
        super().close()


def _write_all(handle: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Stat of a regular file, None when it is something else or has just gone."""
    with contextlib.suppress(FileNotFoundError):
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(found.st_mode):
            return found
    return None
