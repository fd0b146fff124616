"""Jobs from submit to the end, on the local worker, with real scripts."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from medgrid.model import Cause, JobState, Worker
from tests.lab.field import Field
from tests.lab.waiting import PATIENCE_S, wait_for

COPY = 'ran "$1"; cat "$1" > copy.txt; echo to-stdout; echo to-stderr >&2\n'


def test_a_job_runs_and_its_output_is_an_object_with_a_history(field: Field) -> None:
    field.algorithm("copy", COPY, outputs=["copy.txt"])
    (lfn,) = field.put("a")
    assert field.submit("copy", lfn) == ["1.1"]
    field.once()
    job = field.job()
    assert (job.state, job.cause, job.exit_code, job.reason) == (
        JobState.DONE,
        Cause.OK,
        0,
        "done",
    )
    assert (job.stdout_tail, job.stderr_tail) == ("to-stdout\n", "to-stderr\n")
    assert field.runs == ["a"]
    (output,) = job.outputs
    assert (output.role, output.filename, output.lfn) == ("copy", "copy.txt", None)
    with field.grid() as grid:
        (replica,) = grid.catalog.objects.replicas([output.object_id])[output.object_id]
        with grid.storage(replica.se).open(replica.pfn) as stream:
            assert stream.read() == b"a\n"
        made = grid.catalog.provenance.made_by(output.object_id)
    assert made is not None
    assert made.job == job.id
    assert made.algorithm_label == "copy@1"
    assert made.inputs == {"file": [job.inputs["file"][0]]}
    assert made.worker == "local"


def test_many_jobs_are_done_once_each(field: Field) -> None:
    field.algorithm("copy", COPY, outputs=["copy.txt"])
    names = [f"f{number}" for number in range(60)]
    field.submit("copy", *field.put(*names))
    field.once()
    assert {job.cause for job in field.jobs("1")} == {Cause.OK}
    assert field.runs == sorted(names)
    attempts = field.prompt.home / "agent" / "local" / "attempts"
    assert not [found for found in attempts.iterdir() if found.name.startswith("1.")]


def test_a_job_that_fails_is_done_with_its_exit_code_and_stderr(field: Field) -> None:
    field.algorithm("fail", "echo no such tissue >&2; exit 3\n")
    field.submit("fail", *field.put("a"))
    field.once()
    job = field.job()
    assert (job.state, job.cause, job.exit_code) == (JobState.DONE, Cause.EXIT, 3)
    assert job.stderr_tail == "no such tissue\n"
    assert job.attempt == 1
    ran = field.prompt("status", "1", "--wait")
    assert ran.code == 8
    assert ran.out == "1.1\tDone\tlocal\texit code 3\n"
    assert ran.err == (
        "medgrid: warning: job 1.1 is Done: exit code 3\n"
        "medgrid: error: 1 of 1 jobs ended badly\n"
        "medgrid: hint: see 'medgrid explain 1.1'\n"
    )
    assert "no such tissue" in field.prompt.ok("explain", "1.1").out


def test_one_bad_job_does_not_stop_the_others(field: Field) -> None:
    field.algorithm("pick", 'grep -q bad "$1" && exit 1; cp "$1" copy.txt\n', outputs=["copy.txt"])
    field.submit("pick", *field.put("a", "bad", "c"))
    field.once()
    assert [job.cause for job in field.jobs("1")] == [Cause.OK, Cause.EXIT, Cause.OK]


def test_an_output_that_is_not_written_is_a_failure(field: Field) -> None:
    field.algorithm("nothing", "echo quiet\n", outputs=["copy.txt"])
    field.submit("nothing", *field.put("a"))
    field.once()
    job = field.job()
    assert (job.state, job.cause) == (JobState.DONE, Cause.MISSING_OUTPUT)
    assert "copy.txt" in job.reason
    assert job.outputs == ()


def test_a_program_that_no_worker_has_aborts_the_jobs(field: Field) -> None:
    field.algorithm(
        "need", COPY, custom={"environment": {"kind": "host", "programs": ["no-such-program"]}}
    )
    field.submit("need", *field.put("a", "b", "c", "d", "e"))
    field.once()
    for job in field.jobs("1"):
        assert job.state is JobState.ABORTED
        assert "not on the worker's PATH: no-such-program" in job.reason
    assert field.prompt("status", "1", "--wait").code == 8


def test_jobs_wait_for_a_worker_that_fits_and_say_so(field: Field) -> None:
    field.algorithm("tagged", COPY, outputs=["copy.txt"], custom={"tags": ["gpu"]})
    (lfn,) = field.put("a")
    field.submit("tagged", lfn)
    field.once()
    reason = "no worker can take it: local: it lacks the tag gpu"
    assert field.prompt.ok("status", "1").out == f"1.1\tWaiting\t\t{reason}\n"
    ranked = field.prompt.ok("list-match", "tagged", lfn)
    assert ranked.rows == [["", "local", "here", "0", "0", "it lacks the tag gpu"]]
    explained = field.prompt.ok("explain", "1.1").out
    assert "local\t0\t0.00\tit lacks the tag gpu" in explained
    assert "broker\tnone works on this grid" in explained
    with field.grid() as grid:
        local = grid.catalog.places.worker("local")
    field.worker(replace(local, tags=frozenset({"gpu"})))
    field.once()
    assert field.job().state is JobState.DONE


def test_a_grid_without_workers(field: Field) -> None:
    field.algorithm("copy", COPY)
    field.without_local()
    field.submit("copy", *field.put("a"))
    field.once()
    assert field.job().reason == "the grid has no worker"


def test_an_input_whose_bytes_are_gone_is_given_up(field: Field) -> None:
    field.env["MEDGRID_MAX_ATTEMPTS"] = "2"
    field.algorithm("copy", COPY, outputs=["copy.txt"])
    lfn, other = field.put("a", "b")
    with field.grid() as grid:
        found = grid.catalog.objects.get_many([lfn])[lfn]  # type: ignore[list-item,index]
        (replica,) = grid.catalog.objects.replicas([found.id])[found.id]
        grid.storage(replica.se).delete(replica.pfn)
    field.submit("copy", lfn, other)
    field.once()
    gone, fine = field.jobs("1")
    assert (gone.state, gone.attempt, gone.cause) == (JobState.ABORTED, 2, Cause.STAGE_IN)
    assert fine.cause is Cause.OK


def test_the_highest_priority_goes_first(field: Field) -> None:
    with field.grid() as grid:
        local = grid.catalog.places.worker("local")
    field.worker(replace(local, slots=1))
    field.algorithm("slow", f'cat "$1" >> "{field.directory}/order"; sleep 0.2\n')
    for priority in ("batch", "normal", "emergency", "interactive"):
        field.submit("slow", "--priority", priority, *field.put(priority))
    field.once()
    order = (field.directory / "order").read_text().split()
    assert order == ["emergency", "interactive", "normal", "batch"]


def test_several_files_for_each_job(field: Field) -> None:
    field.algorithm(
        "pack",
        'for f in "$@"; do ran "$f"; cat "$f"; done > all.txt\n',
        outputs=["all.txt"],
        is_list=True,
    )
    lfns = field.put("a", "b", "c", "d", "e")
    assert field.submit("pack", *lfns, "--per-job", "2") == ["1.1", "1.2", "1.3"]
    field.once()
    assert [len(job.inputs["file"]) for job in field.jobs("1")] == [2, 2, 1]
    assert field.runs == ["a", "b", "c", "d", "e"]


def test_a_running_job_is_cancelled_with_its_children(field: Field) -> None:
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    pids = field.directory / "pids"
    field.algorithm("sleepy", f'sleep 300 & echo $! $$ > "{pids}"; ran "$1"; wait\n')
    field.submit("sleepy", *field.put("a", "b", "c"))
    field.wait_for(lambda jobs: [job.state for job in jobs].count(JobState.RUNNING) == 2)
    wait_for(lambda: len(field.runs) == 2, "both scripts to begin")
    first, second, third = field.prompt.ok("cancel", "1").rows
    assert first == ["1.1", "being cancelled"]
    assert second == ["1.2", "being cancelled"]
    assert third[1] in ("cancelled", "being cancelled")  # it may be queued on the worker
    jobs = field.wait_for(lambda jobs: all(job.state is JobState.CANCELLED for job in jobs))
    assert {job.reason for job in jobs} == {"cancelled by its owner"}
    for pid in pids.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
    again = field.prompt("cancel", "1.1")
    assert (again.code, again.out) == (3, "1.1\talready Cancelled\n")
    assert len(field.runs) == 2


def test_peek_at_a_running_job_and_at_an_ended_one(field: Field) -> None:
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    go = field.directory / "go"
    field.algorithm(
        "talk", f'echo one; while [ ! -e "{go}" ]; do sleep 0.05; done; printf "two\\033[2J\\n"\n'
    )
    field.submit("talk", *field.put("a"))
    field.wait_for(lambda jobs: jobs[0].state is JobState.RUNNING)
    wait_for(lambda: field.prompt.ok("peek", "1.1").out == "one\n", "the first line")
    following = field.prompt.start("peek", "1.1", "--follow")
    assert following.stdout is not None
    assert following.stdout.readline() == "one\n"
    go.touch()
    out, err = following.communicate(timeout=PATIENCE_S)
    assert (following.returncode, out, err) == (0, "two\x1b[2J\n", "")
    field.wait_for(lambda jobs: jobs[0].state is JobState.DONE)
    assert field.prompt.ok("peek", "1.1").out == "one\ntwo\x1b[2J\n"
    seen = field.prompt.on_terminal("peek", "1.1")
    assert seen.out == "one\ntwo\\x1b[2J\n", "no job steers a terminal"
    assert field.prompt.ok("peek", "1.1", "--stderr").out == ""


def test_peek_at_a_job_that_has_not_started(field: Field) -> None:
    field.algorithm("copy", COPY)
    field.submit("copy", *field.put("a"))
    ran = field.prompt("peek", "1.1")
    assert (ran.code, ran.err) == (
        4,
        "medgrid: error: job 1.1 has not started: it is Submitted\n"
        "medgrid: hint: see 'medgrid explain 1.1'; --follow waits for it\n",
    )


def test_clear_discards_outputs_and_keeps_the_history(field: Field) -> None:
    field.algorithm("copy", COPY, outputs=["copy.txt"])
    field.submit("copy", *field.put("a"))
    waiting = field.prompt("clear", "1", "--yes")
    assert (waiting.code, waiting.out) == (3, "1.1\tleft Submitted\n")
    field.once()
    (output,) = field.job().outputs
    assert field.prompt.ok("clear", "1", "--yes").out == "1.1\tcleared\n"
    job = field.job()
    assert (job.state, job.outputs) == (JobState.CLEARED, ())
    with field.grid() as grid:
        assert grid.catalog.objects.by_ids([output.object_id]) == {}
        made = grid.catalog.provenance.made_by(output.object_id)
        assert made is not None
        stored = [pfn for pfn, _ in grid.storage("local").walk() if output.object_id in pfn]
    assert stored == []


def test_an_unreachable_worker_does_not_keep_the_others_waiting(field: Field) -> None:
    field.worker(Worker("w1", "ssh://127.0.0.1:1", "there", slots=100))
    field.algorithm("copy", COPY, outputs=["copy.txt"])
    field.submit("copy", *field.put("a", "b", "c"))
    field.once()
    assert {job.worker for job in field.jobs("1")} == {"local"}
    assert "worker w1\tdoes not answer" in field.prompt.ok("broker", "status").out
