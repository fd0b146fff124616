"""The broker as a process: started by submit, killed at any moment, one at a time, stopped."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from medgrid.broker.process import is_starting
from medgrid.config import load_settings
from medgrid.model import Cause, JobState, Worker
from tests.lab.field import Field
from tests.lab.leftovers import processes_of
from tests.lab.waiting import PATIENCE_S, wait_for

COPY = 'ran "$1"; cat "$1" > copy.txt\n'


def broker_pid(field: Field) -> int | None:
    """Process id of the broker that holds the lease."""
    (document,) = field.prompt.ok("broker", "status", "--json").documents
    return int(document["holder"].split()[-1]) if document["running"] else None


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_submit_starts_a_broker_that_ends_when_idle(field: Field) -> None:
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    field.algorithm("copy", COPY, outputs=["copy.txt"])
    field.submit("copy", *field.put("a"))
    ran = field.prompt("status", "1", "--wait")
    assert (ran.code, ran.out, ran.err) == (0, "1.1\tDone\tlocal\tdone\n", "")
    pid = broker_pid(field)
    wait_for(
        lambda: broker_pid(field) is None and (pid is None or not alive(pid)), "the broker to end"
    )
    assert " ends\n" in field.log()
    assert "Traceback" not in field.log()


def test_a_broker_that_ended_is_not_starting(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    assert not is_starting(settings)
    settings.log_dir.mkdir(parents=True)
    mark = settings.log_dir / "broker.start"
    mark.touch()
    assert is_starting(settings), "its shell has not written yet who it is"
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        for text, age_s, expected in (
            (f"{process.pid}\n", 10, True),
            (f"{process.pid}\n", 90, False),
            ("\n", 10, False),
            (f"{2**22 + 1}\n", 10, False),
        ):
            mark.write_text(text)
            os.utime(mark, (time.time() - age_s,) * 2)
            assert is_starting(settings) is expected
        mark.write_text(f"{process.pid}\n")
        os.utime(mark, (time.time() - 10,) * 2)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_starting(settings), "a dead process that nobody waited for"


def test_a_broker_that_works_is_not_starting_any_more(field: Field) -> None:
    """Else what is submitted when it has just ended, soon after its start, would wait for ever."""
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    field.algorithm("copy", COPY, outputs=["copy.txt"])
    (lfn,) = field.put("a")
    settings = load_settings(field.prompt.home, {})
    for number in range(1, 4):
        field.submit("copy", lfn)
        field.wait_for(lambda jobs: jobs[0].cause is Cause.OK, str(number))
        assert not is_starting(settings)


def test_workers_that_do_not_answer_keep_no_broker_busy(field: Field, closed_port: int) -> None:
    """They are tried again and again, while there is something to do."""
    field.env |= {"MEDGRID_BROKER_AUTOSTART": "1", "MEDGRID_BROKER_IDLE_S": "3"}
    for number in range(40):
        field.worker(Worker(f"w{number}", f"ssh://127.0.0.1:{closed_port}", "there"))
    field.algorithm("copy", COPY, outputs=["copy.txt"])
    field.submit("copy", *field.put("a"))
    field.prompt.ok("status", "1", "--wait")
    wait_for(lambda: broker_pid(field) is None, lambda: f"the broker to end: {field.log()}")


def test_submit_does_not_keep_its_pipes_open(field: Field) -> None:
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    go = field.directory / "go"
    field.algorithm("slow", f'while [ ! -e "{go}" ]; do sleep 0.05; done\n')
    (lfn,) = field.put("a")
    submit = field.prompt.start("submit", "slow", lfn)
    out, err = submit.communicate(timeout=PATIENCE_S)  # until all writers have closed the pipes
    assert (submit.returncode, out, err) == (0, "1.1\n", "")
    field.wait_for(lambda jobs: jobs[0].state is JobState.RUNNING)
    go.touch()


def test_a_broker_outlives_the_terminal_it_was_started_from(field: Field) -> None:
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    field.algorithm("slow", 'sleep 2; ran "$1"\n')
    (lfn,) = field.put("a")
    ran = field.prompt.on_terminal("submit", "slow", lfn)  # the terminal is gone after this
    assert ran.code == 0
    assert "1 job of slow@1; see 'medgrid status 1'" in ran.out
    (job,) = field.wait_for(lambda jobs: jobs[0].state.is_final)
    assert job.cause is Cause.OK


def test_a_second_broker_is_refused(field: Field) -> None:
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    field.algorithm("slow", "sleep 300\n")
    field.submit("slow", *field.put("a"))
    field.wait_for(lambda jobs: jobs[0].state is JobState.RUNNING)
    pid = broker_pid(field)
    for verb in ("run", "once"):
        ran = field.prompt("broker", verb)
        assert ran.code == 7
        assert ran.err.startswith("medgrid: error: a broker works on this catalog: ")
        assert ran.err.endswith(f" pid {pid}\n")
    field.prompt.ok("cancel", "1")


def test_stop_leaves_jobs_running_and_the_next_broker_takes_over(field: Field) -> None:
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    go = field.directory / "go"
    wait = f'while [ ! -e "{go}" ]; do sleep 0.1; done; '
    field.algorithm("slow", f'{wait}ran "$1"; cp "$1" copy.txt\n', outputs=["copy.txt"])
    field.submit("slow", *field.put("a"))
    field.wait_for(lambda jobs: jobs[0].state is JobState.RUNNING)
    assert field.prompt.ok("broker", "stop").err == ""
    assert field.prompt.ok("broker", "status").out == "broker\tnone\nopen jobs\t1\n"
    assert field.job().state is JobState.RUNNING
    go.touch()
    field.once()
    job = field.job()
    assert (job.cause, job.attempt) == (Cause.OK, 1)
    assert field.runs == ["a"]


_NEWER = (
    *("patient_attribute", "sealed_codes", "released_code", "removed"),
    *("held_words", "word_release", "merged"),
)
"""Tables that a catalog of schema 0003 had not."""


def test_a_broker_of_an_older_medgrid_is_stopped_before_the_upgrade(field: Field) -> None:
    broker = field.prompt.start("broker", "run")
    assert broker.stderr is not None
    assert " starts" in broker.stderr.readline()
    with closing(sqlite3.connect(field.prompt.home / "catalog.db")) as file:
        # the step from there moves rows, of which there are none
        for table in _NEWER:
            file.execute(f"DROP TABLE {table}")
        file.execute("UPDATE alembic_version SET version_num = '0003'")
        file.commit()
    refused = field.prompt("catalog", "upgrade")
    assert (refused.code, refused.err.splitlines()) == (
        7,
        [
            f"medgrid: error: no upgrade while a broker works: "
            f"{socket.gethostname()} pid {broker.pid}",
            "medgrid: hint: end it with 'medgrid broker stop', then say the same again",
        ],
    )
    field.prompt.ok("broker", "stop")
    _, err = broker.communicate(timeout=PATIENCE_S)
    assert broker.returncode == 0, err
    field.prompt.ok("catalog", "upgrade")
    assert broker_pid(field) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_broker_in_the_foreground_ends_on_signals(field: Field, number: signal.Signals) -> None:
    broker = field.prompt.start("broker", "run")
    assert broker.stderr is not None
    assert " starts" in broker.stderr.readline()
    broker.send_signal(number)
    _, err = broker.communicate(timeout=PATIENCE_S)
    assert broker.returncode == 0
    assert err.endswith(" ends\n")
    assert broker_pid(field) is None


def test_a_dead_broker_is_replaced_at_the_next_wait(field: Field) -> None:
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    field.env["MEDGRID_BROKER_IDLE_S"] = "30"
    go = field.directory / "go"
    field.algorithm("held", f'until [ -e "{go}" ]; do sleep 0.05; done; ran "$1"\n')
    field.submit("held", *field.put("a", "b"))
    field.wait_for(lambda jobs: jobs[0].state is JobState.RUNNING)
    pid = broker_pid(field)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    go.touch()
    ran = field.prompt("status", "1", "--wait", "--timeout", str(PATIENCE_S))
    assert ran.code == 0, ran.err
    assert field.runs == ["a", "b"]
    assert [job.attempt for job in field.jobs("1")] == [1, 1]


@pytest.mark.slow
def test_a_broker_killed_again_and_again_loses_nothing_and_doubles_nothing(field: Field) -> None:
    field.algorithm("copy", COPY, outputs=["copy.txt"])
    names = [f"f{number}" for number in range(60)]
    lfns = field.put(*names)
    field.submit("copy", *lfns)
    dice = random.Random(42)
    kills = 0
    for _ in range(10):
        broker = field.prompt.start("broker", "once", stderr=subprocess.PIPE)
        assert broker.stderr is not None
        broker.stderr.readline()  # it has the lease
        try:
            broker.wait(timeout=dice.uniform(0.0, 0.6))
        except subprocess.TimeoutExpired:
            broker.kill()
            kills += 1
        broker.communicate()
        if broker.returncode == 0:
            break
    assert kills >= 3
    field.once()
    jobs = field.jobs("1")
    assert {(job.state, job.cause) for job in jobs} == {(JobState.DONE, Cause.OK)}
    assert field.runs == sorted(names)  # each attempt started at most once, each job ran once
    assert {job.attempt for job in jobs} == {1}
    assert [len(job.outputs) for job in jobs] == [1] * len(names)
    with field.grid() as grid:
        known = {
            replica.pfn
            for many in grid.catalog.objects.replicas(
                [output.object_id for job in jobs for output in job.outputs]
            ).values()
            for replica in many
        }
        inputs = grid.catalog.objects.replicas([one for job in jobs for one in job.inputs["file"]])
        known |= {replica.pfn for many in inputs.values() for replica in many}
        stored = {pfn for pfn, _ in grid.storage("local").walk()}
        bundle = grid.catalog.algorithms.bundle_object(jobs[0].algorithm)
        assert bundle is not None
        (bundle_replica,) = grid.catalog.objects.replicas([bundle])[bundle]
    assert stored == known | {bundle_replica.pfn}  # nothing is left over


def test_jobs_submitted_while_a_broker_works_are_done_too(field: Field) -> None:
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    field.algorithm("copy", COPY, outputs=["copy.txt"])
    names = [f"f{number}" for number in range(12)]
    for lfn in field.put(*names):
        field.submit("copy", lfn)
    ran = field.prompt("status", "--wait", "--timeout", str(PATIENCE_S))
    assert ran.code == 0, ran.err
    assert len(ran.lines) == 12
    assert field.runs == sorted(names)


def test_a_worker_that_lost_all_it_knew_gets_a_new_attempt(field: Field) -> None:
    root = field.prompt.home / "agent" / "local"
    again = field.directory / "again"
    field.algorithm("slow", f'[ -e "{again}" ] || sleep 300; ran "$1"\n')
    field.submit("slow", *field.put("a"))
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    field.prompt("status", "--wait", "--timeout", "0.1")
    field.wait_for(lambda jobs: jobs[0].state is JobState.RUNNING)
    field.prompt.ok("broker", "stop")
    for one in processes_of([root]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGKILL)
    shutil.rmtree(root)
    again.touch()
    field.once()
    job = field.job()
    assert (job.state, job.cause, job.attempt) == (JobState.DONE, Cause.OK, 2)
    with field.grid() as grid:
        first, second = grid.catalog.jobs.attempts(job.id)
    assert (first.cause, first.message) == (Cause.LOST, "the worker has lost all it knew")
    assert second.cause is Cause.OK


def test_status_says_that_no_broker_works(field: Field) -> None:
    field.algorithm("touch", 'ran "$1"\n')
    field.submit("touch", *field.put("a", "b"))
    ran = field.prompt("status", "1", "--count")
    assert (ran.code, ran.out, ran.err) == (
        0,
        "Submitted\t2\nended in the last 10 min\t0\njobs per minute\t\nETA\t\n",
        "medgrid: warning: no broker works on the 2 open jobs\n"
        "medgrid: hint: start one with 'medgrid broker run', or 'medgrid broker once'\n",
    )
    field.once()
    assert field.prompt("status", "1").err == ""


def test_status_replaces_a_broker_that_died_and_says_why(field: Field) -> None:
    field.algorithm("touch", 'ran "$1"\n')
    (lfn,) = field.put("a")
    field.submit("touch", lfn)
    log = field.prompt.home / "log" / "broker.log"
    log.parent.mkdir(mode=0o700, exist_ok=True)
    log.write_text("medgrid: error: no way\nmedgrid: hint: look\n")
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    ran = field.prompt("status", "1")
    assert (ran.code, ran.out) == (0, "1.1\tSubmitted\t\t\n")
    assert ran.err == (
        "medgrid: warning: no broker worked on the 1 open job, one is started; the last one "
        "ended: no way\n"
        "medgrid: hint: see 'medgrid broker status', and log/broker.log in the grid home\n"
    )
    assert field.prompt("status", "1", "--wait", "--timeout", str(PATIENCE_S)).code == 0
    assert field.runs == ["a"]


def test_a_broker_that_cannot_be_started_is_told_after_the_ids(field: Field) -> None:
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    field.algorithm("touch", 'ran "$1"\n')
    log = field.prompt.home / "log"
    shutil.rmtree(log, ignore_errors=True)
    log.write_text("no folder\n")
    ids = field.directory / "ids"
    ran = field.prompt("submit", "touch", *field.put("a"), "-o", ids)
    assert (ran.code, ran.out, ids.read_text()) == (0, "1.1\n", "1.1\n")
    assert ran.err == (
        f"medgrid: warning: no broker works on the 1 open job: {log}: cannot be made private: "
        "File exists\n"
        "medgrid: hint: start one with 'medgrid broker run', or 'medgrid broker once'\n"
    )
    field.once()
    assert field.runs == ["a"]
