"""What `medgrid.catalog.jobs` takes and gives besides `medgrid.model.Job`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medgrid.model import Cause, JobId, JobState, ObjectId, Priority, Sha256

__all__ = ["Attempt", "JobEvent", "JobLine", "NewSubmission"]


@dataclass(frozen=True, slots=True)
class NewSubmission:
    """What `JobStore.create_submission` writes: one job for each element of `items`.

    `items` holds the object ids of role `item_role` for each job; `inputs` those that all jobs
    share, by role.
    """

    algorithm: Sha256
    algorithm_label: str
    owner: str
    items: Sequence[Sequence[ObjectId]]
    item_role: str | None
    inputs: Mapping[str, Sequence[ObjectId]]
    parameters: Mapping[str, Any]
    priority: Priority = Priority.NORMAL
    se: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class JobLine:
    """One line of ``medgrid status``."""

    id: JobId
    state: JobState
    worker: str | None
    reason: str
    cause: Cause | None
    exit_code: int | None
    attempt: int
    algorithm_label: str
    updated_s: float

    @property
    def succeeded(self) -> bool:
        """Whether it is done and did all it had to."""
        return self.state in (JobState.DONE, JobState.CLEARED) and self.cause is Cause.OK


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One transition of a job."""

    time_s: float
    attempt: int
    state: JobState
    worker: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a job on one worker."""

    number: int
    worker: str
    assigned_s: float
    started_s: float | None
    ended_s: float | None
    cause: Cause | None
    exit_code: int | None
    message: str
    stderr_tail: str
    max_rss_bytes: int | None
    cpu_s: float | None
