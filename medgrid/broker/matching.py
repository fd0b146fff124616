"""Which worker is best for a job: what it needs, who is out and why, least bytes, least load."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medgrid.algorithms.invocation import environment_of, limits_of, slots_of
from medgrid.algorithms.options import options
from medgrid.model import GridObject, ObjectId, Replica, SiteClass, Worker

__all__ = ["Candidate", "Match", "Need", "bytes_to_move", "need_of", "objection", "rank"]

_QUEUE_HORIZON_S = 1.0
_QUEUE_MAX_SLOTS = 1024


@dataclass(frozen=True, slots=True)
class Need:
    """What an algorithm asks of a worker."""

    tags: frozenset[str]
    memory_bytes: int | None
    slots: int
    container: bool


def need_of(descriptor: Mapping[str, Any]) -> Need:
    """What the jobs of an algorithm ask of a worker."""
    return Need(
        tags=frozenset(options(descriptor).get("tags", ())),
        memory_bytes=limits_of(descriptor).memory_bytes,
        slots=slots_of(descriptor),
        container=environment_of(descriptor).kind == "container",
    )


@dataclass(slots=True)
class Candidate:
    """A worker as matching sees it.

    `runtimes`, `ciphers` and `memory_bytes` are what its agent said, None before it was ever
    reached. `trouble` says why nothing goes there for the time being; `unfit` says for which
    algorithms (by digest) it lacks something. One that is `on_trial` gets one job at a time.
    """

    worker: Worker
    site_class: SiteClass
    used_slots: int = 0
    urgent_slots: int = 0  # those of emergency jobs
    runtimes: tuple[str, ...] | None = None
    ciphers: tuple[str, ...] | None = None
    memory_bytes: int | None = None
    trouble: str | None = None
    on_trial: bool = False
    has_trial: bool = False
    unfit: dict[str, str] = field(default_factory=dict)
    duration_s: float | None = None  # how long what it has takes, when that is known
    staged: set[str] = field(default_factory=set)  # digests known to be in its cache

    @property
    def limit_slots(self) -> int:
        """Slots to keep busy: its own, and a small queue so that dispatch is never waited for."""
        slots = self.worker.slots
        if self.duration_s is None:
            return slots + 1
        ahead = slots * _QUEUE_HORIZON_S / max(self.duration_s, 1e-3)
        return slots + max(1, min(_QUEUE_MAX_SLOTS, math.ceil(ahead)))

    def has_room(self, slots: int) -> bool:
        """Whether a job of so many slots can be given to it now."""
        if self.on_trial:
            return not self.has_trial
        return self.used_slots == 0 or self.used_slots + slots <= self.limit_slots

    def has_room_for_emergency(self, slots: int) -> bool:
        """Whether an emergency job of so many slots would start at once, free slots or not."""
        return not self.on_trial and self.urgent_slots + slots <= self.worker.slots

    @property
    def load(self) -> float:
        """Used slots per slot."""
        return self.used_slots / self.worker.slots


@dataclass(frozen=True, slots=True)
class Match:
    """A worker's place in the ranking for one job. `objection` is None for those that could."""

    worker: str
    site: str
    bytes_to_move: int
    load: float
    objection: str | None


def objection(need: Need, digest: str, candidate: Candidate) -> str | None:
    """Say why a worker can never run what an algorithm needs, None when it can."""
    worker = candidate.worker
    if not worker.enabled:
        return "it is disabled"
    if candidate.site_class is SiteClass.STORE:
        return f"its site {worker.site} is of class store: it may not see plaintext"
    missing = need.tags - worker.tags
    if missing:
        return f"it lacks the tag {', '.join(sorted(missing))}"
    if need.slots > worker.slots:
        return f"the job needs {need.slots} slots, it has {worker.slots}"
    memory_bytes = worker.memory_bytes or candidate.memory_bytes
    if need.memory_bytes and memory_bytes and need.memory_bytes > memory_bytes:
        return (
            f"the job needs {_mebibytes(need.memory_bytes)} of memory, "
            f"it has {_mebibytes(memory_bytes)}"
        )
    if need.container and candidate.runtimes is not None and not candidate.runtimes:
        return "it has neither apptainer nor podman"
    if candidate.ciphers is not None and not candidate.ciphers:
        return "its Python has no libcrypto, which opens encrypted data"
    return candidate.unfit.get(digest)


def bytes_to_move(
    objects: Iterable[GridObject],
    replicas: Mapping[ObjectId, Sequence[Replica]],
    se_sites: Mapping[str, str],
    candidate: Candidate,
) -> int:
    """Bytes that must travel from another site for a job to run on a worker."""
    total = 0
    for item in objects:
        if item.sha256 in candidate.staged:
            continue
        sites = {se_sites.get(one.se) for one in replicas.get(item.id, ())}
        if candidate.worker.site not in sites:
            total += item.stored_bytes
    return total


def rank(
    need: Need,
    digest: str,
    objects: Sequence[GridObject],
    replicas: Mapping[ObjectId, Sequence[Replica]],
    se_sites: Mapping[str, str],
    candidates: Iterable[Candidate],
) -> list[Match]:
    """Rank workers for one job, best first; those that are out come last."""
    found = [
        Match(
            one.worker.name,
            one.worker.site,
            bytes_to_move(objects, replicas, se_sites, one),
            one.load,
            objection(need, digest, one) or one.trouble,
        )
        for one in candidates
    ]
    return sorted(found, key=lambda m: (m.objection is not None, m.bytes_to_move, m.load, m.worker))


def _mebibytes(amount: int) -> str:
    return f"{amount / 2**20:.0f} MiB"
