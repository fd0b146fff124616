"""Workers whose infrastructure fails: their jobs go elsewhere, and they are out for a while."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest

from medgrid.actions.broker import run_broker
from medgrid.broker import station
from medgrid.catalog.worker_health import WorkerHealth
from medgrid.model import Cause, JobState, StorageElement, Worker
from tests.lab.field import Field
from tests.lab.waiting import PATIENCE_S

LOST = "lost: the process that ran it was killed"


@pytest.fixture
def broken(field: Field) -> Worker:
    """A worker where everything that runs a job is killed, until there is a file ``mended``.

    Jobs of ``late`` wait elsewhere until it has met one.
    """
    root = field.directory / "broken"
    worker = Worker("broken", "local:", "there", slots=2, options={"root": str(root)})
    field.worker(worker)
    mended, met = field.directory / "mended", field.directory / "met"
    kill = f'[ -e "{mended}" ] || {{ touch "{met}"; kill -9 $PPID; }}'
    wait = f'until [ -e "{met}" ]; do sleep 0.05; done'
    for name, elsewhere in (("copy", ":"), ("late", wait)):
        field.algorithm(
            name,
            f'case "$PWD" in {root}/*) {kill};; *) {elsewhere};; esac\n'
            'ran "$1"; cp "$1" copy.txt\n',
            outputs=["copy.txt"],
        )
    return worker


def health(field: Field, name: str = "broken") -> WorkerHealth:
    catalog = field.catalog
    try:
        return catalog.health.all().get(name, WorkerHealth())
    finally:
        catalog.close()


def let_time_pass(field: Field, name: str = "broken") -> None:
    """Make it the end of an outage."""
    with field.grid() as grid:
        now_s = time.time()
        known = grid.catalog.health.all()[name]
        grid.catalog.health.save(name, replace(known, since_s=now_s - 60, until_s=now_s - 1))


def attempts(field: Field) -> int:
    return sum(job.attempt for job in field.jobs("1"))


def test_jobs_that_a_worker_fails_are_done_elsewhere(field: Field, broken: Worker) -> None:
    field.env["MEDGRID_MAX_ATTEMPTS"] = "2"
    names = [f"f{number}" for number in range(12)]
    field.submit("late", *field.put(*names))
    field.once()
    jobs = field.jobs("1")
    assert {(job.state, job.cause, job.worker) for job in jobs} == {
        (JobState.DONE, Cause.OK, "local")
    }
    assert set(field.runs) == set(names)
    again = [job for job in jobs if job.attempt > 1]
    assert 1 <= len(again) <= 6
    with field.grid() as grid:
        first, *_ = grid.catalog.jobs.attempts(again[0].id)
    assert (first.worker, first.cause) == ("broken", Cause.LOST)


def test_once_does_not_end_by_what_it_read_before(
    field: Field, broken: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that was not due when it was looked at is due when the broker looks round to end."""
    monkeypatch.setattr("medgrid.broker.assigning._FRESH_S", 60.0)
    field.submit("copy", *field.put(*(f"f{number}" for number in range(12))))
    with field.grid() as grid:
        run_broker(grid, until_stuck=True)
    assert {(job.state, job.cause) for job in field.jobs("1")} == {(JobState.DONE, Cause.OK)}


def test_a_worker_that_fails_is_out_then_on_trial(field: Field, broken: Worker) -> None:
    field.without_local()
    lfns = field.put("a", "b", "c", "d", "e", "f")
    field.submit("copy", *lfns)
    field.once()
    known = health(field)
    assert (known.failures, known.outages) == (3, 1)
    assert 25 <= known.until_s - known.since_s <= 60
    jobs = field.jobs("1")
    assert {job.state for job in jobs} == {JobState.WAITING}
    why = r"it is out until (\S+ )?\d\d:\d\d:\d\d after failures: lost: .*"
    assert re.fullmatch(f"no worker can take it: broken: {why}", jobs[-1].reason)
    # everybody is told: people, and the next broker
    (listed,) = field.prompt.ok("worker", "ls").rows
    assert re.fullmatch(why, listed[-1])
    checked = field.prompt.ok("worker", "check", "broken").rows[0]
    assert checked[1] == "ok"
    assert re.fullmatch(why, checked[-1])
    (document,) = field.prompt.ok("worker", "ls", "--json").documents
    assert (document["until_s"], document["failures"]) == (known.until_s, 3)
    assert re.search(f"broken\t\\d+\t0.00\t{why}", field.prompt.ok("explain", "1.6").out)
    assert re.search(f"broken\t.*\t{why}", field.prompt.ok("list-match", "copy", lfns[0]).out)
    assert re.search("worker broken\tis out until", field.prompt.ok("broker", "status").out)
    made = attempts(field)
    field.once()
    assert attempts(field) == made

    let_time_pass(field)
    trouble = field.prompt.ok("worker", "ls").rows[0][-1]
    assert trouble.startswith("it is on trial after failures: lost: ")
    field.once()
    assert attempts(field) == made + 1
    assert health(field).outages == 2

    (field.directory / "mended").touch()
    let_time_pass(field)
    field.once()
    assert {job.cause for job in field.jobs("1")} == {Cause.OK}
    assert health(field) == WorkerHealth()
    assert field.prompt.ok("worker", "ls").rows[0][-1] == ""


