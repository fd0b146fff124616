"""The table of what was measured, and who claims its rows. How they are run."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import __main__ as runner
from tests.benchmarks import bench_crypt4gh, bench_startup
from tests.benchmarks.__main__ import PAGE, all_figures, names
from tests.benchmarks.figures import Figure, Row
from tests.benchmarks.table import Table, updated
from tests.lab import json_lines
from tests.lab.test_checkout import made

FAST = Figure("a query", " ms", at_most=20)
MANY = Figure("jobs", "/s", at_least=400)
NEW = Figure("bytes")
PAGE_OF_TWO = """\
# Measured

<!-- measured: written by python -m tests.benchmarks --write -->
Last run: 2026-11-01, commit abc.

| what | bar | measured |
|---|---|---|
| a query | <= 20 ms | 3.5 ms |
| jobs | >= 400/s | 500/s |
| what nobody measures any more | | 7 |
<!-- measured: end -->

# More
"""


def test_the_table_is_what_its_writer_makes_of_its_own_rows() -> None:
    page = PAGE.read_text("utf-8")
    assert Table.within(page).put_into(page) == page


def test_each_row_of_the_table_is_claimed_by_a_benchmark_and_each_claim_has_a_row() -> None:
    rows = Table.within(PAGE.read_text("utf-8")).rows
    figures = all_figures()
    assert [(row.what, row.bar) for row in rows] == [(one.what, one.bar) for one in figures]
    assert [what for what, count in Counter(row.what for row in rows).items() if count > 1] == []


@pytest.mark.parametrize("name", names())
def test_each_benchmark_says_what_it_measures_and_takes_its_small_sizes(name: str) -> None:
    module = importlib.import_module(f"tests.benchmarks.bench_{name}")
    assert module.FIGURES
    assert module.QUICK.keys() <= inspect.signature(module.measure).parameters.keys()


def test_what_was_measured_replaces_and_what_was_not_says_its_day() -> None:
    old = Table.within(PAGE_OF_TWO)
    found = updated(
        old,
        "Last run: 2026-11-30, commit def.",
        [FAST, MANY, NEW],
        {FAST.what: FAST.row(25.2, "of 7")},
    )
    assert found.rows == (
        Row("a query", "<= 20 ms", "25.2 ms (of 7), **missed**", is_met=False),
        Row("jobs", ">= 400/s", "500/s, on 2026-11-01"),
        Row("bytes", "", "not yet"),
    )
    page = found.put_into(PAGE_OF_TWO)
    assert "Last run: 2026-11-30, commit def.\n\n| what | bar | measured |" in page
    assert page.endswith("<!-- measured: end -->\n\n# More\n")


def test_a_row_that_is_kept_again_keeps_its_day() -> None:
    once = updated(Table.within(PAGE_OF_TWO), "Last run: 2026-11-30, def.", [MANY, NEW], {})
    twice = updated(once, "Last run: 2026-12-24, fed.", [MANY, NEW], {})
    assert [row.measured for row in twice.rows] == ["500/s, on 2026-11-01", "not yet"]


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="has no marks"):
        Table.within("# Measured\n")


@pytest.mark.parametrize(
    ("figure", "value", "is_met"),
    [
        (FAST, 20, True),
        (FAST, 20.001, False),
        (MANY, 400, True),
        (MANY, 399.9, False),
        (NEW, 1, True),
    ],
)
def test_a_bar_is_met_or_missed(figure: Figure, value: float, is_met: bool) -> None:
    row = figure.row(value)
    assert row.is_met == is_met
    assert row.measured.endswith("**missed**") != is_met


class Runner:
    """The runner with results of the test's choice in place of programs, and a page of its own."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.results: dict[str, dict[str, Any]] = {}
        self.ran: list[str] = []
        self.day = "2026-11-30"
        self.page = directory / "PAGE.md"
        self.page.write_text(PAGE.read_text("utf-8"), "utf-8")
        monkeypatch.setattr(runner, "KEPT", directory / "kept")
        monkeypatch.setattr(runner, "PAGE", self.page)
        monkeypatch.setattr(runner, "_in_process", self._in_process)
        monkeypatch.setattr(runner, "_today", lambda: self.day)

    def _in_process(self, name: str, commit: str, quick: bool) -> runner.Result:
        self.ran.append(name)
        found = self.results.get(name, {})
        if "raises" in found:
            raise found["raises"]
        return runner.Result(name, commit, self.day, quick, **found)

    def __call__(self, *words: str, only: Sequence[str] = ("crypt4gh", "startup")) -> int:
        self.ran.clear()
        return runner.main([*(f"--only={name}" for name in only), *words])

    @property
    def rows(self) -> dict[str, str]:
        """What the page says was measured."""
        return {row.what: row.measured for row in Table.within(self.page.read_text()).rows}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(tmp_path, monkeypatch)


