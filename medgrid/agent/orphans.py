"""Keepers of an earlier agent: they end their jobs as ever, and heed signals alone."""

from __future__ import annotations

import signal
import time
from typing import Any, Dict, List

from . import processes

__all__ = ["Orphans"]

_LOOK_S = 0.2
_LONG_S = 3600.0


class Orphans:
    """The attempts that have such a keeper."""

    def __init__(self, boot: str) -> None:
        self._boot = boot
        self._keepers: Dict[str, Dict[str, Any]] = {}
        self._look_at = 0.0

    def __contains__(self, attempt: str) -> bool:
        return attempt in self._keepers

    def adopt(self, attempt: str, keeper: Dict[str, Any]) -> bool:
        """Watch the keeper of an attempt, by its identity; False when it is gone."""
        if not processes.alive(keeper, self._boot):
            return False
        self._keepers[attempt] = keeper
        self._look_at = 0.0
        return True

    def pid(self, attempt: str) -> int:
        """Process of its keeper."""
        return int(self._keepers[attempt]["pid"])

    def cancel(self, attempt: str) -> None:
        """Have its job ended."""
        processes.kill(self.pid(attempt), signal.SIGTERM)

    def suspend(self, attempt: str) -> None:
        """Have its job stand still; nobody tells when it does."""
        processes.kill(self.pid(attempt), signal.SIGUSR1)

    def resume(self, attempt: str) -> None:
        """Have its job go on, which one that runs does anyway."""
        processes.kill(self.pid(attempt), signal.SIGUSR2)

    def take_gone(self) -> List[str]:
        """Attempts whose keepers have ended since; they are forgotten."""
        now = time.monotonic()
        if not self._keepers or now < self._look_at:
            return []
        self._look_at = now + _LOOK_S
        gone = [
            attempt
            for attempt, keeper in self._keepers.items()
            if not processes.alive(keeper, self._boot)
        ]
        for attempt in gone:
            del self._keepers[attempt]
        return gone

    def next_look_s(self) -> float:
        """Seconds until it is worth asking again."""
        return max(0.0, self._look_at - time.monotonic()) if self._keepers else _LONG_S
