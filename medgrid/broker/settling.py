"""What happened on the workers -> transitions, objects and derivations, in one transaction."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from medgrid.algorithms.options import options
from medgrid.broker.backoff import pause
from medgrid.broker.collecting import output_id
from medgrid.broker.messages import (
    Clean,
    Collected,
    Drop,
    Failed,
    Given,
    Records,
    split_attempt,
)
from medgrid.broker.station import LiveAttempt, Station
from medgrid.catalog.job_desk import CurrentJob, LiveJob
from medgrid.catalog.job_moves import AttemptEnd, Move
from medgrid.catalog.job_states import Event
from medgrid.catalog.provenance import Derivation
from medgrid.model import Algorithm, Cause, JobId, ObjectId, Sha256
from medgrid.workers.base import AttemptId, JournalRecord

if TYPE_CHECKING:
    from medgrid.broker.board import Board

__all__ = ["Settler", "reason_of"]

_BACK_OFF_S = 2.0
_LONGEST_BACK_OFF_S = 300.0
_MOVES = {"started": Event.START, "suspended": Event.SUSPEND, "resumed": Event.RESUME}
_TRIES_FACTOR = 3  # so many times the attempts that may count against a job are made at most


@dataclass(slots=True)
class _Batch:
    """Transitions being gathered, and what follows from those that are accepted."""

    moves: list[Move] = field(default_factory=list)
    results: dict[tuple[JobId, int], tuple[Station, JournalRecord, tuple[Collected, ...]]] = field(
        default_factory=dict
    )
    ended: dict[str, list[AttemptId]] = field(default_factory=dict)
    drops: list[tuple[Station, tuple[Collected, ...]]] = field(default_factory=list)


class Settler:
    """Turns reports into changes of the catalog. Used inside a fenced transaction."""

    def __init__(self, board: Board, max_attempts: int) -> None:
        self._board = board
        self._max_attempts = max_attempts

    def settle(self, reports: Sequence[Given | Failed | Records]) -> list[tuple[Station, Any]]:
        """Write what happened; return commands to send when the transaction is kept."""
        batch = _Batch()
        current = self._current(reports)
        for report in reports:
            station = self._board.stations.get(report.worker)
            if station is None:
                continue
            if isinstance(report, Given):
                now = time.time()
                for attempt in report.attempts:
                    self._given(batch, station, attempt, now)
            elif isinstance(report, Failed):
                self._failure(batch, station, report.attempt, report.end, current)
            else:
                self._journal(batch, station, report, current)
        accepted = self._board.desk.apply(batch.moves)
        self._keep_results(batch, accepted, current)
        for name in {report.worker for report in reports if isinstance(report, Records)}:
            if name in self._board.stations:
                self._board.save_link(self._board.stations[name])
        self._board.save_health()
        commands: list[tuple[Station, Any]] = [
            (self._board.stations[name], Clean(tuple(attempts)))
            for name, attempts in batch.ended.items()
        ]
        commands += [(station, Drop(outputs)) for station, outputs in batch.drops]
        return commands

    def fail(self, station: Station, attempt: AttemptId, end: AttemptEnd) -> Move:
        """Transition of an attempt that the infrastructure failed."""
        live = station.live.get(attempt)
        is_trial = station.breaker.trial == attempt
        station.drop(attempt)
        if end.cause is Cause.PREEMPTED:
            return self._again(station.name, attempt, end)
        station.failed(end, split_attempt(attempt)[0], live.algorithm if live else None)
        now_s = time.time()
        # what the worker did to other jobs, too, or before the program was there, is its own fault
        filled = end.cause is Cause.NO_SPACE and end.started_s is not None and not is_trial
        spared = (
            end.is_away
            or end.cause is Cause.ENVIRONMENT
            or (station.breaker.health.is_out(now_s) and not end.of_storage and not filled)
        )
        return self._next(station.name, attempt, live, end, strike=not spared)

    def lose_all(self, station: Station, end: AttemptEnd) -> list[Move]:
        """Transitions of all attempts of a worker that is lost: one failure of it, none of theirs.

        A job that was alone there may be why, and has it counted.
        """
        lost = list(station.live.items())
        moves = []
        for attempt, live in lost:
            station.drop(attempt)
            strike = len(lost) == 1
            moves.append(self._next(station.name, attempt, live, end, strike=strike))
        if lost:
            station.failed(end, lost[0][1].job, None)
        return moves

    def leave(self, job: LiveJob, end: AttemptEnd) -> Move:
        """Transition of a job whose worker is no more."""
        return self._later(job.worker, job.attempt_id, end, job.tries, job.strikes, strike=False)

    def _next(
        self,
        worker: str,
        attempt: AttemptId,
        live: LiveAttempt | None,
        end: AttemptEnd,
        *,
        strike: bool,
    ) -> Move:
        """Another attempt, later, as long as there is hope."""
        tries = 1 + (live.tries if live else 0)
        strikes = strike + (live.strikes if live else 0)
        hopeless = live is not None and self._hopeless(live.algorithm, end)
        return self._later(worker, attempt, end, tries, strikes, strike=strike, hopeless=hopeless)

    def _later(
        self,
        worker: str,
        attempt: AttemptId,
        end: AttemptEnd,
        tries: int,
        strikes: int,
        *,
        strike: bool,
        hopeless: bool = False,
    ) -> Move:
        job, number = split_attempt(attempt)
        now_s = time.time()
        what = f"attempt {number} on {worker} failed ({end.cause}): {end.message}"
        is_last = strikes >= self._max_attempts or tries >= _TRIES_FACTOR * self._max_attempts
        if is_last or hopeless:
            return Move(job, number, Event.ABORT, now_s, what, worker=worker, end=end)
        return Move(
            job,
            number,
            Event.RETRY,
            now_s,
            f"{what}; another attempt follows",
            worker=worker,
            not_before_s=now_s + pause(_BACK_OFF_S, _LONGEST_BACK_OFF_S, tries),
            strike=strike,
            end=end,
        )

    def _again(self, worker: str, attempt: AttemptId, end: AttemptEnd) -> Move:
        """Another attempt at once: an emergency job took the place of this one."""
        job, number = split_attempt(attempt)
        reason = f"attempt {number} on {worker} was {end.message}; another attempt follows"
        return Move(
            job, number, Event.RETRY, time.time(), reason, worker=worker, strike=False, end=end
        )

    def _hopeless(self, algorithm: Sha256, end: AttemptEnd) -> bool:
        """Whether no worker is left that could have what the algorithm needs."""
        return end.cause is Cause.ENVIRONMENT and not self._board.fit(algorithm)

    def _current(self, reports: Sequence[Given | Failed | Records]) -> Mapping[JobId, CurrentJob]:
        """Where the jobs are whose attempts ended."""
        ended = set()
        for report in reports:
            if isinstance(report, Failed):
                ended.add(split_attempt(report.attempt)[0])
            elif isinstance(report, Records):
                ended |= {
                    split_attempt(record.attempt)[0]
                    for record in report.records
                    if record.event in ("done", "refused")
                }
        return self._board.desk.current(ended) if ended else {}

    def _journal(
        self,
        batch: _Batch,
        station: Station,
        report: Records,
        current: Mapping[JobId, CurrentJob],
    ) -> None:
        for record in report.records:
            if record.event == "accepted":
                self._given(batch, station, record.attempt, record.time_s)
            elif record.event in _MOVES:
                event = _MOVES[record.event]
                if event is Event.START:
                    station.runs(record.attempt)
                batch.moves.append(_move(record.attempt, event, record.time_s, station))
            elif record.event in ("done", "refused"):
                self._ended(batch, station, record, report, current)
        station.offset = report.offset

    def _given(self, batch: _Batch, station: Station, attempt: AttemptId, time_s: float) -> None:
        """The agent has an attempt, as its answer and its journal both say."""
        live = station.live.get(attempt)
        if live is not None:
            if live.is_there:
                return
            live.is_there = True
        batch.moves.append(_move(attempt, Event.GIVE, time_s, station))

    def _ended(
        self,
        batch: _Batch,
        station: Station,
        record: JournalRecord,
        report: Records,
        current: Mapping[JobId, CurrentJob],
    ) -> None:
        attempt = record.attempt
        job, number = split_attempt(attempt)
        at = current.get(job)
        outputs = report.outputs.get(attempt, ())
        if at is not None and at.is_at(number):
            if attempt not in station.live:
                return  # two workers share an agent, and this one is the other's
            end = report.failed.get(attempt) or _end(record)
            end = self._board.tails(job, end, record.sealed_tails)
            stopped = end.cause is Cause.CANCELLED and not at.cancel_asked
            if stopped:
                end = replace(end, cause=Cause.LOST, message="it was stopped from outside")
            if record.started_s is not None:  # of a short job nothing else tells it
                batch.moves.append(_move(attempt, Event.START, record.started_s, station))
            if end.cause.is_infrastructure:
                self._failure(batch, station, attempt, end, current)
            else:
                self._result(batch, station, record, end, outputs)
        elif outputs:
            batch.drops.append((station, outputs))
        batch.ended.setdefault(station.name, []).append(attempt)

    def _result(
        self,
        batch: _Batch,
        station: Station,
        record: JournalRecord,
        end: AttemptEnd,
        outputs: tuple[Collected, ...],
    ) -> None:
        job, number = split_attempt(record.attempt)
        duration_s = None
        if record.started_s is not None and record.ended_s is not None:
            duration_s = record.ended_s - record.started_s
        if end.cause is not Cause.CANCELLED:
            station.succeeded(record.attempt, duration_s)
        station.drop(record.attempt)
        event = Event.CANCEL if end.cause is Cause.CANCELLED else Event.END
        batch.moves.append(
            Move(
                job,
                number,
                event,
                record.time_s,
                _reason(end),
                worker=station.name,
                end=end,
            )
        )
        if end.cause is Cause.OK:
            batch.results[job, number] = (station, record, outputs)

    def _failure(
        self,
        batch: _Batch,
        station: Station,
        attempt: AttemptId,
        end: AttemptEnd,
        current: Mapping[JobId, CurrentJob],
    ) -> None:
        job, number = split_attempt(attempt)
        at = current.get(job)
        if at is None or not at.is_at(number):
            return
        if at.cancel_asked:
            station.drop(attempt)
            now, reason = time.time(), "cancelled by its owner"
            batch.moves.append(
                Move(job, number, Event.CANCEL, now, reason, worker=station.name, end=end)
            )
        else:
            batch.moves.append(self.fail(station, attempt, end))

    # -- results -----------------------------------------------------------------------------------

    def _keep_results(
        self, batch: _Batch, accepted: Sequence[Move], current: Mapping[JobId, CurrentJob]
    ) -> None:
        kept = {(move.job, move.attempt) for move in accepted if move.event is Event.END}
        made: list[tuple[Derivation, Sequence[Collected]]] = []
        for key, (station, record, outputs) in batch.results.items():
            if key not in kept:
                if outputs:
                    batch.drops.append((station, outputs))
                continue
            outputs = tuple(sorted(outputs, key=lambda one: (one.role, _natural(one.path))))
            items = current[key[0]].items
            made.append((self._derivation(key[0], items, station, record, outputs), outputs))
        self._board.keep(made)

    def _derivation(
        self,
        job: JobId,
        items: tuple[ObjectId, ...],
        station: Station,
        record: JournalRecord,
        outputs: Sequence[Collected],
    ) -> Derivation:
        head = self._board.head(job.submission)
        algorithm = self._board.algorithm(head.algorithm)
        inputs = head.inputs_of(items)
        by_role: dict[str, list[ObjectId]] = {}
        for one in outputs:
            by_role.setdefault(one.role, []).append(one.object_id)
        return Derivation(
            id=output_id(self._board.grid_id, record.attempt, ""),
            algorithm=algorithm.digest,
            algorithm_label=str(algorithm),
            inputs=inputs,
            outputs=by_role,
            parameters=head.parameters,
            job=job,
            worker=station.name,
            started_s=record.started_s,
            ended_s=record.ended_s,
            exit_code=record.exit_code,
            output_inputs=_output_inputs(algorithm, inputs, by_role),
        )


def _move(attempt: AttemptId, event: Event, time_s: float, station: Station) -> Move:
    job, number = split_attempt(attempt)
    reason = reason_of(event, station.name)
    return Move(job, number, event, time_s, reason, worker=station.name)


def reason_of(event: Event, worker: str) -> str:
    """What is said of a job to which this happened on a worker.

    Examples
    --------
    >>> reason_of(Event.SUSPEND, "w1")
    'suspended on w1 for an emergency job'
    """
    if event is Event.SUSPEND:
        return f"suspended on {worker} for an emergency job"
    return f"resumed on {worker}" if event is Event.RESUME else f"on {worker}"


def _end(record: JournalRecord) -> AttemptEnd:
    cause = record.cause
    if cause is None:
        cause = Cause.ENVIRONMENT if record.event == "refused" else Cause.LOST
    return AttemptEnd(
        cause,
        record.exit_code,
        record.message,
        record.stdout_tail,
        record.stderr_tail,
        record.started_s,
        record.ended_s,
        record.max_rss_bytes,
        record.cpu_s,
    )


def _reason(end: AttemptEnd) -> str:
    if end.cause is Cause.OK:
        return "done"
    if end.cause is Cause.CANCELLED:
        return "cancelled by its owner"
    if end.cause is Cause.EXIT:
        return f"exit code {end.exit_code}"
    return end.message or str(end.cause)


def _natural(text: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def _output_inputs(
    algorithm: Algorithm,
    inputs: Mapping[str, Sequence[ObjectId]],
    outputs: Mapping[str, Sequence[ObjectId]],
) -> dict[ObjectId, tuple[ObjectId, ...]]:
    """For outputs that belong one by one to the objects of an input: those and the other roles."""
    found: dict[ObjectId, tuple[ObjectId, ...]] = {}
    for role, per in options(algorithm.descriptor).get("per_input", {}).items():
        made, given = outputs.get(role, ()), inputs.get(per, ())
        if len(made) != len(given):
            continue
        others = tuple(one for name, ids in inputs.items() if name != per for one in ids)
        for output, source in zip(made, given, strict=True):
            found[output] = (source, *others)
    return found
