"""Bytes on their way into the cache: written aside, digested, and named when they are whole.

What has come of a large file stays when the connection breaks (a *part*), and is added to later. A
part that somebody adds to is called after the process that does, so that two never do.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import signal
import time
from typing import Callable, Dict, List, Optional

from . import processes
from .layout import Layout, list_directory

__all__ = ["CHUNK_BYTES", "Incoming", "Part", "problem"]

CHUNK_BYTES = 1 << 20
_STALLED_S = 15.0  # a writer that adds nothing for so long gives way to another
_LOOK_S = 0.2
_ALIVE_EVERY_BYTES = 64 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Incoming:
    """One file of the cache, written under a temporary name; kept if it is what it should be."""

    def __init__(self, layout: Layout, sha256: str) -> None:
        self._sha256 = sha256
        self._target = layout.cached(sha256)
        self._temporary = "%s.%d" % (self._target, os.getpid())
        self._digest = hashlib.sha256()
        self._error: Optional[OSError] = None
        self._file = -1
        if os.path.exists(self._target):
            return
        try:
            os.makedirs(os.path.dirname(self._target), mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._file = os.open(self._temporary, flags, 0o400)
        except OSError as exc:
            self._error = exc

    def write(self, chunk: bytes) -> None:
        """Add bytes; an error is told by `finish`."""
        if self._file < 0 or self._error is not None:
            return
        self._digest.update(chunk)
        view = memoryview(chunk)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as exc:
            self._error = exc

    def finish(self) -> List[Dict[str, str]]:
        """Name the file by its digest, or delete it and say why."""
        if self._error is not None:
            error = self._error
            self._delete()
            kind = "no-space" if error.errno in _NO_SPACE else "unwritable"
            return [problem(kind, self._sha256, error.strerror or str(error))]
        if self._file < 0:
            return []
        if self._digest.hexdigest() != self._sha256:
            self._delete()
            return [problem("integrity", self._sha256, self._digest.hexdigest())]
        os.close(self._file)
        os.rename(self._temporary, self._target)
        return []

    def abandon(self) -> None:
        """The rest will not come."""
        self._delete()

    def _delete(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            os.unlink(self._temporary)


class Part(Incoming):
    """One large file, of which a part may be here already.

    Parameters
    ----------
    size_bytes : int
        Of the whole.
    waiting : callable
        Called again and again while another process adds to the part.

    Attributes
    ----------
    offset : int
        From where on bytes are wanted.
    """

    def __init__(
        self, layout: Layout, sha256: str, size_bytes: int, waiting: Callable[[], None]
    ) -> None:
        self._layout = layout
        self._sha256 = sha256
        self._target = layout.cached(sha256)
        self._waiting = waiting
        self._digest = hashlib.sha256()
        self._error = None
        self._file = -1
        self._boot = processes.boot_id()
        self._part = layout.part(sha256)
        me = processes.identity(os.getpid(), self._boot)
        self._temporary = "%s.%d-%d" % (self._part, me["pid"], me["start"])
        self.offset = size_bytes
        try:
            while not os.path.exists(self._target):
                if self._claim():
                    break
                waiting()
                time.sleep(_LOOK_S)
            if os.path.exists(self._target):
                self._delete()
            else:
                self.offset = self._read(size_bytes)
        except OSError as exc:
            self._error = exc

    def finish(self) -> List[Dict[str, str]]:
        """Name the file by its digest, or delete it and say why."""
        if self._file >= 0 and self._error is None:
            os.makedirs(os.path.dirname(self._target), mode=0o700, exist_ok=True)
            os.fchmod(self._file, 0o400)
        return super().finish()

    def abandon(self) -> None:
        """Keep what has come for whoever goes on with it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            if os.path.exists(self._temporary):
                os.rename(self._temporary, self._part)

    def _claim(self) -> bool:
        """Make the part, or what there is of it, ours; False while it is another's."""
        lock = os.open(self._layout.part(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            folder = os.path.dirname(self._part)
            for name in list_directory(folder):
                if name.startswith(self._sha256):
                    path = os.path.join(folder, name)
                    if not self._is_free(name, path):
                        return False
                    os.rename(path, self._temporary)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._temporary, flags, 0o600)
        finally:
            os.close(lock)
        return True

    def _is_free(self, name: str, path: str) -> bool:
        """Whether nobody adds to a part; one who has stalled is ended."""
        owner = name[len(self._sha256) + 1 :].split("-")
        if len(owner) != 2:
            return True
        known = {"pid": int(owner[0]), "start": int(owner[1]), "boot": self._boot}
        if processes.alive(known, self._boot):
            if time.time() - os.stat(path).st_mtime > _STALLED_S:
                processes.kill(int(owner[0]), signal.SIGKILL)
            return False
        return True

    def _read(self, size_bytes: int) -> int:
        """Digest what is there; its size."""
        there = 0
        while True:
            chunk = os.pread(self._file, CHUNK_BYTES, there)
            if not chunk:
                break
            there += len(chunk)
            self._digest.update(chunk)
            if there % _ALIVE_EVERY_BYTES < CHUNK_BYTES:
                os.utime(self._file)
                self._waiting()
        if there > size_bytes:
            os.ftruncate(self._file, 0)
            self._digest = hashlib.sha256()
            there = 0
        return there


def problem(kind: str, sha256: str, message: str) -> Dict[str, str]:
    """What a flush tells of bytes that could not be kept."""
    return {"kind": kind, "sha256": sha256, "message": message}
