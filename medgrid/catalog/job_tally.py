"""Jobs counted: how many are where, why some failed, how fast they end, how busy workers are."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select

from medgrid.catalog.job_schema import job, job_attempt, submission
from medgrid.catalog.job_select import check_spans, conditions, parse_spans
from medgrid.catalog.job_states import ACTIVE
from medgrid.catalog.sight import Sight
from medgrid.database import Database
from medgrid.database.many import among
from medgrid.database.plans import rare
from medgrid.model import Cause, JobId, JobState, Sha256

__all__ = ["NOT_STARTED", "Failure", "JobTally", "Totals"]

NOT_STARTED = "not-started"
"""Stands for the cause of jobs that were given up before they had an attempt."""

_SPANS_S = (600.0, 3600.0, 6 * 3600.0)
_ENOUGH = 5  # of so many jobs a speed can be told
_WORKED = (JobState.DONE, JobState.CLEARED, JobState.ABORTED)
"""Ends that took a worker's time; what is cancelled says nothing of how fast the rest will be."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Some jobs, counted.

    Attributes
    ----------
    states : mapping
        How many are in which state, in the order of `JobState`.
    failures : mapping
        How many ended badly, by cause; those that were cancelled are none of them.
    ended, span_s
        How many ended by themselves in the last `span_s`: ten minutes, more when hardly one did,
        less when the oldest submission among them is younger.
    """

    states: Mapping[JobState, int]
    failures: Mapping[str, int]
    ended: int
    span_s: float

    @property
    def left(self) -> int:
        """How many have not ended."""
        return sum(count for state, count in self.states.items() if not state.is_final)

    @property
    def per_minute(self) -> float | None:
        """How many end in a minute; None when none did lately."""
        return self.ended / self.span_s * 60 if self.ended else None

    @property
    def left_s(self) -> float | None:
        """How long the rest will take at this speed; None when that cannot be told."""
        return self.left / self.ended * self.span_s if self.ended and self.left else None


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that ended badly."""

    id: JobId
    state: JobState
    cause: str
    worker: str | None
    reason: str
    algorithm_label: str
    ended_s: float


