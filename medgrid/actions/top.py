"""Top: one look at the user's jobs, the workers and the broker."""

from __future__ import annotations

import time
from dataclasses import dataclass

from medgrid.actions.broker import broker_status
from medgrid.actions.grid import Grid
from medgrid.actions.worker_load import WorkerLoad, worker_loads
from medgrid.catalog.job_tally import Failure, Totals

__all__ = ["Snapshot", "snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What can be seen at one moment; `broker` is empty when none works on the grid.

    Of others' jobs nothing is in it: not in the totals, not in the slots that are used.
    """

    time_s: float
    broker: str
    totals: Totals
    workers: tuple[WorkerLoad, ...]
    failures: tuple[Failure, ...]


def snapshot(grid: Grid, failures: int) -> Snapshot:
    """Look at the user's recent jobs, with the newest `failures` of them, and at all workers."""
    jobs = grid.catalog.jobs
    broker = broker_status(grid)
    words = jobs.recent(grid.settings.user)
    return Snapshot(
        time.time(),
        broker.holder or "",
        jobs.tally.totals(words),
        tuple(worker_loads(grid.catalog)),
        tuple(jobs.tally.failures(words, failures)),
    )
