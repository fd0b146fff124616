"""Bytes in many files over one stream: into the cache, and out of attempts' directories."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from typing import Any, BinaryIO, Dict, List, Optional

from .layout import ATTEMPT_ID, Layout, is_sha256
from .outputs import OutputProblem, open_inside
from .sealed_room import SEALED

__all__ = ["bulk"]

_CHUNK_BYTES = 1 << 20
_ATTEMPT = re.compile(ATTEMPT_ID)


def bulk(root: str) -> int:
    """Serve requests on standard input until it ends; an exit code."""
    layout = Layout(root)
    layout.make()
    with open(0, "rb", buffering=_CHUNK_BYTES) as requests, open(1, "wb", buffering=0) as replies:
        _send(replies, {"medgrid": "bulk"})
        problems: List[Dict[str, str]] = []
        for line in iter(requests.readline, b""):
            request = json.loads(line)
            if request["op"] == "put":
                problems.extend(_put(layout, request, requests))
            elif request["op"] == "take":
                problems.extend(_take(layout, request))
            elif request["op"] == "flush":
                _send(replies, {"problems": problems})
                problems = []
            else:
                _get(layout, request, replies)
    return 0


def _put(layout: Layout, request: Dict[str, Any], source: BinaryIO) -> List[Dict[str, str]]:
    """Read the announced bytes, whatever becomes of them."""
    keeper = _Keep(layout, request)
    left = request["size_bytes"]
    while left:
        chunk = source.read(min(left, _CHUNK_BYTES))
        if not chunk:
            keeper.abandon()
            return []  # the other side is gone
        left -= len(chunk)
        keeper.write(chunk)
    return keeper.finish()


def _take(layout: Layout, request: Dict[str, Any]) -> List[Dict[str, str]]:
    keeper = _Keep(layout, request)
    try:
        with open(request["path"], "rb", buffering=0) as source:
            while True:
                chunk = source.read(_CHUNK_BYTES)
                if not chunk:
                    return keeper.finish()
                keeper.write(chunk)
    except OSError as exc:
        keeper.abandon()
        return [_problem("unreadable", request["sha256"], exc.strerror or str(exc))]


class _Keep:
    """Writes one file of the cache under a temporary name; keeps it if it is what it should be."""

    def __init__(self, layout: Layout, request: Dict[str, Any]) -> None:
        self._sha256 = request["sha256"]
        if not is_sha256(self._sha256):
            raise ValueError("not a digest")
        self._target = layout.cached(self._sha256)
        self._temporary = "%s.%d" % (self._target, os.getpid())
        self._digest = hashlib.sha256()
        self._error: Optional[OSError] = None
        self._file = -1
        if os.path.exists(self._target):
            return
        try:
            os.makedirs(os.path.dirname(self._target), mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._file = os.open(self._temporary, flags, 0o400)
        except OSError as exc:
            self._error = exc

    def write(self, chunk: bytes) -> None:
        """Add bytes; an error is told by `finish`."""
        if self._file < 0 or self._error is not None:
            return
        self._digest.update(chunk)
        view = memoryview(chunk)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as exc:
            self._error = exc

    def finish(self) -> List[Dict[str, str]]:
        """Name the file by its digest, or delete it and say why."""
        if self._error is not None:
            error = self._error
            self.abandon()
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            kind = "no-space" if full else "unwritable"
            return [_problem(kind, self._sha256, error.strerror or str(error))]
        if self._file < 0:
            return []
        if self._digest.hexdigest() != self._sha256:
            self.abandon()
            return [_problem("integrity", self._sha256, self._digest.hexdigest())]
        os.close(self._file)
        os.rename(self._temporary, self._target)
        return []

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            os.unlink(self._temporary)


def _get(layout: Layout, request: Dict[str, Any], replies: BinaryIO) -> None:
    attempt, path = str(request["attempt"]), str(request["path"])
    if not _ATTEMPT.fullmatch(attempt):
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
        _send(replies, {"size_bytes": size})
        sent = 0
        while sent < size:
            done = os.sendfile(replies.fileno(), descriptor, sent, size - sent)
            if not done:
                raise OSError("an output shrank while it was read")
            sent += done
    finally:
        os.close(descriptor)


def _problem(kind: str, sha256: str, message: str) -> Dict[str, str]:
    return {"kind": kind, "sha256": sha256, "message": message}


def _send(replies: BinaryIO, message: Dict[str, Any]) -> None:
    view = memoryview(json.dumps(message, separators=(",", ":")).encode() + b"\n")
    while view:
        view = view[replies.write(view) :]
