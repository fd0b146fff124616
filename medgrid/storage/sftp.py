"""Storage in a directory of another host, over SFTP, and over its shell where that is allowed."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import secrets
import stat
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from errno import ENOENT
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from medgrid.config import Settings
from medgrid.errors import ConfigError, IntegrityError, MedgridError, NotFound, Unreachable
from medgrid.model import Sha256, StorageElement
from medgrid.storage.base import (
    CHUNK_BYTES,
    TEMPORARY_DIR,
    Stored,
    Temporary,
    check_pfn,
    check_stored,
    part_name,
)
from medgrid.storage.errors import RootMissing, StorageFull, storage_error
from medgrid.storage.lanes import Lane, Lanes
from medgrid.transport.process import RemoteProcess
from medgrid.transport.sftp import SftpError

__all__ = ["SftpStorage"]

# What they work on comes through stdin, never on the command line.
_CAT = 'IFS= read -r f && exec < "$f" && echo medgrid && exec cat'
_TAIL = 'IFS= read -r f && IFS= read -r n && exec < "$f" && echo medgrid && exec tail -c "+$n"'
_SHA256 = 'IFS= read -r f && exec < "$f" && echo medgrid && exec sha256sum'
_FIND = (
    'IFS= read -r d && cd "$d" && echo medgrid && '
    f'exec find . -path "./{TEMPORARY_DIR}" -prune -o -type f -printf "%s %P\\\\0"'
)

_SMALL_BYTES = 256 * 1024  # fewer come sooner over SFTP than a program starts


class SftpStorage:
    """Files below a root directory of a host that speaks SFTP; temporary ones in its ``.tmp``.

    Where the host also lets us start programs, objects are read by ``cat`` (faster than SFTP),
    digested by ``sha256sum`` and listed by ``find``; small ones, and all where it does not, over
    SFTP. A put is verified by its size and by the digest of what lies there: computed by the host,
    or here, from the bytes read back.

    Contract: `medgrid.storage.base.Storage`, checked by ``tests/storage/test_contract.py``.
    """

    def __init__(self, element: StorageElement, settings: Settings) -> None:
        path = unquote(urlsplit(element.url).path)
        if not path.strip("/") or not path.isprintable():
            raise ConfigError(
                f"storage element {element.name}: {element.url!r} names no absolute directory",
                hint="write sftp://user@host/data/medgrid",
            )
        self.name = element.name
        self._root = path.rstrip("/")
        self._lanes = Lanes(element, settings)
        self._ahead_s: float | None = None  # the host's clock before ours
        self._refused: set[str] = set()  # scripts that the host does not run

    def put(self, pfn: str, chunks: Iterable[bytes], expected: Sha256 | None = None) -> Stored:
        target = self._path(pfn)
        temporary = f"{TEMPORARY_DIR}/{secrets.token_hex(16)}"
        source = _Counted(chunks)
        start = f"storage element {self.name}: writing {pfn}"
        began = False
        try:
            with self._lane(f"writing {pfn}") as lane:
                began = True
                found_bytes = self._write(lane, temporary, source)
                stored = Stored(pfn, source.size_bytes, Sha256(source.hasher.hexdigest()))
                check_stored(start, stored, found_bytes, expected)
                self._name(lane, temporary, target, stored)
        except BaseException:
            if began:  # over another lane: this one may have stopped half-way
                with contextlib.suppress(MedgridError):
                    self.delete(temporary)
            raise
        return stored

    def resume(
        self, pfn: str, chunks_from: Callable[[int], Iterable[bytes]], expected: Sha256
    ) -> Stored:
        target = self._path(pfn)
        part = part_name(pfn)
        try:
            with self._lane(f"writing {pfn}") as lane:
                offset = self._begun(lane, part)
                chunks = chunks_from(offset)
                if offset:
                    found_bytes = lane.sftp.add(self._path(part), offset, chunks)
                else:
                    found_bytes = self._write(lane, part, chunks)
                stored = Stored(pfn, found_bytes, expected)
                self._name(lane, part, target, stored)
        except (IntegrityError, StorageFull):
            with contextlib.suppress(MedgridError):
                self.delete(part)
            raise
        return stored

    @contextmanager
    def open(self, pfn: str) -> Iterator[BinaryIO]:
        path = self._path(pfn)
        with self._lane(f"opening {pfn}") as lane:
            size_bytes = lane.sftp.lstat(path).st_size or 0
            reader = _Reader(lambda offset: self._read(lane, path, size_bytes, offset))
            with io.BufferedReader(reader, CHUNK_BYTES) as stream:
                yield stream

    def size(self, pfn: str) -> int | None:
        path = self._path(pfn)
        try:
            with self._lane(f"looking at {pfn}") as lane:
                found = lane.sftp.lstat(path)
        except NotFound:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode or 0) else None

    def age_s(self, pfn: str) -> float | None:
        path = self._path(pfn)
        try:
            with self._lane(f"looking at {pfn}") as lane:
                found = lane.sftp.lstat(path)
                return max(0.0, self._now_s(lane) - float(found.st_mtime or 0))
        except NotFound:
            return None

    def digest(self, pfn: str) -> Sha256:
        path = self._path(pfn)
        with self._lane(f"opening {pfn}") as lane:
            size_bytes = lane.sftp.lstat(path).st_size or 0
            return self._digest(lane, path, size_bytes)

    def delete(self, pfn: str) -> bool:
        path = self._path(pfn)
        try:
            with self._lane(f"deleting {pfn}") as lane:
                lane.sftp.remove(path)
        except NotFound:
            return False
        return True

    def walk(self) -> Iterator[tuple[str, int]]:
        with self._lane("listing") as lane:
            lane.sftp.entries(self._root)
            found = self._find(lane)
            if found is None:
                found = list(self._walk(lane, ""))
        yield from found

    def temporaries(self) -> Iterator[Temporary]:
        with self._lane("listing") as lane:
            lane.sftp.lstat(self._root)
            try:
                entries = lane.sftp.entries(self._path(TEMPORARY_DIR))
            except SftpError as exc:
                if exc.errno != ENOENT:
                    raise
                return
            found = [entry for entry in entries if stat.S_ISREG(entry.st_mode or 0)]
            now_s = self._now_s(lane) if found else 0.0
        for entry in found:
            age_s = max(0.0, float(now_s - (entry.st_mtime or 0)))
            yield Temporary(f"{TEMPORARY_DIR}/{entry.filename}", entry.st_size or 0, age_s)

    def free_bytes(self) -> int | None:
        with self._lane("looking at its root directory") as lane:
            lane.sftp.lstat(self._root)
            found = lane.sftp.file_system(self._root)
        return found.free_bytes if found else None

    def local_path(self, pfn: str) -> str | None:
        check_pfn(pfn)
        return None

    def create(self) -> None:
        parts = self._root.split("/")
        with self._lane("making its root directory") as lane:
            for count in range(2, len(parts) + 1):
                lane.sftp.make_dir("/".join(parts[:count]))

    def check(self) -> None:
        probe = f"{TEMPORARY_DIR}/check-{secrets.token_hex(8)}"
        self.put(probe, [b"medgrid"])
        with self.open(probe) as stream:
            stream.read()
        self.delete(probe)

    def close(self) -> None:
        self._lanes.close()

    # -- inside ------------------------------------------------------------------------------------

    def _path(self, pfn: str) -> str:
        return f"{self._root}/{check_pfn(pfn)}"

    @contextmanager
    def _lane(self, doing: str) -> Iterator[Lane]:
        """Give a lane; what its server refuses becomes one of medgrid's errors."""
        with self._lanes.take() as lane:
            try:
                yield lane
            except SftpError as exc:
                if exc.errno == ENOENT and not lane.sftp.is_dir(self._root):
                    raise RootMissing(self.name, self._root) from exc
                raise storage_error(exc, self.name, doing) from exc

    def _write(self, lane: Lane, temporary: str, source: Iterable[bytes]) -> int:
        try:
            return lane.sftp.write_new(self._path(temporary), source)
        except SftpError as exc:
            if exc.errno != ENOENT:
                raise
        lane.sftp.make_dir(self._path(TEMPORARY_DIR))
        return lane.sftp.write_new(self._path(temporary), source)

    def _begun(self, lane: Lane, part: str) -> int:
        """How much of a part is there; one that holds nothing is deleted."""
        try:
            found = lane.sftp.lstat(self._path(part))
        except SftpError as exc:
            if exc.errno != ENOENT:
                raise
            return 0
        if not found.st_size:
            lane.sftp.remove(self._path(part))
        return found.st_size or 0

    def _name(self, lane: Lane, temporary: str, target: str, stored: Stored) -> None:
        """Give a temporary file its name, if what lies there is what was to be stored."""
        found = self._digest(lane, self._path(temporary), stored.size_bytes)
        there = Stored(stored.pfn, stored.size_bytes, found)
        start = f"storage element {self.name}: writing {stored.pfn}"
        check_stored(start, there, stored.size_bytes, stored.sha256)
        self._rename(lane, temporary, target)

    def _rename(self, lane: Lane, temporary: str, target: str) -> None:
        try:
            lane.sftp.rename(self._path(temporary), target)
            return
        except SftpError as exc:
            if exc.errno != ENOENT:
                raise
        parts = target.removeprefix(f"{self._root}/").split("/")
        for count in range(1, len(parts)):
            lane.sftp.make_dir(self._path("/".join(parts[:count])))
        lane.sftp.rename(self._path(temporary), target)

    def _run(self, lane: Lane, script: str, argument: str) -> RemoteProcess | None:
        """Start a script, unless the host has refused it before."""
        process = None if script in self._refused else lane.run(script, argument)
        if process is None:
            self._refused.add(script)
        return process

    def _digest(self, lane: Lane, path: str, size_bytes: int) -> Sha256:
        process = self._run(lane, _SHA256, path) if size_bytes > _SMALL_BYTES else None
        if process is not None:
            with process:
                found = re.match(rb"[0-9a-f]{64}\b", process.stdout.read())
                if process.wait() == 0 and found:
                    return Sha256(found[0].decode())
            self._refused.add(_SHA256)  # no such program there
        hasher = hashlib.sha256()
        for chunk in self._read(lane, path, size_bytes):
            hasher.update(chunk)
        return Sha256(hasher.hexdigest())

    def _read(
        self, lane: Lane, path: str, size_bytes: int, offset: int = 0
    ) -> Generator[bytes, None, None]:
        process = None
        if size_bytes - offset > _SMALL_BYTES:
            script, argument = (_TAIL, f"{path}\n{offset + 1}") if offset else (_CAT, path)
            process = self._run(lane, script, argument)
        if process is None:
            yield from lane.sftp.read(path, offset)
            return
        with process:
            while chunk := process.stdout.read(CHUNK_BYTES):
                yield chunk
            status = process.wait()
            if status != 0:
                told = process.stderr.decode(errors="replace").strip().lower() or f"exit {status}"
                raise Unreachable(f"storage element {self.name}: reading {path}: {told}")

    def _find(self, lane: Lane) -> list[tuple[str, int]] | None:
        """All files below the root, by the host's own ``find``; None when it is of another kind."""
        process = self._run(lane, _FIND, self._root)
        if process is None:
            return None
        with process:
            lines = process.stdout.read().split(b"\0")
            if process.wait() != 0:
                return None
        fields = [line.decode(errors="surrogateescape").partition(" ") for line in lines if line]
        return [(path, int(size_bytes)) for size_bytes, _, path in fields]

    def _walk(self, lane: Lane, folder: str) -> Iterator[tuple[str, int]]:
        for entry in lane.sftp.entries(f"{self._root}/{folder}"):
            name = f"{folder}{entry.filename}"
            mode = entry.st_mode or 0
            if stat.S_ISDIR(mode) and name != TEMPORARY_DIR:
                yield from self._walk(lane, f"{name}/")
            elif stat.S_ISREG(mode):
                yield name, entry.st_size or 0

    def _now_s(self, lane: Lane) -> float:
        """Time by the host's clock: that of a file just written; this host's when it cannot be."""
        if self._ahead_s is None:
            probe = self._path(f"{TEMPORARY_DIR}/clock-{secrets.token_hex(8)}")
            self._ahead_s = 0.0
            with contextlib.suppress(SftpError):
                lane.sftp.write_new(probe, [])
                self._ahead_s = float(lane.sftp.lstat(probe).st_mtime or 0) - time.time()
                lane.sftp.remove(probe)
        return time.time() + self._ahead_s


class _Counted:
    """Chunks on their way, digested and counted."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.hasher = hashlib.sha256()
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.hasher.update(chunk)
            self.size_bytes += len(chunk)
            yield chunk


class _Reader(io.RawIOBase):
    """Chunks as a stream, asked for with the first read.

    Parameters
    ----------
    chunks_from : callable
        Gives the chunks from an offset on.
    """

    def __init__(self, chunks_from: Callable[[int], Generator[bytes, None, None]]) -> None:
        self._chunks_from = chunks_from
        self._chunks: Generator[bytes, None, None] | None = None
        self._offset = 0
        self._rest = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence != io.SEEK_SET or (self._chunks is not None and offset != self._offset):
            raise io.UnsupportedOperation("a stream is sought from its start, before it is read")
        self._offset = offset
        return offset

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._chunks is None:
            self._chunks = self._chunks_from(self._offset)
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        self._offset += count
        return count

    def close(self) -> None:
        if self._chunks is not None:
            self._chunks.close()
        super().close()
