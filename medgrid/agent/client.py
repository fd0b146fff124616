"""One client of the agent: lines in, lines out, over the descriptors its bridge passed."""

from __future__ import annotations

import array
import json
import os
import selectors
import socket
from typing import Any, Callable, Dict, List, Optional

__all__ = ["Client", "attach"]

_READ_BYTES = 1 << 18
_MAX_LINE_BYTES = 64 << 20


def attach(connection: socket.socket, message: Dict[str, Any], descriptors: List[int]) -> None:
    """Say who we are to the agent and pass it the two ends of our client's stream."""
    passed = array.array("i", descriptors)
    connection.sendmsg(
        [json.dumps(message).encode() + b"\n"],
        [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)],
    )


class Client:
    """A connected `medgrid.agent.connect`, and the stream behind it.

    Parameters
    ----------
    connection : socket
        To the bridge process, which waits for its end.
    serve : callable
        Given each request.
    left : callable
        Told when the client is gone.
    """

    def __init__(
        self,
        connection: socket.socket,
        selector: selectors.BaseSelector,
        about: Dict[str, Any],
        serve: Callable[[Client, Dict[str, Any]], None],
        left: Callable[[Client], None],
    ) -> None:
        self._connection = connection
        self._selector = selector
        self._about = about
        self._serve = serve
        self._left = left
        self._reader: Optional[int] = None
        self._writer: Optional[int] = None
        self._parts: List[bytes] = []
        self._size = 0
        self._out = bytearray()
        self.wants_handover = False
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ, lambda _: self._hear_bridge())

    def send(self, message: Dict[str, Any]) -> None:
        """Send one line, now or when there is room."""
        if self._writer is None:
            return
        idle = not self._out
        self._out += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        if idle and not self._flush():
            self._selector.register(self._writer, selectors.EVENT_WRITE, lambda _: self._flush())

    def hand_over(self) -> None:
        """Tell a bridge of a newer build to start its own agent."""
        self._connection.send(b"h")

    def close(self) -> None:
        """Forget the client."""
        if self._connection.fileno() < 0:
            return
        self._selector.unregister(self._connection)
        if self._reader is not None and self._writer is not None:
            self._selector.unregister(self._reader)
            if self._out:
                self._selector.unregister(self._writer)
            os.close(self._reader)
            os.close(self._writer)
            self._reader = self._writer = None
        self._connection.close()
        self._left(self)

    def _hear_bridge(self) -> None:
        try:
            data, ancillary, _, _ = self._connection.recvmsg(4096, socket.CMSG_SPACE(8))
        except OSError:
            data, ancillary = b"", []
        if not data or self._reader is not None:
            self.close()
            return
        descriptors = array.array("i")
        for level, kind, passed in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(passed[: len(passed) - len(passed) % descriptors.itemsize])
        hello = json.loads(data)
        if self._must_yield_to(hello):
            for descriptor in descriptors:
                os.close(descriptor)
            self.wants_handover = True
            self._left(self)
            return
        self._reader, self._writer = descriptors
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._selector.register(self._reader, selectors.EVENT_READ, lambda _: self._read())
        self.send({"medgrid": self._about["protocol"]})

    def _must_yield_to(self, hello: Dict[str, Any]) -> bool:
        """Whether the bridge belongs to another build that is not older."""
        mine = (self._about["protocol"], self._about["version"])
        return hello["digest"] != self._about["agent_digest"] and (
            (hello["protocol"], hello["version"]) >= mine
        )

    def _read(self) -> None:
        assert self._reader is not None
        try:
            data = os.read(self._reader, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._size += len(data)
        if b"\n" not in data:
            self._parts.append(data)
            if self._size > _MAX_LINE_BYTES:
                self.close()
            return
        lines = b"".join([*self._parts, data]).split(b"\n")
        rest = lines.pop()
        self._parts = [rest] if rest else []
        self._size = len(rest)
        for line in lines:
            try:
                request = json.loads(line)
            except ValueError:
                self.close()
                return
            self._serve(self, request)

    def _flush(self) -> bool:
        """Write what can be written; whether nothing is left."""
        assert self._writer is not None
        registered = self._writer in self._selector.get_map()
        try:
            while self._out:
                del self._out[: os.write(self._writer, self._out)]
        except BlockingIOError:
            return False
        except OSError:  # what the client does not hear it would wait for
            if registered:
                self._selector.unregister(self._writer)
            self._out.clear()
            self.close()
            return True
        if registered:
            self._selector.unregister(self._writer)
        return True
