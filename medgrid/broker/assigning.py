"""Waiting jobs -> workers: a few at a time, so that each worker is always kept busy."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any

from medgrid.broker.board import Board, Keys
from medgrid.broker.matching import Need, bytes_to_move, objection
from medgrid.broker.messages import Work
from medgrid.broker.shares import Claim, in_turn, take_turns
from medgrid.broker.station import LiveAttempt, Station
from medgrid.catalog.job_desk import SubmissionHead, WaitingJob
from medgrid.catalog.job_moves import AttemptEnd, Move
from medgrid.catalog.job_states import Event
from medgrid.errors import NotFound
from medgrid.model import Cause, GridObject, JobId, ObjectId, Priority, Replica, Sha256
from medgrid.workers.base import AttemptId

__all__ = ["Assigner", "Plan"]

_WINDOW = 200  # jobs looked at beyond those there is room for, to find local ones
_MARGIN = 20  # the same where all workers with room are at one site
_SETTLE_S = 3.0
_FRESH_S = 0.25  # how long what was read of waiting jobs is used
_AHEAD = 500  # jobs read at once
_LOOK_S = 1.0  # how often to look at what waits when no worker has room
_MOST = 2000
_AT_ONCE = 512  # jobs placed by one plan: the first should not wait until many are written
_KNOWN_S = 10.0  # how long what was read of objects is believed
_FORGOTTEN_S = 2 * _KNOWN_S  # longer: what waits was believed a moment ago, and is still needed
_REASONS_SHOWN = 3
_NO_LOSS = (False, 0, 0.0)
BUSY = "all workers that fit are busy"


@dataclass(slots=True)
class Plan:
    """What should happen: transitions, and work to send once they are kept."""

    moves: list[Move]
    works: dict[tuple[JobId, int], tuple[Station, Work]]
    waits: dict[int, str]  # submission -> why its jobs wait

    def __bool__(self) -> bool:
        return bool(self.moves or self.waits)

    def interleave(self, start: int, turns: Iterable[int]) -> None:
        """Put works from position `start` on into the order of turns: a worker keeps theirs."""
        works = list(self.works.items())
        waiting: dict[int, deque[Any]] = {}
        for one in works[start:]:
            waiting.setdefault(one[0][0].submission, deque()).append(one)
        rest = (waiting[number].popleft() for number in turns if waiting.get(number))
        left = (one for many in waiting.values() for one in many)
        self.works = dict([*works[:start], *rest, *left])


@dataclass(frozen=True, slots=True)
class _Prospect:
    """Workers that fit an algorithm, those of them that take jobs now, and have room."""

    need: Need
    fit: Sequence[Station]
    usable: Sequence[Station]
    roomy: Sequence[Station]


class Assigner:
    """Chooses workers. Reads the catalog, writes nothing."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._told: dict[int, str] = {}
        self._look_again_s = 0.0
        self._waiting: list[int] = []
        self._waiting_s = 0.0
        self._ahead: dict[int, list[WaitingJob]] = {}  # read, not placed yet
        self._all_read: dict[int, bool] = {}
        self._settled_s = time.monotonic() + _SETTLE_S
        self._known: dict[ObjectId, tuple[float, GridObject, Sequence[Replica]]] = {}
        self._prospects: dict[Sha256, _Prospect] = {}
        self._placed: set[JobId] = set()  # by the plan that is being made

    def plan(self, *, anew: bool = False) -> Plan:
        """Look at all that waits: emergencies, then class by class, where users take turns.

        With `anew` what was read a moment ago is not used.
        """
        plan = Plan([], {}, {})
        board = self._board
        self._prospects.clear()
        self._placed.clear()
        for station in board.stations.values():
            station.refresh()
        now = time.monotonic()
        if anew or now - self._waiting_s > _FRESH_S:
            self._waiting, self._waiting_s = board.desk.waiting(), now
            waiting = set(self._waiting)
            self._told = {key: text for key, text in self._told.items() if key in waiting}
            self._ahead.clear()
        classes: dict[Priority, list[SubmissionHead]] = {}
        for number in self._waiting:
            head = board.head(number)
            classes.setdefault(head.priority, []).append(head)
        for head in classes.pop(Priority.EMERGENCY, ()):
            if prospect := self._prospect(plan, head):
                self._spread(plan, head, prospect, None)
        if (
            not anew
            and now < self._look_again_s
            and not any(
                one.candidate.trouble is None and one.candidate.has_room(1)
                for one in board.stations.values()
            )
        ):
            return plan
        self._look_again_s = now + _LOOK_S
        board.shares.pass_time(time.time())
        for priority in sorted(classes, key=lambda one: one.rank):
            self._share(plan, classes[priority])
        return plan

    def _share(self, plan: Plan, heads: Sequence[SubmissionHead]) -> None:
        """Let the users of one class take turns, then whoever has jobs for the slots left over."""
        shares = self._board.shares
        claims: dict[int, Claim] = {}
        prospects: dict[int, _Prospect] = {}
        for head in heads:
            prospect = self._prospect(plan, head)
            if prospect is None:
                continue
            slots = prospect.need.slots
            if shares.left(head.owner) < slots:
                self._wait(plan, head.number, self._over_quota(head.owner))
            elif not any(_has_room(one, slots, False) for one in prospect.roomy):
                self._wait(plan, head.number, BUSY)
            else:
                prospects[head.number] = prospect
                more = partial(self._has_more, head)
                claims[head.number] = Claim(head.number, head.owner, slots, more)
        stations = {one.name: one for each in prospects.values() for one in each.roomy}
        room = min(sum(_free(one) for one in stations.values()), self._left())
        turns = take_turns(shares, claims.values(), room)
        before = len(plan.works)
        for number, count in Counter(turns).items():
            self._spread(plan, self._board.head(number), prospects[number], count)
        plan.interleave(before, turns)
        for claim in in_turn(shares, claims.values()):
            if not self._left():
                return
            head, prospect = self._board.head(claim.number), prospects[claim.number]
            if not any(_has_room(one, claim.slots, False) for one in prospect.roomy):
                if self._has_more(head, 0):
                    self._wait(plan, claim.number, BUSY)
                continue
            left = shares.left(claim.owner)
            if left >= claim.slots:
                most = None if left == math.inf else int(left) // claim.slots
                self._spread(plan, head, prospect, most)
            elif self._has_more(head, 0):
                self._wait(plan, claim.number, self._over_quota(claim.owner))

    def _has_more(self, head: SubmissionHead, count: int) -> bool:
        """Whether more than `count` jobs of a submission want a worker now."""
        shared = [one for ids in head.inputs.values() for one in ids]
        return len(self._next(head.number, min(_MOST, count + 1), shared)) > count

    def _over_quota(self, owner: str) -> str:
        limit = self._board.shares.quotas[owner].slots
        return f"{owner} has as many slots as the quota allows: {limit}"

    def _prospect(self, plan: Plan, head: SubmissionHead) -> _Prospect | None:
        """Workers for the jobs of a submission; None when there are none now, which is told."""
        digest = head.algorithm
        found = self._prospects.get(digest)
        if found is None:
            need, fit = self._board.need(digest), self._board.fit(digest)
            usable = [station for station in fit if station.candidate.trouble is None]
            roomy = [station for station in usable if station.candidate.has_room(need.slots)]
            found = self._prospects[digest] = _Prospect(need, fit, usable, roomy)
        if not found.fit:
            self._nobody(plan, head, found.need)
        elif found.usable:
            return found
        elif all(station.tried for station in found.fit):  # else one may answer at any moment
            because = _because((s.name, s.candidate.trouble or "") for s in found.fit)
            self._wait(plan, head.number, because)
        return None

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
            Move(job.id, job.attempt, Event.ABORT, now, why, end=_last(job, why))
            for job in self._board.desk.next_waiting(head.number, _MOST, float("inf"))
        ]

    def _wait(self, plan: Plan, number: int, reason: str) -> None:
        if self._told.get(number) != reason:
            plan.waits[number] = self._told[number] = reason

    # -- spreading ---------------------------------------------------------------------------------

    def _spread(
        self, plan: Plan, head: SubmissionHead, prospect: _Prospect, most: int | None
    ) -> None:
        """Place up to `most` jobs of a submission, lowest numbers first; None is all there is."""
        need, fit = prospect.need, prospect.fit
        urgent = head.priority is Priority.EMERGENCY
        roomy = prospect.usable if urgent else prospect.roomy
        room = sum(max(1, _free(s, urgent) // need.slots) for s in roomy)
        room = min(room, self._left()) if most is None else min(room, self._left(), most)
        window = _WINDOW if len({s.candidate.worker.site for s in roomy}) > 1 else _MARGIN
        shared = [one for ids in head.inputs.values() for one in ids]
        ahead = self._next(head.number, min(_MOST, room + window), shared)
        jobs, later = ahead[: room + window], ahead[room + window :]
        if not jobs:
            return
        names = {s.name for s in fit if s.candidate.trouble is None or not s.tried}
        placed: list[tuple[Station, WaitingJob, LiveAttempt]] = []
        left = list(jobs)
        # at the start, a worker that has the input, or a free slot, may be about to answer
        early = time.monotonic() < self._settled_s and not all(one.tried for one in fit)
        now = time.time()
        for idle in (True,) if early and not urgent else (True, False):
            for local in (True,) if early else (True, False):
                rest: list[WaitingJob] = []
                for job in left:
                    open_ = [s for s in roomy if _has_room(s, need.slots, idle, urgent)]
                    station = None
                    if open_ and len(placed) < room:
                        station = self._place(names, open_, job, shared, local, urgent and not idle)
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
                        head.owner,
                        head.priority,
                        now,
                    )
                    station.place(f"{job.id}.{live.attempt}", live)
                    self._placed.add(job.id)
                    placed.append((station, job, live))
                left = rest
        self._assign(plan, head, placed, shared)
        self._ahead[head.number] = left + later
        if left and not any(_has_room(s, need.slots, False, urgent) for s in roomy):
            self._wait(plan, head.number, BUSY)

    def _left(self) -> int:
        """How many jobs this plan may still place."""
        return _AT_ONCE - len(self._placed)

    def _next(self, number: int, wanted: int, shared: Sequence[ObjectId]) -> list[WaitingJob]:
        """Jobs of a submission that want a worker, at least `wanted` if there are so many."""
        ahead = self._ahead.get(number)
        if ahead is None or (len(ahead) < wanted and not self._all_read[number]):
            limit = max(_AHEAD, 2 * wanted) + len(self._placed)
            found = self._board.desk.next_waiting(number, limit, time.time())
            self._all_read[number] = len(found) < limit
            ahead = [job for job in found if job.id not in self._placed]
            self._ahead[number] = ahead
            self._learn([*shared, *(one for job in ahead for one in job.items)])
        return ahead

    def _place(
        self,
        names: set[str],
        roomy: Sequence[Station],
        job: WaitingJob,
        shared: Sequence[ObjectId],
        local: bool,
        by_loss: bool,
    ) -> Station | None:
        """The best of `roomy` for one job; with `local` only where no byte must be moved.

        With `by_loss` it is one where others have to stand still, and the least is lost.
        """
        avoid = job.failed_on if names - job.failed_on else frozenset[str]()
        objects = [self._known[one][1] for one in (*shared, *job.items) if one in self._known]
        replicas = {item.id: self._known[item.id][2] for item in objects}
        best: tuple[tuple[bool, int, float], int, float, str] | None = None
        chosen: Station | None = None
        for station in roomy:
            candidate = station.candidate
            if station.name in avoid:
                continue
            moved = bytes_to_move(objects, replicas, self._board.se_sites, candidate)
            if local and moved:
                continue
            loss = station.loss() if by_loss else _NO_LOSS
            key = (loss, moved, candidate.load, station.name)
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
                end = _last(job, exc.message)
                plan.moves.append(Move(job.id, job.attempt, Event.ABORT, now, exc.message, end=end))
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
        old = now - _KNOWN_S
        wanted = {one for one in ids if one not in self._known or self._known[one][0] < old}
        if not wanted:
            return
        objects = self._board.catalog.objects.by_ids(wanted)
        replicas = self._board.catalog.objects.replicas(wanted)
        for one in wanted:
            self._known.pop(one, None)  # so that the oldest come first
            if one in objects:
                self._known[one] = (now, objects[one], replicas[one])
        oldest = [*takewhile(lambda one: self._known[one][0] < now - _FORGOTTEN_S, self._known)]
        for one in oldest:
            del self._known[one]


def _has_room(station: Station, slots: int, idle: bool, urgent: bool = False) -> bool:
    """Whether a worker has a free slot or, when not `idle`, room in its queue.

    An emergency job has no need of a queue: it takes the slots of others.
    """
    candidate = station.candidate
    if idle or not urgent:
        free = candidate.used_slots + slots <= candidate.worker.slots
        return candidate.has_room(slots) and (not idle or free)
    return candidate.has_room_for_emergency(slots)


def _free(station: Station, urgent: bool = False) -> int:
    candidate = station.candidate
    if urgent:
        return max(0, candidate.worker.slots - candidate.urgent_slots)
    return max(1, candidate.limit_slots - candidate.used_slots)


def _last(job: WaitingJob, why: str) -> AttemptEnd | None:
    """What is said of a job that is given up while it waits, when it was tried before."""
    return AttemptEnd(Cause.ENVIRONMENT, message=why) if job.tries else None


def _because(reasons: Iterable[tuple[str, str]]) -> str:
    parts = [f"{name}: {why}" for name, why in reasons]
    if not parts:
        return "the grid has no worker"
    more = f"; and {len(parts) - _REASONS_SHOWN} more" if len(parts) > _REASONS_SHOWN else ""
    return f"no worker can take it: {'; '.join(parts[:_REASONS_SHOWN])}{more}"
