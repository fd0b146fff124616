"""How far a deep check came, so that the next goes on where this one is interrupted.

One file for each storage element: a first line that says of which, then a line for each replica
that was read and found good. A replica is passed over only if the catalog's row is still the very
same. What was bad is not written down and is looked at again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from medgrid.config import private_dir
from medgrid.errors import ConfigError
from medgrid.model import Replica, StorageElement

__all__ = ["Checkpoint"]

_FORMAT = "fsck/1"
_LONGEST_S = 7 * 24 * 3600.0  # older ones say too little of today's bytes
_FLUSH_S = 0.5


class Checkpoint:
    """Replicas of one storage element that were read and found good. Use as a context manager.

    Where another check holds the file, or it cannot be written, nothing is remembered.

    Parameters
    ----------
    folder : Path
        Made when it is missing.
    element : StorageElement
    grid_id : str
    restart : bool
        Forget what an earlier check wrote down.
    """

    def __init__(
        self, folder: Path, element: StorageElement, grid_id: str, *, restart: bool
    ) -> None:
        self._path = folder / f"{element.name}.log"
        self._about = {"format": _FORMAT, "grid": grid_id, "url": element.url}
        self._restart = restart
        self._descriptor: int | None = None
        self._waiting: list[str] = []
        self._written_s = 0.0
        self._good: dict[str, float] = {}
        self.oldest_s: float | None = None
        """Age of what an earlier check found; None when nothing is taken from one."""

    def __enter__(self) -> Self:
        try:
            private_dir(self._path.parent)
            self._open()
        except (OSError, ConfigError):
            self._close()
        return self

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(self._descriptor).st_nlink == 0:
            raise OSError("another check has just ended it")
        lines = self._path.read_text("utf-8", errors="replace").split("\n")
        lines.pop()  # a line that was not written to its end
        began_s = self._began_s(lines[0]) if lines and not self._restart else None
        if began_s is None:
            os.ftruncate(self._descriptor, 0)
            self._write([json.dumps({**self._about, "began_s": time.time()})])
            return
        for line in lines[1:]:
            pfn, _, created_s = line.rpartition(" ")
            with contextlib.suppress(ValueError):
                self._good[pfn] = float(created_s)
        if self._good:
            self.oldest_s = time.time() - began_s

    def _began_s(self, line: str) -> float | None:
        """When the check began whose first line this is; None when it is of no use."""
        try:
            about = json.loads(line)
            began_s = float(about.pop("began_s"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        age_s = time.time() - began_s
        return began_s if about == self._about and 0 <= age_s < _LONGEST_S else None

    def has(self, replica: Replica) -> bool:
        """Whether an earlier check read this replica and found it good."""
        return self._good.get(replica.pfn) == replica.created_s

    def add(self, replica: Replica) -> None:
        """Write down that a replica is good."""
        if self._descriptor is None:
            return
        self._waiting.append(f"{replica.pfn} {replica.created_s!r}")
        if time.monotonic() - self._written_s > _FLUSH_S:
            self._flush()

    def end(self) -> None:
        """Forget all: the check came to its end."""
        if self._descriptor is not None:
            self._waiting.clear()
            self._path.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._waiting:
            self._write(self._waiting)
            self._waiting = []
        self._written_s = time.monotonic()

    def _write(self, lines: list[str]) -> None:
        if self._descriptor is None:
            return
        text = "".join(f"{line}\n" for line in lines).encode()
        try:
            while text:
                text = text[os.write(self._descriptor, text) :]
        except OSError:
            self._close()  # a full disk is no reason to stop a check

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._flush()
        self._close()
