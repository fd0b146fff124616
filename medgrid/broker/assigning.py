"""Waiting jobs -> workers: a few at a time, so that each worker is always kept busy."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medgrid.broker.board import Board, Keys
from medgrid.broker.matching import Need, bytes_to_move, objection
from medgrid.broker.messages import Work
from medgrid.broker.station import LiveAttempt, Station
from medgrid.catalog.job_desk import SubmissionHead, WaitingJob
from medgrid.catalog.job_moves import Move
from medgrid.catalog.job_states import Event
from medgrid.errors import NotFound
from medgrid.model import GridObject, JobId, ObjectId, Replica
from medgrid.workers.base import AttemptId

__all__ = ["Assigner", "Plan"]

_WINDOW = 200  # jobs looked at beyond those there is room for, to find local ones
_MARGIN = 20  # the same where all workers with room are at one site
_SETTLE_S = 3.0
_FRESH_S = 0.25  # how long what was read of waiting jobs is used
_AHEAD = 500  # jobs read at once
_LOOK_S = 1.0  # how often to look at what waits when no worker has room
_MOST = 2000
_KNOWN_S = 30.0
_KNOWN_MOST = 100_000
_REASONS_SHOWN = 3
BUSY = "all workers that fit are busy"


@dataclass(slots=True)
class Plan:
    """What should happen: transitions, and work to send once they are kept."""

    moves: list[Move]
    works: dict[tuple[JobId, int], tuple[Station, Work]]
    waits: dict[int, str]  # submission -> why its jobs wait

    def __bool__(self) -> bool:
        return bool(self.moves or self.waits)


class Assigner:
    """Chooses workers. Reads the catalog, writes nothing."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._told: dict[int, str] = {}
        self._look_again_s = 0.0
        self._waiting: dict[int, int] = {}
        self._waiting_s = 0.0
        self._ahead: dict[int, list[WaitingJob]] = {}  # read, not placed yet
        self._all_read: dict[int, bool] = {}
        self._settled_s = time.monotonic() + _SETTLE_S
        self._known: dict[ObjectId, tuple[float, GridObject, Sequence[Replica]]] = {}

    def plan(self) -> Plan:
        """Look at all that waits, best priority and oldest first."""
        plan = Plan([], {}, {})
        board = self._board
        for station in board.stations.values():
            station.refresh()
        now = time.monotonic()
        if now < self._look_again_s and not any(
            one.candidate.trouble is None and one.candidate.has_room(1)
            for one in board.stations.values()
        ):
            return plan
        self._look_again_s = now + _LOOK_S
        if now - self._waiting_s > _FRESH_S:
            self._waiting, self._waiting_s = board.desk.waiting(), now
            self._told = {key: text for key, text in self._told.items() if key in self._waiting}
            self._ahead.clear()
        for number in self._waiting:
            self._submission(plan, number)
        return plan

    def _submission(self, plan: Plan, number: int) -> None:
        head = self._board.head(number)
        need = self._board.need(head.algorithm)
        fit = self._board.fit(head.algorithm)
        usable = [station for station in fit if station.candidate.trouble is None]
        roomy = [station for station in usable if station.candidate.has_room(need.slots)]
        if not fit:
            self._nobody(plan, head, need)
        elif not usable and not all(station.tried for station in fit):
            return  # one of them may answer at any moment
        elif not usable:
            self._wait(plan, number, _because((s.name, s.candidate.trouble or "") for s in fit))
        elif not roomy:
            self._wait(plan, number, BUSY)
        else:
            self._spread(plan, head, need, fit, roomy)

    def _nobody(self, plan: Plan, head: SubmissionHead, need: Need) -> None:
        """No worker fits: the jobs wait for one, or end when one was tried and lacks something."""
        why = _because(
            (station.name, objection(need, head.algorithm, station.candidate) or "")
            for station in self._board.stations.values()
        )
        tried = any(head.algorithm in s.candidate.unfit for s in self._board.stations.values())
        if not tried:
            self._wait(plan, head.number, why)
            return
        now = time.time()
        plan.moves += [
            Move(job.id, job.attempt, Event.ABORT, now, why)
            for job in self._board.desk.next_waiting(head.number, _MOST, float("inf"))
        ]

    def _wait(self, plan: Plan, number: int, reason: str) -> None:
        if self._told.get(number) != reason:
            plan.waits[number] = self._told[number] = reason

    # -- spreading ---------------------------------------------------------------------------------

    def _spread(
        self,
        plan: Plan,
        head: SubmissionHead,
        need: Need,
        fit: Sequence[Station],
        roomy: Sequence[Station],
    ) -> None:
        room = sum(
            max(1, (s.candidate.limit_slots - s.candidate.used_slots) // need.slots) for s in roomy
        )
        window = _WINDOW if len({s.candidate.worker.site for s in roomy}) > 1 else _MARGIN
        shared = [one for ids in head.inputs.values() for one in ids]
        ahead = self._next(head.number, min(_MOST, room + window), shared)
        jobs, later = ahead[: room + window], ahead[room + window :]
        if not jobs:
            return
        names = {s.name for s in fit if s.candidate.trouble is None or not s.tried}
        placed: list[tuple[Station, WaitingJob, LiveAttempt]] = []
        left = list(jobs)
        # at the start, a worker that has the input may be about to answer
        early = time.monotonic() < self._settled_s and not all(one.tried for one in fit)
        for idle in (True, False):
            for local in (True,) if early else (True, False):
                rest: list[WaitingJob] = []
                for job in left:
                    open_ = [s for s in roomy if _has_room(s, need.slots, idle)]
                    station = self._place(names, open_, job, shared, local) if open_ else None
                    if station is None:
                        rest.append(job)
                        continue
                    live = LiveAttempt(
                        job.id,
                        job.attempt + 1,
                        need.slots,
                        head.algorithm,
                        job.tries,
                        job.strikes,
                    )
                    station.place(f"{job.id}.{live.attempt}", live)
                    placed.append((station, job, live))
                left = rest
        self._assign(plan, head, placed, shared)
        self._ahead[head.number] = left + later
        if left and not any(_has_room(s, need.slots, False) for s in roomy):
            self._wait(plan, head.number, BUSY)

    def _next(self, number: int, wanted: int, shared: Sequence[ObjectId]) -> list[WaitingJob]:
        """Jobs of a submission that want a worker, at least `wanted` if there are so many."""
        ahead = self._ahead.get(number)
        if ahead is None or (len(ahead) < wanted and not self._all_read[number]):
            limit = max(wanted, _AHEAD)
            ahead = self._board.desk.next_waiting(number, limit, time.time())
            self._all_read[number] = len(ahead) < limit
            self._learn([*shared, *(one for job in ahead for one in job.items)])
        return ahead

    def _place(
        self,
        names: set[str],
        roomy: Sequence[Station],
        job: WaitingJob,
        shared: Sequence[ObjectId],
        local: bool,
    ) -> Station | None:
        """The best of `roomy` for one job; with `local` only where no byte must be moved."""
        avoid = job.failed_on if names - job.failed_on else frozenset[str]()
        objects = [self._known[one][1] for one in (*shared, *job.items) if one in self._known]
        replicas = {item.id: self._known[item.id][2] for item in objects}
        best: tuple[int, float, str] | None = None
        chosen: Station | None = None
        for station in roomy:
            candidate = station.candidate
            if station.name in avoid:
                continue
            moved = bytes_to_move(objects, replicas, self._board.se_sites, candidate)
            if local and moved:
                continue
            key = (moved, candidate.load, station.name)
            if best is None or key < best:
                best, chosen = key, station
        if chosen is not None:
            chosen.candidate.staged.update(
                self._known[one][1].sha256 for one in shared if one in self._known
            )
        return chosen

    def _assign(
        self,
        plan: Plan,
        head: SubmissionHead,
        placed: Sequence[tuple[Station, WaitingJob, LiveAttempt]],
        shared: Sequence[ObjectId],
    ) -> None:
        """Give jobs to the workers that were chosen for them, with the keys they need."""
        now = time.time()
        protected = [job.id for _, job, _ in placed if self._any_protected((*shared, *job.items))]
        lent = self._board.borrow(head.number, protected) if protected else {}
        for station, job, live in placed:
            attempt = f"{job.id}.{live.attempt}"
            try:
                work = self.work(attempt, head, job.items, lent.get(job.id.number))
            except NotFound as exc:
                station.drop(attempt)
                plan.moves.append(Move(job.id, job.attempt, Event.ABORT, now, exc.message))
                continue
            plan.moves.append(
                Move(job.id, job.attempt, Event.ASSIGN, now, f"to {station.name}", station.name)
            )
            plan.works[job.id, job.attempt] = (station, work)

    def _any_protected(self, ids: Iterable[ObjectId]) -> bool:
        return any(self._known[one][1].is_protected for one in ids if one in self._known)

    def work(
        self,
        attempt: AttemptId,
        head: SubmissionHead,
        items: tuple[ObjectId, ...],
        lent: Keys | None = None,
    ) -> Work:
        """All a driver needs for an attempt; `lent` are keys of its job, if they were asked for.

        Raises
        ------
        NotFound
            Something it needs is gone from the grid.
        """
        ids = [one for many in head.inputs_of(items).values() for one in many]
        self._learn(ids)
        known = {one: self._known[one] for one in ids if one in self._known}
        objects: Mapping[ObjectId, GridObject] = {one: found[1] for one, found in known.items()}
        replicas = {one: found[2] for one, found in known.items()}
        return self._board.work(attempt, head, items, objects, replicas, lent)

    def _learn(self, ids: Iterable[ObjectId]) -> None:
        """Read objects and replicas that were not read a short while ago."""
        now = time.monotonic()
        if len(self._known) > _KNOWN_MOST:
            self._known.clear()
        old = now - _KNOWN_S
        wanted = {one for one in ids if one not in self._known or self._known[one][0] < old}
        if not wanted:
            return
        objects = self._board.catalog.objects.by_ids(wanted)
        replicas = self._board.catalog.objects.replicas(wanted)
        for one in wanted:
            if one in objects:
                self._known[one] = (now, objects[one], replicas[one])
            else:
                self._known.pop(one, None)


def _has_room(station: Station, slots: int, idle: bool) -> bool:
    """Whether a worker has a free slot or, when not `idle`, room in its queue."""
    candidate = station.candidate
    if not candidate.has_room(slots):
        return False
    return not idle or candidate.used_slots + slots <= candidate.worker.slots


def _because(reasons: Iterable[tuple[str, str]]) -> str:
    parts = [f"{name}: {why}" for name, why in reasons]
    if not parts:
        return "the grid has no worker"
    more = f"; and {len(parts) - _REASONS_SHOWN} more" if len(parts) > _REASONS_SHOWN else ""
    return f"no worker can take it: {'; '.join(parts[:_REASONS_SHOWN])}{more}"
