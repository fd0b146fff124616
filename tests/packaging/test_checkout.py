"""``bin/medgrid`` in a fresh clone: makes its environment once, in any circumstances.

The clone asks for click alone, which is enough for ``--version`` and soon installed. Its package
index is a directory that holds what its locks name, so that the network is needed for that alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from medgrid.algorithms.invocation import JobEnvironment
from medgrid.algorithms.lockfile import lock_lines
from tests.lab.memory import FILES, MEMORY
from tests.lab.prompt import ROOT
from tests.lab.waiting import PATIENCE_S
from tests.lab.wheels import fetched

pytestmark = pytest.mark.slow

PYTHON = os.path.realpath(sys.executable)
DONE = "medgrid 0.1.0\n"


LOCKS = ROOT / "config" / "locks"


def locked(name: str, package: str) -> str:
    """One package of a lock file, as it stands there."""
    found = re.search(
        rf"^{package}==.*\n(?:    .*\n)+", (LOCKS / f"{name}.txt").read_text(), re.MULTILINE
    )
    assert found is not None
    return found[0]


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that pip takes for its index: click, tabulate and pip, as locked."""
    folder = tmp_path_factory.mktemp("index")
    text = locked("base", "click") + locked("base", "tabulate") + locked("pip", "pip")
    fetched(folder, JobEnvironment("python", lock=tuple(lock_lines(text))))
    return folder


class Clone:
    """A checkout, and a user with an empty home."""

    def __init__(self, folder: Path, index: Path) -> None:
        self.root = folder / "a clone"
        self.home = folder / "home"
        self.index = index
        self.home.mkdir()
        for name in ("bin", "medgrid", "config"):
            shutil.copytree(ROOT / name, self.root / name, symlinks=True)
        text = (ROOT / "setup.cfg").read_text()
        text = re.sub(r"^(postgres|imaging|test) =\n(?:    .*\n)+", r"\1 =\n", text, flags=re.M)
        (self.root / "setup.cfg").write_text(text)
        for name in ("imaging", "postgres", "test", "nilearn"):
            (self.locks / f"{name}.txt").write_text("")
        self.want("click>=8.1", locked("base", "click"))

    @property
    def locks(self) -> Path:
        return self.root / "config" / "locks"

    def want(self, requirements: str, lock: str) -> None:
        """Ask for other packages, and lock them."""
        lines = requirements.splitlines()
        file = self.root / "setup.cfg"
        text = "".join(f"    {line}\n" for line in lines)
        file.write_text(
            re.sub(r"(install_requires =\n)(?:    .*\n)+", rf"\1{text}", file.read_text())
        )
        wanted = "".join(f"# wanted: {line}\n" for line in lines)
        (self.locks / "base.txt").write_text(wanted + lock)

    def environ(self) -> dict[str, str]:
        return {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.index),
            "PIP_CONFIG_FILE": os.devnull,
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
def clone(tmp_path: Path, index: Path) -> Clone:
    return Clone(tmp_path, index)


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
    clone.want("click>=8.1\ntabulate", locked("base", "click") + locked("base", "tabulate"))
    ran = clone.run("--version")
    assert ran.stdout == DONE
    assert "refreshing the environment" in ran.stderr
    assert clone.run("--version").stderr == ""
    assert list(clone.root.glob(".venv/lib/python3*/site-packages/tabulate*"))


def test_a_lock_that_is_there_no_more(clone: Clone) -> None:
    more = clone.locks / "nilearn.txt"
    more.write_text(locked("base", "tabulate"))
    program = clone.root / "bin" / "make-venv"
    clone.run(str(clone.home / "cache"), "nilearn", program=program)
    more.unlink()
    ran = clone.run("--version")
    assert (ran.returncode, ran.stdout) == (0, DONE), ran.stderr


def test_what_changes_nothing_of_it_costs_nothing(clone: Clone) -> None:
    clone.run("--version")
    for file in (clone.root / "setup.cfg", clone.locks / "test.txt"):
        file.write_text(file.read_text() + "\n# a comment\n")
        ran = clone.run("--version")
        assert (ran.stdout, ran.stderr) == (DONE, "")


def test_a_setup_cfg_that_was_not_locked(clone: Clone) -> None:
    file = clone.root / "setup.cfg"
    file.write_text(file.read_text().replace("click>=8.1", "click>=8.2\n    tabulate"))
    ran = clone.run("--version")
    assert (ran.returncode, ran.stdout) == (9, "")
    assert ran.stderr == (
        "medgrid: error: setup.cfg asks for other packages than config/locks/base.txt was made "
        "for: click>=8.1, click>=8.2, tabulate\n"
        "medgrid: hint: run bin/lock, which needs the package index\n"
    )
    assert not (clone.root / ".venv").exists()


