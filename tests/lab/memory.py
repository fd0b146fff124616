"""Files of tests lie in memory, where there is room for them: they are many, and soon gone.

That spares a fifth of the time of tests that make grids. A test about disks makes its own.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["FILES", "MEMORY", "has_room", "root_in_memory"]

MEMORY = Path("/dev/shm")
FILES = f"mg-tests-{os.getuid()}"
"""The name of the directory there; jobs leave other things beside it."""
_ROOM_BYTES = 4 << 30


def has_room(room_bytes: int) -> bool:
    """Whether there is a file system in memory, and room in both."""
    if not os.access(MEMORY, os.W_OK):
        return False
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = {name: int(told.split()[0]) << 10 for name, told in (line.split(":") for line in lines)}
    return min(free["MemAvailable"], shutil.disk_usage(MEMORY).free) > room_bytes


def root_in_memory() -> Path | None:
    """Directory in memory for the files of tests; None without room, or if no program may run."""
    if not has_room(_ROOM_BYTES) or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return None
    root = MEMORY / FILES
    root.mkdir(mode=0o700, exist_ok=True)
    return root
