"""A keeper: the small process that runs jobs, one at a time, and outlives the agent.

It is forked by the agent, in a session of its own, and takes orders through a socket pair. When
the agent dies it ends its job as ever, writes the result to disk, and ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from functools import partial
from typing import Any, Dict, List, Optional, Tuple

from . import libcrypto, processes
from .claiming import AlreadyClaimed
from .job import PREEMPTED, Job
from .layout import Layout
from .protected import is_protected
from .room import Room
from .sealed_room import SealedRoom
from .secrecy import avoid_swap, forbid_core_dumps, hide_memory

__all__ = ["Keeper", "fork_keeper"]

_RECEIVE_BYTES = 1 << 16
_SIGNALS = {signal.SIGTERM: "cancel", signal.SIGUSR1: "suspend", signal.SIGUSR2: "resume"}
"""How an agent that did not start this keeper tells it the same."""


def fork_keeper(
    layout: Layout, agent_id: str, boot: str, base_env: Dict[str, str]
) -> Tuple[int, socket.socket]:
    """Start a keeper; its pid and the agent's end of the socket pair."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    code = 1
    try:
        os.setsid()
        processes.close_others(theirs.fileno())
        Keeper(layout, theirs, agent_id, boot, base_env).serve()
        code = 0
    finally:
        os._exit(code)


class Keeper:
    """Serves orders on `channel` until its other end closes."""

    def __init__(
        self,
        layout: Layout,
        channel: socket.socket,
        agent_id: str,
        boot: str,
        base_env: Dict[str, str],
    ) -> None:
        self._layout = layout
        self._channel: Optional[socket.socket] = channel
        self._agent_id = agent_id
        self._base_env = base_env
        self._identity = processes.identity(os.getpid(), boot)
        self._received = b""
        self._job: Optional[Job] = None
        self._attempt = ""
        self._hidden = False
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number, verb in _SIGNALS.items():
            signal.signal(number, partial(self._signalled, verb))
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        processes.become_subreaper()
        forbid_core_dumps()

    def serve(self) -> None:
        """Run jobs until the agent is gone."""
        while True:
            line = self._next_line()
            if line is None:
                return
            message = json.loads(line)
            if "attempt" in message:  # what is told late, of a job that has ended, is dropped
                self._run(message)

    def _run(self, order: Dict[str, Any]) -> None:
        marker = "%s/%s" % (self._agent_id, order["attempt"])
        room = self._room_for(order)
        job = Job(self._layout, order, room, self._identity, marker, self._base_env)
        try:
            job.claim()
        except AlreadyClaimed:
            self._tell({"event": "claimed"})
            return
        except OSError as exc:
            cause = "no-space" if exc.errno in (28, 122) else "lost"
            message = "the job's directory cannot be made: %s" % exc.strerror
            self._tell({"event": "done", "result": {"cause": cause, "message": message}})
            return
        self._forget_signals()
        self._job, self._attempt = job, order["attempt"]
        try:
            result = job.run(self._wait, self._moved)
        except Exception as exc:  # whatever happens, the attempt gets its one result
            what = type(exc).__name__ if room.is_private else repr(exc)
            result = {"cause": "lost", "message": "the keeper failed: %s" % what}
        self._job = None
        os.chdir(self._layout.root)
        result.setdefault("ended_s", time.time())
        try:
            job.store(result, durable=self._channel is None)
        except OSError:
            pass
        self._tell({"event": "done", "result": result})

    def _room_for(self, order: Dict[str, Any]) -> Room:
        if not is_protected(order["launch"]):
            return Room(self._layout, order)
        library = libcrypto.load()
        assert library is not None  # the agent gives no such order on a host without
        if not self._hidden:
            self._hidden = True
            hide_memory()
            avoid_swap()
        return SealedRoom(self._layout, order, self._identity, self._agent_id, library)

    def _moved(self, event: str, when_s: float) -> None:
        self._tell({"event": event, "time_s": when_s})

    def _signalled(self, verb: str, *_: object) -> None:
        self._do(verb)

    def _do(self, verb: str) -> None:
        if self._job is None:
            return
        if verb == "cancel":
            self._job.end("cancelled", "cancelled")
        elif verb == "preempt":
            self._job.end("preempted", PREEMPTED)
        else:
            self._job.hold(verb == "suspend")

    def _wait(self, readers: List[int], timeout_s: float) -> None:
        """Wait for output, a signal, a word of the agent, or the time."""
        self._heed()
        poll = select.poll()
        for reader in readers:
            poll.register(reader, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        if self._channel is not None:
            poll.register(self._channel, select.POLLIN)
        for descriptor, _ in poll.poll(int(timeout_s * 1000) + 1):
            if descriptor == self._wake:
                self._forget_signals()
            elif self._channel is not None and descriptor == self._channel.fileno():
                self._receive()
                self._heed()

    def _forget_signals(self) -> None:
        """Let those that came wake nobody any more: they have been heeded."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)

    def _heed(self) -> None:
        while b"\n" in self._received:
            line, _, self._received = self._received.partition(b"\n")
            told = json.loads(line)
            if told.get("to") == self._attempt:
                self._do(told["do"])

    def _next_line(self) -> Optional[bytes]:
        while b"\n" not in self._received:
            if not self._receive():
                return None
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _receive(self) -> bool:
        if self._channel is None:
            return False
        try:
            data = self._channel.recv(_RECEIVE_BYTES)
        except OSError:
            data = b""
        if not data:
            self._hang_up(self._channel)
            return False
        self._received += data
        return True

    def _tell(self, message: Dict[str, Any]) -> None:
        if self._channel is not None:
            try:
                self._channel.sendall(json.dumps(message).encode() + b"\n")
            except OSError:
                self._hang_up(self._channel)

    def _hang_up(self, channel: socket.socket) -> None:
        """Be without the agent: the result on disk tells its successor."""
        channel.close()
        self._channel = None
        self._do("resume")  # nobody is left who would say so
        os.write(self._waker, b".")
