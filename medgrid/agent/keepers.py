"""The agent's side of its keepers: idle ones, busy ones, and what they tell."""

from __future__ import annotations

import json
import os
import selectors
import socket
from typing import Any, Callable, Dict, List, Optional, Tuple

from .keeper import fork_keeper
from .layout import Layout
from .protected import is_protected

__all__ = ["KeeperHandle", "Keepers"]

_RECEIVE_BYTES = 1 << 18
Heard = Callable[[str, Optional[Dict[str, Any]]], None]


class KeeperHandle:
    """One keeper, and the attempt it has, if any; `has_held_keys` as long as it lives."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.channel = channel
        self.attempt: Optional[str] = None
        self.has_held_keys = False
        self.received = b""

    def send(self, message: Dict[str, Any]) -> None:
        """Send a message; a dead keeper is noticed when its channel is read."""
        try:
            self.channel.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass

    def tell(self, verb: str) -> None:
        """Ask it to ``cancel``, ``suspend``, ``resume`` or ``preempt`` its job."""
        self.send({"do": verb, "to": self.attempt})


class Keepers:
    """All keepers of this agent.

    Parameters
    ----------
    heard : callable
        Told (attempt, message) for every message, and (attempt, None) when a busy keeper died.
    """

    def __init__(
        self,
        layout: Layout,
        selector: selectors.BaseSelector,
        agent_id: str,
        boot: str,
        base_env: Dict[str, str],
        heard: Heard,
    ) -> None:
        self._fork: Callable[[], Tuple[int, socket.socket]] = lambda: fork_keeper(
            layout, agent_id, boot, base_env
        )
        self._selector = selector
        self._heard = heard
        self._idle: List[KeeperHandle] = []

    def give(self, order: Dict[str, Any]) -> KeeperHandle:
        """Give an order (it has an ``attempt``) to an idle keeper or a new one."""
        keeper = self._idle.pop() if self._idle else self._new()
        keeper.attempt = order["attempt"]
        keeper.has_held_keys = keeper.has_held_keys or is_protected(order["launch"])
        keeper.send(order)
        return keeper

    def retire(self) -> None:
        """Let idle keepers end."""
        for keeper in self._idle:
            self._forget(keeper)
        self._idle.clear()

    def _new(self) -> KeeperHandle:
        keeper = KeeperHandle(*self._fork())
        self._selector.register(keeper.channel, selectors.EVENT_READ, lambda _: self._read(keeper))
        return keeper

    def _read(self, keeper: KeeperHandle) -> None:
        try:
            data = keeper.channel.recv(_RECEIVE_BYTES)
        except OSError:
            data = b""
        if not data:
            self._died(keeper)
            return
        keeper.received += data
        *lines, keeper.received = keeper.received.split(b"\n")
        for line in lines:
            message = json.loads(line)
            attempt = keeper.attempt
            assert attempt is not None
            if message["event"] in ("done", "claimed"):
                keeper.attempt = None
                self._idle.append(keeper)
            self._heard(attempt, message)
            if keeper.has_held_keys and keeper in self._idle:  # nothing to do next: keys go
                self._idle.remove(keeper)
                self._forget(keeper)

    def _died(self, keeper: KeeperHandle) -> None:
        attempt = keeper.attempt
        if keeper in self._idle:
            self._idle.remove(keeper)
        self._forget(keeper)
        if attempt is not None:
            self._heard(attempt, None)

    def _forget(self, keeper: KeeperHandle) -> None:
        self._selector.unregister(keeper.channel)
        keeper.channel.close()
        os.waitpid(keeper.pid, 0)
