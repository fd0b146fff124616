"""Standard output and error of a job, read from pipes and bounded on disk."""

from __future__ import annotations

import os
from typing import Optional

__all__ = ["Capture"]

HEAD_BYTES = 8 << 20  # kept from the start
TAIL_BYTES = 64 << 10  # kept from the end
_READ_BYTES = 64 << 10
_READS = 16  # 1 MiB: what a pipe can hold
_SHOWN_BYTES = 4096


class Capture:
    """One stream of one job: a pipe that never blocks the job, and a file of limited size.

    The file holds the first `HEAD_BYTES`; when more came, a line that says how much is left out and
    the last `TAIL_BYTES` are added at the end. It is made when the first byte comes.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: Optional[int] = None
        self._tail = bytearray()
        self._seen_bytes = 0
        self._is_over = False
        self.disk_is_full = False
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.reader, False)

    def close_writer(self) -> None:
        """Close this process's copy of the job's end."""
        os.close(self.writer)

    def pump(self) -> bool:
        """Read what is there, 1 MiB at most; whether the stream is still open."""
        for _ in range(_READS):  # a job that prints faster must not keep us here
            try:
                chunk = os.read(self.reader, _READ_BYTES)
            except BlockingIOError:
                break
            if not chunk:
                self._is_over = True
                break
            room = HEAD_BYTES - self._seen_bytes
            if room > 0:
                self._write(chunk[:room])
            self._seen_bytes += len(chunk)
            self._tail += chunk
            if len(self._tail) > 2 * TAIL_BYTES:
                del self._tail[:-TAIL_BYTES]
            if len(chunk) < _READ_BYTES:
                break
        return not self._is_over

    def finish(self) -> str:
        """Read the rest and close; the last 4 KiB as text."""
        self.pump()  # writers are dead, and their pipe holds no more
        os.close(self.reader)
        beyond = self._seen_bytes - HEAD_BYTES
        if beyond > 0:
            tail = bytes(self._tail[-min(TAIL_BYTES, beyond) :])
            left_out = beyond - len(tail)
            if left_out:
                self._write(b"\n[medgrid: %d bytes left out]\n" % left_out)
            self._write(tail)
        if self._file is not None:
            os.close(self._file)
        return bytes(self._tail[-_SHOWN_BYTES:]).decode("utf-8", "replace")

    def _write(self, data: bytes) -> None:
        try:
            if self._file is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                self._file = os.open(self._path, flags, 0o600)
            while data:
                data = data[os.write(self._file, data) :]
        except OSError:
            self.disk_is_full = True
