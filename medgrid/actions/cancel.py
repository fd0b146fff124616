"""Cancel: stop jobs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from medgrid.actions.broker import ensure_broker
from medgrid.actions.grid import Grid
from medgrid.catalog.job_states import ACTIVE
from medgrid.errors import MedgridError
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
    _take_back(grid, [job for job, (_, after) in states.items() if after not in ACTIVE])
    if any(after in ACTIVE for _, after in states.values()):
        ensure_broker(grid)
    return states


def _take_back(grid: Grid, ended: Sequence[JobId]) -> None:
    """End what was lent for these jobs: no broker may come to do it."""
    with suppress(MedgridError):  # the jobs are cancelled; the next broker does the rest
        for submission, numbers in grid.vault.lent().items() if ended else ():
            gone = {job.number for job in ended if job.submission == submission}
            if gone.intersection(numbers):
                grid.vault.drop_lent(submission, sorted(gone.intersection(numbers)))
