"""Jobs as the broker sees them: what waits, what is where, what happened."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    delete,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    update,
)

from medgrid.catalog.job_moves import Move, apply, job_rows
from medgrid.catalog.job_schema import job, job_attempt, job_event, submission, worker_link
from medgrid.catalog.job_states import ACTIVE, OPEN, PENDING
from medgrid.catalog.sight import Sight
from medgrid.database import Database
from medgrid.database.many import among
from medgrid.database.plans import rare, unindexed
from medgrid.model import Cause, JobId, JobState, ObjectId, Priority, Sha256

__all__ = ["CurrentJob", "JobDesk", "LiveJob", "SubmissionHead", "WaitingJob", "WorkerLinkState"]

_KEY: tuple[Any, ...] = (job.c.submission, job.c.number, job.c.attempt)
_UNCOUNTED = job.c.old_attempts + job.c.preemptions
_PAUSE_MOST_S = 600.0  # twice what settling makes of it
_SAME_JOB = and_(job.c.submission == job_attempt.c.submission, job.c.number == job_attempt.c.number)


@dataclass(frozen=True, slots=True)
class SubmissionHead:
    """What all jobs of a submission share."""

    number: int
    algorithm: Sha256
    item_role: str | None
    inputs: Mapping[str, tuple[ObjectId, ...]]
    parameters: Mapping[str, Any]
    se: str | None
    owner: str = ""
    priority: Priority = Priority.NORMAL

    def inputs_of(self, items: tuple[ObjectId, ...]) -> dict[str, tuple[ObjectId, ...]]:
        """All inputs of a job whose own objects are `items`, by role."""
        found = dict(self.inputs)
        if self.item_role is not None:
            found[self.item_role] = items
        return found


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A job that wants a worker; `failed_on` are the workers that failed it before.

    `tries` and `strikes` count its attempts since it was last submitted: those that failed, and of
    them those whose failure was not put down to the worker.
    """

    id: JobId
    attempt: int
    items: tuple[ObjectId, ...]
    failed_on: frozenset[str] = frozenset()
    tries: int = 0
    strikes: int = 0


@dataclass(frozen=True, slots=True)
class LiveJob:
    """A job with an attempt on a worker."""

    id: JobId
    attempt: int
    state: JobState
    worker: str
    items: tuple[ObjectId, ...]
    cancel_asked: bool
    tries: int
    strikes: int
    assigned_s: float
    suspended_s: float | None = None

    @property
    def attempt_id(self) -> str:
        """Attempt id as agents know it."""
        return f"{self.id}.{self.attempt}"


@dataclass(frozen=True, slots=True)
class CurrentJob:
    """Where a job is by now."""

    attempt: int
    state: JobState
    cancel_asked: bool
    items: tuple[ObjectId, ...]

    def is_at(self, attempt: int) -> bool:
        """Whether `attempt` is its living one."""
        return self.attempt == attempt and self.state in ACTIVE


@dataclass(frozen=True, slots=True)
class WorkerLinkState:
    """What brokers remember of a worker from one connection to the next."""

    worker: str
    agent_id: str | None = None
    journal_offset: int = 0
    info: Mapping[str, Any] = field(default_factory=dict)
    down_since_s: float | None = None
    reason: str = ""
    lost_at_s: float | None = None


def _in(state: JobState) -> Select[Any]:
    """Submissions with jobs in a state: hops from one to the next, past all its jobs."""
    at = job.c.submission
    first = select(func.min(at).label("number")).where(job.c.state == state.value)
    hops = first.cte("hops", recursive=True)
    following = (
        select(func.min(at))
        .where(job.c.state == state.value, at > hops.c.number)
        .correlate(hops)
        .scalar_subquery()
    )
    hops = hops.union_all(select(following).where(hops.c.number.is_not(None)))
    return select(hops.c.number).where(hops.c.number.is_not(None))


