"""Random lives of jobs on a real catalog, beside a simple model of the rules.

Everything that writes jobs takes part: owners who submit, cancel, clear and resubmit, with a quota
and without; brokers that take over from each other, of which the earlier ones go on; moves in any
order, of old attempts, of wrong workers; transactions that fail; catalogs that are opened anew.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, update

from medgrid.catalog import Catalog
from medgrid.catalog.job_moves import AttemptEnd, Move
from medgrid.catalog.job_schema import job as job_table
from medgrid.catalog.job_schema import job_attempt, job_event
from medgrid.catalog.job_schema import lease as lease_table
from medgrid.catalog.job_states import ACTIVE, PENDING, RULES, Event, Guard
from medgrid.catalog.job_tally import NOT_STARTED
from medgrid.catalog.jobs import NewSubmission
from medgrid.catalog.leases import BROKER, Lease, LeaseHeld, LeaseLost
from medgrid.catalog.quotas import Quota
from medgrid.errors import Denied
from medgrid.model import Cause, JobId, JobState, Sha256
from tests.lab.postgres import PostgresServer

WORKERS = ("w1", "w2")
OWNERS = ("ann", "bob")
MOST_JOBS = 5
DIGEST = Sha256("d" * 64)

ENDS = (Event.END, Event.RETRY, Event.ABORT, Event.CANCEL)
FINAL = [state for state in JobState if state.is_final]
_CAUSES = {
    Event.END: (Cause.OK, Cause.EXIT),
    Event.RETRY: (Cause.LOST, Cause.PREEMPTED),
    Event.ABORT: (Cause.LOST, Cause.NO_SPACE),
    Event.CANCEL: (Cause.CANCELLED, Cause.CANCELLED),
}


@dataclass
class Life:
    """What the model knows of a job."""

    owner: str
    state: JobState = JobState.SUBMITTED
    reason: str = ""
    attempt: int = 0
    old_attempts: int = 0
    preemptions: int = 0
    strikes: int = 0
    worker: str | None = None
    cause: Cause | None = None
    exit_code: int | None = None
    cancel_asked: bool = False
    stands_still: bool = False
    ends: list[Cause | None] = field(default_factory=list)  # of each attempt; None lives
    events: list[tuple[JobState, int, str]] = field(default_factory=list)

    def allows(self, move: Move) -> bool:
        """Whether a move may happen."""
        one = RULES[move.event]
        if move.attempt != self.attempt or self.state not in one.sources:
            return False
        if move.event is not Event.ASSIGN and move.worker not in (None, self.worker):
            return False
        if self.state is one.target and self.reason == move.reason:
            return False
        if one.guard is Guard.FAILED:
            return self.cause is not Cause.OK
        if one.guard in (Guard.RUNS, Guard.STANDS_STILL) and self.state is not JobState.UNKNOWN:
            return self.stands_still is (one.guard is Guard.STANDS_STILL)
        return True

    def make(self, move: Move) -> None:
        """Let it happen."""
        was_alive = self.state in ACTIVE
        self.state, self.reason = RULES[move.event].target, move.reason
        if move.event is Event.ASSIGN:
            self.attempt += 1
            self.worker = move.worker
            self.ends.append(None)
            self.cause = self.exit_code = None
        elif move.event is Event.RETRY:
            self.worker = None
            self.strikes += move.strike
            self.preemptions += move.end is not None and move.end.cause is Cause.PREEMPTED
        elif move.event is Event.RESUBMIT:
            self.old_attempts = self.attempt
            self.preemptions = self.strikes = 0
            self.worker = self.cause = self.exit_code = None
            self.cancel_asked = False
        if move.event is Event.SUSPEND:
            self.stands_still = True
        elif move.event is Event.RESUME or self.state not in (JobState.RUNNING, JobState.UNKNOWN):
            self.stands_still = False
        if move.end is not None:
            if was_alive:
                self.ends[-1] = move.end.cause
            if self.state.is_final:
                self.cause, self.exit_code = move.end.cause, move.end.exit_code
        self.events.append((self.state, self.attempt, self.reason))


Rows = tuple[list[Any], list[Any], list[Any]]


class Lives(RuleBasedStateMachine):
    """The catalog must agree with the model, whatever comes in whatever order."""

    new_url: ClassVar[Callable[[], str]]

    def __init__(self) -> None:
        super().__init__()
        self.url = type(self).new_url()
        self.catalog = Catalog.open(self.url)
        self.lives: dict[JobId, Life] = {}
        self.quota: dict[str, int | None] = dict.fromkeys(OWNERS)
        self.brokers: list[Lease] = []
        self.clock = 0

    # -- brokers -----------------------------------------------------------------------------------

    @initialize()
    def first_broker(self) -> None:
        self.brokers = [self.catalog.leases.acquire(BROKER, "broker 0", "boot/0/1")]
        self.owner_submits("ann", 2)

    @rule(dead=st.booleans())
    def broker_is_replaced(self, dead: bool) -> None:
        number = len(self.brokers)
        leases, name = self.catalog.leases, f"boot/{number}/1"
        with pytest.raises(LeaseHeld):
            leases.acquire(BROKER, f"broker {number}", name)
        gone = f"boot/{number - 1}/1" if dead else None
        if not dead:  # it has said nothing for an hour, and goes on all the same
            with self.catalog.db.write() as connection:
                connection.execute(
                    update(lease_table).values(heartbeat_s=lease_table.c.heartbeat_s - 3600)
                )
        self.brokers.append(leases.acquire(BROKER, f"broker {number}", name, gone=gone))
        assert self.brokers[-1].token > self.brokers[-2].token

    @precondition(lambda self: len(self.brokers) > 1)
    @rule(data=st.data())
    def earlier_broker_writes(self, data: st.DataObject) -> None:
        earlier = data.draw(st.sampled_from(self.brokers[:-1]))
        before = self.rows()
        with pytest.raises(LeaseLost), self.catalog.leases.writing(earlier):
            self.catalog.jobs.desk.apply(self.right_moves())
            pytest.fail("two brokers write")
        self.catalog.leases.release(earlier)
        assert self.rows() == before
        holder = self.catalog.leases.holder(BROKER)
        assert holder is not None
        assert holder.holder == f"broker {len(self.brokers) - 1}"

    @rule(seed=st.integers(0, 2**32 - 1), fails=st.sampled_from((False, False, False, True)))
    def many_moves(self, seed: int, fails: bool) -> None:
        """Moves of all kinds, of owners too; most are of the living attempt and its worker."""
        dice = random.Random(seed)
        moves = [
            self.move(
                dice.choice(list(self.lives)),
                dice.choice(list(Event)),
                dice.choice((0, 0, 0, 0, -1, 1)),
                dice.choice((None, None, None, *WORKERS)),
                dice.random() < 0.5,
            )
            for _ in range(dice.randint(1, 16))
        ]
        self.write(moves, fails)

    @precondition(lambda self: self.lives)
    @rule(index=st.integers(0, MOST_JOBS - 1), steps=st.integers(1, 4), good=st.booleans())
    def job_goes_on(self, index: int, steps: int, good: bool) -> None:
        """What happens to a job on a good day, so that many lives are long."""
        job = list(self.lives)[index % len(self.lives)]
        following = {
            JobState.SUBMITTED: Event.ASSIGN,
            JobState.WAITING: Event.ASSIGN,
            JobState.READY: Event.GIVE,
            JobState.SCHEDULED: Event.START,
            JobState.RUNNING: Event.END if good else Event.SUSPEND,
            JobState.UNKNOWN: Event.START if good else Event.REGAIN,
        }
        for _ in range(steps):
            life = self.lives[job]
            event = following.get(life.state)
            if event is Event.SUSPEND and life.stands_still:
                event = Event.RESUME
            if event is not None:
                before = life.state
                self.write([self.move(job, event, 0, None, good)])
                assert self.lives[job].state is RULES[event].target, (before, event)

    @precondition(lambda self: self.lives)
    @rule(index=st.integers(0, MOST_JOBS - 1), reason=st.sampled_from(("busy", "no worker")))
    def submission_waits(self, index: int, reason: str) -> None:
        number = list(self.lives)[index % len(self.lives)].submission
        with self.catalog.leases.writing(self.brokers[-1]):
            self.catalog.jobs.desk.let_wait(number, reason)
        for job, life in self.lives.items():
            if job.submission != number or life.state not in PENDING:
                continue
            if life.state is JobState.SUBMITTED:
                life.events.append((JobState.WAITING, life.attempt, reason))
            life.state, life.reason = JobState.WAITING, reason

    # -- owners ------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.lives) < MOST_JOBS)
    @rule(owner=st.sampled_from(OWNERS), count=st.integers(1, 2))
    def owner_submits(self, owner: str, count: int) -> None:
        new = NewSubmission(DIGEST, "a@1", owner, [[]] * count, None, {}, {})
        limit, is_open = self.quota[owner], self.open_jobs(owner)
        if limit is not None and is_open + count > limit:
            before = self.rows()
            with pytest.raises(Denied) as caught:
                self.catalog.jobs.create_submission(new)
            assert caught.value.message == (
                f"{owner} may have {limit} open jobs, has {is_open} and wants {count} more"
            )
            assert self.rows() == before
            return
        _, jobs = self.catalog.jobs.create_submission(new)
        for job in jobs:
            self.lives[job] = Life(owner, events=[(JobState.SUBMITTED, 0, "")])

    @rule(owner=st.sampled_from(OWNERS), limit=st.sampled_from((None, 1, 2)))
    def quota_is_set(self, owner: str, limit: int | None) -> None:
        self.catalog.quotas.put(owner, Quota(jobs=limit))
        self.quota[owner] = limit

    @precondition(lambda self: self.lives)
    @rule(index=st.integers(0, MOST_JOBS - 1), whole=st.booleans())
    def owner_cancels(self, index: int, whole: bool) -> None:
        one = list(self.lives)[index % len(self.lives)]
        jobs = [job for job in self.lives if job.submission == one.submission] if whole else [one]
        expected = {}
        for job in jobs:
            life = self.lives[job]
            before = life.state
            if before in PENDING:
                life.make(Move(job, life.attempt, Event.CANCEL, 0, "cancelled by its owner"))
            elif before in ACTIVE:
                life.cancel_asked = True
            expected[job] = (before, life.state)
        word = str(one.submission) if whole else str(one)
        assert self.catalog.jobs.cancel([word]) == expected
        asked = {job for job, life in self.lives.items() if life.cancel_asked}
        assert {live.id for live in self.catalog.jobs.desk.to_cancel()} == {
            job for job in asked if self.lives[job].state in ACTIVE
        }

    @rule()
    def owners_clear(self) -> None:
        expected = set()
        for job, life in self.lives.items():
            if life.state is JobState.DONE:
                life.make(Move(job, life.attempt, Event.CLEAR, 0, "cleared by its owner"))
                expected.add(job)
        assert self.catalog.jobs.clear(list(self.lives)) == expected

    @rule(owner=st.sampled_from(OWNERS))
    def owner_resubmits(self, owner: str) -> None:
        moves = [
            Move(job, life.attempt, Event.RESUBMIT, 0, "resubmitted by its owner")
            for job, life in self.lives.items()
            if life.owner == owner
        ]
        again = [move for move in moves if self.lives[move.job].allows(move)]
        limit, before = self.quota[owner], self.rows()
        if limit is not None and again and self.open_jobs(owner) + len(again) > limit:
            with pytest.raises(Denied):
                self.catalog.jobs.resubmit([move.job for move in moves])
            assert self.rows() == before
            return
        for move in again:
            self.lives[move.job].make(move)
        found = self.catalog.jobs.resubmit([move.job for move in moves])
        assert found == {move.job for move in again}

    # -- and the rest of the world -----------------------------------------------------------------

    @rule()
    def catalog_is_opened_anew(self) -> None:
        self.catalog.close()
        self.catalog = Catalog.open(self.url)

    # -- how ---------------------------------------------------------------------------------------

    def move(self, job: JobId, event: Event, shift: int, worker: str | None, good: bool) -> Move:
        self.clock += 1
        life = self.lives[job]
        told: str | None = worker or life.worker or "w1"
        by_worker = life.state in ACTIVE or event is Event.ASSIGN
        if worker is None and not by_worker:
            told = life.worker  # nobody tells: it is on none
        attempt, reason = life.attempt + shift, f"move {self.clock // 2}"
        end = None
        if event in ENDS and attempt > 0:
            cause = _CAUSES[event][not good]
            end = AttemptEnd(cause, 0 if good else 1, ended_s=float(self.clock))
        return Move(
            job, attempt, event, float(self.clock), reason, told, strike=good, end=end
        )  # fmt: skip

    def right_moves(self) -> list[Move]:
        """For each job one that would be accepted of the broker that holds the lease."""
        return [
            self.move(job, Event.ASSIGN if life.state in PENDING else Event.LOSE, 0, None, True)
            for job, life in self.lives.items()
        ]

    def write(self, moves: list[Move], fails: bool = False) -> None:
        before = self.rows()
        desk, leases = self.catalog.jobs.desk, self.catalog.leases
        if fails:
            with pytest.raises(ZeroDivisionError), leases.writing(self.brokers[-1]):
                desk.apply(moves)
                raise ZeroDivisionError
            assert self.rows() == before
            return
        expected = []
        for move in moves:
            if self.lives[move.job].allows(move):
                self.lives[move.job].make(move)
                expected.append(move)
        with leases.writing(self.brokers[-1]):
            assert desk.apply(moves) == expected
        if not expected:
            assert self.rows() == before

    def open_jobs(self, owner: str) -> int:
        return sum(one.owner == owner and not one.state.is_final for one in self.lives.values())

    def rows(self) -> Rows:
        """All that is written of jobs."""
        with self.catalog.db.read() as connection:
            jobs, attempts, events = (
                list(connection.execute(select(table).order_by(*table.primary_key)))
                for table in (job_table, job_attempt, job_event)
            )
        return jobs, attempts, events

    # -- what is always true -----------------------------------------------------------------------

    @invariant()
    def rows_agree(self) -> None:
        jobs, attempts, events = self.rows()
        assert {JobId(row.submission, row.number) for row in jobs} == set(self.lives)
        assert len(jobs) == len(self.lives)
        for row in jobs:
            job = JobId(row.submission, row.number)
            life = self.lives[job]
            assert (row.state, row.reason, row.worker) == (life.state, life.reason, life.worker)
            assert (row.attempt, row.old_attempts) == (life.attempt, life.old_attempts)
            assert (row.preemptions, row.strikes) == (life.preemptions, life.strikes)
            assert (row.cause, row.exit_code) == (life.cause, life.exit_code)
            assert row.cancel_asked is life.cancel_asked
            assert (row.suspended_s is not None) is life.stands_still
            assert row.paused_s >= 0
            state = JobState(row.state)
            assert (row.ended_s is not None) is state.is_final
            if not state.is_final:
                assert (row.cause, row.exit_code) == (None, None)
            if row.suspended_s is not None:
                assert state in (JobState.RUNNING, JobState.UNKNOWN)

            own = [one for one in attempts if (one.submission, one.number) == (row[0], row[1])]
            assert [one.attempt for one in own] == list(range(1, life.attempt + 1))
            assert [one.cause for one in own] == life.ends
            living = [one for one in own if one.ended_s is None]
            assert [one.attempt for one in living] == [row.attempt] * (state in ACTIVE)
            if living:
                assert (living[0].worker, living[0].exit_code) == (row.worker, None)
            if state in (JobState.DONE, JobState.CLEARED):
                assert (own[-1].cause, own[-1].exit_code) == (row.cause, row.exit_code)

            happened = [one for one in events if (one.submission, one.number) == (row[0], row[1])]
            assert [(one.state, one.attempt, one.reason) for one in happened] == life.events
            assert happened[-1].state == row.state
            assert all(
                one.attempt <= other.attempt <= one.attempt + 1
                for one, other in itertools.pairwise(happened)
            )
            for one, other in itertools.pairwise(happened):
                if one.state in FINAL:
                    assert other.state in (JobState.CLEARED, JobState.SUBMITTED)

    @invariant()
    def counts_agree(self) -> None:
        tally = self.catalog.jobs.tally
        lives = self.lives.values()
        states = Counter(life.state for life in lives)
        assert tally.by_state() == {state: states[state] for state in JobState}
        causes = Counter(cause for life in lives for cause in life.ends if cause)
        assert tally.attempts_by_cause() == {cause: causes[cause] for cause in Cause}
        on = Counter(life.worker for life in lives if life.state in ACTIVE)
        assert tally.on_workers() == {(worker, DIGEST): count for worker, count in on.items()}
        assert self.catalog.jobs.desk.load() == on
        assert self.catalog.jobs.desk.open_count() == sum(map(self.open_jobs, OWNERS))
        for owner in OWNERS:
            own = [life for life in lives if life.owner == owner]
            found = tally.totals_of(owner)
            assert found.states == Counter(life.state for life in own)
            bad = (JobState.DONE, JobState.CLEARED, JobState.ABORTED)
            assert found.failures == Counter(
                life.cause or NOT_STARTED
                for life in own
                if life.state in bad and life.cause is not Cause.OK
            )
            assert self.catalog.quotas.open_jobs().get(owner, 0) == self.open_jobs(owner)

    @invariant()
    def brokers_see_it(self) -> None:
        desk = self.catalog.jobs.desk
        live = {one.id: one for one in desk.live()}
        assert set(live) == {job for job, life in self.lives.items() if life.state in ACTIVE}
        for job, one in live.items():
            life = self.lives[job]
            tries = life.attempt - life.old_attempts - life.preemptions
            assert (one.attempt, one.tries, one.strikes) == (life.attempt, tries, life.strikes)
        pending = {job for job, life in self.lives.items() if life.state in PENDING}
        assert desk.waiting() == sorted({job.submission for job in pending})
        waiting = [one for n in desk.waiting() for one in desk.next_waiting(n, 9, float("inf"))]
        assert {one.id for one in waiting} == pending
        for other in waiting:
            life = self.lives[other.id]
            tries = life.attempt - life.old_attempts - life.preemptions
            assert (other.attempt, other.tries, other.strikes) == (
                life.attempt, tries, life.strikes,
            )  # fmt: skip

    def teardown(self) -> None:
        self.catalog.close()


@pytest.fixture
def new_url(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], str]]:
    """Makes an empty catalog and gives its address."""
    numbers = itertools.count()
    made: list[str] = []

    def on_sqlite() -> str:
        path = tmp_path / f"{next(numbers)}.db"
        shutil.copy(request.getfixturevalue("_sqlite_template"), path)
        return f"sqlite:///{path}"

    def on_postgres() -> str:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        made.append(server.make_database(request.getfixturevalue("_postgres_template")))
        return server.url(made[-1])

    yield on_sqlite if database == "sqlite" else on_postgres
    for name in made:
        request.getfixturevalue("postgres_server").drop_database(name)


@pytest.mark.parametrize(
    ("database", "lives"),
    [
        ("sqlite", 8),
        pytest.param("sqlite", 80, marks=pytest.mark.slow),
        pytest.param("postgres", 40, marks=[pytest.mark.slow, pytest.mark.postgres]),
    ],
)
def test_lives_of_jobs(lives: int, new_url: Callable[[], str]) -> None:
    run_state_machine_as_test(
        type("LivesHere", (Lives,), {"new_url": staticmethod(new_url)}),
        settings=settings(
            max_examples=lives,
            stateful_step_count=25,
            phases=[Phase.reuse, Phase.generate],  # to find a simpler life takes minutes
        ),
    )
