"""The agent's event loop: clients on one side, attempts on the other, one thread."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import time
from typing import Any, Callable, Dict, List, Optional, Set

from . import host
from .attempts import Attempts
from .cache import Cache
from .client import Client
from .journal import Journal
from .layout import Layout, is_sha256
from .private import room_bytes
from .sealed_room import PRIVATE

__all__ = ["Server"]

_COMMIT_EVERY_S = 0.004  # at most so often; seldomer on a slow disk, and
_COMMIT_EVERY = 4  # so many times as long as a commit takes
_COMMIT_EVERY_QUEUED = 16  # the same while there is enough to do for all slots
_COMMIT_LONGEST_S = 0.4
_KEEPERS_IDLE_S = 30.0
_IDLE_S = 300.0  # without client and unfinished attempt the agent ends
_RECORDS_PER_REPLY = 1000
_NEEDED_BYTES = 8 << 20
_EVENTS = ("accepted", "started", "suspended", "resumed", "done", "refused")
_HOUSEKEEPING_S = 5.0


class RequestError(Exception):
    """A request cannot be served; `kind` is for programs, the text for people."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Server:
    """Serves clients that come through `listener` until it is idle or hands over."""

    def __init__(
        self,
        layout: Layout,
        listener: socket.socket,
        journal: Journal,
        attempts: Attempts,
        selector: selectors.BaseSelector,
        about: Dict[str, Any],
    ) -> None:
        self._layout = layout
        self._listener = listener
        self._journal = journal
        self._attempts = attempts
        self._cache = Cache(layout, attempts)
        self._selector = selector
        self._about = about
        self._clients: Set[Client] = set()
        self._asking: Optional[Client] = None
        self._followers: List[Dict[str, Any]] = []
        self._commit_at: Optional[float] = None
        self._commit_took_s = 0.0
        self._busy_at = time.monotonic()
        self._housekeeping_at = 0.0
        self._stopping = False
        self._successor: Optional[Client] = None
        self._operations: Dict[str, Callable[[Dict[str, Any]], Dict[str, Any]]] = {
            "hello": self._hello,
            "ping": lambda _: {},
            "missing": self._missing,
            "launch": self._launch,
            "cancel": self._cancel,
            "clean": self._clean,
            "peek": self._peek,
            "probe": self._probe,
        }
        selector.register(listener, selectors.EVENT_READ, lambda _: self._accept())

    def run(self) -> None:
        """Serve until there is nothing left to do."""
        while not self._stopping:
            for key, mask in self._selector.select(self._pause()):
                key.data(mask)
            self._attempts.tick()
            now = time.monotonic()
            if self._journal.is_dirty:
                if self._commit_at is None:
                    self._commit_at = now + self._gathering_s()
                if now >= self._commit_at:
                    self._commit()
            self._answer_followers(now)
            if now >= self._housekeeping_at:
                self._keep_house(now)
        self._try_commit()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._layout.socket)
        self._listener.close()
        if self._successor is not None:
            self._successor.hand_over()

    def stop(self) -> None:
        """Leave the loop; jobs go on, and their keepers wait for the next agent."""
        self._stopping = True

    def stop_on_signals(self) -> None:
        """Let SIGTERM end the agent as a handover does, at once."""
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(reader, selectors.EVENT_READ, lambda _: os.read(reader, 64))
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)  # a signal alone ends no `select`
        signal.signal(signal.SIGTERM, lambda *_: self.stop())

    def _pause(self) -> float:
        now = time.monotonic()
        moments = [self._housekeeping_at, now + self._attempts.tick()]
        if self._commit_at is not None:
            moments.append(self._commit_at)
        moments.extend(follower["until"] for follower in self._followers)
        return max(0.0, min(moments) - now)

    def _gathering_s(self) -> float:
        """How long records are gathered that will be committed together."""
        many = _COMMIT_EVERY_QUEUED if self._attempts.are_queued else _COMMIT_EVERY
        return min(_COMMIT_LONGEST_S, max(_COMMIT_EVERY_S, many * self._commit_took_s))

    def _commit(self) -> None:
        begun = time.monotonic()
        if self._try_commit():
            self._commit_took_s = time.monotonic() - begun
            self._commit_at = None
        else:
            self._commit_at = time.monotonic() + 1.0

    def _try_commit(self) -> bool:
        try:
            self._journal.commit()
        except OSError as exc:
            host.log("the journal cannot be written: %s" % exc)
            return False
        return True

    def _keep_house(self, now: float) -> None:
        self._housekeeping_at = now + _HOUSEKEEPING_S
        if not os.path.exists(self._layout.journal):  # somebody deleted our directory
            self.stop()
            return
        if self._clients or not self._attempts.is_idle:
            self._busy_at = now
        if now - self._busy_at > _KEEPERS_IDLE_S:
            self._attempts.retire_keepers()
        if now - self._busy_at > _IDLE_S:
            self.stop()
        if not self._journal.has_ballast:
            self._journal.restore_ballast()
        self._cache.keep_house()
        if self._attempts.is_idle:
            self._attempts.discard_spares()
        host.empty_trash_aside(self._layout)

    # Clients

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self._clients.add(Client(connection, self._selector, self._about, self._serve, self._left))

    def _left(self, client: Client) -> None:
        self._clients.discard(client)
        self._cache.left(client)
        self._followers = [one for one in self._followers if one["client"] is not client]
        if client.wants_handover:
            self._successor = client
            self.stop()

    def _serve(self, client: Client, request: Dict[str, Any]) -> None:
        number = request.get("id")
        if request.get("op") == "follow":
            self._follow(client, request)
            return
        try:
            operation = self._operations.get(str(request.get("op")))
            if operation is None:
                raise RequestError("bad-request", "unknown operation %r" % request.get("op"))
            self._asking = client
            reply = operation(request)
        except RequestError as exc:
            reply = {"error": {"kind": exc.kind, "message": str(exc)}}
        except (ValueError, KeyError, TypeError) as exc:
            reply = {"error": {"kind": "bad-request", "message": str(exc) or repr(exc)}}
        except OSError as exc:
            kind = "no-space" if exc.errno in (28, 122) else "failed"
            reply = {"error": {"kind": kind, "message": str(exc)}}
        reply["id"] = number
        client.send(reply)

    # Operations, as `medgrid.agent` describes them

    def _hello(self, request: Dict[str, Any]) -> Dict[str, Any]:
        if request.get("slots"):
            self._attempts.allow(int(request["slots"]), request.get("memory_bytes"))
        if "cache_bytes" in request:
            self._cache.limit = int(request["cache_bytes"]) or None
        info = dict(self._about, free_bytes=self._free_bytes(), attempts=self._attempts.known())
        info["journal_offset"] = self._journal.offset
        info["private_memory_bytes"] = room_bytes()
        info["cache_bytes"] = self._cache.size_bytes
        info["cache_limit_bytes"] = self._cache.limit_bytes
        return {"info": info}

    def _missing(self, request: Dict[str, Any]) -> Dict[str, Any]:
        digests = request["digests"]
        if not all(is_sha256(one) for one in digests):
            raise ValueError("not a digest")
        missing, near = self._cache.ask(self._asking, digests, request["sizes"])
        return {"missing": missing, "near": near}

    def _launch(self, request: Dict[str, Any]) -> Dict[str, Any]:
        if self._free_bytes() < _NEEDED_BYTES:
            self._cache.make_room()
        if self._free_bytes() < _NEEDED_BYTES:
            raise RequestError("no-space", "the worker's disk is full")
        self._attempts.accept(request["launches"])
        self._cache.launched(self._asking, request["launches"])
        return {"offset": self._journal.offset}

    def _cancel(self, request: Dict[str, Any]) -> Dict[str, Any]:
        self._attempts.cancel(request["attempts"])
        self._journal.commit()
        return {}

    def _clean(self, request: Dict[str, Any]) -> Dict[str, Any]:
        self._attempts.clean(request["attempts"])
        return {}

    def _peek(self, request: Dict[str, Any]) -> Dict[str, Any]:
        attempt, stream = str(request["attempt"]), request["stream"]
        if stream not in ("stdout", "stderr"):
            raise ValueError("no stream %r" % stream)
        ended = self._attempts.has_ended(attempt)
        data = b""
        if self._attempts.is_known(attempt):
            for parts in ((stream,), (PRIVATE, stream)):
                path = self._layout.attempt(attempt, *parts)
                with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                    file.seek(request["offset"])
                    data = file.read(min(int(request["limit"]), 1 << 20))
        return {"data": data.decode("latin-1"), "ended": ended}

    def _probe(self, request: Dict[str, Any]) -> Dict[str, Any]:
        path = self._about["path"]
        return {"found": {name: shutil.which(name, path=path) for name in request["programs"]}}

    def _follow(self, client: Client, request: Dict[str, Any]) -> None:
        until = time.monotonic() + float(request.get("timeout_s", 0))
        follower = {"client": client, "id": request.get("id"), "offset": request["offset"]}
        follower["until"] = until
        self._followers.append(follower)

    def _answer_followers(self, now: float) -> None:
        waiting = []
        for follower in self._followers:
            reply: Optional[Dict[str, Any]] = None
            if follower["offset"] != self._journal.offset:
                reply = self._records_after(follower)
            if reply is None and now >= follower["until"]:
                reply = {"records": []}
            if reply is None:
                waiting.append(follower)
            else:
                reply["id"] = follower["id"]
                follower["client"].send(reply)
        self._followers = waiting

    def _records_after(self, follower: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        found = []
        try:
            for offset, record in self._journal.records(follower["offset"], brief=True):
                follower["offset"] = offset
                if record["event"] in _EVENTS:
                    record["offset"] = offset
                    found.append(record)
                    if len(found) == _RECORDS_PER_REPLY:
                        break
        except (ValueError, TypeError) as exc:
            return {"error": {"kind": "bad-offset", "message": str(exc)}}
        return {"records": found} if found else None

    def _free_bytes(self) -> int:
        found = os.statvfs(self._layout.root)
        return found.f_bavail * found.f_frsize
