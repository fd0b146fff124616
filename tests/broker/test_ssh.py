"""Workers over SSH: out of reach for a moment, for long, for ever."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from medgrid.actions.broker import run_broker
from medgrid.broker import assigning
from medgrid.model import Cause, JobState, Worker
from tests.lab.field import Field
from tests.lab.sshd import Sshd
from tests.lab.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.sshd

CLOCK = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def remote(field: Field, sshd: Sshd) -> Worker:
    """A worker behind a real sshd."""
    field.env["MEDGRID_KNOWN_HOSTS"] = str(sshd.known_hosts)
    field.env["MEDGRID_IDENTITY"] = str(sshd.identity)
    field.env["MEDGRID_CONNECT_TIMEOUT_S"] = "60"  # the machine may be busy
    worker = Worker("w1", sshd.url, "there", slots=2)
    field.worker(worker)
    return worker


def test_jobs_run_over_ssh(field: Field, remote: Worker) -> None:
    field.without_local()
    field.algorithm("copy", 'ran "$1"; cat "$1" > copy.txt\n', outputs=["copy.txt"])
    names = [f"f{number}" for number in range(20)]
    field.submit("copy", *field.put(*names))
    field.once()
    jobs = field.jobs("1")
    assert {(job.worker, job.cause) for job in jobs} == {("w1", Cause.OK)}
    assert field.runs == sorted(names)
    with field.grid() as grid:
        (output,) = jobs[6].outputs
        (copy,) = grid.catalog.objects.replicas([output.object_id])[output.object_id]
        with grid.storage(copy.se).open(copy.pfn) as stream:
            assert stream.read() == b"f6\n"


def test_a_worker_that_goes_away_makes_its_jobs_unknown_until_it_is_back(
    field: Field, remote: Worker, sshd: Sshd
) -> None:
    field.without_local()
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    held = f'while [ ! -e "{field.directory}/go" ]; do sleep 0.05; done; '
    field.algorithm("slow", f'{held}cp "$1" copy.txt; ran "$1"\n', outputs=["copy.txt"])
    field.submit("slow", *field.put("a", "b", "c"))
    field.wait_for(lambda jobs: jobs[0].state is JobState.RUNNING)
    sshd.stop()
    sshd.drop_connections()
    (job, *_) = field.wait_for(lambda jobs: jobs[0].state is JobState.UNKNOWN)
    assert job.reason.startswith("w1 does not answer since ")
    _, _, _, reason = field.prompt.ok("status", "1.1").rows[0]
    assert re.fullmatch(
        r"w1 does not answer since \d\d:\d\d:\d\dZ: .*; "
        rf"unless it does, it goes elsewhere at ({CLOCK})",
        reason,
    )
    (document,) = field.prompt.ok("status", "1.1", "--json").documents
    assert document["outlook"]["waits_for"] == "w1 to answer"
    assert document["outlook"]["until_s"] == pytest.approx(job.updated_s + 600, abs=5)
    assert "waits for\tw1 to answer\n" in field.prompt.ok("explain", "1.1").out
    (field.directory / "go").touch()
    wait_for(lambda: len(field.runs) == 3, "the jobs to end")
    assert field.job().state is JobState.UNKNOWN
    assert "worker w1\tdoes not answer" in field.prompt.ok("broker", "status").out
    sshd.start()
    jobs = field.wait_for(lambda jobs: all(job.state.is_final for job in jobs))
    assert {(job.cause, job.attempt) for job in jobs} == {(Cause.OK, 1)}
    assert field.runs == ["a", "b", "c"]


def test_jobs_of_a_lost_worker_go_elsewhere_and_the_old_attempts_are_fenced(
    field: Field, remote: Worker, sshd: Sshd
) -> None:
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    field.env["MEDGRID_BROKER_IDLE_S"] = "60"
    field.env["MEDGRID_HOST_LOST_AFTER_S"] = "1"
    with field.grid() as grid:
        local = grid.catalog.places.worker("local")
    field.worker(replace(local, enabled=False))
    again = field.directory / "again"
    field.algorithm(
        "slow", f'ran "$1"; [ -e "{again}" ] || sleep 300; cp "$1" copy.txt\n', outputs=["copy.txt"]
    )
    field.submit("slow", *field.put("a", "b"))
    field.wait_for(
        lambda jobs: all(job.state is JobState.RUNNING for job in jobs) and len(field.runs) == 2
    )
    again.touch()
    field.worker(local)
    sshd.stop()
    sshd.drop_connections()
    jobs = field.wait_for(lambda jobs: all(job.state.is_final for job in jobs))
    assert {(job.cause, job.attempt, job.worker) for job in jobs} == {(Cause.OK, 2, "local")}
    before = [job.outputs for job in jobs]
    sshd.start()
    attempts = next(sshd.home.glob("**/attempts"))
    field.submit("slow", *field.put("c"))  # the broker is seen to work on
    wait_for(
        lambda: not list(attempts.iterdir()), lambda: f"the attempts to be cleaned: {field.log()}"
    )
    jobs = field.jobs("1")
    assert {(job.cause, job.attempt) for job in jobs} == {(Cause.OK, 2)}
    assert [job.outputs for job in jobs] == before
    assert field.runs[:4] == ["a", "a", "b", "b"]


def test_cancelling_a_job_on_a_worker_that_does_not_answer(
    field: Field, remote: Worker, sshd: Sshd
) -> None:
    field.without_local()
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    field.algorithm("slow", 'ran "$1"; sleep 300\n')
    field.submit("slow", *field.put("a"))
    field.wait_for(lambda jobs: jobs[0].state is JobState.RUNNING)
    sshd.stop()
    sshd.drop_connections()
    field.wait_for(lambda jobs: jobs[0].state is JobState.UNKNOWN)
    field.prompt.ok("cancel", "1")
    (job,) = field.wait_for(lambda jobs: jobs[0].state is JobState.CANCELLED)
    assert job.reason == "cancelled by its owner; w1 is told when it answers again"
    sshd.start()
    attempts = next(sshd.home.glob("**/attempts"))
    field.algorithm("quick", "true\n")
    field.submit("quick", *field.put("b"))
    field.wait_for(lambda jobs: jobs[0].state is JobState.DONE, "2")
    wait_for(
        lambda: not list(attempts.iterdir()), lambda: f"the attempts to be cleaned: {field.log()}"
    )


def test_no_job_queues_while_a_worker_with_a_free_slot_is_about_to_answer(
    field: Field, remote: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assigning, "_SETTLE_S", PATIENCE_S)
    all_run = f'[ "$(wc -l < "{field.runs_file}")" -ge 4 ]'
    limits = {"limits": {"walltime_s": PATIENCE_S}}
    field.algorithm("meet", f'ran "$1"; until {all_run}; do sleep 0.05; done\n', custom=limits)
    field.submit("meet", *field.put("a", "b", "c", "d"))  # one of two workers answers first
    with field.grid() as grid:
        run_broker(grid, until_stuck=True)
    assert [job.cause for job in field.jobs("1")] == [Cause.OK] * 4
    assert sorted(job.worker or "" for job in field.jobs("1")) == ["local", "local", "w1", "w1"]
