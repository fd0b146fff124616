"""Watching jobs at the prompt: totals, the log of one job, the live view."""

from __future__ import annotations

import re
import time

import pytest

from medgrid.model import JobState
from tests.lab.field import Field
from tests.lab.waiting import PATIENCE_S

CLOCK = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def ended(field: Field) -> Field:
    """Three jobs have ended, one of them well, and one waits."""
    field.algorithm("odd", 'ran "$1"; [ "$(cat "$1")" = a ]\n')
    field.submit("odd", *field.put("a", "b", "c"))
    field.once()
    field.submit("odd", "/t/a")
    return field


def test_totals_of_a_submission(ended: Field) -> None:
    assert ended.prompt.ok("status", "1", "--count").rows[:3] == [
        ["Done", "3"],
        ["failed: exit", "2"],
        ["ended in the last 1 min", "3"],
    ]
    assert ended.prompt.ok("status", "1", "--count").rows[4] == ["ETA", ""]  # none is left
    assert ended.prompt.ok("status", "2", "--count").rows == [
        ["Submitted", "1"],
        ["ended in the last 10 min", "0"],
        ["jobs per minute", ""],
        ["ETA", ""],
    ]


def test_totals_of_all_jobs(ended: Field) -> None:
    rows = {row[0]: row[1] for row in ended.prompt.ok("status", "--count").rows}
    assert (rows["Submitted"], rows["Done"], rows["failed: exit"]) == ("1", "3", "2")
    assert float(rows["jobs per minute"]) > 0
    assert re.fullmatch(CLOCK, rows["ETA"])
    (document,) = ended.prompt.ok("status", "--count", "--json").documents
    assert document["schema"] == "medgrid.job-totals/1"
    assert document["states"] == {"Submitted": 1, "Done": 3}
    assert document["failures"] == {"exit": 2}
    assert (document["left"], document["ended"]) == (1, 3)
    assert document["per_minute"] == pytest.approx(3 / document["span_s"] * 60)
    assert document["left_s"] == pytest.approx(document["span_s"] / 3)
    assert abs(document["eta_s"] - time.time() - document["left_s"]) < PATIENCE_S


def test_totals_of_nobody(field: Field) -> None:
    assert field.prompt.ok("status", "--count").rows == [
        ["ended in the last 10 min", "0"],
        ["jobs per minute", ""],
        ["ETA", ""],
    ]


def test_the_log_of_a_job(ended: Field) -> None:
    rows = ended.prompt.ok("log", "1.2").rows
    assert all(re.fullmatch(CLOCK, row[0]) for row in rows)
    assert [row[1:] for row in rows] == [
        ["Submitted", "", "", ""],
        ["Ready", "1", "local", "to local"],
        ["Scheduled", "1", "local", "on local"],
        ["Running", "1", "local", "on local"],
        ["Done", "1", "local", "exit code 1"],
    ]
    documents = ended.prompt.ok("log", "1.2", "--json").documents
    assert [one["state"] for one in documents] == [row[1] for row in rows]
    assert {(one["schema"], one["id"]) for one in documents} == {("medgrid.job-event/1", "1.2")}


def test_the_log_is_followed_to_the_end(ended: Field) -> None:
    following = ended.prompt.start("log", "2.1", "--follow")
    assert following.stdout is not None
    assert following.stdout.readline().split("\t")[1] == "Submitted"
    ended.once()
    out, err = following.communicate(timeout=PATIENCE_S)
    assert (following.returncode, err) == (0, "")
    assert [line.split("\t")[1] for line in out.splitlines()][-1] == "Done"


@pytest.mark.parametrize(
    ("word", "code", "error"),
    [
        ("9.1", 4, "there is no submission 9"),
        ("1.9", 4, "there is no job 1.9: submission 1 has jobs 1 to 3"),
        ("1", 2, "'1' is not a job id"),
    ],
)
def test_logs_of_no_job(ended: Field, word: str, code: int, error: str) -> None:
    ran = ended.prompt("log", word)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.splitlines()[0] == f"medgrid: error: {error}"


def test_explain_says_until_when(ended: Field) -> None:
    rows = [
        row for row in ended.prompt.ok("explain", "2.1").rows if row[0] in ("waits for", "until")
    ]
    assert rows == [
        ["waits for", "a broker: none works on this grid"],
        ["until", "nobody knows"],
    ]
    assert "waits for" not in ended.prompt.ok("explain", "1.1").out
    (document,) = ended.prompt.ok("explain", "2.1", "--json").documents
    assert document["outlook"] == {
        "waits_for": "a broker: none works on this grid",
        "until_s": None,
        "then": "",
        "is_estimate": False,
    }


def test_top_in_a_pipe_looks_once(ended: Field) -> None:
    jobs, workers, failures = ended.prompt.ok("top").out.split("\n\n")
    assert jobs.splitlines()[:4] == ["broker\tnone", "Submitted\t1", "Done\t3", "failed: exit\t2"]
    assert workers == "local\there\t2\t0\t2\t0\tup"
    rows = [line.split("\t") for line in failures.splitlines()]
    assert sorted(row[1:] for row in rows) == [
        ["1.2", "exit", "exit code 1"],
        ["1.3", "exit", "exit code 1"],
    ]
    (document,) = ended.prompt.ok("top", "--json").documents
    assert document["schema"] == "medgrid.top/1"
    assert document["jobs"]["states"] == {"Submitted": 1, "Done": 3}
    assert [one["name"] for one in document["workers"]] == ["local"]


@pytest.mark.parametrize("key", ["q", "Q", "\x03"])
def test_top_on_a_terminal_ends_by_a_key(ended: Field, key: str) -> None:
    ran = ended.prompt.on_terminal("top", "--interval", "0.2", typed=[("'q' ends", key)])
    assert ran.code == 0
    assert "failed: exit" in ran.out
    assert "exit code 1" in ran.out
    assert ran.out.rindex("\x1b[?1049l") > ran.out.rindex("\x1b[?1049h")  # the screen is given back


def test_top_on_a_terminal_that_draws_nothing(ended: Field) -> None:
    ran = ended.prompt.on_terminal("top", env={"TERM": "dumb"})
    assert ran.code == 0
    assert "exit code 1" in ran.out
    assert "\x1b[?" not in ran.out


def test_top_shows_what_changes(ended: Field) -> None:
    def cancelled() -> str:
        ended.prompt.ok("cancel", "2.1")
        return "x"  # which is no key

    typed = (("Submitted", cancelled), ("Cancelled", "q"))
    ran = ended.prompt.on_terminal("top", "--interval", "0.2", typed=typed)
    assert ran.code == 0
    assert ended.job("2.1").state is JobState.CANCELLED


def test_top_without_jobs(field: Field) -> None:
    assert field.prompt.ok("top").out == (
        "broker\tnone\nended in the last 10 min\t0\njobs per minute\t\nETA\t\n\n"
        "local\there\t2\t0\t2\t0\tnot reached yet\n"
    )
