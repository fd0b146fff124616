"""Directories of small attempts that ended: emptied, to be used again by later ones.

Files of an agent that starts hundreds of jobs a second are made and deleted as fast. On an ext4
without a journal that is slow for whoever makes files meanwhile, as each new one is sought past all
those that were deleted in the last minutes. What is used again is neither made nor deleted, which
is less work anywhere.
"""

from __future__ import annotations

import os
import stat
from itertools import islice
from typing import Any, Dict, List, Optional

from .layout import Layout, list_directory
from .notes import NOTES

__all__ = ["Spare", "Spares"]

_MOST = 512
_ENTRIES_MOST = 32
_BYTES_MOST = 256 << 10
_FREE_BYTES = 256 << 20
_PLAIN = 0o700
_ACCESS_LIST = "system.posix_acl_"

Spare = Dict[str, Any]
"""``path`` of an attempt's directory, and ``folders`` in it, parents first; all are empty."""


class Spares:
    """The directories at hand, known to the agent alone."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._spares: List[Spare] = []
        self.discard()  # those of an earlier agent

    def offer(self, path: str) -> bool:
        """Take the directory of an attempt over, unless that takes long or there are enough.

        One that is not taken may have lost some of its files.
        """
        if len(self._spares) >= _MOST or not self._has_space():
            return False
        spare = os.path.join(self._layout.spares, os.path.basename(path))
        try:
            folders = _Emptying(path).folders
            os.rename(path, spare)
        except OSError:
            return False
        self._spares.append({"path": spare, "folders": folders})
        return True

    def _has_space(self) -> bool:
        found = os.statvfs(self._layout.spares)
        return found.f_bavail * found.f_frsize >= _FREE_BYTES

    def take(self) -> Optional[Spare]:
        """A directory to use again, if there is one."""
        return self._spares.pop() if self._spares else None

    def discard(self) -> None:
        """Have them all deleted."""
        for name in list_directory(self._layout.spares):  # also what a keeper did not come to use
            self._layout.discard(os.path.join(self._layout.spares, name))
        self._spares.clear()


class _Emptying:
    """Deletes what lies in a directory, except its notes and the folders of most jobs.

    Raises
    ------
    OSError
        It holds much, or what cannot be deleted, or others may use it.
    """

    def __init__(self, directory: str) -> None:
        self.folders: List[str] = []
        self._left = _ENTRIES_MOST
        if not _is_plain(directory):
            raise PermissionError("others may use %s" % directory)
        self._empty(directory, "", True)

    def _empty(self, path: str, prefix: str, is_kept: bool) -> None:
        with os.scandir(path) as entries:  # to the end before any is deleted
            found = list(islice(entries, self._left + 1))
        self._left -= len(found)
        if self._left < 0:
            raise OSError("%s holds much" % path)
        for entry in found:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                self._empty_folder(entry.path, name, is_kept)
            else:
                self._unlink(entry, name)

    def _empty_folder(self, path: str, name: str, is_kept: bool) -> None:
        is_usual = name in ("work", "tmp") or (name + "/").startswith("work/in/")
        is_kept = is_kept and is_usual and _is_plain(path)
        if is_kept:
            self.folders.append(name)
        self._empty(path, name + "/", is_kept)
        if not is_kept:
            os.rmdir(path)

    @staticmethod
    def _unlink(entry: "os.DirEntry[str]", name: str) -> None:
        found = entry.stat(follow_symlinks=False)
        if found.st_size > _BYTES_MOST:
            raise OSError("%s is large" % entry.path)
        if name != NOTES or not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            os.unlink(entry.path)


def _is_plain(path: str) -> bool:
    """Whether a directory has the access rights that we give."""
    if stat.S_IMODE(os.lstat(path).st_mode) != _PLAIN:
        return False
    return not any(name.startswith(_ACCESS_LIST) for name in os.listxattr(path))
