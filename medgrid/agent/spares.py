"""Directories of small attempts that ended: emptied and used again by later ones.

Files of an agent that starts hundreds of jobs a second are made and deleted as fast. On ext4 that
is slow for whoever makes files meanwhile, as each new one is sought past all those that were
deleted in the last minutes. What is used again is neither made nor deleted.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from typing import List, Optional, Sequence, Set

from .layout import Layout, list_directory
from .notes import NOTES, Notes

__all__ = ["Spares", "refit"]

_MOST = 512
_ENTRIES_MOST = 32
_BYTES_MOST = 256 << 10
_FREE_BYTES = 256 << 20
_PLAIN = 0o700
_ACCESS_LIST = "system.posix_acl_"


class Spares:
    """The directories at hand, known to the agent alone."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._paths: List[str] = []
        for name in list_directory(layout.spares):  # of an earlier agent
            layout.discard(os.path.join(layout.spares, name))

    def offer(self, path: str) -> bool:
        """Take the directory of an attempt over, unless it is large or there are enough."""
        if len(self._paths) >= _MOST or not self._has_space() or not _is_small(path):
            return False
        spare = os.path.join(self._layout.spares, os.path.basename(path))
        try:
            os.rename(path, spare)
        except OSError:
            return False
        self._paths.append(spare)
        return True

    def _has_space(self) -> bool:
        found = os.statvfs(self._layout.spares)
        return found.f_bavail * found.f_frsize >= _FREE_BYTES

    def take(self) -> Optional[str]:
        """A directory to use again, if there is one."""
        return self._paths.pop() if self._paths else None

    def discard(self) -> None:
        """Have them all deleted."""
        for path in self._paths:
            self._layout.discard(path)
        self._paths.clear()


def refit(directory: str, folders: Sequence[str], needed: Sequence[str]) -> Notes:
    """Make the directory of an old attempt as good as new, but for its notes.

    Parameters
    ----------
    needed : sequence of str
        Directories below the folders that may stay, empty, as they will be needed.

    Raises
    ------
    OSError
        It cannot be done: nobody may use it.
    """
    if not _is_plain(directory):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    notes = os.path.join(directory, NOTES)
    kept = {os.path.join(directory, one) for one in (*folders, *needed)}
    _empty(directory, kept, notes)
    if os.path.lexists(notes):
        found = os.lstat(notes)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            os.unlink(notes)
    for name in folders:
        path = os.path.join(directory, name)
        if not os.path.isdir(path):
            os.mkdir(path, _PLAIN)
    return Notes(directory)


def _empty(directory: str, kept: Set[str], notes: str) -> None:
    """Delete what lies in a directory, except the notes and plain directories of `kept`."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                if entry.path != notes:
                    os.unlink(entry.path)
            elif entry.path in kept and _is_plain(entry.path):
                _empty(entry.path, kept, notes)
            else:
                shutil.rmtree(entry.path)


def _is_plain(path: str) -> bool:
    """Whether a directory has the access rights that we give."""
    if stat.S_IMODE(os.lstat(path).st_mode) != _PLAIN:
        return False
    return not any(name.startswith(_ACCESS_LIST) for name in os.listxattr(path))


def _is_small(path: str) -> bool:
    """Whether it takes no time to empty a directory, and little space to keep it."""
    count = size = 0
    todo = [path]
    try:
        while todo:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
                    if count > _ENTRIES_MOST or size > _BYTES_MOST:
                        return False
    except OSError:
        return False
    return True
