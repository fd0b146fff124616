"""How large the cache may grow, and what goes first: what was used longest ago.

A file's access time says when it was last asked for. Nothing goes that an unfinished attempt needs,
or that a client has asked for and not launched yet.
"""

from __future__ import annotations

import glob
import os
import time
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from .attempts import Attempts
from .layout import Layout, list_directory, remove_tree
from .prepare import COMPLETE

__all__ = ["Cache"]

_HELD_S = 24 * 3600.0
_PART_KEPT_S = 24 * 3600.0
_TORN_S = 3600.0
_SPARE_BYTES = 1 << 30  # kept free for jobs, or less on a small disk
_SPARE_PART = 20
_HYSTERESIS = 20
_REST = 20  # looks at the whole cache take one part in so many of the time, at most
_DEFAULT_HOME = ".medgrid-agent"
_NAME_LENGTH = 64

Entry = Tuple[float, int, str, str]
"""When it was last used, bytes, digest, path."""


class Cache:
    """The cache of one agent; all methods are called by its one thread.

    Attributes
    ----------
    limit : int, optional
        Bytes it may take. The default is half of what the disk would have free without it.
    """

    def __init__(self, layout: Layout, attempts: Attempts) -> None:
        self._layout = layout
        self._attempts = attempts
        self._held: Dict[object, Dict[str, float]] = {}
        self._bytes: Optional[int] = None  # what was found, and what was announced since
        self._look_at = 0.0
        self.limit: Optional[int] = None

    @property
    def size_bytes(self) -> int:
        """What it takes, bytes that are about to come included."""
        if self._bytes is None:
            self._entries()
        return self._bytes or 0

    @property
    def limit_bytes(self) -> int:
        """What it may take."""
        if self.limit is not None:
            return self.limit
        return (self._free_bytes() + self.size_bytes) // 2

    def ask(
        self, client: object, digests: Sequence[str], sizes: Sequence[int]
    ) -> Tuple[List[str], Dict[str, str]]:
        """Hold what a client is going to launch with, and make room for what is not here.

        Returns
        -------
        missing, near
            Digests that are not here; and files that another of this user's agents on this host
            has of them.
        """
        held = self._held.setdefault(client, {})
        now = time.monotonic()
        for sha256 in [one for one, since_s in held.items() if now - since_s > _HELD_S]:
            del held[sha256]
        held.update(dict.fromkeys(digests, now))
        missing = [sha256 for sha256 in digests if not self._touch(sha256)]
        if not missing:
            return [], {}
        size_of = dict(zip(digests, sizes))  # noqa: B905 - Python 3.8
        coming = sum(size_of[sha256] for sha256 in missing)
        self.make_room(coming)
        self._bytes = self.size_bytes + coming
        return missing, self._near(missing)

    def launched(self, client: object, launches: Iterable[Dict[str, Any]]) -> None:
        """Let go what attempts hold from now on."""
        held = self._held.get(client, {})
        for launch in launches:
            for sha256 in self._attempts.needed_by(launch["attempt"]):
                held.pop(sha256, None)

    def left(self, client: object) -> None:
        """Let go what a client held."""
        self._held.pop(client, None)

    def make_room(self, needed_bytes: int = 0) -> None:
        """Drop what was used longest ago, until so many bytes more are within bounds."""
        if self._excess(needed_bytes) <= 0 or time.monotonic() < self._look_at:
            return
        begun = time.monotonic()
        entries = sorted(self._entries())
        excess = self._excess(needed_bytes)
        if excess > 0:
            self._drop(entries, excess + self.limit_bytes // _HYSTERESIS)
        self._look_at = time.monotonic() + _REST * (time.monotonic() - begun)

    def keep_house(self) -> None:
        """Drop what is too much, and parts that nobody has added to for long."""
        self.make_room()
        for used_s, _, sha256, path in list(self._parts()):
            if time.time() - used_s > _PART_KEPT_S and not self._is_held(sha256):
                remove_tree(path)

    def _excess(self, needed_bytes: int) -> int:
        """How many bytes are too many for the limit, or for the disk."""
        over = self.size_bytes + needed_bytes - self.limit_bytes
        found = os.statvfs(self._layout.root)
        spare = min(_SPARE_BYTES, found.f_blocks * found.f_frsize // _SPARE_PART)
        return max(over, needed_bytes + spare - self._free_bytes())

    def _drop(self, entries: Iterable[Entry], excess: int) -> None:
        needed, since_s = self._attempts.needed()
        for used_s, size, sha256, path in entries:
            if excess <= 0:
                return
            if sha256 in needed or used_s >= since_s or self._is_held(sha256):
                continue
            if os.path.isdir(path):
                self._layout.discard(path)
            else:
                remove_tree(path)
            excess -= size
            self._bytes = max(0, self.size_bytes - size)

    def _is_held(self, sha256: str) -> bool:
        return any(sha256 in held for held in self._held.values())

    def _touch(self, sha256: str) -> bool:
        """Note that cached bytes are used; whether they are there.

        Those that a job has in its directory stay as they are: their times tell whether the job
        changed them.
        """
        path = self._layout.cached(sha256)
        try:
            found = os.stat(path)
            if found.st_nlink == 1:
                os.utime(path, ns=(time.time_ns(), found.st_mtime_ns))
        except OSError:
            return os.path.exists(path)
        return True

    def _near(self, digests: Iterable[str]) -> Dict[str, str]:
        home = os.path.dirname(os.path.dirname(self._layout.root))
        if os.path.basename(home) != _DEFAULT_HOME:
            return {}
        others = glob.glob(os.path.join(glob.escape(home), "*", "*", "cache"))
        found: Dict[str, str] = {}
        for sha256 in digests:
            for other in others:
                path = os.path.join(other, sha256[:2], sha256)
                if os.path.exists(path):
                    found[sha256] = path
        return found

    # Looking at the disk

    def _entries(self) -> List[Entry]:
        """All that can go, counted anew."""
        found = [*self._files(), *self._parts(), *self._directories()]
        self._bytes = sum(size for _, size, _, _ in found)
        return found

    def _files(self) -> Iterator[Entry]:
        top = self._layout.path("cache")
        for folder in list_directory(top):
            if folder == "parts":
                continue
            for entry, found in _stats(os.path.join(top, folder)):
                if len(entry.name) != _NAME_LENGTH and time.time() - found.st_mtime > _TORN_S:
                    remove_tree(entry.path)  # its writer was killed
                    continue
                used_s = max(found.st_atime, found.st_mtime)
                yield used_s, found.st_size, entry.name[:_NAME_LENGTH], entry.path

    def _parts(self) -> Iterator[Entry]:
        for entry, found in _stats(self._layout.path("cache", "parts")):
            if not entry.name.startswith("."):
                yield found.st_mtime, found.st_size, entry.name[:_NAME_LENGTH], entry.path

    def _directories(self) -> Iterator[Entry]:
        """Unpacked bundles and environments."""
        for place in ("bundles", "environments"):
            for name in list_directory(self._layout.path(place)):
                path = self._layout.path(place, name)
                complete = os.path.join(path, COMPLETE)
                try:
                    used_s = os.stat(complete).st_mtime
                    with open(complete) as stream:
                        size = int(stream.read() or 0)
                except (OSError, ValueError):
                    continue  # it is being made
                yield used_s, size, name, path

    def _free_bytes(self) -> int:
        found = os.statvfs(self._layout.root)
        return found.f_bavail * found.f_frsize


def _stats(folder: str) -> Iterator["Tuple[os.DirEntry[str], os.stat_result]"]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        yield entry, found
