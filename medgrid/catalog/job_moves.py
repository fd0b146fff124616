"""How jobs change: many transitions in one transaction, each guarded by state and attempt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from medgrid.catalog.job_schema import job, job_attempt, job_event
from medgrid.catalog.job_states import ACTIVE, RULES, Event, step
from medgrid.database.many import pair_among
from medgrid.model import Cause, JobId, JobState

__all__ = ["AttemptEnd", "Move", "apply", "job_rows"]


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """What is known of an attempt when it is over."""

    cause: Cause
    exit_code: int | None = None
    message: str = ""
    stdout_tail: str = ""
    stderr_tail: str = ""
    started_s: float | None = None
    ended_s: float | None = None
    max_rss_bytes: int | None = None
    cpu_s: float | None = None
    of_storage: bool = False  # what failed is not the worker
    is_away: bool = False  # and did not answer, which passes; neither is kept


@dataclass(frozen=True, slots=True)
class Move:
    """One thing that happened to one job.

    `attempt` is the attempt it happened to (for `Event.ASSIGN`: the one before the new one); when
    the job is at another attempt by now, or on another worker than `worker`, nothing changes.
    """

    job: JobId
    attempt: int
    event: Event
    time_s: float
    reason: str = ""
    worker: str | None = None  # where it happened; for ASSIGN, where the new attempt goes
    not_before_s: float = 0.0  # for RETRY
    strike: bool = True  # for RETRY and ABORT: whether the failure counts against the job
    end: AttemptEnd | None = None  # for END, RETRY, ABORT and CANCEL of a living attempt


_UPDATE = (
    update(job)
    .where(
        job.c.submission == bindparam("at_submission"),
        job.c.number == bindparam("at_number"),
        job.c.state == bindparam("from_state"),
        job.c.attempt == bindparam("from_attempt"),
    )
    .values(
        {
            name: bindparam(f"to_{name}")
            for name in (
                "state",
                "reason",
                "cause",
                "exit_code",
                "attempt",
                "old_attempts",
                "preemptions",
                "strikes",
                "worker",
                "cancel_asked",
                "not_before_s",
                "updated_s",
                "started_s",
                "suspended_s",
                "paused_s",
                "ended_s",
            )
        }
    )
)

_END_ATTEMPT = (
    update(job_attempt)
    .where(
        job_attempt.c.submission == bindparam("at_submission"),
        job_attempt.c.number == bindparam("at_number"),
        job_attempt.c.attempt == bindparam("at_attempt"),
        job_attempt.c.ended_s.is_(None),
    )
    .values(
        {
            name: bindparam(f"to_{name}")
            for name in (
                "started_s",
                "ended_s",
                "cause",
                "exit_code",
                "message",
                "stdout_tail",
                "stderr_tail",
                "max_rss_bytes",
                "cpu_s",
            )
        }
    )
)

_COLUMNS = (
    job.c.submission,
    job.c.number,
    job.c.state,
    job.c.reason,
    job.c.cause,
    job.c.exit_code,
    job.c.attempt,
    job.c.old_attempts,
    job.c.preemptions,
    job.c.strikes,
    job.c.worker,
    job.c.cancel_asked,
    job.c.not_before_s,
    job.c.updated_s,
    job.c.started_s,
    job.c.suspended_s,
    job.c.paused_s,
    job.c.ended_s,
)

_NAMES = tuple(column.name for column in _COLUMNS)


def job_rows(
    connection: Connection, ids: Iterable[JobId], columns: Sequence[Any], *, lock: bool = False
) -> Iterator[Any]:
    """Rows of the jobs `ids`, in the order of their keys so that locks cannot cross."""
    pairs = [(one.submission, one.number) for one in ids]
    question = select(*columns).where(
        pair_among(connection, (job.c.submission, job.c.number), pairs)
    )
    if lock:
        question = question.order_by(job.c.submission, job.c.number).with_for_update()
    yield from connection.execute(question).all()


def apply(connection: Connection, moves: Sequence[Move]) -> list[Move]:
    """Make those of `moves` happen that may, in order; return them.

    A move is refused (left out of the answer) when the job is unknown, at another attempt, or in
    a state that does not allow it, or its rule's guard forbids it. A move that changes neither
    state nor reason is refused too.

    Raises
    ------
    ValueError
        A move ends an attempt and does not say how; the transaction must not be kept.
    """
    now: dict[JobId, dict[str, Any]] = {}
    for row in job_rows(connection, {move.job for move in moves}, _COLUMNS, lock=True):
        now[JobId(row[0], row[1])] = dict(zip(_NAMES, row, strict=True))
    before = {key: (row["state"], row["attempt"]) for key, row in now.items()}
    accepted: list[Move] = []
    events: list[dict[str, Any]] = []
    births: list[dict[str, Any]] = []
    ends: list[dict[str, Any]] = []
    changed: dict[JobId, dict[str, Any]] = {}
    for move in moves:
        row = now.get(move.job)
        if row is None or row["attempt"] != move.attempt:
            continue
        if move.worker not in (None, row["worker"]) and move.event is not Event.ASSIGN:
            continue
        old = JobState(row["state"])
        new = step(old, move.event)
        if new is None or (new is old and row["reason"] == move.reason):
            continue
        guard = RULES[move.event].guard
        if guard is not None and not guard.holds(old, row["cause"], row["suspended_s"]):
            continue
        if old in ACTIVE and new not in ACTIVE:
            if move.end is None:
                raise ValueError(f"{move.job}: nothing says how attempt {move.attempt} ended")
            ends.append(_attempt_end(move, move.end))
        _change(row, new, move)
        if move.event is Event.ASSIGN:
            births.append(_attempt_birth(move, row))
        events.append(
            {
                "submission": move.job.submission,
                "number": move.job.number,
                "attempt": row["attempt"],
                "time_s": move.time_s,
                "state": new.value,
                "worker": row["worker"],
                "reason": move.reason,
            }
        )
        changed[move.job] = row
        accepted.append(move)
    if births:
        connection.execute(insert(job_attempt), births)
    if changed:
        rows = [_bind(before[key], row) for key, row in changed.items()]
        count = connection.execute(_UPDATE, rows).rowcount
        if count not in (-1, len(rows)):
            raise RuntimeError(f"{len(rows)} jobs were locked, {count} changed")
    if ends:
        connection.execute(_END_ATTEMPT, ends)
    if events:
        connection.execute(insert(job_event), events)
    return accepted


def _change(row: dict[str, Any], new: JobState, move: Move) -> None:
    row.update(state=new.value, reason=move.reason, updated_s=move.time_s)
    if move.event in (Event.ASSIGN, Event.RESUBMIT):
        row.update(_NO_ATTEMPT)
    if move.event is Event.ASSIGN:
        row.update(attempt=row["attempt"] + 1, worker=move.worker)
    elif move.event is Event.START:
        row["started_s"] = row["started_s"] or move.time_s
    elif move.event is Event.SUSPEND:
        row["suspended_s"] = row["suspended_s"] or move.time_s
    elif move.event is Event.RESUME:
        _stop_pause(row, move.time_s)
    elif move.event is Event.RETRY:
        row.update(worker=None, started_s=None, not_before_s=move.not_before_s)
        row["strikes"] += move.strike
        row["preemptions"] += move.end is not None and move.end.cause is Cause.PREEMPTED
    elif move.event is Event.RESUBMIT:
        row.update(
            old_attempts=row["attempt"],
            preemptions=0,
            strikes=0,
            worker=None,
            cancel_asked=False,
            not_before_s=0.0,
        )
    if new not in (JobState.RUNNING, JobState.UNKNOWN):
        _stop_pause(row, move.time_s)
    if new.is_final and move.event is not Event.CLEAR:
        row["ended_s"] = move.time_s
    if move.end is not None and new.is_final:
        row["cause"] = move.end.cause.value
        row["exit_code"] = move.end.exit_code
        if move.event is Event.END:
            row["started_s"] = move.end.started_s or row["started_s"]
            row["ended_s"] = move.end.ended_s or move.time_s


_NO_ATTEMPT = {
    "cause": None,
    "exit_code": None,
    "started_s": None,
    "suspended_s": None,
    "paused_s": 0.0,
    "ended_s": None,
}


def _stop_pause(row: dict[str, Any], time_s: float) -> None:
    if row["suspended_s"] is not None:
        row["paused_s"] += max(0.0, time_s - row["suspended_s"])
        row["suspended_s"] = None


def _attempt_birth(move: Move, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "submission": move.job.submission,
        "number": move.job.number,
        "attempt": row["attempt"],
        "worker": move.worker,
        "assigned_s": move.time_s,
        "message": "",
        "stdout_tail": "",
        "stderr_tail": "",
    }


def _attempt_end(move: Move, end: AttemptEnd) -> dict[str, Any]:
    return {
        "at_submission": move.job.submission,
        "at_number": move.job.number,
        "at_attempt": move.attempt,
        "to_started_s": end.started_s,
        "to_ended_s": end.ended_s or move.time_s,
        "to_cause": end.cause.value,
        "to_exit_code": end.exit_code,
        "to_message": end.message,
        "to_stdout_tail": end.stdout_tail,
        "to_stderr_tail": end.stderr_tail,
        "to_max_rss_bytes": end.max_rss_bytes,
        "to_cpu_s": end.cpu_s,
    }


def _bind(before: tuple[str, int], row: dict[str, Any]) -> dict[str, Any]:
    values = {f"to_{name}": value for name, value in row.items()}
    values["at_submission"] = values.pop("to_submission")
    values["at_number"] = values.pop("to_number")
    values["from_state"], values["from_attempt"] = before
    return values
