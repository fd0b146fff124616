"""A look at the command lines and environments of all processes, again and again."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from tests.lab.searching import Leak, Search
from tests.lab.waiting import wait_for

__all__ = ["Watcher"]

_YOUNG = 40
_SELDOM = 64


class Watcher(threading.Thread):
    """Searches what every process shows of itself to everybody else.

    A young process is looked at each time, as it may soon become another program.

    Attributes
    ----------
    found : list of Leak
    seen : set of bytes
        All command lines and environments.
    looks : int
    """

    def __init__(self, search: Search, every_s: float = 0.01) -> None:
        super().__init__(daemon=True)
        self._search = search
        self._every_s = every_s
        self._over = threading.Event()
        self._ages: dict[str, int] = {}
        self.seen: set[bytes] = set()
        self.found: list[Leak] = []
        self.looks = 0

    def run(self) -> None:
        """Look until told to stop."""
        while not self._over.wait(self._every_s):
            self.looks += 1
            alive = [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]
            self._ages = {pid: self._ages.get(pid, -1) + 1 for pid in alive}
            for pid, age in self._ages.items():
                if age < _YOUNG or age % _SELDOM == 0:
                    self._look(pid)

    def _look(self, pid: str) -> None:
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):  # it has ended
                data = Path("/proc", pid, name).read_bytes()
                if data not in self.seen:
                    self.seen.add(data)
                    self.found += self._search(f"{name} of process {pid}", data)

    def saw(self, text: str) -> bool:
        """Whether any process showed a text; words of command lines with spaces between them."""
        return any(text.encode() in one.replace(b"\0", b" ") for one in self.seen)

    def look_well(self) -> None:
        """Wait until it has looked once from beginning to end."""
        before = self.looks
        wait_for(lambda: self.looks > before + 1, "a whole look at all processes")

    def stop(self) -> None:
        """Stop looking; it must have looked until now."""
        assert self.is_alive()
        self._over.set()
        self.join()
