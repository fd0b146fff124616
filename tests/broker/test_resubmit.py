"""``medgrid resubmit``: jobs that failed wait again, under their own ids."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from medgrid.model import Cause, DataClass, JobState
from tests.lab.field import Field


@pytest.fixture
def go(field: Field) -> Path:
    """File without which jobs on ``bad*`` fail, each in its own way."""
    file = field.directory / "go"
    field.algorithm(
        "copy",
        f'ran "$1"; cp "$1" copy.txt; [ -e "{file}" ] && exit 0\n'
        'case "$(cat "$1")" in bad-exit) exit 3;; bad-file) rm copy.txt;; '
        "bad-slow) sleep 60;; esac\n",
        outputs=["copy.txt"],
        custom={"limits": {"walltime_s": 1.5}},
    )
    return file


def test_jobs_that_failed_are_run_again(field: Field, go: Path) -> None:
    field.submit("copy", *field.put("good", "bad-exit", "bad-file"))
    field.once()
    go.touch()
    assert field.prompt.ok("resubmit", "--failed").out == "1.2\tresubmitted\n1.3\tresubmitted\n"
    (job, _) = field.jobs("1.2-3")
    assert (job.state, job.reason, job.cause) == (
        JobState.SUBMITTED,
        "resubmitted by its owner",
        None,
    )
    field.once()
    jobs = field.jobs("1")
    assert [(job.state, job.cause, job.attempt) for job in jobs] == [
        (JobState.DONE, Cause.OK, 1),
        (JobState.DONE, Cause.OK, 2),
        (JobState.DONE, Cause.OK, 2),
    ]
    assert [len(job.outputs) for job in jobs] == [1, 1, 1]
    assert field.runs == sorted(["good", *["bad-exit", "bad-file"] * 2])
    with field.grid() as grid:
        first, second = grid.catalog.jobs.attempts(job.id)
    assert (first.cause, first.exit_code, second.cause) == (Cause.EXIT, 3, Cause.OK)
    ran = field.prompt("resubmit", "--failed")
    assert (ran.code, ran.out, ran.err) == (
        0,
        "",
        "medgrid: warning: no such job failed: nothing was resubmitted\n",
    )


def test_only_those_that_failed_so(field: Field, go: Path) -> None:
    field.submit("copy", *field.put("bad-exit", "bad-file", "bad-slow", "good"))
    field.once()
    assert [job.cause for job in field.jobs("1")] == [
        Cause.EXIT,
        Cause.MISSING_OUTPUT,
        Cause.WALLTIME,
        Cause.OK,
    ]
    ran = field.prompt.ok("resubmit", "1", "--cause", "walltime", "--cause", "exit", "--json")
    assert ran.documents == [
        {"schema": "medgrid.job-resubmit/1", "id": "1.1", "result": "resubmitted"},
        {"schema": "medgrid.job-resubmit/1", "id": "1.3", "result": "resubmitted"},
    ]


def test_jobs_named_that_cannot_run_again_are_left(field: Field, go: Path) -> None:
    field.submit("copy", *field.put("good", "bad-exit"))
    field.once()
    field.submit("copy", "/t/good", "/t/good")
    field.prompt.ok("cancel", "2.1")
    ran = field.prompt("resubmit", "1", "2")
    assert (ran.code, ran.out, ran.err) == (
        3,
        "1.2\tresubmitted\n2.1\tresubmitted\n1.1\tleft Done\n2.2\tleft Submitted\n",
        "medgrid: error: 2 of 4 jobs were not resubmitted\n",
    )
    field.once()
    assert [job.cause for job in field.jobs("2")] == [Cause.OK, Cause.OK]


def test_words_that_name_nothing(field: Field, go: Path) -> None:
    field.submit("copy", *field.put("bad-exit"))
    field.once()
    assert field.prompt("resubmit").err == (
        "medgrid: error: no job id given\n"
        "medgrid: hint: name them, or give '-i FILE', or '-' to read stdin\n"
    )
    ran = field.prompt("resubmit", "1.1", "7", "--failed")
    assert (ran.code, ran.out) == (4, "")
    assert field.job().state is JobState.DONE
    assert field.prompt("resubmit", "1", "--cause", "ok").code == 2
    ran = field.prompt("resubmit", "--failed", "-", stdin="")
    assert (ran.code, ran.out, ran.err) == (0, "", "medgrid: warning: no job id given\n")


def test_keys_are_lent_anew_when_all_jobs_have_ended(field: Field, go: Path) -> None:
    field.submit("copy", *field.put("bad-exit", "good", data_class=DataClass.IMAGE))
    field.once()
    assert field.lent() == {}
    go.touch()
    field.prompt.ok("resubmit", "1", "--failed")
    assert field.lent() == {1: [1]}
    field.once()
    assert [job.cause for job in field.jobs("1")] == [Cause.OK, Cause.OK]
    assert field.lent() == {}


def test_keys_are_lent_anew_beside_those_of_jobs_that_wait(field: Field, go: Path) -> None:
    field.submit("copy", *field.put("a", "b", data_class=DataClass.IMAGE))
    field.prompt.ok("cancel", "1.1")
    assert field.lent() == {1: [2]}
    field.prompt.ok("resubmit", "1.1")
    assert field.lent() == {1: [1, 2]}
    field.once()
    assert [job.cause for job in field.jobs("1")] == [Cause.OK, Cause.OK]
    assert field.lent() == {}


def test_who_may_not_read_an_input_any_more_cannot_run_it_again(field: Field, go: Path) -> None:
    lfns = field.put("bad-exit", "bad-file", data_class=DataClass.IMAGE)
    field.submit("copy", *lfns)
    field.once()
    with closing(sqlite3.connect(field.prompt.home / "keystore.db")) as store:
        key_id = field.jobs("1.1")[0].inputs["file"][0]
        store.execute("DELETE FROM header WHERE object_id = ?", [key_id])
        store.commit()
    ran = field.prompt("resubmit", "--failed")
    with field.grid() as grid:
        user = grid.settings.user
    assert (ran.code, ran.out) == (
        3,
        f"1.2\tresubmitted\n1.1\tleft: the key store has no key of object {key_id} for {user}\n",
    )
    assert field.lent() == {1: [2]}
    assert field.job().state is JobState.DONE


def test_a_job_whose_input_is_gone_is_left(field: Field, go: Path) -> None:
    field.submit("copy", *field.put("bad-exit"))
    field.once()
    field.prompt.ok("rm", "-y", "/t/bad-exit")
    ran = field.prompt("resubmit", "1")
    assert (ran.code, ran.out) == (3, "1.1\tleft: an input is no longer in the grid\n")