def test_a_file_that_is_not_the_locked_one(clone: Clone, tmp_path: Path) -> None:
    """Nothing is installed, whether the environment is new or was whole before."""
    (wheel,) = clone.index.glob("click-*.whl")
    wrong = tmp_path / "index" / wheel.name
    wrong.parent.mkdir()
    with zipfile.ZipFile(wheel) as right, zipfile.ZipFile(wrong, "w") as changed:
        for name in right.namelist():
            changed.writestr(name, right.read(name))
    replaced = {"PIP_FIND_LINKS": str(wrong.parent)}
    expected = re.findall("[0-9a-f]{64}", locked("base", "click"))
    found = hashlib.sha256(wrong.read_bytes()).hexdigest()

    def refused(ran: subprocess.CompletedProcess[str]) -> None:
        assert (ran.returncode, ran.stdout) == (6, "")
        *_, error, hint = ran.stderr.splitlines()
        assert re.fullmatch(
            rf"medgrid: error: file://{wrong} is not the file that config/locks has of "
            rf"click==\S+: expected SHA-256 {' or '.join(expected)}, found {found}",
            error,
        )
        assert hint.startswith("medgrid: hint: nothing was installed; the file was damaged or")

    refused(clone.run("--version", env=replaced))
    assert not (clone.root / ".venv").exists()
    refused(clone.run("--version", env={"MEDGRID_WHEELS": str(wrong.parent)}))
    assert not (clone.root / ".venv").exists()
    assert clone.run("--version").stdout == DONE


@pytest.mark.parametrize("named", ["{index}", "~/wheels"])
def test_wheels_of_one_directory_and_nothing_else(clone: Clone, named: str) -> None:
    (clone.home / "wheels").symlink_to(clone.index)
    wheels = {"MEDGRID_WHEELS": named.format(index=clone.index), "PIP_FIND_LINKS": ""}
    assert clone.run("--version", env=wheels).stdout == DONE
    assert not (clone.home / ".cache").exists()


def test_a_directory_that_lacks_a_wheel(clone: Clone, tmp_path: Path) -> None:
    ran = clone.run("--version", env={"MEDGRID_WHEELS": str(tmp_path)})
    assert (ran.returncode, ran.stdout) == (9, "")
    *_, error, hint = ran.stderr.splitlines()
    assert re.fullmatch(
        rf"medgrid: error: {tmp_path} has no wheel of click==\S+ for {PYTHON} on \w+", error
    )
    assert hint == (
        "medgrid: hint: README.md says how to fill it; without MEDGRID_WHEELS the package index "
        "is asked"
    )
    assert not (clone.root / ".venv").exists()


def test_wheels_of_what_is_no_directory(clone: Clone) -> None:
    for named in ("/nowhere", "~/wheels"):
        ran = clone.run("--version", env={"MEDGRID_WHEELS": named})
        assert (ran.returncode, ran.stdout) == (9, "")
        assert ran.stderr.splitlines()[-2:] == [
            f"medgrid: error: MEDGRID_WHEELS is no directory: {named}",
            "medgrid: hint: README.md says how to fill one; without MEDGRID_WHEELS the package "
            "index is asked",
        ]
        assert not (clone.root / ".venv").exists()


def test_a_python_that_the_locked_version_has_no_wheel_for(clone: Clone, tmp_path: Path) -> None:
    """Says how to go on without the locks."""
    (wheel,) = clone.index.glob("click-*.whl")
    other = wheel.name.replace("py3-none-any", "cp27-cp27m-win32")
    shutil.copyfile(wheel, tmp_path / other)
    old = wheel.name.replace(wheel.name.split("-")[1], "8.1.0")
    shutil.copyfile(wheel, tmp_path / old)
    ran = clone.run("--version", env={"PIP_FIND_LINKS": str(tmp_path)})
    assert (ran.returncode, ran.stdout) == (9, "")
    *_, error, hint = ran.stderr.splitlines()
    assert re.fullmatch(
        rf"medgrid: error: the package index has no wheel of click==\S+ for {PYTHON} on \w+",
        error,
    )
    assert hint == (
        "medgrid: hint: name another Python in MEDGRID_PYTHON, or install what fits, without the "
        "locks: python3 -m venv DIR && DIR/bin/pip install '.[postgres,imaging]'"
    )


def test_wheels_are_kept_for_the_next_clone(clone: Clone, tmp_path: Path) -> None:
    """A kept file that was damaged is fetched again."""
    offline = {"PIP_FIND_LINKS": ""}
    clone.run("--version")
    shutil.rmtree(clone.root / ".venv")
    assert clone.run("--version", env=offline).stdout == DONE
    (wheel,) = (clone.home / ".cache" / "medgrid" / "wheels").glob("click-*.whl")
    wheel.write_bytes(wheel.read_bytes()[:-1])
    shutil.rmtree(clone.root / ".venv")
    assert clone.run("--version", env=offline).returncode != 0
    assert not (clone.root / ".venv").exists()
    assert clone.run("--version").stdout == DONE
    assert wheel.read_bytes() == (clone.index / wheel.name).read_bytes()


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
        "PIP_NO_INDEX": "0",
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
        if str(folder).startswith(("/tmp/", str(MEMORY / FILES))):
            folder.chmod(0o755)
    os.chown(clone.home, nobody, nobody)
    clone.index.chmod(0o755)

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