def test_the_next_broker_waits_for_the_trial_of_the_last_one(field: Field) -> None:
    go = field.directory / "go"
    field.algorithm("held", f'until [ -e "{go}" ]; do sleep 0.05; done; ran "$1"\n')
    field.submit("held", *field.put("a", "b"))
    with field.grid() as grid:
        now_s = time.time()
        grid.catalog.health.save("local", WorkerHealth(3, 1, now_s - 9, now_s - 1, "lost: gone"))
    with field.prompt.start("broker", "run") as first:
        field.wait_for(lambda jobs: jobs[0].state is JobState.RUNNING)
        first.terminate()
    assert field.jobs("1")[1].attempt == 0
    go.touch()
    field.once()
    with field.grid() as grid:
        (tried,), (later,) = (grid.catalog.jobs.attempts(job.id) for job in field.jobs("1"))
    assert (tried.cause, later.cause) == (Cause.OK, Cause.OK)
    assert tried.ended_s is not None
    assert later.assigned_s >= tried.ended_s
    assert health(field, "local") == WorkerHealth()


def test_a_trial_that_runs_for_a_while_is_not_waited_for(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs that take hours would leave all other slots empty."""
    monkeypatch.setattr(station, "_TRIAL_S", 0.5)
    both = f'[ "$(wc -l < "{field.runs_file}")" -ge 2 ]'
    limits = {"limits": {"walltime_s": PATIENCE_S}}
    field.algorithm("meet", f'ran "$1"; until {both}; do sleep 0.1; done\n', custom=limits)
    field.submit("meet", *field.put("a", "b"))
    with field.grid() as grid:
        now_s = time.time()
        grid.catalog.health.save("local", WorkerHealth(3, 1, now_s - 9, now_s - 1, "lost: gone"))
        run_broker(grid, until_stuck=True)
    assert {job.cause for job in field.jobs("1")} == {Cause.OK}
    assert attempts(field) == 2
    assert health(field, "local") == WorkerHealth()


def test_a_worker_that_is_enabled_takes_jobs_at_once(field: Field, broken: Worker) -> None:
    field.without_local()
    field.submit("copy", *field.put("a", "b", "c", "d"))
    field.once()
    assert health(field).outages == 1
    (field.directory / "mended").touch()
    field.prompt.ok("worker", "enable", "broken")
    assert health(field) == WorkerHealth()
    field.once()
    assert {job.cause for job in field.jobs("1")} == {Cause.OK}


def test_one_job_that_always_fails_is_given_up_and_the_worker_goes_on(
    field: Field, broken: Worker
) -> None:
    field.without_local()
    field.env["MEDGRID_MAX_ATTEMPTS"] = "3"
    field.submit("copy", *field.put("a"))
    field.once()
    job = field.job()
    assert (job.state, job.attempt, job.cause) == (JobState.ABORTED, 3, Cause.LOST)
    assert health(field).outages == 0


def test_storage_that_does_not_answer_is_waited_for_longer(field: Field) -> None:
    field.env["MEDGRID_MAX_ATTEMPTS"] = "1"
    field.env["MEDGRID_CONNECT_TIMEOUT_S"] = "1"
    field.algorithm("copy", "true\n")
    lfns = field.put("a", "b")
    with field.grid() as grid:
        local = grid.catalog.places.se("local")
        found = grid.catalog.objects.get_many(lfns)  # type: ignore[arg-type]
        gone = found[lfns[1]]  # type: ignore[index]
        (replica,) = grid.catalog.objects.replicas([gone.id])[gone.id]
        grid.storage("local").delete(replica.pfn)
    field.submit("copy", lfns[1])
    field.once()
    assert (field.job().state, field.job().attempt) == (JobState.ABORTED, 1)
    away = StorageElement("local", "sftp://127.0.0.1:1/x", local.site)
    field.se(away)
    field.submit("copy", lfns[0])
    field.once()
    job = field.job("2.1")
    assert (job.state, job.attempt, job.cause) == (JobState.ABORTED, 3, Cause.STAGE_IN)
    assert health(field, "local") == WorkerHealth()
