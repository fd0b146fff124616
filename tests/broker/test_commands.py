"""What the commands around jobs say: words in, lines out, exit codes."""

from __future__ import annotations

import pytest

from tests.lab.field import Field


@pytest.fixture
def ready(field: Field) -> Field:
    """Two objects and an algorithm with a parameter and two inputs."""
    field.algorithm(
        "measure",
        "true\n",
        inputs=[
            {"id": "bins", "name": "Bins", "type": "Number", "integer": True, "optional": True},
            {"id": "source", "name": "Source", "type": "File", "optional": True},
        ],
    )
    field.put("a", "b")
    return field


def test_submit_prints_ids_and_appends_them(ready: Field) -> None:
    ids = ready.directory / "ids"
    assert ready.prompt.ok("submit", "measure", "/t/a", "/t/b", "-o", ids).out == "1.1\n1.2\n"
    assert ready.prompt.ok("submit", "measure@1", "-", "-o", ids, stdin="/t/a\n").out == "2.1\n"
    assert ids.read_text() == "1.1\n1.2\n2.1\n"
    assert ready.prompt.ok("status", "-i", ids).out == (
        "1.1\tSubmitted\t\t\n1.2\tSubmitted\t\t\n2.1\tSubmitted\t\t\n"
    )


def test_submit_and_status_as_json(ready: Field) -> None:
    (document,) = ready.prompt.ok("submit", "measure", "/t/a", "-p", "bins=8", "--json").documents
    assert document == {
        "schema": "medgrid.submission/1",
        "submission": 1,
        "algorithm": "measure@1",
        "jobs": ["1.1"],
    }
    (line,) = ready.prompt.ok("status", "1", "--json").documents
    assert (line["schema"], line["id"], line["state"], line["attempt"]) == (
        "medgrid.job-status/1",
        "1.1",
        "Submitted",
        0,
    )
    job = ready.job()
    assert job.parameters == {"bins": 8}


def test_an_empty_list_of_lfns_submits_nothing(ready: Field) -> None:
    ran = ready.prompt("submit", "measure", "-", stdin="")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "medgrid: warning: no LFN given: nothing was submitted\n"
    assert ready.prompt("status", "1").code == 4


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["measure"], 2, "no LFN given"),
        (["measure", "/t/c"], 4, "LFN does not exist: /t/c"),
        (["measure", "/t/c", "/t/a", "/t/d"], 4, "2 LFNs do not exist: /t/c, /t/d"),
        (["measure", "--with", "source=/t/x", "/t/a"], 4, "LFN does not exist: /t/x"),
        (["measure", "t/a"], 2, "'t/a' is not a logical file name: it does not start with '/'"),
        (["measur", "/t/a"], 4, "no algorithm 'measur'"),
        (["measure@2", "/t/a"], 4, "no algorithm 'measure@2'"),
        (["measure", "/t/a", "-p", "bins=many"], 2, None),
        (["measure", "/t/a", "-p", "bins"], 2, "-p 'bins' is not of the form NAME=VALUE"),
        (["measure", "/t/a", "--with", "mask=/t/b"], 2, "measure has no input 'mask'"),
        (
            ["measure", "/t/a", "--per-job", "2"],
            2,
            "input file of measure takes one LFN a job, not 2",
        ),
        (["measure", "/t/a", "--se", "nowhere"], 4, None),
        (["measure", "/t/a", "-o", "/nowhere/ids"], 2, None),
    ],
)
def test_nothing_is_written_before_all_is_right(
    ready: Field, words: list[str], code: int, error: str | None
) -> None:
    ran = ready.prompt("submit", *words)
    assert (ran.code, ran.out) == (code, "")
    if error is not None:
        assert ran.err.splitlines()[0] == f"medgrid: error: {error}"
    assert ready.prompt("status", "1").code == 4


def test_two_with_for_one_input_are_refused(ready: Field) -> None:
    ran = ready.prompt(
        "submit", "measure", "/t/a", "--with", "source=/t/a", "--with", "source=/t/b"
    )
    assert ran.code == 2
    assert ran.err == ("medgrid: error: input source takes one LFN, two are given with --with\n")


def test_status_counts_and_filters(ready: Field) -> None:
    ready.submit("measure", "/t/a", "/t/b")
    ready.prompt.ok("cancel", "1.2")
    counted = ready.prompt.ok("status", "1", "--count").rows
    assert counted[:2] == [["Submitted", "1"], ["Cancelled", "1"]]
    assert ready.prompt.ok("status", "1", "--state", "cancelled").rows == [
        ["1.2", "Cancelled", "", "cancelled by its owner"]
    ]
    assert len(ready.prompt.ok("status").lines) == 2


def test_status_waits_no_longer_than_asked(ready: Field) -> None:
    ready.submit("measure", "/t/a")
    ran = ready.prompt("status", "1", "--wait", "--timeout", "0.2")
    assert (ran.code, ran.out) == (7, "1.1\tSubmitted\t\t\n")
    assert ran.err == (
        "medgrid: warning: no broker works on the 1 open job\n"
        "medgrid: warning: not all jobs ended within 0.2 s\n"
    )


def test_an_empty_list_of_jobs(ready: Field) -> None:
    for command in ("status", "cancel", "clear"):
        ran = ready.prompt(command, "-", stdin="")
        assert (ran.code, ran.out, ran.err) == (0, "", "medgrid: warning: no job id given\n")


@pytest.mark.parametrize("command", [["status"], ["cancel"], ["clear", "--yes"], ["explain"]])
def test_unknown_jobs(ready: Field, command: list[str]) -> None:
    ran = ready.prompt(*command, "9.1")
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("medgrid: error: there is no submission 9\n")


def test_broker_commands_without_a_broker(ready: Field) -> None:
    assert ready.prompt.ok("broker", "status").out == "broker\tnone\nopen jobs\t0\n"
    ran = ready.prompt("broker", "stop")
    assert (ran.code, ran.out) == (0, "")
