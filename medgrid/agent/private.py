"""Directories in memory for what a protected job reads and writes, so that no disk ever holds it.

They lie on a file system of type tmpfs. Their names tell which agent's they are and which keeper
made them, so that what a killed keeper left is found and deleted.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from typing import Any, Dict, Iterator, List, Optional, Tuple

from . import processes
from .layout import list_directory, remove_tree

__all__ = ["NoRoom", "make_private", "remove_private", "room_bytes", "sweep_private"]

_MARGIN_BYTES = 1 << 20


class NoRoom(Exception):
    """The host has a file system in memory, and it is too small."""


def room_bytes() -> int:
    """How much fits into a private directory now; 0 when the host has no place for one."""
    return max((_room(place) for place in _places()), default=0)


def make_private(agent_id: str, keeper: Dict[str, Any], needed_bytes: int) -> Optional[str]:
    """Make a directory that only we can enter, for at least `needed_bytes`; None without tmpfs.

    Parameters
    ----------
    keeper : dict
        Identity of this process; what it leaves is deleted when it is gone.

    Raises
    ------
    NoRoom
        There is none that is large enough.
    OSError
        It cannot be made, or somebody else made it.
    """
    places = list(_places())
    if not places:
        return None
    best = max(places, key=lambda place: (not _forbids_programs(place), _room(place)))
    if _room(best) < needed_bytes + _MARGIN_BYTES:
        best = max(places, key=_room)
    if _room(best) < needed_bytes + _MARGIN_BYTES:
        raise NoRoom
    name = "%s%d-%d-%s" % (_prefix(agent_id), keeper["pid"], keeper["start"], secrets.token_hex(8))
    path = os.path.join(best, name)
    os.mkdir(path, 0o700)  # fails when there is such a name, whoever's it is
    return path


def remove_private(agent_id: str, path: str) -> None:
    """Delete a private directory that lies at `path`, or that the link `path` names."""
    if os.path.islink(path):
        target = os.readlink(path)
        if os.path.basename(target).startswith(_prefix(agent_id)) and _is_ours(target):
            remove_tree(target)
    remove_tree(path)


def sweep_private(agent_id: str, boot: str) -> None:
    """Delete the directories of this agent's keepers that are gone."""
    prefix = _prefix(agent_id)
    for place in _places():
        for name in list_directory(place):
            if name.startswith(prefix) and not _in_use(name[len(prefix) :], boot):
                path = os.path.join(place, name)
                if _is_ours(path):
                    remove_tree(path)


def _prefix(agent_id: str) -> str:
    return hashlib.sha256(b"medgrid private " + agent_id.encode()).hexdigest()[:16] + "-"


def _in_use(rest: str, boot: str) -> bool:
    try:
        pid, start, _ = rest.split("-")
        return processes.alive({"pid": int(pid), "start": int(start), "boot": boot}, boot)
    except ValueError:
        return True


def _is_ours(path: str) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _places() -> Iterator[str]:
    """Directories on a tmpfs where we may make others, and nobody may rename ours."""
    named = [os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm", "/run/user/%d" % os.geteuid()]  # noqa: S108
    named += [os.environ.get("TMPDIR"), "/tmp"]  # noqa: S108
    seen: List[Tuple[int, int]] = []
    in_memory: Optional[List[str]] = None
    for path in named:
        if not path or not os.path.isabs(path):
            continue
        try:
            found = os.stat(path)
        except OSError:
            continue
        shared = found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
        if shared or found.st_uid not in (0, os.geteuid()) or not stat.S_ISDIR(found.st_mode):
            continue
        if not os.access(path, os.W_OK | os.X_OK) or (found.st_dev, found.st_ino) in seen:
            continue
        in_memory = _memory_devices() if in_memory is None else in_memory
        if "%d:%d" % (os.major(found.st_dev), os.minor(found.st_dev)) in in_memory:
            seen.append((found.st_dev, found.st_ino))
            yield path


def _memory_devices() -> List[str]:
    """Device numbers of mounted file systems that are of type tmpfs, see proc(5), mountinfo."""
    try:
        with open("/proc/self/mountinfo") as stream:
            lines = [line.split() for line in stream]
    except OSError:
        return []
    return [words[2] for words in lines if words[words.index("-") + 1] == "tmpfs"]


def _room(place: str) -> int:
    try:
        found = os.statvfs(place)
    except OSError:
        return 0
    available = _available_memory()
    if not found.f_blocks:  # mounted without a limit
        return available
    return min(found.f_bavail * found.f_frsize, available)


def _forbids_programs(place: str) -> bool:
    return bool(os.statvfs(place).f_flag & os.ST_NOEXEC)


def _available_memory() -> int:
    with open("/proc/meminfo") as stream:
        for line in stream:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0
