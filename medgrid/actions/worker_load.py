"""How busy workers are, and whether they answer, as far as the catalog knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from medgrid.actions.troubles import Trouble, worker_troubles
from medgrid.algorithms.invocation import slots_of
from medgrid.catalog import Catalog
from medgrid.catalog.job_desk import WorkerLinkState
from medgrid.model import Worker

__all__ = ["WorkerLoad", "WorkerState", "worker_loads"]


class WorkerState(StrEnum):
    """How a worker was when a broker last had to do with it."""

    UP = "up"
    DOWN = "does not answer"
    OUT = "out after failures"
    DISABLED = "disabled"
    NEW = "not reached yet"


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """A worker and the jobs it has, one's own when the catalog is open for somebody.

    `used` slots are those of jobs it was given; what is more than its slots is `queued`.
    `until_s` is until when it rests, or when its jobs go elsewhere. `is_up` is whether brokers
    have to do with it, and reached it last.
    """

    name: str
    site: str
    enabled: bool
    is_up: bool
    slots: int
    used: int
    queued: int
    state: WorkerState
    until_s: float | None
    reason: str

    @property
    def free(self) -> int:
        """Slots that no job counted in `used` has."""
        return self.slots - self.used


def worker_loads(catalog: Catalog) -> Iterator[WorkerLoad]:
    """All workers, by name."""
    asked: dict[str, int] = {}
    for (name, digest), jobs in catalog.jobs.tally.on_workers().items():
        slots = slots_of(catalog.algorithms.get(digest).descriptor)
        asked[name] = asked.get(name, 0) + jobs * slots
    links, troubles = catalog.jobs.desk.links(), worker_troubles(catalog)
    for worker in catalog.places.workers():
        link = links.get(worker.name)
        state, until_s, reason = _state(worker, link, troubles.get(worker.name))
        wanted = asked.get(worker.name, 0)
        used = min(wanted, worker.slots)
        yield WorkerLoad(
            name=worker.name,
            site=worker.site,
            enabled=worker.enabled,
            is_up=bool(
                link and link.agent_id and link.down_since_s is None and (worker.enabled or wanted)
            ),
            slots=worker.slots,
            used=used,
            queued=wanted - used,
            state=state,
            until_s=until_s,
            reason=reason,
        )


def _state(
    worker: Worker, link: WorkerLinkState | None, trouble: Trouble | None
) -> tuple[WorkerState, float | None, str]:
    if link is not None and link.down_since_s is not None:
        return WorkerState.DOWN, link.lost_at_s, link.reason
    if not worker.enabled:
        return WorkerState.DISABLED, None, ""
    if link is None or link.agent_id is None:
        return WorkerState.NEW, None, ""
    if trouble is not None and trouble.is_out:
        return WorkerState.OUT, trouble.until_s, trouble.text
    return WorkerState.UP, None, ""
