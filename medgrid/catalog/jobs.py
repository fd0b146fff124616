"""Jobs as their owner sees them: asked for, looked at, cancelled, cleared."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from heapq import merge
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, or_, select, update

from medgrid.catalog.job_desk import JobDesk
from medgrid.catalog.job_insert import insert_submission
from medgrid.catalog.job_moves import Move, apply, job_rows
from medgrid.catalog.job_reading import job_of, outputs_of
from medgrid.catalog.job_schema import job, job_attempt, job_event, submission
from medgrid.catalog.job_select import check_spans, conditions, parse_spans
from medgrid.catalog.job_states import ACTIVE, OPEN, PENDING, Event
from medgrid.catalog.job_tally import JobTally
from medgrid.catalog.job_values import Attempt, JobEvent, JobLine, NewSubmission
from medgrid.catalog.quotas import check_jobs
from medgrid.catalog.sight import Sight
from medgrid.database import Database
from medgrid.errors import Denied
from medgrid.model import (
    Cause,
    Job,
    JobId,
    JobState,
    ObjectId,
)

__all__ = ["Attempt", "JobEvent", "JobLine", "JobStore", "NewSubmission"]

_RECENT_S = 24 * 3600.0


_ASK_TO_CANCEL = (
    update(job)
    .where(
        job.c.submission == bindparam("at_submission"),
        job.c.number == bindparam("at_number"),
    )
    .values(cancel_asked=True)
)


class JobStore:
    """All submissions and their jobs; a viewer has their own alone."""

    def __init__(self, db: Database, sight: Sight) -> None:
        self._db = db
        self._sight = sight

    @cached_property
    def desk(self) -> JobDesk:
        """The broker's side of the jobs."""
        return JobDesk(self._db, self._sight)

    @cached_property
    def tally(self) -> JobTally:
        """Counts of jobs."""
        return JobTally(self._db, self._sight)

    def create_submission(self, new: NewSubmission) -> tuple[int, list[JobId]]:
        """Write a submission and its jobs, in one transaction; return its number and their ids.

        Raises
        ------
        Denied
            A viewer submits in another's name, or there would be more open jobs than the owner's
            quota allows; nothing is written.
        """
        if self._sight.viewer not in (None, new.owner):
            raise Denied(f"{self._sight.viewer} cannot submit as {new.owner}")
        now = time.time()
        with self._db.write() as connection:
            check_jobs(connection, new.owner, len(new.items))
            number = insert_submission(connection, new, now)
        return number, [JobId(number, position) for position in range(1, len(new.items) + 1)]

    def recent(self, owner: str) -> list[str]:
        """Words that name the submissions of `owner` that are young or have open jobs."""
        still_open = select(job.c.submission).where(job.c.state.in_(sorted(OPEN)))
        young = submission.c.created_s >= time.time() - _RECENT_S
        question = (
            select(submission.c.id)
            .where(submission.c.owner == owner, self._sight.submissions())
            .where(or_(young, submission.c.id.in_(still_open)))
            .order_by(submission.c.id)
        )
        with self._db.read() as connection:
            return [str(row[0]) for row in connection.execute(question)]

    def open_inputs(self) -> dict[ObjectId, JobId]:
        """Objects that open jobs, a viewer's own, still need, and one job each."""
        found: dict[ObjectId, JobId] = {}
        with self._db.read() as connection:
            rows = connection.execute(
                select(job.c.submission, job.c.number, job.c.own_inputs).where(
                    job.c.state.in_(sorted(OPEN)), self._sight.submission_id(job.c.submission)
                )
            ).all()
            firsts = {row.submission: JobId(row.submission, row.number) for row in reversed(rows)}
            shared = connection.execute(
                select(submission.c.id, submission.c.inputs).where(
                    submission.c.id.in_(list(firsts))
                )
            ).all()
        for number, inputs in shared:
            for many in inputs.values():
                found.update(dict.fromkeys(many, firsts[number]))
        for row in rows:
            found.update(dict.fromkeys(row.own_inputs, JobId(row.submission, row.number)))
        return found

    def counts(self, selectors: Iterable[str]) -> dict[JobState, int]:
        """How many of the jobs named are in each state, in the order of `JobState`.

        Raises
        ------
        NotFound
            A word names a job that does not exist.
        """
        found: dict[str, int] = {}
        with self._db.read() as connection:
            spans = parse_spans(selectors)
            check_spans(connection, spans, self._sight)
            for named in conditions(connection, spans, alone=True):
                question = select(job.c.state, func.count()).where(named).group_by(job.c.state)
                for state, count in connection.execute(question):
                    found[state] = found.get(state, 0) + count
        return {state: found[state] for state in JobState if state in found}

    def lines(
        self, selectors: Iterable[str], states: Collection[JobState] = ()
    ) -> Iterator[JobLine]:
        """Where the jobs named are, each once, by number; only those in `states` when given.

        Raises
        ------
        NotFound
            A word names a job that does not exist.
        """
        question = select(
            job.c.submission,
            job.c.number,
            job.c.state,
            job.c.worker,
            job.c.reason,
            job.c.cause,
            job.c.exit_code,
            job.c.attempt,
            submission.c.algorithm_label,
            job.c.updated_s,
        ).join(submission, submission.c.id == job.c.submission)
        if states:
            question = question.where(job.c.state.in_(sorted(states)))
        for row in self._selected(question, selectors):
            yield JobLine(
                JobId(row[0], row[1]),
                JobState(row[2]),
                row[3],
                row[4],
                Cause(row[5]) if row[5] else None,
                *row[6:],
            )

    def jobs(self, selectors: Iterable[str]) -> list[Job]:
        """All that is known of the jobs named, each once, by number.

        Raises
        ------
        NotFound
            A word names a job that does not exist.
        """
        question = select(
            job,
            submission.c.algorithm,
            submission.c.algorithm_label,
            submission.c.owner,
            submission.c.priority,
            submission.c.inputs,
            submission.c.item_role,
            submission.c.parameters,
            submission.c.created_s,
            job_attempt.c.stdout_tail,
            job_attempt.c.stderr_tail,
        )
        joined = job.join(submission, submission.c.id == job.c.submission).outerjoin(
            job_attempt,
            and_(
                job_attempt.c.submission == job.c.submission,
                job_attempt.c.number == job.c.number,
                job_attempt.c.attempt == job.c.attempt,
            ),
        )
        words = list(selectors)
        with self._db.read() as connection:
            rows = list(self._selected(question.select_from(joined), words))
            outputs = outputs_of(connection, self._sight, words)
        return [job_of(row, tuple(outputs.get((row.submission, row.number), ()))) for row in rows]

    def job(self, job_id: JobId) -> Job:
        """One job.

        Raises
        ------
        NotFound
            There is none of this id.
        """
        return self.jobs([str(job_id)])[0]

    def history(self, job_id: JobId) -> list[JobEvent]:
        """All transitions of a job, oldest first."""
        question = (
            select(
                job_event.c.time_s,
                job_event.c.attempt,
                job_event.c.state,
                job_event.c.worker,
                job_event.c.reason,
            )
            .where(job_event.c.submission == job_id.submission, job_event.c.number == job_id.number)
            .where(self._sight.submission_id(job_event.c.submission))
            .order_by(job_event.c.id)
        )
        with self._db.read() as connection:
            rows = connection.execute(question).all()
        return [JobEvent(row[0], row[1], JobState(row[2]), row[3], row[4]) for row in rows]

    def attempts(self, job_id: JobId) -> list[Attempt]:
        """All attempts at a job, oldest first."""
        at = job_attempt.c
        question = (
            select(job_attempt)
            .where(at.submission == job_id.submission, at.number == job_id.number)
            .where(self._sight.submission_id(at.submission))
            .order_by(at.attempt)
        )
        with self._db.read() as connection:
            rows = connection.execute(question).all()
        return [
            Attempt(
                row.attempt,
                row.worker,
                row.assigned_s,
                row.started_s,
                row.ended_s,
                Cause(row.cause) if row.cause else None,
                row.exit_code,
                row.message,
                row.stderr_tail,
                row.max_rss_bytes,
                row.cpu_s,
            )
            for row in rows
        ]

    def cancel(self, selectors: Iterable[str]) -> dict[JobId, tuple[JobState, JobState]]:
        """Cancel the jobs named: those without a worker at once, the others by their broker.

        Returns
        -------
        dict
            For each job its state before and after the call. After it is `JobState.CANCELLED`, or
            a state of `medgrid.catalog.job_states.ACTIVE` when the broker still has to stop it, or
            the final state it had already.

        Raises
        ------
        NotFound
            A word names a job that does not exist; none is cancelled.
        """
        now = time.time()
        columns = (job.c.submission, job.c.number, job.c.state, job.c.attempt)
        with self._db.write() as connection:
            rows = list(self._selected(select(*columns), selectors))
            before = {JobId(row[0], row[1]): JobState(row[2]) for row in rows}
            pending = [
                Move(JobId(row[0], row[1]), row[3], Event.CANCEL, now, "cancelled by its owner")
                for row in rows
                if row[2] in PENDING
            ]
            apply(connection, pending)
            after = {
                JobId(row[0], row[1]): JobState(row[2])
                for row in job_rows(connection, before, columns, lock=True)
            }
            asked = [
                {"at_submission": one.submission, "at_number": one.number}
                for one, state in after.items()
                if state in ACTIVE
            ]
            if asked:
                connection.execute(_ASK_TO_CANCEL, asked)
        return {one: (before[one], after[one]) for one in before}

    def resubmit(self, ids: Iterable[JobId]) -> set[JobId]:
        """Let ended jobs wait again, as if they were new; return those that do.

        Those that did what they should, and those that have not ended, stay as they are. The next
        attempt gets the next number, so that none of the earlier ones can say anything any more.

        Raises
        ------
        Denied
            There would be more open jobs than an owner's quota allows; none waits.
        """
        now = time.time()
        with self._db.write() as connection:
            rows = self._own_rows(connection, list(ids))
            moves = [
                Move(JobId(row[0], row[1]), row[2], Event.RESUBMIT, now, "resubmitted by its owner")
                for row in rows
            ]
            moved = {move.job for move in apply(connection, moves)}
            many = Counter(one.submission for one in moved)
            owners = select(submission.c.id, submission.c.owner).where(submission.c.id.in_(many))
            again: Counter[str] = Counter()
            for number, owner in connection.execute(owners):
                again[owner] += many[number]
            for owner, count in again.items():
                check_jobs(connection, owner, count, written=True)
            return moved

    def clear(self, ids: Sequence[JobId]) -> set[JobId]:
        """Move done jobs to Cleared; return those that were."""
        now = time.time()
        with self._db.write() as connection:
            moves = [
                Move(JobId(row[0], row[1]), row[2], Event.CLEAR, now, "cleared by its owner")
                for row in self._own_rows(connection, ids)
            ]
            return {move.job for move in apply(connection, moves)}

    def _own_rows(self, connection: Connection, ids: Sequence[JobId]) -> list[Any]:
        """Submission, number and attempt of those of `ids` that are the viewer's."""
        own = select(submission.c.id).where(
            submission.c.id.in_({one.submission for one in ids}), self._sight.submissions()
        )
        mine = set(connection.scalars(own))
        return list(
            job_rows(
                connection,
                [one for one in ids if one.submission in mine],
                (job.c.submission, job.c.number, job.c.attempt),
            )
        )

    def _selected(self, question: Select[Any], selectors: Iterable[str]) -> Iterator[Any]:
        spans = parse_spans(selectors)
        ordered = question.order_by(job.c.submission, job.c.number)
        with self._db.read() as connection:
            check_spans(connection, spans, self._sight)
            answers = [
                connection.execute(ordered.where(named)) for named in conditions(connection, spans)
            ]
            yield from merge(*answers, key=lambda row: (row[0], row[1]))
