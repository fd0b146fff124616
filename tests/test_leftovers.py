"""A run that leaves something says so and fails; what it left is gone then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.leftovers import LEFT
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


@pytest.mark.parametrize("words", [("-n0",), ("-n2",)])
def test_what_is_left_is_told_and_ended(tmp_path: Path, words: tuple[str, ...]) -> None:
    number = unique_number()
    ran = run_of(tmp_path, UNTIDY.format(number=number), *words)
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
