"""Requests and replies with an agent, from many threads over one stream."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

from medgrid.errors import MedgridError, Unreachable, UsageError
from medgrid.workers.bootstrap import Process
from medgrid.workers.errors import AgentError, NoSpace

__all__ = ["Conversation"]


class _Pending:
    __slots__ = ("event", "reply")

    def __init__(self) -> None:
        self.event = threading.Event()
        self.reply: dict[str, Any] | None = None


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
        self._pending: dict[int, _Pending] = {}
        self._last_id = 0
        self._broken: MedgridError | None = None
        self._greeted = threading.Event()
        self._reader = threading.Thread(target=self._read, name=f"agent-{where}", daemon=True)
        self._reader.start()
        if not self._greeted.wait(timeout_s):
            self._break(Unreachable(f"{where}: the agent does not answer within {timeout_s:g} s"))
        if self._broken is not None:
            raise self._broken

    def ask(self, op: str, wait_s: float = 0.0, **fields: Any) -> dict[str, Any]:
        """Send a request and return its reply.

        Parameters
        ----------
        wait_s : float
            How long the agent may take on purpose, beyond the ordinary time-out.

        Raises
        ------
        Unreachable
            No reply in time, or the connection broke.
        NoSpace, UsageError, AgentError
            The agent refuses.
        """
        pending = _Pending()
        with self._lock:
            if self._broken is not None:
                raise self._broken
            self._last_id += 1
            number = self._last_id
            self._pending[number] = pending
        line = json.dumps({"id": number, "op": op, **fields}, separators=(",", ":")) + "\n"
        try:
            with self._write_lock:
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()
        except (OSError, ValueError, Unreachable) as exc:
            self._break(Unreachable(f"{self._where}: the connection was lost"))
            raise Unreachable(f"{self._where}: the connection was lost") from exc
        if not pending.event.wait(self._timeout_s + wait_s):
            self._break(
                Unreachable(f"{self._where}: no answer within {self._timeout_s + wait_s:g} s")
            )
        if pending.reply is None:
            raise self._broken or Unreachable(f"{self._where}: the connection was lost")
        if "error" in pending.reply:
            raise self._error(pending.reply["error"])
        return pending.reply

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
                        pending = self._pending.pop(message["id"], None)
                    if pending is not None:
                        pending.reply = message
                        pending.event.set()
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
        for pending in waiting:
            pending.event.set()
        self._greeted.set()
