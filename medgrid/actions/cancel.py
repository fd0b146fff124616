"""Cancel: stop jobs."""

from __future__ import annotations

from collections.abc import Sequence

from medgrid.actions.broker import ensure_broker
from medgrid.actions.grid import Grid
from medgrid.catalog.job_states import ACTIVE
from medgrid.model import JobId, JobState

__all__ = ["cancel"]


def cancel(grid: Grid, words: Sequence[str]) -> dict[JobId, tuple[JobState, JobState]]:
    """Cancel the jobs named; see `medgrid.catalog.jobs.JobStore.cancel`.

    Raises
    ------
    NotFound
        One does not exist; none is cancelled.
    """
    states = grid.catalog.jobs.cancel(words)
    if any(after in ACTIVE for _, after in states.values()):
        ensure_broker(grid)
    return states