def test_what_was_interrupted_goes_on_where_it_was(run: Runner) -> None:
    good = bench_startup.HELP.row(1.25)
    run.results["startup"] = {"raises": KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        run("--write")
    run.results["startup"] = {"rows": [good]}
    assert run("--write", "--resume") == 0
    assert run.ran == ["startup"]
    assert run.rows[good.what] == "1.25"
    assert run("--write", "--resume") == 0
    assert run.ran == []
    assert run() == 0
    assert run.ran == ["crypt4gh", "startup"]


def test_a_run_forgets_only_what_it_measures_anew(run: Runner) -> None:
    assert run() == 0
    assert run(only=["startup"]) == 0
    assert run("--quick") == 0
    assert run("--resume") == 0
    assert run.ran == []
    run.results["startup"] = {"raises": KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        run(only=["startup"])
    run.results.clear()
    assert run("--resume") == 0
    assert run.ran == ["startup"]


def test_what_follows_a_line_that_was_not_finished_is_kept(run: Runner) -> None:
    runner.KEPT.mkdir()
    (runner.KEPT / "results.jsonl").write_text('{"name": "cry')
    assert run("--resume") == 0
    assert run.ran == ["crypt4gh", "startup"]
    assert run("--resume") == 0
    assert run.ran == []


def test_what_was_done_before_says_its_day(run: Runner) -> None:
    good = bench_startup.HELP.row(1.25)
    run.results["startup"] = {"rows": [good]}
    assert run("--write", only=["startup"]) == 0
    assert run.rows[good.what] == "1.25"
    run.day = "2026-12-01"
    assert run("--write", "--resume") == 0
    assert run.ran == ["crypt4gh"]
    assert "Last run: 2026-12-01, commit " in run.page.read_text()
    assert run.rows[good.what] == "1.25, on 2026-11-30"


def test_what_was_measured_with_other_changes_is_done_again(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = made(tmp_path / "checkout")
    monkeypatch.setattr(runner, "ROOT", root)
    for text in ("one", "another"):
        (root / "file").write_text(text)
        assert run("--resume") == 0
        assert run.ran == ["crypt4gh", "startup"]
    assert run("--resume") == 0
    assert run.ran == []


def test_what_failed_is_done_again_and_what_it_gave_before_is_kept(
    run: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    runner.KEPT.mkdir()
    (runner.KEPT / "startup.log").write_text("it went wrong")
    good = bench_startup.HELP.row(1.25)
    run.results["startup"] = {"rows": [good], "failure": "exit code 1"}
    run.results["crypt4gh"] = {"left_out": "it is too warm"}
    assert run("--write") == 1
    said = capsys.readouterr().out
    assert "    | it went wrong\n" in said
    assert "crypt4gh left out: it is too warm\n" in said
    assert said.endswith("startup failed: exit code 1\n")
    assert run.rows[good.what] == "1.25"
    assert run("--resume") == 1
    assert run.ran == ["crypt4gh", "startup"]


def test_a_bar_that_is_missed_is_told_unless_sizes_are_small(
    run: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = bench_startup.HELP.row(1.75)
    run.results["startup"] = {"rows": [bad]}
    assert run() == 1
    assert capsys.readouterr().out.endswith(f"startup missed: {bad.what}\n")
    assert run("--quick") == 0
    with pytest.raises(SystemExit):
        run("--quick", "--write")


def test_a_benchmark_runs_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "KEPT", tmp_path)
    assert runner.main(["--only", "crypt4gh", "--quick"]) == 0
    (told,) = json_lines.read(tmp_path / "results.jsonl")
    found = runner.Result.of(told)
    assert [row.what for row in found.rows] == [one.what for one in bench_crypt4gh.FIGURES]
    assert "SHA-256 alone" in (tmp_path / "crypt4gh.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("alone", [True, False])
def test_a_benchmark_leaves_the_grid_of_its_user_alone(tmp_path: Path, alone: bool) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    words = ["tests.benchmarks.bench_startup", "--runs=1"]
    if not alone:
        words = ["tests.benchmarks", "--quick", "--measure=startup", f"--into={tmp_path / 'rows'}"]
    ran = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=PAGE.parent,
        env={
            **os.environ,
            "MEDGRID_CATALOG": f"sqlite:///{theirs / 'catalog.db'}",
            "MEDGRID_KEYSTORE": f"sqlite:///{theirs / 'keys.db'}",
        },
        capture_output=True,
        text=True,
    )
    assert list(theirs.iterdir()) == []
    assert not ran.stderr
