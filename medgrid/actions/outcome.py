"""How a command ends that did many things, of which some failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medgrid.errors import JobFailed, MedgridError, NotFound, PartlyDone
from medgrid.model import Job, JobState

__all__ = ["AllFailed", "Failure", "job_problem", "summary"]


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that failed, by the name the user knows, and why."""

    what: str
    error: MedgridError


class AllFailed(MedgridError):
    """Nothing of what was asked for could be done, everything for the same kind of reason."""

    def __init__(self, message: str, cause: MedgridError) -> None:
        super().__init__(message, hint=cause.hint)
        self.exit_code = cause.exit_code


def summary(failures: Sequence[Failure], done: int) -> MedgridError | None:
    """What to raise after each failure was shown.

    Nothing when nothing failed; the one's own error when it is all there was; an error with the
    common exit code when everything failed alike; else `PartlyDone`.
    """
    if not failures:
        return None
    if done == 0 and len(failures) == 1:
        return failures[0].error
    codes = {failure.error.exit_code for failure in failures}
    if done == 0 and len(codes) == 1:
        return AllFailed(f"all {len(failures)} failed", failures[0].error)
    return PartlyDone(f"{len(failures)} of {len(failures) + done} failed")


def job_problem(job: Job) -> MedgridError | None:
    """Say why a job has no outputs to give, None when it has."""
    if job.state is JobState.CLEARED:
        return NotFound(
            f"job {job.id} is cleared: its outputs that were not registered are gone",
            hint="registered ones are fetched by LFN",
        )
    if not job.state.is_final:
        return PartlyDone(
            f"job {job.id} is {job.state}, not done yet",
            hint=f"wait for it with 'medgrid status {job.id} --wait'",
        )
    if not job.succeeded:
        reason = f": {job.reason}" if job.reason else ""
        return JobFailed(
            f"job {job.id} failed ({job.state}){reason}", hint=f"see 'medgrid explain {job.id}'"
        )
    return None
