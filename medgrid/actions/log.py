"""Log: what happened to one job, in order."""

from __future__ import annotations

import time
from collections.abc import Iterator

from medgrid.actions.grid import Grid
from medgrid.catalog.jobs import JobEvent
from medgrid.model import JobId

__all__ = ["job_log"]

_PAUSE_S = 0.5


def job_log(grid: Grid, job_id: JobId, *, follow: bool = False) -> Iterator[JobEvent]:
    """Give all transitions of a job, oldest first; with `follow`, those to come until its end.

    Raises
    ------
    NotFound
        There is no such job.
    """
    jobs = grid.catalog.jobs
    shown = 0
    while True:
        job = jobs.job(job_id)  # before its history: what ends meanwhile is still shown
        events = jobs.history(job_id)
        yield from events[shown:]
        shown = len(events)
        if not follow or job.state.is_final:
            return
        time.sleep(_PAUSE_S)
