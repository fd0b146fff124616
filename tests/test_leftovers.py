"""A run that leaves something says so and fails; what it left is gone then."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from tests.lab.leftovers import LEFT, processes_of
from tests.lab.prompt import ROOT
from tests.lab.waiting import PATIENCE_S
from tests.workers.places import local_shell, unique_number

UNTIDY = """
import subprocess, tempfile
from pathlib import Path

def test_leaves_a_process(tmp_path):
    subprocess.Popen(["sleep", "{number}"], env={{"SOMETHING": str(tmp_path)}})

def test_leaves_a_file():
    tempfile.mkstemp(prefix="forgotten-")
"""
TIDY = "def test_leaves_nothing(tmp_path): (tmp_path / 'a').write_text('a')\n"


def run_of(tmp_path: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A run of one file, beside this one and as somebody else starts it."""
    file = tmp_path / "test_one.py"
    file.write_text(text)
    plugins = ("tests.lab.surroundings", "tests.lab.leftovers")
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), "-c", os.devnull),
            *("-p", "no:cacheprovider", *(word for one in plugins for word in ("-p", one))),
            *(*words, str(file)),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DEBUG_TEMPROOT": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_what_python_ends_by_itself_is_not_left(tmp_path: Path) -> None:
    text = """
import multiprocessing

def test_a_pool():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(abs, (-1,)) == 1
"""
    ran = run_of(tmp_path, text, "-n0")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow  # a whole run, and the wait of its end
def test_what_is_left_is_told_and_ended(tmp_path: Path) -> None:
    number = unique_number()
    ran = run_of(tmp_path, UNTIDY.format(number=number), "-n2")
    assert ran.returncode == LEFT, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout
    left = ran.stdout.partition("left by the tests")[2]
    assert f"of test_leaves_a_process: sleep {number}\n" in left
    assert "forgotten-" in left
    assert local_shell(f"pgrep -f '[s]leep {number}' || true") == ""
    assert list(Path(os.environ["TMPDIR"]).glob("mgt-*")) == []


def test_a_tidy_run(tmp_path: Path) -> None:
    ran = run_of(tmp_path, TIDY, "-n0")
    assert (ran.returncode, "left by" in ran.stdout) == (0, False), ran.stdout + ran.stderr


def test_neither_who_looks_nor_another_run_is_taken_for_what_is_left(tmp_path: Path) -> None:
    run, other = tmp_path / "pytest-1", tmp_path / "pytest-12"
    run.mkdir()
    controller, terminal = os.openpty()
    asleep: list[str | Path] = ["sh", "-c", "sleep 1000 & wait", "sh"]

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY)

    with contextlib.ExitStack() as stack:

        def start(*words: str | Path, **more: Any) -> int:
            process = subprocess.Popen([*asleep, *words], start_new_session=True, **more)
            stack.callback(process.wait)
            stack.callback(os.killpg, process.pid, signal.SIGKILL)
            return process.pid

        of_run = [start(env={"A": f"{run}/a"}), start(run), start(cwd=run, env={})]
        start(other, env={"A": f"{other}/a"})
        looking = subprocess.Popen(
            [*asleep, run], stdin=terminal, cwd=run, env={"PWD": str(run)}, preexec_fn=take_terminal
        )
        stack.callback(looking.wait)
        stack.callback(os.killpg, looking.pid, signal.SIGKILL)
        found = {os.getpgid(one.pid) for one in processes_of([run])}
    os.close(controller)
    os.close(terminal)
    assert found == set(of_run)


@pytest.mark.slow  # a whole run, and the wait of its end
def test_a_run_that_came_to_no_end_says_that_first(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "def pytest_runtest_logreport(report): assert report.when == 'setup'\n"
    )
    ran = run_of(tmp_path, UNTIDY.format(number=unique_number()), "-n0")
    assert ran.returncode == pytest.ExitCode.INTERNAL_ERROR, ran.stdout + ran.stderr
