"""The state machine against a real catalog: random lives of jobs, brokers that come and go."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from medgrid.catalog import Catalog
from medgrid.catalog.job_moves import AttemptEnd, Move
from medgrid.catalog.job_states import ACTIVE, PENDING, RULES, Event, step, table
from medgrid.catalog.jobs import NewSubmission
from medgrid.model import Cause, JobId, JobState, Sha256

JOBS = 3
WORKERS = ["w1", "w2"]


def test_final_states_are_left_only_by_their_owner() -> None:
    for state in JobState:
        ways = {event for event in Event if step(state, event) is not None}
        if state is JobState.DONE:
            assert ways == {Event.CLEAR, Event.RESUBMIT}
        elif state in (JobState.ABORTED, JobState.CANCELLED):
            assert ways == {Event.RESUBMIT}
        elif state.is_final:
            assert ways == set()


def test_the_rules_are_written_down() -> None:
    text = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert table() in text, f"ARCHITECTURE.md lacks this table:\n{table()}"


def test_each_event_has_its_rule() -> None:
    assert set(RULES) == set(Event)
    assert all(rule.writers for rule in RULES.values())


def test_only_assigning_makes_an_attempt() -> None:
    for state in JobState:
        for event in Event:
            after = step(state, event)
            if after in ACTIVE and state in PENDING:
                assert event is Event.ASSIGN


class Lives(RuleBasedStateMachine):
    """The store must agree with this plain model whatever order moves come in."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        url = f"sqlite:///{Path(self._directory.name) / 'catalog.db'}"
        self.catalog = Catalog.create(url)
        _, jobs = self.catalog.jobs.create_submission(
            NewSubmission(Sha256("d" * 64), "a@1", "ann", [[]] * JOBS, None, {}, {})
        )
        self.jobs = jobs
        self.state = dict.fromkeys(jobs, JobState.SUBMITTED)
        self.attempt = dict.fromkeys(jobs, 0)
        self.worker: dict[JobId, str | None] = dict.fromkeys(jobs)
        self.moves = dict.fromkeys(jobs, 1)
        self.results = dict.fromkeys(jobs, 0)
        self.cause: dict[JobId, Cause | None] = dict.fromkeys(jobs)
        self.strikes = dict.fromkeys(jobs, 0)
        self.clock = 0

    @rule(
        data=st.lists(
            st.tuples(
                st.integers(0, JOBS - 1),
                st.sampled_from(list(Event)),
                st.integers(-1, 1),
                st.sampled_from(WORKERS),
                st.booleans(),
            ),
            min_size=1,
            max_size=6,
        )
    )
    def moves_happen(self, data: list[tuple[int, Event, int, str, bool]]) -> None:
        moves = []
        for index, event, shift, worker, good in data:
            self.clock += 1
            job = self.jobs[index]
            end = None
            if event in (Event.END, Event.RETRY, Event.ABORT, Event.CANCEL):
                own = Cause.OK if good else Cause.EXIT
                end = AttemptEnd(own if event is Event.END else Cause.LOST, 0)
            attempt = self.attempt[job] + shift
            reason = f"move {self.clock}"
            told = None if event is Event.RESUBMIT else worker
            moves.append(
                Move(
                    job,
                    attempt,
                    event,
                    float(self.clock),
                    reason,
                    told,
                    strike=good,
                    end=end,
                )
            )
        expected = [move for move in moves if self._happens(move)]
        assert self.catalog.jobs.desk.apply(moves) == expected

    def _happens(self, move: Move) -> bool:
        job = move.job
        if move.attempt != self.attempt[job]:
            return False
        owners = (Event.ASSIGN, Event.RESUBMIT)
        if move.event not in owners and move.worker != self.worker[job]:
            return False
        after = step(self.state[job], move.event)
        if after is None or (move.event is Event.RESUBMIT and self.cause[job] is Cause.OK):
            return False
        if move.event is Event.ASSIGN:
            self.attempt[job] += 1
            self.worker[job] = move.worker
        if move.event in (Event.RETRY, Event.RESUBMIT):
            self.worker[job] = None
        self.strikes[job] += move.event is Event.RETRY and move.strike
        if move.event in (Event.ASSIGN, Event.RESUBMIT):
            self.cause[job] = None
        if move.event is Event.RESUBMIT:
            self.strikes[job] = 0
        if move.end is not None:
            self.cause[job] = move.end.cause
            self.results[job] += move.end.cause is Cause.OK
        self.state[job] = after
        self.moves[job] += 1
        return True

    @rule(index=st.integers(0, JOBS - 1))
    def owner_cancels(self, index: int) -> None:
        job = self.jobs[index]
        before = self.state[job]
        told, after = self.catalog.jobs.cancel([str(job)])[job]
        assert told is before
        if before in PENDING:
            assert after is JobState.CANCELLED
            self.state[job] = after
            self.moves[job] += 1
        else:
            assert after is before

    @rule()
    def broker_is_replaced(self) -> None:
        url = str(self.catalog.db.url)
        self.catalog.close()
        self.catalog = Catalog.open(url)

    @invariant()
    def catalog_agrees(self) -> None:
        for line in self.catalog.jobs.lines(["1"]):
            assert line.state is self.state[line.id]
            assert line.attempt == self.attempt[line.id]
            assert line.worker == self.worker[line.id]
            assert line.cause == self.cause[line.id]
        waiting = self.catalog.jobs.desk.next_waiting(1, JOBS, float("inf"))
        strikes = {one.id: one.strikes for one in waiting}
        strikes |= {one.id: one.strikes for one in self.catalog.jobs.desk.live()}
        for job, found in strikes.items():
            assert found == self.strikes[job]

    @invariant()
    def history_is_complete(self) -> None:
        for job in self.jobs:
            assert len(self.catalog.jobs.history(job)) == self.moves[job]
            attempts = self.catalog.jobs.attempts(job)
            assert [attempt.number for attempt in attempts] == list(range(1, self.attempt[job] + 1))
            living = [attempt for attempt in attempts if attempt.ended_s is None]
            assert len(living) == (self.state[job] in ACTIVE)
            assert self.results[job] <= 1

    def teardown(self) -> None:
        self.catalog.close()
        self._directory.cleanup()


TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
