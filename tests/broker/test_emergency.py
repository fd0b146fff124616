"""Emergency jobs on a full grid: others stand still or are killed for them, and users are told."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from medgrid.model import Cause, Job, JobId, JobState, Worker
from tests.lab.field import Field

SUSPENDED = "suspended on local for an emergency job"


@pytest.fixture
def full(field: Field) -> Iterator[Field]:
    """A worker with two slots, a batch and a normal job in them, that end when told to."""
    wait = f'while [ ! -e "{field.directory}/go" ]; do sleep 0.05; done; ran "$1"\n'
    field.algorithm("long", wait)
    field.algorithm("short", 'ran "$1"; sleep 0.2\n')
    field.algorithm("held", f'while [ ! -e "{field.directory}/enough" ]; do sleep 0.05; done\n')
    lfns = field.put("a", "b", "e")
    field.submit("long", lfns[0])
    field.submit("long", "--priority", "batch", lfns[1])
    with field.prompt.start("broker", "run") as broker:
        field.wait_for(lambda jobs: all(job.state is JobState.RUNNING for job in jobs), "1", "2")
        yield field
        for name in ("go", "enough"):
            (field.directory / name).touch()
        broker.terminate()


def events(field: Field, word: str) -> list[str]:
    """What happened to a job, and why."""
    with field.grid() as grid:
        found = grid.catalog.jobs.history(JobId.parse(word))
    return [f"{event.state}: {event.reason}" for event in found]


def is_suspended(jobs: list[Job]) -> bool:
    return jobs[0].suspended_s is not None


def test_an_emergency_starts_on_a_full_grid_and_who_made_room_goes_on(full: Field) -> None:
    full.submit("held", "--priority", "emergency", "/t/e")
    full.wait_for(lambda jobs: jobs[0].state is JobState.RUNNING, "3")
    full.wait_for(is_suspended, "2")
    assert full.prompt.ok("status", "1", "2", "3").lines == [
        "1.1\tRunning\tlocal\ton local",
        f"2.1\tRunning\tlocal\t{SUSPENDED}",
        "3.1\tRunning\tlocal\ton local",
    ]
    explained = full.prompt.ok("explain", "2.1").out
    assert re.search(r"waits for\tan emergency job on local to end", explained)
    (full.directory / "enough").touch()
    full.wait_for(lambda jobs: jobs[0].reason == "resumed on local", "2")
    (full.directory / "go").touch()
    full.wait_for(lambda jobs: all(job.state.is_final for job in jobs), "1", "2", "3")
    assert {(job.cause, job.attempt) for job in full.jobs("1", "2", "3")} == {(Cause.OK, 1)}
    assert full.runs == ["a", "b"]
    assert full.job("2.1").paused_s > 0
    assert events(full, "2.1")[-4:] == [
        "Running: on local",
        f"Running: {SUSPENDED}",
        "Running: resumed on local",
        "Done: done",
    ]
    assert SUSPENDED in full.prompt.ok("log", "2.1").out


def test_what_waits_stays_behind_those_who_made_room(full: Field) -> None:
    waiting = full.put("w1", "w2", "w3")
    full.submit("short", *waiting)
    full.submit("short", "--priority", "emergency", "/t/e")
    full.wait_for(lambda jobs: jobs[0].state.is_final, "4")
    full.wait_for(lambda jobs: jobs[0].reason == "resumed on local", "2")
    assert "e" in full.runs
    assert not {"w1", "w2", "w3"} & set(full.runs)
    (full.directory / "go").touch()
    full.wait_for(lambda jobs: all(job.cause is Cause.OK for job in jobs), "1", "2", "3")


def test_emergencies_wait_for_each_other_alone(full: Field) -> None:
    full.submit("held", "--priority", "emergency", "/t/a", "/t/b", "/t/e")
    full.wait_for(is_suspended, "1")
    full.wait_for(is_suspended, "2")
    full.wait_for(lambda jobs: jobs[2].state is JobState.WAITING, "3")
    assert full.job("3.3").reason == "all workers that fit are busy"
    (full.directory / "enough").touch()
    full.wait_for(lambda jobs: {job.cause for job in jobs} == {Cause.OK}, "3")


def test_what_leaves_no_memory_is_killed_and_tried_again(field: Field) -> None:
    worker = Worker("small", "local:", "there", slots=1, memory_bytes=100 << 20)
    field.worker(worker)
    field.without_local()
    field.env["MEDGRID_MAX_ATTEMPTS"] = "1"
    memory = {"limits": {"memory_bytes": 80 << 20}}
    field.algorithm(
        "long", f'[ -e "{field.directory}/go" ] || sleep 300; ran "$1"\n', custom=memory
    )
    field.algorithm("short", 'ran "$1"\n', custom=memory)
    lfns = field.put("a", "e")
    field.submit("long", lfns[0])
    with field.prompt.start("broker", "run") as broker:
        field.wait_for(lambda jobs: jobs[0].state is JobState.RUNNING)
        (field.directory / "go").touch()
        field.submit("short", "--priority", "emergency", lfns[1])
        field.wait_for(lambda jobs: all(job.cause is Cause.OK for job in jobs), "1", "2")
        broker.terminate()
    with field.grid() as grid:
        killed, again = grid.catalog.jobs.attempts(JobId(1, 1))
        assert not grid.catalog.health.all()
    assert (killed.cause, again.cause) == (Cause.PREEMPTED, Cause.OK)
    assert (
        "Waiting: attempt 1 on small was killed for an emergency job; another attempt follows"
        in events(field, "1.1")
    )


def test_the_next_broker_finds_who_made_room(field: Field) -> None:
    wait = f'while [ ! -e "{field.directory}/go" ]; do sleep 0.05; done; ran "$1"\n'
    field.algorithm("long", wait)
    field.algorithm("urgent", f'while [ ! -e "{field.directory}/enough" ]; do sleep 0.05; done\n')
    lfns = field.put("a", "b", "e")
    field.submit("long", *lfns[:2])
    with field.prompt.start("broker", "run") as first:
        field.wait_for(lambda jobs: all(job.state is JobState.RUNNING for job in jobs))
        field.submit("urgent", "--priority", "emergency", lfns[2])
        field.wait_for(lambda jobs: jobs[0].state is JobState.RUNNING, "2")
        both = field.wait_for(lambda jobs: any(job.suspended_s is not None for job in jobs))
        (who,) = [str(job.id) for job in both if job.suspended_s is not None]
        first.kill()
    (field.directory / "enough").touch()
    (field.directory / "go").touch()
    field.once()
    assert {(job.cause, job.attempt) for job in field.jobs("1", "2")} == {(Cause.OK, 1)}
    assert "Running: resumed on local" in events(field, who)


def test_an_emergency_goes_where_the_lowest_class_stands_still(field: Field) -> None:
    for name in ("w1", "w2"):
        root = str(field.directory / name)
        field.worker(Worker(name, "local:", "there", slots=1, options={"root": root}))
    field.without_local()
    field.algorithm("long", "exec sleep 300\n")
    lfns = field.put("a", "b", "e")
    with field.prompt.start("broker", "run") as broker:
        field.answered("w1", "w2")
        field.submit("long", "--priority", "batch", lfns[0])
        field.submit("long", lfns[1])
        field.wait_for(lambda jobs: all(job.state is JobState.RUNNING for job in jobs), "1", "2")
        field.submit("long", "--priority", "emergency", lfns[2])
        field.wait_for(lambda jobs: jobs[0].state is JobState.RUNNING, "3")
        field.wait_for(is_suspended, "1")
        assert field.job("3.1").worker == field.job("1.1").worker
        assert field.job("2.1").suspended_s is None
        field.prompt.ok("cancel", "1", "2", "3")
        field.wait_for(lambda jobs: all(job.state.is_final for job in jobs), "1", "2", "3")
        broker.terminate()
