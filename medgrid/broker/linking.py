"""Workers that come and go: taking over attempts, losing sight of them, giving them up."""

from __future__ import annotations

import logging
import time
from typing import Any

from medgrid.broker.assigning import Assigner
from medgrid.broker.board import Board
from medgrid.broker.messages import Cancel, Clean, Follow, LinkDown, LinkUp, Work, split_attempt
from medgrid.broker.settling import Settler, reason_of
from medgrid.broker.station import LiveAttempt, Station
from medgrid.catalog.job_desk import LiveJob
from medgrid.catalog.job_moves import AttemptEnd, Move
from medgrid.catalog.job_states import Event
from medgrid.errors import NotFound
from medgrid.model import Cause, JobState, StorageElement
from medgrid.workers.base import AttemptId

__all__ = ["Linker"]

_LOG = logging.getLogger("medgrid.broker")
_STEPS = {
    "started": Event.START,
    "suspended": Event.SUSPEND,
    "resumed": Event.RESUME,
    "done": Event.START,
}
"""What an attempt's last record says of where its job is."""


class Linker:
    """Keeps stations and catalog in step with who answers. Used inside a fenced transaction."""

    def __init__(self, board: Board, settler: Settler, assigner: Assigner) -> None:
        self._board = board
        self._settler = settler
        self._assigner = assigner

    def take_over(self) -> None:
        """Count in the attempts that live according to the catalog; at the start."""
        orphans: list[Move] = []
        for job in self._board.desk.live():
            station = self._board.stations.get(job.worker)
            if station is None:
                end = AttemptEnd(Cause.LOST, message=f"{job.worker} is no longer in the grid")
                orphans.append(self._settler.leave(job, end))
            else:
                station.add(job.attempt_id, self._live(job))
                health = station.breaker.health
                if health.outages and job.assigned_s >= health.until_s:
                    station.breaker.trial = job.attempt_id
                if station.driver is None:  # disabled: what it has is still brought to its end
                    self._board.drive(station)
        self._board.desk.apply(orphans)

    def _live(self, job: LiveJob) -> LiveAttempt:
        head = self._board.head(job.id.submission)
        return LiveAttempt(
            job.id,
            job.attempt,
            self._board.need(head.algorithm).slots,
            head.algorithm,
            job.tries - 1,
            job.strikes,
            head.owner,
            head.priority,
            job.assigned_s,
            is_there=True,
            runs_since_s=time.monotonic() if job.state is JobState.RUNNING else None,
        )

    def up(self, report: LinkUp) -> list[tuple[Station, Any]]:
        """A worker answers: return what to tell it."""
        station = self._board.stations.get(report.worker)
        if station is None:
            return []
        info = report.info
        _LOG.info("%s answers", station.name)
        known_before = station.agent_id
        station.inbox, station.info, station.tried = report.inbox, info, True
        station.down_since_s = None
        station.candidate.runtimes = info.runtimes
        station.candidate.ciphers = info.ciphers
        station.candidate.memory_bytes = info.memory_bytes
        moves: list[Move] = []
        other = known_before is not None and known_before != info.agent_id
        if other or station.offset > info.journal_offset:
            end = AttemptEnd(Cause.LOST, message="the worker has lost all it knew")
            moves += self._settler.lose_all(station, end)
            station.offset = 0
        station.agent_id = info.agent_id
        live: dict[AttemptId, StorageElement] = {}
        commands: list[tuple[Station, Any]] = []
        now = time.time()
        jobs = {job.attempt_id: job for job in self._board.desk.live_on(station.name)}
        for attempt in list(station.live):
            job = jobs.get(attempt)
            if job is None:
                station.drop(attempt)
                continue
            station.live[attempt].cancel_sent = False
            event = info.attempts.get(attempt)
            head = self._board.head(job.id.submission)
            try:
                live[attempt] = self._board.element(head.se)
                if event is None:
                    work: Work = self._assigner.work(attempt, head, job.items)
                    commands.append((station, work))
                    step = Event.REGAIN
                else:
                    step = _STEPS.get(event, Event.GIVE)
            except NotFound as exc:
                end = AttemptEnd(Cause.STAGE_IN, message=exc.message, of_storage=True)
                moves.append(self._settler.fail(station, attempt, end))
                continue
            reason = reason_of(step, station.name)
            moves.append(Move(job.id, job.attempt, step, now, reason, station.name))
        self._board.desk.apply(moves)
        self._board.save_link(station)
        self._board.save_health()
        commands.insert(0, (station, Follow(station.offset, live)))
        return commands + self._strays(station)

    def _strays(self, station: Station) -> list[tuple[Station, Any]]:
        """Attempts on the worker that no job is at any more: killed and forgotten."""
        if station.info is None:
            return []
        others = [attempt for attempt in station.info.attempts if attempt not in station.live]
        current = self._board.desk.current(split_attempt(one)[0] for one in others)
        strays = []
        for attempt in others:
            job, number = split_attempt(attempt)
            at = current.get(job)
            if at is None or not at.is_at(number):
                strays.append(attempt)
        running = tuple(one for one in strays if station.info.attempts[one] != "done")
        ended = tuple(one for one in strays if station.info.attempts[one] == "done")
        found: list[tuple[Station, Any]] = []
        if running:
            found.append((station, Cancel(running)))
        if ended:
            found.append((station, Clean(ended)))
        return found

    def down(self, report: LinkDown) -> None:
        """A worker does not answer: its jobs are Unknown until it does."""
        station = self._board.stations.get(report.worker)
        if station is None:
            return
        first = station.down_since_s is None
        station.inbox, station.tried, station.trouble_text = None, True, report.reason
        if not first:
            return
        now = time.time()
        _LOG.warning("%s does not answer: %s", station.name, report.reason)
        station.down_since_s = time.monotonic()
        clock = time.strftime("%H:%M:%SZ", time.gmtime(now))
        reason = f"{station.name} does not answer since {clock}: {report.reason}"
        self._board.desk.apply(
            [
                Move(live.job, live.attempt, Event.LOSE, now, reason, station.name)
                for live in station.live.values()
            ]
        )
        self._board.save_link(station, now)

    def given_up(self) -> list[Station]:
        """Stations that have been away for too long and still have attempts."""
        limit_s = self._board.settings.host_lost_after_s
        now = time.monotonic()
        return [
            station
            for station in self._board.stations.values()
            if station.live
            and station.down_since_s is not None
            and now - station.down_since_s > limit_s
        ]

    def give_up(self, station: Station, message: str) -> None:
        """Send the jobs of a lost worker elsewhere; its attempts can change nothing any more."""
        _LOG.warning("%s: its jobs go elsewhere: %s", station.name, message)
        end = AttemptEnd(Cause.LOST, message=message)
        self._board.desk.apply(self._settler.lose_all(station, end))
        self._board.save_health()

    def cancel(self) -> list[tuple[Station, Any]]:
        """Pass on what owners want cancelled; return what to tell the workers.

        A worker is told of all at once: else one that waits there would start in the slot of one
        that was just ended.
        """
        found: dict[str, list[AttemptId]] = {}
        moves: list[Move] = []
        for job in self._board.desk.to_cancel():
            station = self._board.stations.get(job.worker)
            live = station.live.get(job.attempt_id) if station else None
            if station is None or live is None:
                continue
            if station.inbox is None and station.tried:
                station.drop(job.attempt_id)
                reason = f"cancelled by its owner; {station.name} is told when it answers again"
                end = AttemptEnd(Cause.CANCELLED, message=reason)
                moves.append(
                    Move(
                        job.id,
                        job.attempt,
                        Event.CANCEL,
                        time.time(),
                        reason,
                        station.name,
                        end=end,
                    )
                )
            elif station.inbox is not None and not live.cancel_sent:
                live.cancel_sent = True
                found.setdefault(station.name, []).append(job.attempt_id)
        self._board.desk.apply(moves)
        return [
            (self._board.stations[name], Cancel(tuple(attempts)))
            for name, attempts in found.items()
        ]
