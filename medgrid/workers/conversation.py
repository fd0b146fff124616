"""Requests and replies with an agent, from many threads over one stream."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from medgrid.errors import MedgridError, Unreachable, UsageError
from medgrid.workers.bootstrap import Process
from medgrid.workers.errors import AgentError, NoSpace

__all__ = ["Asked", "Conversation"]


class Asked:
    """A request that was sent, and its reply when there is one.

    Parameters
    ----------
    until_s : float
        When to give up waiting (`time.monotonic`).
    heard : callable, optional
        Called by the reading thread when the reply, or the end of the conversation, is there.
    """

    def __init__(
        self, conversation: Conversation, until_s: float, heard: Callable[[], None] | None
    ) -> None:
        self._conversation = conversation
        self._until_s = until_s
        self._heard = heard
        self._event = threading.Event()
        self._reply: dict[str, Any] | None = None

    @property
    def is_over(self) -> bool:
        """Whether `result` would not wait."""
        return self._event.is_set() or time.monotonic() > self._until_s

    def answer(self, reply: dict[str, Any] | None) -> None:
        """Enter the reply, None when none will come."""
        self._reply = reply
        self._event.set()
        if self._heard is not None:
            self._heard()

    def result(self) -> dict[str, Any]:
        """Wait for the reply.

        Raises
        ------
        Unreachable
            It did not come in time, or the connection broke.
        NoSpace, UsageError, AgentError
            The agent refuses.
        """
        if not self._event.wait(max(0.0, self._until_s - time.monotonic())):
            self._conversation.give_up()
        return self._conversation.checked(self._reply)


class Conversation:
    """Asks the agent behind `process`; one thread reads the replies.

    Raises
    ------
    Unreachable
        The agent does not greet within `timeout_s`.
    NoSpace, AgentError
        It cannot start; the message says why.
    """

    def __init__(self, process: Process, where: str, timeout_s: float) -> None:
        self._process = process
        self._where = where
        self._timeout_s = timeout_s
        self._write_lock = threading.Lock()
        self._lock = threading.Lock()
        self._pending: dict[int, Asked] = {}
        self._last_id = 0
        self._broken: MedgridError | None = None
        self._greeted = threading.Event()
        self._reader = threading.Thread(target=self._read, name=f"agent-{where}", daemon=True)
        self._reader.start()
        if not self._greeted.wait(timeout_s):
            self._break(Unreachable(f"{where}: the agent does not answer within {timeout_s:g} s"))
        if self._broken is not None:
            raise self._broken

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a request and return its reply.

        Raises
        ------
        Unreachable
            No reply in time, or the connection broke.
        NoSpace, UsageError, AgentError
            The agent refuses.
        """
        return self.send(op, **fields).result()

    def send(
        self, op: str, wait_s: float = 0.0, heard: Callable[[], None] | None = None, **fields: Any
    ) -> Asked:
        """Send a request; others may be sent before its reply is there.

        Parameters
        ----------
        wait_s : float
            How long the agent may take on purpose, beyond the ordinary time-out.
        heard : callable, optional
            Called, by another thread, when there is a reply or none will come.

        Raises
        ------
        Unreachable
            The connection broke.
        """
        asked = Asked(self, time.monotonic() + self._timeout_s + wait_s, heard)
        with self._lock:
            if self._broken is not None:
                raise self._broken
            self._last_id += 1
            number = self._last_id
            self._pending[number] = asked
        line = json.dumps({"id": number, "op": op, **fields}, separators=(",", ":")) + "\n"
        try:
            with self._write_lock:
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()
        except (OSError, ValueError, Unreachable) as exc:
            self._break(Unreachable(f"{self._where}: the connection was lost"))
            raise Unreachable(f"{self._where}: the connection was lost") from exc
        return asked

    def give_up(self) -> None:
        """End the conversation because a reply did not come."""
        self._break(Unreachable(f"{self._where}: no answer within {self._timeout_s:g} s"))

    def checked(self, reply: dict[str, Any] | None) -> dict[str, Any]:
        """A reply that says no error; else raise it, or why there is none."""
        if reply is None:
            raise self._broken or Unreachable(f"{self._where}: the connection was lost")
        if "error" in reply:
            raise self._error(reply["error"])
        return reply

    def close(self) -> None:
        """End the conversation."""
        self._break(Unreachable(f"{self._where}: the link is closed"))

    def _error(self, error: Mapping[str, str]) -> MedgridError:
        message = f"{self._where}: {error['message']}"
        if error["kind"] == "no-space":
            return NoSpace(message, hint="free some space there")
        if error["kind"] == "bad-offset":
            return UsageError(message)
        return AgentError(message)

    def _read(self) -> None:
        error: MedgridError = Unreachable(f"{self._where}: the connection was lost")
        try:
            for line in iter(self._process.stdout.readline, b""):
                message = json.loads(line)
                if "id" in message:
                    with self._lock:
                        asked = self._pending.pop(message["id"], None)
                    if asked is not None:
                        asked.answer(message)
                elif "error" in message:
                    error = self._error(message["error"])
                    break
                else:
                    self._greeted.set()
        except (OSError, ValueError, Unreachable):
            pass
        self._break(error)

    def _break(self, error: MedgridError) -> None:
        """Fail all that is asked and will be asked."""
        with self._lock:
            if self._broken is None:
                self._broken = error
            waiting = list(self._pending.values())
            self._pending.clear()
        self._process.close()
        for asked in waiting:
            asked.answer(None)
        self._greeted.set()
