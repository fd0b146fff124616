"""Resubmit: let jobs that ended badly wait again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from medgrid.actions.grid import Grid
from medgrid.catalog.jobs import JobLine
from medgrid.errors import Denied, IntegrityError
from medgrid.model import Cause, GridObject, Job, JobId, JobState, ObjectId

__all__ = ["Resubmitted", "resubmit"]


@dataclass(frozen=True, slots=True)
class Resubmitted:
    """Jobs that wait again, and why the others that were named were left."""

    jobs: tuple[JobId, ...]
    left: dict[JobId, str]


def resubmit(
    grid: Grid, words: Sequence[str], *, failed: bool = False, causes: Collection[Cause] = ()
) -> Resubmitted:
    """Let the jobs named wait again, each under its own id; all that cannot are left.

    Keys of protected inputs are lent anew: what the user may not read any more stays where it is.
    It is left to the caller to see to a broker (`ensure_broker`), after the result is told.

    Parameters
    ----------
    failed : bool
        Pass over jobs that did not fail: those done well, open, cancelled.
    causes : collection of Cause
        Only jobs that ended so.

    Raises
    ------
    NotFound
        A word names a job that does not exist; none is resubmitted.
    Denied
        No broker is certified to get keys.
    """
    lines = list(grid.catalog.jobs.lines(words)) if words else []
    if causes:
        lines = [line for line in lines if _cause(line) in causes and not line.succeeded]
    elif failed:
        lines = [line for line in lines if _has_failed(line)]
    left = {line.id: f"left {line.state}" for line in lines}
    wanted = [line.id for line in lines if line.state.is_final and not line.succeeded]
    jobs = grid.catalog.jobs.jobs([str(one) for one in wanted]) if wanted else []
    objects = grid.catalog.objects.by_ids({one for job in jobs for one in _inputs(job)})
    protected = [one for one in objects.values() if one.is_protected]
    grid.keys(protected, f"resubmit {len(jobs)} jobs")
    problems = {one.id: problem for one in protected if (problem := _refused(grid, one))}
    ready = []
    for job in jobs:
        if any(one not in objects for one in _inputs(job)):
            left[job.id] = "left: an input is no longer in the grid"
        elif found := next((problems[one] for one in _inputs(job) if one in problems), None):
            left[job.id] = f"left: {found}"
        else:
            ready.append(job)
    with grid.catalog.transaction():
        moved = grid.catalog.jobs.resubmit([job.id for job in ready])
        lent: dict[int, dict[int, list[ObjectId]]] = {}
        for job in ready:
            keys = [objects[one].key_id for one in _inputs(job) if objects[one].is_protected]
            if keys and job.id in moved:
                lent.setdefault(job.id.submission, {})[job.id.number] = keys
        for submission, inputs in lent.items():
            # jobs that the catalog then does not let wait leave keys that a broker ends
            grid.vault.lend(submission, inputs, again=True)
    return Resubmitted(
        tuple(line.id for line in lines if line.id in moved),
        {job: why for job, why in left.items() if job not in moved},
    )


def _has_failed(line: JobLine) -> bool:
    return line.state is JobState.ABORTED or (line.state is JobState.DONE and not line.succeeded)


def _cause(line: JobLine) -> Cause | None:
    return Cause.CANCELLED if line.state is JobState.CANCELLED else line.cause


def _inputs(job: Job) -> list[ObjectId]:
    return [one for many in job.inputs.values() for one in many]


def _refused(grid: Grid, item: GridObject) -> str | None:
    """Why the user cannot give the key of an object to a job, None when they can."""
    try:
        grid.key(item)
    except (Denied, IntegrityError) as exc:
        return exc.message
    return None
