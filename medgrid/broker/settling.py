"""What happened on the workers -> transitions, objects and derivations, in one transaction."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from medgrid.algorithms.options import options
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
from medgrid.broker.station import Station
from medgrid.catalog.job_desk import CurrentJob
from medgrid.catalog.job_moves import AttemptEnd, Move
from medgrid.catalog.job_states import Event
from medgrid.catalog.provenance import Derivation
from medgrid.model import Algorithm, Cause, JobId, ObjectId, Sha256
from medgrid.workers.base import AttemptId, JournalRecord

if TYPE_CHECKING:
    from medgrid.broker.board import Board

__all__ = ["Settler"]

_BACK_OFF_S = 2.0
_LONGEST_BACK_OFF_S = 300.0


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
                    batch.moves.append(_move(attempt, Event.GIVE, now, station))
            elif isinstance(report, Failed):
                self._failure(batch, station, report.attempt, report.end, current)
            else:
                self._journal(batch, station, report, current)
        accepted = self._board.desk.apply(batch.moves)
        self._keep_results(batch, accepted, current)
        for name in {report.worker for report in reports if isinstance(report, Records)}:
            if name in self._board.stations:
                self._board.save_link(self._board.stations[name])
        commands: list[tuple[Station, Any]] = [
            (self._board.stations[name], Clean(tuple(attempts)))
            for name, attempts in batch.ended.items()
        ]
        commands += [(station, Drop(outputs)) for station, outputs in batch.drops]
        return commands

    def fail(self, station: Station, attempt: AttemptId, end: AttemptEnd) -> Move:
        """Transition of an attempt that the infrastructure failed."""
        live = station.drop(attempt)
        station.failed(end.cause, end.message, live.algorithm if live else None)
        job, number = split_attempt(attempt)
        now = time.time()
        what = f"attempt {number} on {station.name} failed ({end.cause}): {end.message}"
        if number >= self._max_attempts or (live and self._hopeless(live.algorithm, end)):
            return Move(job, number, Event.ABORT, now, what, worker=station.name, end=end)
        pause_s = min(_LONGEST_BACK_OFF_S, _BACK_OFF_S * 2 ** (number - 1))
        pause_s *= random.uniform(0.75, 1.25)  # noqa: S311 - spreads retries
        return Move(
            job,
            number,
            Event.RETRY,
            now,
            f"{what}; another attempt follows",
            worker=station.name,
            not_before_s=now + pause_s,
            end=end,
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
            if record.event in ("accepted", "staged"):
                batch.moves.append(_move(record.attempt, Event.GIVE, record.time_s, station))
            elif record.event == "started":
                batch.moves.append(_move(record.attempt, Event.START, record.time_s, station))
            elif record.event in ("done", "refused"):
                self._ended(batch, station, record, report, current)
        station.offset = report.offset

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
        station.drop(record.attempt)
        duration_s = None
        if record.started_s is not None and record.ended_s is not None:
            duration_s = record.ended_s - record.started_s
        station.succeeded(duration_s)
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
    return Move(job, number, event, time_s, f"on {station.name}", worker=station.name)


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
