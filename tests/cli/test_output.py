"""How results leave: tables, lines, JSON; progress; nothing that steers a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from medgrid.cli.output import emit, emit_lines, emit_table, human_bytes, progress, warn
from medgrid.cli.params import Session
from medgrid.cli.say import printable
from tests.lab.prompt import ROOT, Prompt
from tests.lab.waiting import PATIENCE_S


def session(*, as_json: bool = False, quiet: bool = False) -> Session:
    return Session(home=None, as_json=as_json, interactive=False, quiet=quiet, debug=False)


def test_a_table_in_a_pipe_is_lines_of_cells(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["a\tb", 1.5, None], ["two\nlines", True, ["x", "y"]]]
    emit_table(rows, ["name", "value", "more"])
    assert capsys.readouterr().out == "a b\t1.5\t\ntwo lines\tyes\tx,y\n"


def test_an_empty_table_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    emit_table([], ["name"])
    assert capsys.readouterr().out == ""


def test_lists_as_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    emit(session(as_json=True), "thing/1", [{"name": "é", "x": None}, {"name": "b"}], ["name"])
    assert capsys.readouterr().out == (
        '{"schema": "medgrid.thing/1", "name": "é", "x": null}\n'
        '{"schema": "medgrid.thing/1", "name": "b"}\n'
    )


def test_a_terminal_is_not_steered(capsys: pytest.CaptureFixture[str]) -> None:
    emit_table([["brain\x1b[2J", "\x9b31m", "Größe"]], ["a", "b", "c"])
    assert capsys.readouterr().out == "brain\\x1b[2J\t\\x9b31m\tGröße\n"
    assert printable("a\u202eb") == "a\\u202eb"


def test_warnings_go_to_stderr_unless_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    warn(session(), "mind the gap")
    warn(session(quiet=True), "mind the gap")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "medgrid: warning: mind the gap\n")


def test_lines_come_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    emit_lines(["a", "b"])
    assert capsys.readouterr().out == "a\nb\n"


def test_what_was_printed_is_out_when_the_process_is_killed() -> None:
    program = "import os; from medgrid.cli.output import emit_lines; emit_lines('a'); os.kill(0, 9)"
    words = [sys.executable, "-c", program]
    ran = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True)
    assert (ran.returncode, ran.stdout) == (-9, b"a\n")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, None),
        (0, "0"),
        (1023, "1023"),
        (1024, "1.0K"),
        (5 * 1024**3, "5.0G"),
        (2**60, "1024.0P"),
    ],
)
def test_human_bytes(amount: int | None, text: str | None) -> None:
    assert human_bytes(amount) == text


def test_no_progress_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bar = progress(session(), "working")
    bar.total(3)
    bar.advance()
    bar.note("next")
    bar.warn("odd")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "medgrid: warning: odd\n")


def test_a_table_on_a_terminal(grid_prompt: Prompt) -> None:
    ran = grid_prompt.on_terminal("worker", "ls", env={"NO_COLOR": "1"})
    assert ran.code == 0
    header, rule, row = ran.out.splitlines()
    columns = ["name", "url", "site", "slots", "memory", "cache", "tags", "state", "trouble"]
    assert header.split() == columns
    assert set(rule) == {"-", " "}
    assert row.split() == ["local", "local:", "here", "2", "enabled"]


def test_colour_on_a_terminal_unless_unwanted(grid_prompt: Prompt) -> None:
    words = ("worker", "rm", "nobody")
    assert "\x1b[31m" in grid_prompt.on_terminal(*words).out
    assert "\x1b" not in grid_prompt.on_terminal(*words, env={"NO_COLOR": "1"}).out
    assert "\x1b" not in grid_prompt(*words).err


PROGRESS = """
import sys, time
import click
from medgrid.cli.output import progress
from medgrid.cli.params import Session
@click.command()
def command():
    session = Session(home=None, as_json=False, interactive=False, quiet=False, debug=False)
    bar = progress(session, "copying")
    bar.total(4 * 2**20, "B")
    for part in range(4):
        bar.advance(2**20)
        time.sleep(0.15)
    bar.note("almost [there]")
    bar.warn("odd \\x1b[31m thing")
    time.sleep(0.3)
    print("result")
command()
"""


def test_progress_on_a_terminal() -> None:
    """A bar on stderr, a warning above it; only the result on stdout."""
    ours, theirs = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRESS],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    seen = b""
    try:
        while data := os.read(ours, 4096):
            seen += data
    except OSError:
        pass
    out, _ = child.communicate(timeout=PATIENCE_S)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())
    assert (child.returncode, out) == (0, "result\n")
    assert "copying" in text
    assert "4.2/4.2 MB" in text
    assert "almost [there]" in text
    assert "medgrid: warning: odd \\x1b[31m thing" in text
