"""Bytes in many files over one stream: into the cache, and out of attempts' directories."""

from __future__ import annotations

import json
import os
import time
from typing import Any, BinaryIO, Dict, List

from .fetching import fetch
from .layout import Layout, is_attempt, is_sha256
from .outputs import OutputProblem, open_inside
from .receiving import CHUNK_BYTES, Incoming, Part, problem
from .sealed_room import SEALED

__all__ = ["bulk"]

_ALIVE_EVERY_S = 2.0


def bulk(root: str) -> int:
    """Serve requests on standard input until it ends; an exit code."""
    layout = Layout(root)
    layout.make()
    with open(0, "rb", buffering=CHUNK_BYTES) as requests, open(1, "wb", buffering=0) as replies:
        _send(replies, {"medgrid": "bulk"})
        problems: List[Dict[str, Any]] = []
        for line in iter(requests.readline, b""):
            request = json.loads(line)
            if request["op"] == "put":
                problems.extend(_put(layout, request, requests))
            elif request["op"] == "resume":
                problems.extend(_resume(layout, request, requests, replies))
            elif request["op"] == "fetch":
                _send(replies, fetch(layout, request, _Alive(replies).tell))
            elif request["op"] == "take":
                problems.extend(_take(layout, request))
            elif request["op"] == "flush":
                _send(replies, {"problems": problems})
                problems = []
            else:
                _get(layout, request, replies)
    return 0


def _put(layout: Layout, request: Dict[str, Any], source: BinaryIO) -> List[Dict[str, Any]]:
    incoming = Incoming(layout, _digest(request))
    return _receive(incoming, request["size_bytes"], source)


def _resume(
    layout: Layout, request: Dict[str, Any], source: BinaryIO, replies: BinaryIO
) -> List[Dict[str, Any]]:
    """Say from where on bytes are wanted, and read those."""
    alive = _Alive(replies)
    part = Part(layout, _digest(request), request["size_bytes"], alive.tell)
    _send(replies, {"offset": part.offset})
    found = _receive(part, request["size_bytes"] - part.offset, source)
    return [dict(one, offset=part.offset) for one in found]


def _receive(incoming: Incoming, left: int, source: BinaryIO) -> List[Dict[str, Any]]:
    """Read the announced bytes, whatever becomes of them."""
    while left:
        chunk = source.read(min(left, CHUNK_BYTES))
        if not chunk:
            incoming.abandon()
            return []  # the other side is gone
        left -= len(chunk)
        incoming.write(chunk)
    return incoming.finish()


def _take(layout: Layout, request: Dict[str, Any]) -> List[Dict[str, Any]]:
    incoming = Incoming(layout, _digest(request))
    try:
        with open(request["path"], "rb", buffering=0) as source:
            while True:
                chunk = source.read(CHUNK_BYTES)
                if not chunk:
                    return incoming.finish()
                incoming.write(chunk)
    except OSError as exc:
        incoming.abandon()
        return [problem("unreadable", request["sha256"], exc.strerror or str(exc))]


def _digest(request: Dict[str, Any]) -> str:
    sha256 = request["sha256"]
    if not is_sha256(sha256):
        raise ValueError("not a digest")
    return str(sha256)


def _get(layout: Layout, request: Dict[str, Any], replies: BinaryIO) -> None:
    attempt, path = str(request["attempt"]), str(request["path"])
    if not is_attempt(attempt):
        _send(replies, {"error": "%r is not an attempt" % attempt})
        return
    try:
        work = layout.attempt(attempt, "work")
        top = work if os.path.isdir(work) else layout.attempt(attempt, SEALED)
        descriptor = open_inside(os.path.realpath(top), path)
    except OutputProblem as exc:
        _send(replies, {"error": str(exc)})
        return
    try:
        size = os.fstat(descriptor).st_size
        sent = min(size, int(request.get("offset", 0)))
        _send(replies, {"size_bytes": size - sent})
        while sent < size:
            done = os.sendfile(replies.fileno(), descriptor, sent, size - sent)
            if not done:
                raise OSError("an output shrank while it was read")
            sent += done
    finally:
        os.close(descriptor)


class _Alive:
    """Tells the other side, now and then, that an answer takes its time."""

    def __init__(self, replies: BinaryIO) -> None:
        self._replies = replies
        self._next = time.monotonic() + _ALIVE_EVERY_S

    def tell(self) -> None:
        """Tell it, when it is time."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _ALIVE_EVERY_S
            _send(self._replies, {"wait": True})


def _send(replies: BinaryIO, message: Dict[str, Any]) -> None:
    view = memoryview(json.dumps(message, separators=(",", ":")).encode() + b"\n")
    while view:
        view = view[replies.write(view) :]
