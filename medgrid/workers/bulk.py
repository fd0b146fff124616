"""Bytes to and from a worker: many files in one stream, on channels of their own."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, BinaryIO

from medgrid.errors import IntegrityError, NotFound, Unreachable
from medgrid.workers.base import AttemptId, OutputFile, SftpSource, StageItem
from medgrid.workers.bootstrap import Process
from medgrid.workers.errors import AgentError, NoSpace

__all__ = ["BulkChannels"]

_LOG = logging.getLogger("medgrid.broker.bulk")
_CHUNK_BYTES = 1024 * 1024
_FLUSH_BYTES = 256 * 1024 * 1024
_RESUMED_BYTES = 8 * 1024 * 1024  # what of larger files has come once is not sent again
_AHEAD = 64
_MAX_STREAMS = 3


class BulkChannels:
    """A few streams of the agent's ``bulk`` verb, opened when needed and used again.

    Parameters
    ----------
    open_stream : callable
        Starts the verb.
    """

    def __init__(self, open_stream: Callable[[], Process], where: str) -> None:
        self._open_stream = open_stream
        self._where = where
        self._idle: list[Process] = []
        self._lock = threading.Lock()
        self._room = threading.Semaphore(_MAX_STREAMS)
        self._out_of_reach: set[SftpSource] = set()

    def put(self, items: Iterable[StageItem]) -> None:
        """Put items into the cache.

        Raises
        ------
        IntegrityError
            Bytes are not those the digest names.
        NoSpace
            The worker's disk is full.
        NotFound
            The worker cannot read an item's path, and there is no other source.
        """
        with self._stream() as stream:
            unflushed = 0
            again: dict[str, StageItem] = {}
            for item in self._fetch(stream, items):
                again[item.sha256] = item
                if item.path is not None:
                    self._announce(stream, "take", item, path=item.path)
                else:
                    self._send(stream, item)
                unflushed += item.size_bytes
                if unflushed >= _FLUSH_BYTES:
                    self._flush(stream, again)
                    unflushed = 0
            self._flush(stream, again)

    def _fetch(self, stream: Process, items: Iterable[StageItem]) -> Iterator[StageItem]:
        """Let the worker fetch what it can from elsewhere; those that must go another way."""
        far: dict[SftpSource, list[StageItem]] = defaultdict(list)
        for item in items:
            if item.source is None:
                yield item
            elif item.source in self._out_of_reach:
                yield replace(item, path=None)
            else:
                far[item.source].append(item)
        for source, some in far.items():
            files = [
                {"sha256": one.sha256, "size_bytes": one.size_bytes, "path": one.path}
                for one in some
            ]
            self._write(stream, {"op": "fetch", "source": asdict(source), "files": files})
            reply = self._receive(stream)
            missing = {one["sha256"]: one["message"] for one in reply["problems"]}
            if reply["is_out_of_reach"]:
                self._out_of_reach.add(source)
            got = [one for one in some if one.sha256 not in missing]
            if got:
                size_bytes = sum(one.size_bytes for one in got)
                _LOG.info(
                    "%s fetched %d bytes from %s itself", self._where, size_bytes, source.host
                )
            if missing:
                _LOG.warning(
                    "%s could not fetch %d of %d files from %s itself, they are sent from here: %s",
                    self._where,
                    len(missing),
                    len(some),
                    source.host,
                    next(iter(missing.values())),
                )
            yield from (replace(one, path=None) for one in some if one.sha256 in missing)

    def get(
        self, wanted: Iterable[tuple[AttemptId, OutputFile]], offset: int = 0
    ) -> Iterator[tuple[AttemptId, OutputFile, Iterable[bytes]]]:
        """Stream outputs back, the first from `offset`; those that are whole are checked."""
        with self._stream() as stream:
            todo = iter(wanted)
            asked: deque[tuple[AttemptId, OutputFile]] = deque()
            later = offset
            while True:
                while len(asked) < _AHEAD and (one := next(todo, None)) is not None:
                    asked.append(one)
                    request = {"op": "get", "attempt": one[0], "path": one[1].path}
                    self._write(stream, {**request, "offset": later} if later else request)
                    later = 0
                if not asked:
                    return
                attempt, output = asked.popleft()
                chunks = self._chunks(stream, attempt, output, is_whole=not offset)
                offset = 0
                yield attempt, output, chunks
                for _ in chunks:  # what the caller left unread
                    pass

    def close(self) -> None:
        """Close the idle streams."""
        with self._lock:
            for stream in self._idle:
                stream.close()
            self._idle.clear()

    @contextmanager
    def _stream(self) -> Iterator[Process]:
        """A stream for one use; after an error it is not used again."""
        with self._room:
            with self._lock:
                stream = self._idle.pop() if self._idle else None
            if stream is None:
                stream = self._open_stream()
                self._receive(stream)
            try:
                yield stream
            except BaseException as exc:
                stream.close()
                if isinstance(exc, OSError) and not isinstance(exc, FileNotFoundError):
                    raise Unreachable(f"{self._where}: the connection was lost") from exc
                raise
            with self._lock:
                self._idle.append(stream)

    def _send(self, stream: Process, item: StageItem) -> None:
        if item.open is None:
            raise NotFound(f"{self._where}: bytes to stage have no source here")
        with item.open() as source:
            left = item.size_bytes
            if left < _RESUMED_BYTES:
                self._announce(stream, "put", item)
            else:
                self._announce(stream, "resume", item)
                offset = self._receive(stream)["offset"]
                if offset == left:
                    return
                skip(source, offset)
                left -= offset
            while left:
                chunk = source.read(min(left, _CHUNK_BYTES))
                if not chunk:
                    raise IntegrityError(
                        f"bytes to stage: expected {item.size_bytes}, found {left} fewer"
                    )
                stream.stdin.write(chunk)
                left -= len(chunk)
            if source.read(1):
                raise IntegrityError(f"bytes to stage: expected {item.size_bytes}, found more")

    def _flush(self, stream: Process, again: dict[str, StageItem]) -> None:
        """Ask what went wrong; send what the worker read itself, or had a part of, in vain."""
        self._write(stream, {"op": "flush"})
        for problem in self._receive(stream)["problems"]:
            kind, said = problem["kind"], problem["message"]
            item = again.get(problem["sha256"])
            in_vain = item is not None and (item.path is not None or problem.get("offset"))
            if kind in ("unreadable", "integrity") and in_vain and item and item.open is not None:
                self._send(stream, item)
                self._flush(stream, {})
            elif kind == "no-space":
                raise NoSpace(f"{self._where}: the disk is full", hint="free some space there")
            elif kind == "integrity":
                raise IntegrityError(
                    f"{self._where}: staged bytes have the digest {said}, "
                    f"expected {problem['sha256']}"
                )
            elif kind == "unreadable":
                raise NotFound(f"{self._where}: bytes to stage cannot be read there: {said}")
            else:
                raise AgentError(f"{self._where}: bytes cannot be kept: {said}")
        again.clear()

    def _chunks(
        self, stream: Process, attempt: AttemptId, output: OutputFile, *, is_whole: bool
    ) -> Iterator[bytes]:
        reply = self._receive(stream)
        label = f"{self._where}: output {output.role} of {attempt}"
        if "error" in reply:
            raise IntegrityError(f"{label}: {reply['error']}")
        digest = hashlib.sha256()
        left = reply["size_bytes"]
        while left:
            chunk = stream.stdout.read1(min(left, _CHUNK_BYTES))  # as it comes
            if not chunk:
                raise Unreachable(f"{self._where}: the connection was lost")
            left -= len(chunk)
            digest.update(chunk)
            yield chunk
        if is_whole and digest.hexdigest() != output.sha256:
            raise IntegrityError(
                f"{label}: expected the digest {output.sha256}, found {digest.hexdigest()}"
            )

    def _announce(self, stream: Process, op: str, item: StageItem, **more: str) -> None:
        self._write(
            stream, {"op": op, "sha256": item.sha256, "size_bytes": item.size_bytes, **more}
        )

    def _write(self, stream: Process, message: dict[str, Any]) -> None:
        stream.stdin.write(json.dumps(message).encode() + b"\n")
        stream.stdin.flush()

    def _receive(self, stream: Process) -> dict[str, Any]:
        """The next answer, however long the worker says that it takes."""
        while line := stream.stdout.readline():
            message: dict[str, Any] = json.loads(line)
            if "wait" not in message:
                return message
        said = stream.stderr.decode("utf-8", "replace").strip().splitlines()
        if said:
            raise AgentError(f"{self._where}: moving bytes failed: {said[-1]}")
        raise Unreachable(f"{self._where}: the connection was lost")


def skip(source: BinaryIO, offset: int) -> None:
    """Go on at `offset` of a stream that stands at its start.

    Raises
    ------
    IntegrityError
        It is shorter.
    """
    if source.seekable():
        source.seek(offset)
        return
    left = offset
    while left:
        chunk = source.read(min(left, _CHUNK_BYTES))
        if not chunk:
            raise IntegrityError(f"bytes to stage: expected {offset} at least, found {left} fewer")
        left -= len(chunk)
