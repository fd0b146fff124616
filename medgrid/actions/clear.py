"""Clear: discard the outputs of done jobs that nobody registered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medgrid.actions.grid import Grid
from medgrid.actions.progress import SILENT, Progress
from medgrid.actions.transfer import delete_bytes
from medgrid.model import JobId, JobState

__all__ = ["Cleared", "clear"]


@dataclass(frozen=True, slots=True)
class Cleared:
    """What `clear` did: jobs that are now Cleared, those left alone with their state, bytes."""

    jobs: tuple[JobId, ...]
    others: dict[JobId, JobState]
    freed_bytes: int


def clear(grid: Grid, words: Sequence[str], progress: Progress = SILENT) -> Cleared:
    """Discard the unregistered outputs of done jobs; registered ones stay.

    The catalog forgets them first, then the bytes go; what cannot be reached now is listed by
    ``medgrid fsck``.

    Raises
    ------
    NotFound
        A job does not exist; nothing is discarded.
    """
    catalog = grid.catalog
    jobs = catalog.jobs.jobs(words)
    done = [job for job in jobs if job.state is JobState.DONE]
    others: dict[JobId, JobState] = {
        job.id: job.state for job in jobs if job.state is not JobState.DONE
    }
    with catalog.transaction():
        cleared = catalog.jobs.clear([job.id for job in done])
        gone = catalog.objects.discard(
            output.object_id
            for job in done
            if job.id in cleared
            for output in job.outputs
            if output.lfn is None
        )
    stuck = delete_bytes(grid, gone)
    for replica, error in stuck.items():
        progress.warn(f"{replica.se}: {error.message}; 'medgrid fsck' finds what is left")
    freed_bytes = sum(one.size_bytes for one in gone if one not in stuck)
    return Cleared(tuple(job.id for job in done if job.id in cleared), others, freed_bytes)
