"""The lanes of the tests themselves: what runs in which, what is drawn, and how a night goes on."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.leftovers import processes_of
from tests.lab.waiting import wait_for
from tests.lanes import Sample
from tests.nightly import __main__ as nightly
from tests.nightly.__main__ import Part, ended, parts, run

ROOT = Path(__file__).resolve().parents[1]
TESTS = """
import pytest

@pytest.fixture
def limits(request): return [one.args for one in request.node.iter_markers("timeout")]

def test_inside(sample, limits):
    print("inside", len(sample(range(100), 3)), sample([1, 2], 3), limits)

def test_many(sample): print("many", sample(range(10**4), 5))

@pytest.mark.slow
def test_slow(limits): print("slow", limits)

def test_fast(limits): print("fast", limits)
"""


class Suite:
    """A small suite of tests in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n slow\n sampled\n timeout\n")
        (folder / "test_it.py").write_text(TESTS)

    def run(self, *words: str) -> str:
        command = [sys.executable, "-m", "pytest", "-p", "tests.lanes", "-s", "-v", *words]
        ran = subprocess.run(
            command,
            cwd=self.folder,
            env={"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


def test_the_first_lane_draws_some_of_many_and_says_what_it_leaves_out(suite: Suite) -> None:
    out = suite.run("-rs")
    assert "lane: first, seed 0" in out
    assert "inside 2 [1, 2] []" in out
    assert "3 passed, 1 skipped" in out
    assert "takes minutes; run with --slow" in out


def test_slow_adds_what_takes_minutes(suite: Suite) -> None:
    out = suite.run("--slow")
    assert "inside 3 [1, 2] []" in out
    assert "slow [(1800,)]" in out


def test_the_nightly_lane_draws_everything_and_gives_it_time(suite: Suite) -> None:
    (suite.folder / "test_it.py").write_text(TESTS.replace("10**4", "10"))
    out = suite.run("--nightly")
    assert "lane: nightly" in out
    assert "inside 100 [1, 2] [(1800,)]" in out
    assert "many [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" in out
    assert "slow [(1800,)]" in out
    assert "fast []" in out


def test_a_night_takes_by_their_mark_all_that_draw(suite: Suite, tmp_path: Path) -> None:
    (words,) = (part.words for part in parts(7, tmp_path) if part.name == "exhaustive")
    (suite.folder / "test_it.py").write_text(TESTS.replace("10**4", "10"))
    out = suite.run(*words[words.index("--nightly") :])
    assert "lane: nightly, seed 7" in out
    assert "2 passed, 2 deselected" in out


def test_a_seed_draws_the_same_and_another_one_others(suite: Suite) -> None:
    def drawn(*words: str) -> list[str]:
        return [line for line in suite.run(*words).splitlines() if "many" in line]

    assert drawn("--seed=1") == drawn("--seed=1") != drawn("--seed=2")


EXAMPLES = """
from hypothesis import given, settings
from hypothesis.strategies import integers

@settings(database=None, max_examples=3)
@given(integers())
def test_any(number): print("any", number)
"""


@pytest.mark.slow
def test_a_seed_draws_examples_too(suite: Suite) -> None:
    (suite.folder / "test_it.py").write_text(EXAMPLES)

    def drawn(*words: str) -> list[str]:
        found = suite.run("-p", "_hypothesis_pytestplugin", *words).splitlines()
        return [line for line in found if "any" in line]

    assert drawn() == drawn("--seed=0") != drawn("--seed=2")
    assert "1 passed" in suite.run(
        *("-p", "_hypothesis_pytestplugin", "-m", "sampled or hypothesis")
    )


OF_TWO = """
import pytest

@pytest.fixture(params=["sqlite", "postgres", pytest.param("old", marks=pytest.mark.slow)])
def database(request): return request.param

@pytest.mark.parametrize("number", range(20))
def test_both(database, number): print("ran", database)
"""


def test_the_first_lane_takes_one_of_what_does_the_same(suite: Suite) -> None:
    (suite.folder / "test_it.py").write_text(OF_TWO)
    with (suite.folder / "pytest.ini").open("a") as file:
        file.write("testpaths = test_it.py\n")

    def drawn(*words: str) -> list[str]:
        return [line for line in suite.run(*words).splitlines() if "ran" in line]

    first = drawn()
    assert len(first) == 20
    assert {line.split()[-1] for line in first} == {"sqlite", "postgres"}
    assert first == drawn("--seed=0") != drawn("--seed=1")
    assert len(drawn("test_it.py::test_both")) == 40
    assert len(drawn("--slow")) == 60


OF_MINUTES = """
import pytest

@pytest.mark.drawn(3)
@pytest.mark.parametrize("number", range(20))
def test_each(number): print("ran", number)

def test_other(): print("ran", "other")
"""


def test_a_whole_run_draws_cases_that_take_minutes_and_the_nightly_lane_takes_all(
    suite: Suite,
) -> None:
    (suite.folder / "test_it.py").write_text(OF_MINUTES)
    with (suite.folder / "pytest.ini").open("a") as file:
        file.write("testpaths = test_it.py\n")

    def drawn(*words: str) -> list[str]:
        return [line for line in suite.run(*words).splitlines() if "ran" in line]

    some = drawn("--slow")
    assert len(some) == 4
    assert some == drawn("--slow", "--seed=0") != drawn("--slow", "--seed=1")
    assert len(drawn("--slow", "test_it.py::test_each")) == 20
    assert len(drawn("--nightly")) == 21
    assert len(drawn("--nightly", "-m", "sampled")) == 20


class Checks:
    """The run of all checks, of one that has only a small suite of tests."""

    def __init__(self, root: Path, tests: str) -> None:
        self.root = root
        for name in (".ci", "bin"):
            (root / name).mkdir()
        shutil.copy(ROOT / ".ci" / "run", root / ".ci")
        (root / "bin" / "environment").write_text("exit  # the other checks are not run\n")
        runner = root / "bin" / "test"
        runner.write_text(
            f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pytest -p tests.lanes "$@"\n'
        )
        runner.chmod(0o755)
        (root / "pytest.ini").write_text("[pytest]\nmarkers =\n sampled\n timeout\n")
        (root / "test_it.py").write_text(tests)

    def run(self, *words: str) -> str:
        """How the tests ended, in the words of the run."""
        ran = subprocess.run(
            [self.root / ".ci" / "run", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        told = re.findall(r"^== tests: (ok|FAILED) ", ran.stdout, re.MULTILINE)
        return ", ".join([*told, *(["repeated"] if "once more" in ran.stdout else [])])


@pytest.mark.slow
@pytest.mark.parametrize("words", [("--seed=7",), ("--nightly",)])
def test_what_failed_is_repeated_with_the_same_words(tmp_path: Path, words: tuple[str]) -> None:
    drawn = Sample("0 test_it.py::test_it", part=1)(range(10**4), 1)
    tests = f"def test_it(sample): assert sample(range(10**4), 1) == {drawn}\n"
    checks = Checks(tmp_path, tests)
    assert checks.run() == "ok"
    assert checks.run(*words) == "FAILED, repeated"


FAILS_ONCE = """
from pathlib import Path

def test_once():
    mark = Path(__file__).with_name("mark")
    was_there = mark.exists()
    mark.touch()
    assert was_there
"""


def test_a_test_that_failed_once_is_told_and_believed(tmp_path: Path) -> None:
    assert Checks(tmp_path, FAILS_ONCE).run() == "ok, repeated"


@pytest.mark.slow
@pytest.mark.parametrize("words", ["-x", "-vx", "--exitfirst", "--maxfail=1"])
def test_nothing_is_repeated_where_not_all_ran(tmp_path: Path, words: str) -> None:
    checks = Checks(tmp_path, FAILS_ONCE + "\ndef test_never(): assert False\n")
    assert checks.run(words) == "FAILED"


def test_a_night_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark = tmp_path / "mark"
    good = Part("good", ("-c", f"open({str(mark)!r}, 'a').write('x'); print('3 of 3')"))
    bad = Part("bad", ("-c", f"import os; os.path.exists({str(tmp_path / 'mended')!r}) or 1 / 0"))
    assert run([good, bad], tmp_path, hours=1) == 1
    out = capsys.readouterr().out
    assert "good: ok, " in out
    assert "3 of 3" in out
    assert "bad: FAILED (exit 1), " in out
    assert "ZeroDivisionError" in out
    assert out.endswith("failed: bad\n")
    (tmp_path / "mended").touch()
    with (tmp_path / "ended.jsonl").open("a") as file:
        file.write('{"name": "go')  # it was killed meanwhile
    assert run([good, bad], tmp_path, hours=1) == 0
    assert "done before" in capsys.readouterr().out
    assert mark.read_text() == "x"
    assert {name: one.code for name, one in ended(tmp_path).items()} == {"good": 0, "bad": 0}


def test_what_a_night_had_no_time_for_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([Part("late", ("-c", ""))], tmp_path, hours=0) == 3
    assert "not run, time is up: late" in capsys.readouterr().out


def test_a_night_is_refused_where_git_tells_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nightly, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="not a git repository"):
        nightly.main(["--list"])


def test_what_the_mutation_parts_keep_lies_with_the_night(tmp_path: Path) -> None:
    found = [part.words for part in parts(1, tmp_path) if part.name.startswith("mutation")]
    assert len(found) == nightly.MUTATIONS
    assert all(f"--resume={tmp_path / 'mutation'}" in words for words in found)


PART = """
import pathlib, subprocess, time
child = subprocess.Popen(["sleep", "1000"], cwd="PLACE")
try:
    pathlib.Path("PLACE", "started").touch()
    child.wait()
finally:
    time.sleep(1)  # what it made is taken apart
    pathlib.Path("PLACE", "tidy").touch()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_a_night_runs_ends_with_it(tmp_path: Path, number: signal.Signals) -> None:
    part = PART.replace("PLACE", str(tmp_path))
    code = (
        "import pathlib, signal; from tests.nightly.__main__ import Part, run; "
        "signal.signal(signal.SIGHUP, signal.SIG_DFL); "
        f"run([Part('one', ('-c', {part!r}))], pathlib.Path({str(tmp_path)!r}), 1)"
    )
    night = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL
    )
    wait_for((tmp_path / "started").exists, "the part", while_=lambda: night.poll() is None)
    os.killpg(night.pid, number)  # as a terminal does
    assert night.wait()
    assert (tmp_path / "tidy").exists()
    wait_for(lambda: not processes_of([tmp_path]), "the end of what the part started")
    assert ended(tmp_path) == {}
