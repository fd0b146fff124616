"""What a job may use, watched by sampling /proc and its directories."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Optional, Tuple

from .processes import descendants, resident_bytes

__all__ = ["Watch", "disk_usage", "size_text"]

_MEMORY_EVERY_S = 0.1
_DISK_EVERY_S = 1.0
_IDLE_S = 3600.0


class Watch:
    """Limits of one job (`walltime_s`, `memory_bytes`, `disk_bytes`), from now on.

    Parameters
    ----------
    directories : list of str
        Where the job writes; what lies there now is not counted.
    """

    def __init__(self, limits: Dict[str, Any], directories: List[str]) -> None:
        self._walltime_s: Optional[float] = limits.get("walltime_s")
        self._memory_bytes: Optional[int] = limits.get("memory_bytes")
        self._disk_bytes: Optional[int] = limits.get("disk_bytes")
        self._directories = directories
        now = time.monotonic()
        self._deadline = now + (self._walltime_s or _IDLE_S)
        self._memory_at = now if self._memory_bytes else now + _IDLE_S
        self._disk_at = now if self._disk_bytes else now + _IDLE_S
        self._before_bytes = disk_usage(directories) if self._disk_bytes else 0
        self.peak_bytes = 0
        self._still_since: Optional[float] = None

    def stand_still(self) -> None:
        """Let no time pass: the job is suspended."""
        self._still_since = time.monotonic()

    def go_on(self) -> None:
        """Let time pass again."""
        if self._still_since is not None:
            self._deadline += time.monotonic() - self._still_since
            self._still_since = None

    def next_s(self) -> float:
        """Seconds until something is to be looked at."""
        if self._still_since is not None:
            return _IDLE_S
        return max(0.0, min(self._deadline, self._memory_at, self._disk_at) - time.monotonic())

    def check(self, pid: int) -> Optional[Tuple[str, str]]:
        """Look at what is due; the cause and message of a passed limit."""
        if self._still_since is not None:
            return None
        now = time.monotonic()
        if self._memory_bytes and now >= self._memory_at:
            self._memory_at = now + _MEMORY_EVERY_S
            used = resident_bytes([pid, *descendants(pid)], self._memory_bytes)
            self.peak_bytes = max(self.peak_bytes, used)
            if used > self._memory_bytes:
                return "memory", "used %s, limit %s" % (
                    size_text(used),
                    size_text(self._memory_bytes),
                )
        if self._disk_bytes and now >= self._disk_at:
            breach = self.check_disk()
            self._disk_at = now + max(_DISK_EVERY_S, 20 * (time.monotonic() - now))
            if breach is not None:
                return breach
        if now >= self._deadline:
            if self._walltime_s:
                return "walltime", "ran longer than its limit of %g s" % self._walltime_s
            self._deadline = now + _IDLE_S
        return None

    def check_disk(self) -> Optional[Tuple[str, str]]:
        """Look at what was written, due or not: a short job may have passed the limit unseen."""
        if not self._disk_bytes:
            return None
        used = disk_usage(self._directories) - self._before_bytes
        if used <= self._disk_bytes:
            return None
        return "disk", "wrote %s, limit %s" % (size_text(used), size_text(self._disk_bytes))


def disk_usage(directories: List[str]) -> int:
    """Bytes of disk that directories take; hard links shared with others are not counted."""
    total = 0
    todo = list(directories)
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                        continue
                    found = entry.stat(follow_symlinks=False)
                    if found.st_nlink == 1:
                        total += found.st_blocks * 512
        except OSError:
            continue
    return total


def size_text(count: int) -> str:
    """An amount of bytes as people read it."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return "%.4g %s" % (amount, unit)
        amount /= 1024
    return "%.4g TiB" % amount
