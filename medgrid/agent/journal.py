"""The journal: one JSON object a line, appended and flushed to disk, read by byte offset."""

from __future__ import annotations

import errno
import json
import os
from typing import Any, Dict, Iterator, List, Tuple

__all__ = ["Journal"]

Record = Dict[str, Any]

_READ_BYTES = 1 << 20
_BALLAST_BYTES = 4 << 20
_LAUNCH = b',"launch":'


class Journal:
    """An append-only file of records.

    Records are collected by `append` and made durable, many at once, by `commit`; only then can
    they be read. A last line that a crash tore is cut when the journal is opened. A ballast file
    keeps some space for it on a full disk.
    """

    def __init__(self, path: str, ballast: str) -> None:
        self._path = path
        self._ballast = ballast
        self._pending: List[bytes] = []
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self.offset = self._cut_torn_line()
        os.fsync(self._file)
        self.has_ballast = self._load_ballast()

    @property
    def is_dirty(self) -> bool:
        """Whether records wait for `commit`."""
        return bool(self._pending)

    def append(self, record: Record) -> None:
        """Take a record; it is not durable yet."""
        self._pending.append(json.dumps(record, separators=(",", ":")).encode() + b"\n")

    def withdraw(self, count: int) -> None:
        """Take back the last `count` records that were taken and are not durable."""
        if count:
            del self._pending[-count:]

    def commit(self) -> None:
        """Make all records taken so far durable.

        Raises
        ------
        OSError
            Not even the ballast made room for them; they stay pending.
        """
        if not self._pending:
            return
        data = b"".join(self._pending)
        try:
            self._write(data)
        except OSError as exc:
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT) or not self.has_ballast:
                raise
            os.unlink(self._ballast)
            self.has_ballast = False
            self._write(data)
        self._pending.clear()
        self.offset += len(data)

    def restore_ballast(self) -> bool:
        """Try to reserve space again; whether it is reserved."""
        self.has_ballast = self._load_ballast()
        return self.has_ballast

    def records(self, offset: int = 0, brief: bool = False) -> Iterator[Tuple[int, Record]]:
        """Durable records after `offset`, each with the offset after it.

        When they shall be `brief`, a ``launch``, which is the last in its record, is left out.

        Raises
        ------
        ValueError
            No record starts at `offset`.
        """
        if offset < 0 or offset > self.offset or (offset and self._byte(offset - 1) != b"\n"):
            raise ValueError("no record starts at offset %d" % offset)
        rest = b""
        position = offset
        while position + len(rest) < self.offset:
            start = position + len(rest)
            chunk = os.pread(self._file, min(_READ_BYTES, self.offset - start), start)
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            for line in lines:
                position += len(line) + 1
                if brief:  # within a text the quotes would be escaped
                    start_of_it, launch, _ = line.partition(_LAUNCH)
                    line = start_of_it + b"}" if launch else line
                yield position, json.loads(line)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _byte(self, position: int) -> bytes:
        return os.pread(self._file, 1, position)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        if os.fstat(self._file).st_size > self.offset:  # what failed before was not taken back
            os.ftruncate(self._file, self.offset)
        try:
            while view:
                view = view[os.write(self._file, view) :]
            os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, self.offset)
            raise

    def _cut_torn_line(self) -> int:
        size = os.fstat(self._file).st_size
        end = size
        while end:
            start = max(0, end - _READ_BYTES)
            newline = os.pread(self._file, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            os.ftruncate(self._file, end)
        return end

    def _load_ballast(self) -> bool:
        try:
            descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT, 0o600)
        except OSError:
            return False
        try:
            os.posix_fallocate(descriptor, 0, _BALLAST_BYTES)
            return True
        except OSError:
            os.unlink(self._ballast)
            return False
        finally:
            os.close(descriptor)