class JobTally:
    """Counts jobs; a viewer's own alone."""

    def __init__(self, db: Database, sight: Sight) -> None:
        self._db = db
        self._sight = sight

    def totals(self, selectors: Iterable[str]) -> Totals:
        """Count the jobs named.

        Raises
        ------
        NotFound
            A word names a job that does not exist.
        """
        with self._db.read() as connection:
            spans = parse_spans(selectors)
            check_spans(connection, spans, self._sight)
            return self._totals(conditions(connection, spans, alone=True))

    def totals_of(self, owner: str) -> Totals:
        """Count all jobs of somebody."""
        mine = select(submission.c.id).where(submission.c.owner == owner, self._sight.submissions())
        with self._db.read() as connection:
            return self._totals([rare(connection, job.c.submission.in_(mine))])

    def _totals(self, parts: Sequence[ColumnElement[bool]]) -> Totals:
        now = time.time()
        spans = [func.sum(case((_worked_since(now - span_s), 1), else_=0)) for span_s in _SPANS_S]
        states: dict[str, int] = {}
        failures: dict[str, int] = {}
        ended = [0] * len(_SPANS_S)
        with self._db.read() as connection:
            for part in parts:
                question = (
                    select(job.c.state, job.c.cause, func.count(), *spans)
                    .where(part)
                    .group_by(job.c.state, job.c.cause)
                )
                for state, cause, count, *lately in connection.execute(question):
                    states[state] = states.get(state, 0) + count
                    if state in _WORKED and cause != Cause.OK:
                        failures[cause or NOT_STARTED] = (
                            failures.get(cause or NOT_STARTED, 0) + count
                        )
                    ended = [one + int(more) for one, more in zip(ended, lately, strict=True)]
            count, span_s = _span(ended)
            begins = [self._began_s(part, now - span_s) for part in parts] if count else []
        began_s = min((one for one in begins if one is not None), default=0.0)
        return Totals(
            {state: states[state] for state in JobState if state in states},
            dict(sorted(failures.items(), key=lambda one: (-one[1], one[0]))),
            count,
            max(1.0, min(span_s, now - began_s)),
        )

    def _began_s(self, part: ColumnElement[bool], since_s: float) -> float | None:
        """When the oldest submission that had a job end since `since_s` came."""
        active = select(job.c.submission).where(part, _worked_since(since_s)).distinct()
        question = select(func.min(submission.c.created_s)).where(submission.c.id.in_(active))
        with self._db.read() as connection:
            found: float | None = connection.execute(question).scalar_one()
        return found

    def failures(self, selectors: Iterable[str], limit: int) -> list[Failure]:
        """Those of the jobs named that ended badly last, newest first; raises as `totals`."""
        columns = (
            job.c.submission,
            job.c.number,
            job.c.state,
            job.c.cause,
            job.c.worker,
            job.c.reason,
            submission.c.algorithm_label,
            job.c.ended_s,
        )
        bad = and_(
            job.c.state.in_([JobState.DONE.value, JobState.ABORTED.value]),
            job.c.cause.is_distinct_from(Cause.OK.value),
        )
        rows: list[Any] = []
        with self._db.read() as connection:
            spans = parse_spans(selectors)
            check_spans(connection, spans, self._sight)
            for named in conditions(connection, spans):
                question = (
                    select(*columns)
                    .join(submission, submission.c.id == job.c.submission)
                    .where(named, bad)
                    .order_by(job.c.ended_s.desc(), job.c.submission, job.c.number)
                    .limit(limit)
                )
                rows += connection.execute(question).all()
        rows.sort(key=lambda row: (-row[7], row[0], row[1]))
        return [
            Failure(JobId(row[0], row[1]), JobState(row[2]), row[3] or NOT_STARTED, *row[4:])
            for row in rows[:limit]
        ]

    def by_state(self) -> dict[JobState, int]:
        """How many jobs are in which state; all states."""
        question = (
            select(job.c.state, func.count())
            .where(self._sight.submission_id(job.c.submission))
            .group_by(job.c.state)
        )
        with self._db.read() as connection:
            found = {row[0]: row[1] for row in connection.execute(question)}
        return {state: found.get(state.value, 0) for state in JobState}

    def attempts_by_cause(self) -> dict[Cause, int]:
        """How many attempts ended, by cause; all causes."""
        question = (
            select(job_attempt.c.cause, func.count())
            .where(job_attempt.c.ended_s.is_not(None), job_attempt.c.cause.is_not(None))
            .where(self._sight.submission_id(job_attempt.c.submission))
            .group_by(job_attempt.c.cause)
        )
        with self._db.read() as connection:
            found = {row[0]: row[1] for row in connection.execute(question)}
        return {cause: found.get(cause.value, 0) for cause in Cause}

    def on_workers_of(self) -> dict[tuple[str, Sha256], int]:
        """How many jobs are on workers, by user and algorithm."""
        found: Counter[tuple[str, Sha256]] = Counter()
        for _, owner, algorithm, count in self._on_workers():
            found[owner, algorithm] += count
        return dict(found)

    def on_workers(self) -> dict[tuple[str, Sha256], int]:
        """How many jobs each worker has, by worker and algorithm."""
        found: Counter[tuple[str, Sha256]] = Counter()
        for worker, _, algorithm, count in self._on_workers():
            found[worker, algorithm] += count
        return dict(found)

    def _on_workers(self) -> Iterator[tuple[str, str, Sha256, int]]:
        """Worker, owner and algorithm of jobs on workers, and how many they are."""
        with self._db.read() as connection:
            question = (
                select(job.c.submission, job.c.worker, func.count())
                .where(rare(connection, job.c.state.in_(sorted(ACTIVE))))
                .group_by(job.c.submission, job.c.worker)
            )
            counts = connection.execute(question).all()
            of_these = among(connection, submission.c.id, {row[0] for row in counts})
            columns = (submission.c.id, submission.c.owner, submission.c.algorithm)
            heads = select(*columns, self._sight.submissions()).where(of_these)
            known = {row[0]: row[1:3] for row in connection.execute(heads) if row[3]}
        for number, worker, count in counts:
            if number in known:
                yield worker, known[number][0], Sha256(known[number][1]), count


def _worked_since(since_s: float) -> ColumnElement[bool]:
    return and_(
        job.c.ended_s >= since_s, job.c.attempt > 0, job.c.state.in_([str(one) for one in _WORKED])
    )


def _span(ended: Sequence[int]) -> tuple[int, float]:
    """The shortest span in which enough jobs ended, or as many as in any.

    Examples
    --------
    >>> _span([1, 7, 30])
    (7, 3600.0)
    >>> _span([2, 2, 2])
    (2, 600.0)
    """
    enough = min(_ENOUGH, max(ended))
    return next(
        (count, span_s) for count, span_s in zip(ended, _SPANS_S, strict=True) if count >= enough
    )
