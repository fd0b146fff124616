"""The link to one worker's agent, whatever the stream to it runs over.

Passes ``tests/workers/test_contract.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from medgrid.config import parse_size
from medgrid.model import Sha256, Worker
from medgrid.workers.base import (
    AttemptId,
    JournalRecord,
    Launch,
    OutputFile,
    StageItem,
    WorkerInfo,
)
from medgrid.workers.bootstrap import Process
from medgrid.workers.bulk import BulkChannels
from medgrid.workers.conversation import Asked, Conversation
from medgrid.workers.wire import info_from_wire, launch_to_wire, record_from_wire

__all__ = ["AgentLink", "Listening", "cache_limit"]

_LAUNCHES_PER_REQUEST = 500
_NAMES_PER_REQUEST = 10_000


class Listening:
    """A `medgrid.workers.base.Listening` for an agent's reply."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    @property
    def is_over(self) -> bool:
        """Whether `records` would not wait."""
        return self._asked.is_over

    def records(self) -> list[JournalRecord]:
        """Wait for the records."""
        return [record_from_wire(record) for record in self._asked.result()["records"]]


class AgentLink:
    """A `medgrid.workers.base.WorkerLink`.

    Parameters
    ----------
    open_stream : callable
        Starts a verb of the agent (``connect`` or ``bulk``) on the worker.
    close_streams : callable
        Gives the connection back.
    where : str
        The worker, for messages.
    worker : Worker
        How many slots the agent may fill, how much memory its jobs have, and how large its cache
        may grow.
    timeout_s : float
        How long the agent may take to answer.
    """

    info: WorkerInfo

    def __init__(
        self,
        open_stream: Callable[[str], Process],
        close_streams: Callable[[], None],
        where: str,
        worker: Worker,
        timeout_s: float,
    ) -> None:
        self._close_streams = close_streams
        self._bulk = BulkChannels(lambda: open_stream("bulk"), where)
        self._conversation = Conversation(open_stream("connect"), where, timeout_s)
        hello = self._conversation.ask(
            "hello",
            slots=worker.slots,
            memory_bytes=worker.memory_bytes,
            cache_bytes=cache_limit(worker),
        )
        self.info = info_from_wire(hello["info"])

    def missing(self, digests: Iterable[Sha256]) -> set[Sha256]:
        """Which of `digests` the agent's cache does not hold."""
        return set(self._missing(dict.fromkeys(digests, 0)))

    def stage(self, items: Iterable[StageItem]) -> None:
        """Put bytes into the cache; present ones are skipped."""
        by_digest = {item.sha256: item for item in items}
        missing = self._missing({item.sha256: item.size_bytes for item in by_digest.values()})
        wanted = [
            replace(by_digest[sha256], path=near, source=None) if near else by_digest[sha256]
            for sha256, near in missing.items()
        ]
        if wanted:
            self._bulk.put(wanted)

    def _missing(self, sizes: Mapping[Sha256, int]) -> dict[Sha256, str | None]:
        """Which the cache does not hold, each with where else on the host it lies, if it does."""
        wanted = list(sizes)
        found: dict[Sha256, str | None] = {}
        for start in range(0, len(wanted), _NAMES_PER_REQUEST):
            part = wanted[start : start + _NAMES_PER_REQUEST]
            reply = self._conversation.ask(
                "missing", digests=part, sizes=[sizes[one] for one in part]
            )
            found.update((one, reply["near"].get(one)) for one in reply["missing"])
        return found

    def launch(self, launches: Sequence[Launch]) -> None:
        """Give attempts to the agent; returns when it has them durably."""
        for start in range(0, len(launches), _LAUNCHES_PER_REQUEST):
            part = launches[start : start + _LAUNCHES_PER_REQUEST]
            self._conversation.ask("launch", launches=[launch_to_wire(one) for one in part])

    def follow(self, offset: int, timeout_s: float) -> list[JournalRecord]:
        """Journal records after `offset`; waits up to `timeout_s` for the first."""
        return self.listen(offset, timeout_s, lambda: None).records()

    def listen(self, offset: int, timeout_s: float, heard: Callable[[], None]) -> Listening:
        """As `follow`, without waiting: `heard` is called when there is something to fetch."""
        return Listening(
            self._conversation.send(
                "follow", wait_s=timeout_s, heard=heard, offset=offset, timeout_s=timeout_s
            )
        )

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Kill the whole process group of each."""
        for start in range(0, len(attempts), _NAMES_PER_REQUEST):
            part = list(attempts[start : start + _NAMES_PER_REQUEST])
            self._conversation.ask("cancel", attempts=part)

    def peek(self, attempt: AttemptId, stream: str, offset: int, limit: int) -> tuple[bytes, bool]:
        """Bytes of ``stdout`` or ``stderr`` from `offset`, and whether the job has ended."""
        reply = self._conversation.ask(
            "peek", attempt=attempt, stream=stream, offset=offset, limit=limit
        )
        return reply["data"].encode("latin-1"), reply["ended"]

    def collect(
        self, wanted: Iterable[tuple[AttemptId, OutputFile]], offset: int = 0
    ) -> Iterable[tuple[AttemptId, OutputFile, Iterable[bytes]]]:
        """Stream output bytes back, in order; each is checked against its digest."""
        return self._bulk.get(wanted, offset)

    def clean(self, attempts: Sequence[AttemptId]) -> None:
        """Forget ended attempts: their directories go, their ids stay known."""
        for start in range(0, len(attempts), _NAMES_PER_REQUEST):
            part = list(attempts[start : start + _NAMES_PER_REQUEST])
            self._conversation.ask("clean", attempts=part)

    def probe(self, programs: Sequence[str]) -> dict[str, str | None]:
        """Where each program is on the worker's PATH, None when missing."""
        found: dict[str, str | None] = self._conversation.ask("probe", programs=list(programs))[
            "found"
        ]
        return found

    def close(self) -> None:
        """End the conversation; the agent and its jobs go on."""
        self._conversation.close()
        self._bulk.close()
        self._close_streams()


def cache_limit(worker: Worker) -> int:
    """How large a worker's cache may grow, by its option ``cache``; 0 when it has none."""
    return parse_size(str(worker.options.get("cache") or "0"))
