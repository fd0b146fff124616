"""Cancel: stop jobs."""

from __future__ import annotations

from collections.abc import Sequence

from medgrid.actions.broker import ensure_broker
from medgrid.actions.grid import Grid
from medgrid.catalog.job_states import ACTIVE
from medgrid.model import JobId, JobState

__all__ = ["cancel"]


def cancel(grid: Grid, words: Sequence[str]) -> dict[JobId, JobState]:
    """Cancel the jobs named; see `medgrid.catalog.jobs.JobStore.cancel`.

    Raises
    ------
    NotFound
        One does not exist; none is cancelled.
    """
    states = grid.catalog.jobs.cancel(words)
    if any(state in ACTIVE for state in states.values()):
        ensure_broker(grid)
    return states
