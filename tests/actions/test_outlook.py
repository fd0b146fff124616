"""What a job waits for, until when, and what comes then."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from medgrid.actions.explain_job import explain_job
from medgrid.actions.grid import Grid
from medgrid.actions.match import list_match
from medgrid.actions.outlook import Outlook
from medgrid.actions.worker_load import WorkerState, worker_loads
from medgrid.broker.process import own_process
from medgrid.catalog.job_desk import WorkerLinkState
from medgrid.catalog.job_moves import AttemptEnd, Move
from medgrid.catalog.job_states import Event
from medgrid.catalog.leases import BROKER
from medgrid.catalog.worker_health import WorkerHealth
from medgrid.model import Cause, JobId
from tests.lab.field import Field

JOB = JobId(1, 1)


@pytest.fixture
def grid(field: Field) -> Iterator[Grid]:
    """A grid with a job that waits and, as far as anybody can tell, a broker: this process."""
    custom = {"environment": {"kind": "host", "programs": ["sh"]}, "limits": {"walltime_s": 60}}
    field.algorithm("touch", "true\n", custom=custom)
    field.submit("touch", *field.put("a"))
    with field.grid() as opened:
        lease = opened.catalog.leases.acquire(BROKER, *own_process())
        yield opened
        opened.catalog.leases.release(lease)


def outlook(grid: Grid) -> Outlook | None:
    return explain_job(grid, JOB).outlook


def move(grid: Grid, attempt: int, event: Event, at: float = 100.0, **more: object) -> None:
    one = replace(Move(JOB, attempt, event, at, "moved", "local"), **more)  # type: ignore[arg-type]
    assert grid.whole.jobs.desk.apply([one]) == [one]


def link(grid: Grid, **more: object) -> None:
    state = replace(WorkerLinkState("local", "agent"), **more)  # type: ignore[arg-type]
    grid.whole.jobs.desk.save_link(state)


def test_without_a_broker(grid: Grid) -> None:
    grid.catalog.leases.release(grid.catalog.leases.acquire(BROKER, *own_process()))
    nobody = Outlook("a broker: none works on this grid")
    assert outlook(grid) == nobody
    move(grid, 0, Event.ASSIGN)
    assert outlook(grid) == nobody
    move(grid, 1, Event.LOSE)
    assert outlook(grid) == nobody


def test_a_whole_life(grid: Grid) -> None:
    assert outlook(grid) == Outlook("the broker to look at it")
    grid.whole.jobs.desk.let_wait(1, "all workers that fit are busy")
    assert outlook(grid) == Outlook("a free slot on local")
    move(grid, 0, Event.ASSIGN)
    assert outlook(grid) == Outlook("local to take it, with its inputs and code")
    move(grid, 1, Event.GIVE)
    assert outlook(grid) == Outlook("a free slot on local")
    move(grid, 1, Event.START, 1000.0)
    assert outlook(grid) == Outlook("its program to end", 1060.0, "it is stopped")
    grid.catalog.jobs.cancel(["1.1"])
    assert outlook(grid) == Outlook("local to stop it")
    move(grid, 1, Event.CANCEL, end=AttemptEnd(Cause.CANCELLED))
    assert outlook(grid) is None


def test_until_it_is_its_turn_at_the_speed_of_late(grid: Grid, field: Field) -> None:
    sent = time.time()
    field.submit("touch", "/t/a", "/t/a", "/t/a", "/t/a", "/t/a")
    desk, began = grid.whole.jobs.desk, time.time()
    begun = [Move(JobId(2, n), 0, Event.ASSIGN, began, "to local", "local") for n in (1, 2, 3, 4)]
    ends = [
        Move(JobId(2, n), 1, Event.END, began, "", "local", end=AttemptEnd(Cause.OK))
        for n in (1, 2)
    ]
    given = [Move(JobId(2, n), 1, Event.GIVE, began, "", "local") for n in (3, 4)]
    start = Move(JobId(2, 3), 1, Event.START, began, "", "local")
    desk.apply([*begun, *ends, *given, start])
    desk.let_wait(2, "all workers that fit are busy")
    for number, ahead in ((4, 1), (5, 2)):
        asked = time.time()
        found = explain_job(grid, JobId(2, number)).outlook
        told = time.time()
        assert found is not None
        assert found.waits_for == "a free slot on local"
        assert found.is_estimate
        # two jobs ended since the submission came, or in a second when it came later
        least, most = (
            asked + ahead / 2 * max(1, asked - began),
            told + ahead / 2 * max(1, told - sent),
        )
        assert least <= (found.until_s or 0) <= most
    rows = dict(row for row in field.prompt.ok("explain", "2.5").rows if len(row) == 2)
    assert re.fullmatch(r"about \S+, at the speed of late", rows["until"])


def test_after_a_failed_attempt(grid: Grid) -> None:
    later = time.time() + 60
    move(grid, 0, Event.ASSIGN)
    move(grid, 1, Event.RETRY, not_before_s=later, end=AttemptEnd(Cause.LOST))
    assert outlook(grid) == Outlook(
        "the pause after a failed attempt to end", later, "it is tried again"
    )


@pytest.mark.parametrize(
    ("attempt", "then"),
    [(1, "it goes elsewhere"), (3, "it is aborted: this was its last attempt")],
)
def test_a_worker_that_does_not_answer(grid: Grid, attempt: int, then: str) -> None:
    for number in range(attempt):
        move(grid, number, Event.ASSIGN)
        if number + 1 < attempt:
            move(grid, number + 1, Event.RETRY, end=AttemptEnd(Cause.LOST))
    move(grid, attempt, Event.LOSE)
    link(grid, down_since_s=100.0, lost_at_s=700.0, reason="no route")
    assert outlook(grid) == Outlook("local to answer", 700.0, then)
    (load,) = worker_loads(grid.catalog)
    assert (load.state, load.until_s, load.reason, load.is_up) == (
        WorkerState.DOWN,
        700.0,
        "no route",
        False,
    )
    assert (load.used, load.free, load.queued) == (1, 1, 0)


def test_workers_that_cannot_take_it_now(grid: Grid) -> None:
    grid.whole.jobs.desk.let_wait(1, "no worker can take it")
    link(grid, down_since_s=100.0, lost_at_s=700.0, reason="no route")
    assert outlook(grid) == Outlook("local to answer")
    until_s = time.time() + 60
    link(grid)
    health = WorkerHealth(3, 1, time.time(), until_s, "disk full")
    grid.whole.health.save("local", health)
    assert outlook(grid) == Outlook("local to take jobs again", until_s, "it is tried again")
    (match,) = list_match(grid, "touch", ["/t/a"])
    assert match.objection == health.trouble(time.time())
    (load,) = worker_loads(grid.catalog)
    assert (load.state, load.until_s) == (WorkerState.OUT, until_s)
    grid.whole.health.save("local", replace(health, until_s=time.time() - 1))
    assert outlook(grid) == Outlook("a free slot on local")


def test_no_worker_that_fits(grid: Grid) -> None:
    grid.whole.jobs.desk.let_wait(1, "no worker can take it")
    local = grid.catalog.places.worker("local")
    grid.catalog.places.put_worker(replace(local, enabled=False))
    assert outlook(grid) == Outlook("a worker that can take it")
    (load,) = worker_loads(grid.catalog)
    assert (load.state, load.enabled, load.is_up) == (WorkerState.DISABLED, False, False)


def test_slots_of_a_worker_that_has_more_jobs_than_slots(field: Field, grid: Grid) -> None:
    field.submit("touch", "/t/a", "/t/a", "/t/a")
    moves = [Move(JobId(2, n), 0, Event.ASSIGN, 1.0, "to local", "local") for n in (1, 2, 3)]
    assert grid.whole.jobs.desk.apply(moves) == moves
    (load,) = worker_loads(grid.catalog)
    assert (load.slots, load.used, load.free, load.queued) == (2, 2, 0, 1)
    assert load.state is WorkerState.NEW