class JobDesk:
    """The broker's side of the jobs. Each change is made inside `LeaseStore.writing`.

    A viewer may look at the load; jobs of others are not counted then.
    """

    def __init__(self, db: Database, sight: Sight) -> None:
        self._db = db
        self._sight = sight

    def apply(self, moves: Sequence[Move]) -> list[Move]:
        """Make those of `moves` happen that may; return them."""
        if not moves:
            return []
        with self._db.write() as connection:
            return apply(connection, moves)

    def waiting(self) -> list[int]:
        """Submissions with jobs that want a worker, oldest first; it costs as much as they are."""
        with self._db.read() as connection:
            return sorted({row[0] for state in PENDING for row in connection.execute(_in(state))})

    def next_waiting(self, number: int, limit: int, now_s: float) -> list[WaitingJob]:
        """Up to `limit` jobs of a submission that want a worker now, in their order."""
        columns = (*_KEY, job.c.own_inputs, _UNCOUNTED, job.c.strikes)
        question = (
            select(*columns)
            .where(job.c.submission == number, _is_due(now_s))
            .order_by(job.c.number)
            .limit(limit)
        )
        with self._db.read() as connection:
            # state by state: the index has them in their order, and none before them is read
            rows = [
                row
                for state in sorted(PENDING)
                for row in connection.execute(question.where(job.c.state == state))
            ]
            rows = sorted(rows, key=lambda row: row[1])[:limit]
            again = [JobId(row[0], row[1]) for row in rows if row[2] > row[4]]
            failed: dict[JobId, set[str]] = {}
            if again:
                history = (
                    select(job_attempt.c.number, job_attempt.c.worker)
                    .join(job, _SAME_JOB)
                    .where(
                        job_attempt.c.submission == number,
                        among(connection, job_attempt.c.number, [one.number for one in again]),
                        job_attempt.c.attempt > job.c.old_attempts,
                        job_attempt.c.cause != Cause.PREEMPTED.value,
                    )
                )
                for row in connection.execute(history):
                    failed.setdefault(JobId(number, row[0]), set()).add(row[1])
        return [
            WaitingJob(
                JobId(row[0], row[1]),
                row[2],
                tuple(row[3]),
                frozenset(failed.get(JobId(row[0], row[1]), ())),
                row[2] - row[4],
                row[5],
            )
            for row in rows
        ]

    def next_time(self, after_s: float) -> float | None:
        """When the next job that was kept back at `after_s` may go on, None when none was."""
        question = select(func.min(job.c.not_before_s)).where(
            job.c.state.in_(sorted(PENDING)), not_(_is_due(after_s))
        )
        with self._db.read() as connection:
            found: float | None = connection.execute(question).scalar_one()
        return found

    def let_wait(self, number: int, reason: str) -> None:
        """Move the jobs of a submission that want a worker to Waiting, and say why."""
        now = time.time()
        pending = (job.c.submission == number, _is_due(now))
        new = JobState.SUBMITTED.value
        with self._db.write() as connection:
            columns = ["submission", "number", "attempt", "time_s", "state", "reason"]
            values = (literal(now), literal(JobState.WAITING.value), literal(reason))
            seen = select(*_KEY, *values).where(*pending, job.c.state == new)
            connection.execute(insert(job_event).from_select(columns, seen))
            connection.execute(
                update(job)
                .where(*pending, job.c.state.in_(sorted(PENDING)), job.c.reason != reason)
                .values(state=JobState.WAITING.value, reason=reason, updated_s=now)
            )
            connection.execute(
                update(job)
                .where(*pending, job.c.state == new)
                .values(state=JobState.WAITING.value, updated_s=now)
            )

    def head(self, number: int) -> SubmissionHead:
        """What the jobs of a submission share."""
        question = select(submission).where(submission.c.id == number)
        with self._db.read() as connection:
            row = connection.execute(question).one()
        return SubmissionHead(
            row.id,
            row.algorithm,
            row.item_role,
            {role: tuple(ids) for role, ids in row.inputs.items()},
            row.parameters,
            row.se,
            row.owner,
            list(Priority)[row.priority],
        )

    def live(self, *conditions: ColumnElement[bool]) -> list[LiveJob]:
        """All jobs with an attempt on a worker."""
        question = (
            select(
                job.c.submission,
                job.c.number,
                job.c.attempt,
                job.c.state,
                job.c.worker,
                job.c.own_inputs,
                job.c.cancel_asked,
                _UNCOUNTED,
                job.c.strikes,
                job_attempt.c.assigned_s,
                job.c.suspended_s,
            )
            .join(job_attempt, and_(_SAME_JOB, job.c.attempt == job_attempt.c.attempt))
            .where(*conditions)
        )
        with self._db.read() as connection:
            question = question.where(rare(connection, job.c.state.in_(sorted(ACTIVE))))
            return [
                LiveJob(
                    JobId(row[0], row[1]),
                    row[2],
                    JobState(row[3]),
                    row[4],
                    tuple(row[5]),
                    row[6],
                    tries=row[2] - row[7],
                    strikes=row[8],
                    assigned_s=row[9],
                    suspended_s=row[10],
                )
                for row in connection.execute(question)
            ]

    def live_on(self, worker: str) -> list[LiveJob]:
        """All jobs with an attempt on one worker."""
        return self.live(job.c.worker == worker)

    def to_cancel(self) -> list[LiveJob]:
        """Jobs on workers that their owner wants stopped."""
        return self.live(job.c.cancel_asked)

    def current(self, ids: Iterable[JobId]) -> dict[JobId, CurrentJob]:
        """Where each job is by now."""
        columns = (
            job.c.submission,
            job.c.number,
            job.c.attempt,
            job.c.state,
            job.c.cancel_asked,
            job.c.own_inputs,
        )
        with self._db.read() as connection:
            return {
                JobId(row[0], row[1]): CurrentJob(row[2], JobState(row[3]), row[4], tuple(row[5]))
                for row in job_rows(connection, set(ids), columns)
            }

    def ended(self, number: int, jobs: Iterable[int]) -> list[int]:
        """Which of these jobs of a submission are final, or do not exist."""
        wanted = set(jobs)
        with self._db.read() as connection:
            still_open = select(job.c.number).where(
                job.c.submission == number,
                among(connection, job.c.number, wanted),
                unindexed(connection, job.c.state).in_(sorted(OPEN)),
            )
            return sorted(wanted.difference(connection.scalars(still_open)))

    @contextmanager
    def holding_ended(self, number: int, jobs: Iterable[int]) -> Iterator[list[int]]:
        """Those of `ended`, which nobody can resubmit inside this ``with``."""
        with self._db.write() as connection:
            ids = [JobId(number, one) for one in jobs]
            list(job_rows(connection, ids, (job.c.number,), lock=True))
            yield self.ended(number, [one.number for one in ids])

    def open_count(self) -> int:
        """How many jobs are not final."""
        question = select(func.count()).where(
            job.c.state.in_(sorted(OPEN)), self._sight.submission_id(job.c.submission)
        )
        with self._db.read() as connection:
            return int(connection.execute(question).scalar_one())

    def load(self) -> dict[str, int]:
        """How many jobs each worker has."""
        question = (
            select(job.c.worker, func.count())
            .where(self._sight.submission_id(job.c.submission))
            .group_by(job.c.worker)
        )
        with self._db.read() as connection:
            question = question.where(rare(connection, job.c.state.in_(sorted(ACTIVE))))
            return {row[0]: row[1] for row in connection.execute(question)}

    def links(self) -> dict[str, WorkerLinkState]:
        """What is remembered of each worker."""
        with self._db.read() as connection:
            return {
                row.worker: WorkerLinkState(*row) for row in connection.execute(select(worker_link))
            }

    def save_link(self, state: WorkerLinkState) -> None:
        """Remember a worker's agent, how far its journal was read, and whether it answers."""
        with self._db.write() as connection:
            connection.execute(delete(worker_link).where(worker_link.c.worker == state.worker))
            connection.execute(
                insert(worker_link).values(
                    worker=state.worker,
                    agent_id=state.agent_id,
                    journal_offset=state.journal_offset,
                    info=dict(state.info),
                    down_since_s=state.down_since_s,
                    reason=state.reason,
                    lost_at_s=state.lost_at_s,
                )
            )


def _is_due(now_s: float) -> ColumnElement[bool]:
    """Whether a job's pause is over; one longer than any tells that the clock was set back."""
    until_s = job.c.not_before_s
    return or_(until_s <= now_s, until_s > now_s + _PAUSE_MOST_S)
