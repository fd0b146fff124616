"""``bin/medgrid`` in a fresh clone: makes its environment once, in any circumstances.

The clone asks for click alone, which is enough for ``--version`` and soon installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.lab.prompt import ROOT
from tests.lab.waiting import PATIENCE_S

pytestmark = pytest.mark.slow

PYTHON = os.path.realpath(sys.executable)
DONE = "medgrid 0.1.0\n"


class Clone:
    """A checkout, and a user with an empty home."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a clone"
        self.home = folder / "home"
        self.home.mkdir()
        for name in ("bin", "medgrid", "config"):
            shutil.copytree(ROOT / name, self.root / name, symlinks=True)
        text = (ROOT / "setup.cfg").read_text()
        text = re.sub(r"(install_requires =\n)(?:    .*\n)+", r"\1    click>=8.1\n", text)
        text = re.sub(r"^(postgres|imaging) =\n(?:    .*\n)+", r"\1 =\n", text, flags=re.MULTILINE)
        (self.root / "setup.cfg").write_text(text)

    def environ(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if name.startswith("PIP_")}
        return {
            **kept,
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.home),
            "MEDGRID_PYTHON": PYTHON,
        }

    def run(
        self,
        *words: str,
        program: Path | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program or self.root / "bin" / "medgrid", *words],
            env={**self.environ(), **(env or {})},
            cwd=cwd or self.home,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_S,
        )


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_first_use_makes_the_environment_and_says_so(clone: Clone) -> None:
    ran = clone.run("--version")
    assert (ran.returncode, ran.stdout) == (0, DONE)
    assert ran.stderr == (
        f"medgrid: making the environment {clone.root}/.venv, once; this takes a while\n"
        "medgrid: the environment is ready\n"
    )
    again = clone.run("--version")
    assert (again.returncode, again.stdout, again.stderr) == (0, DONE, "")


def test_from_anywhere_through_links(clone: Clone, tmp_path: Path) -> None:
    clone.run("--version")
    (tmp_path / "tools").mkdir()
    absolute = tmp_path / "tools" / "medgrid"
    absolute.symlink_to(clone.root / "bin" / "medgrid")
    relative = tmp_path / "mg"
    relative.symlink_to("tools/medgrid")
    classic = tmp_path / "mg-ls"
    classic.symlink_to(clone.root / "bin" / "mg-ls")
    for program in (absolute, relative):
        ran = clone.run("--version", program=program, cwd=tmp_path)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, DONE, "")
    ran = clone.run("--help", program=classic)
    assert ran.stdout.startswith("Usage: medgrid ls ")


def test_files_of_the_current_directory_are_not_imported(clone: Clone, tmp_path: Path) -> None:
    clone.run("--version")
    (tmp_path / "click.py").write_text("raise SystemExit('taken over')")
    ran = clone.run("--version", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, DONE, "")


def test_a_clone_that_moves_still_works(clone: Clone, tmp_path: Path) -> None:
    clone.run("--version")
    clone.root = clone.root.rename(tmp_path / "moved")
    ran = clone.run("--version")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, DONE, "")


def test_other_requirements_refresh_it(clone: Clone) -> None:
    clone.run("--version")
    file = clone.root / "setup.cfg"
    file.write_text(file.read_text().replace("click>=8.1", "click>=8.1\n    tabulate"))
    ran = clone.run("--version")
    assert ran.stdout == DONE
    assert "refreshing the environment" in ran.stderr
    assert clone.run("--version").stderr == ""


def test_a_setup_cfg_that_asks_for_the_same_costs_nothing(clone: Clone) -> None:
    clone.run("--version")
    file = clone.root / "setup.cfg"
    file.write_text(file.read_text() + "\n# a comment\n")
    ran = clone.run("--version")
    assert (ran.stdout, ran.stderr) == (DONE, "")


def test_an_environment_whose_python_is_gone_is_made_anew(clone: Clone) -> None:
    clone.run("--version")
    python = clone.root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    ran = clone.run("--version")
    assert ran.stdout == DONE
    assert "making the environment" in ran.stderr


def test_two_at_once(clone: Clone) -> None:
    children = [
        subprocess.Popen(
            [clone.root / "bin" / "medgrid", "--version"],
            env=clone.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    told = [child.communicate(timeout=2 * PATIENCE_S) for child in children]
    assert [out for out, _ in told] == [DONE] * 3
    assert sum("making the environment" in err for _, err in told) == 1


def test_offline(clone: Clone) -> None:
    """Says what to do, leaves nothing behind, and works when the network is back."""
    offline = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_RETRIES": "0",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
    }
    ran = clone.run("--version", env=offline)
    assert (ran.returncode, ran.stdout) == (7, "")
    *_, error, hint = ran.stderr.splitlines()
    assert error == "medgrid: error: the packages that medgrid needs could not be installed"
    assert hint.startswith("medgrid: hint: the package index must be reachable")
    assert not (clone.root / ".venv").exists()
    assert clone.run("--version").stdout == DONE


def test_no_python_that_is_new_enough(clone: Clone, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    ran = clone.run("--version", env={"MEDGRID_PYTHON": str(old)})
    assert (ran.returncode, ran.stdout) == (9, "")
    assert ran.stderr == (
        f"medgrid: error: there is no Python 3.11 or newer here (tried {old})\n"
        "medgrid: hint: install one (sudo apt-get install python3 python3-venv), "
        "or name one in MEDGRID_PYTHON\n"
    )


WITHOUT_ENSUREPIP = """
import importlib.util, runpy, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "ensurepip" else find_spec(name)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_python_without_ensurepip(clone: Clone, tmp_path: Path) -> None:
    """As Debian's without python3-venv: pip then comes from the pip that runs this Python."""
    program = clone.root / "bin" / "make-venv"
    ran = subprocess.run(
        [PYTHON, "-c", WITHOUT_ENSUREPIP, program, tmp_path / "cache"],
        env=clone.environ(),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
    )
    assert (ran.returncode, ran.stdout) == (0, f"{clone.root}/.venv\n"), ran.stderr
    again = clone.run("--version")
    assert (again.returncode, again.stdout, again.stderr) == (0, DONE, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_a_checkout_that_the_user_cannot_write(clone: Clone, tmp_path: Path) -> None:
    """An ordinary user gets an environment in the cache directory, once."""
    nobody = 65534
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/tmp") and str(folder).startswith("/tmp"):
            folder.chmod(0o755)
    os.chown(clone.home, nobody, nobody)

    def as_nobody() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [clone.root / "bin" / "medgrid", "--version"],
            env={**clone.environ(), "MEDGRID_PYTHON": "/usr/bin/python3"},
            cwd="/",
            user=nobody,
            group=nobody,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_S,
        )

    ran = as_nobody()
    assert (ran.returncode, ran.stdout) == (0, DONE), ran.stderr
    (place,) = (clone.home / ".cache" / "medgrid").glob("*/bin/python")
    assert f"making the environment {place.parent.parent}, once" in ran.stderr
    assert not (clone.root / ".venv").exists()
    again = as_nobody()
    assert (again.returncode, again.stdout, again.stderr) == (0, DONE, "")
