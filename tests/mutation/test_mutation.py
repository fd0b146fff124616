"""The program that puts faults in, on a small project of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.lab import json_lines
from tests.lab.leftovers import LEFT
from tests.lab.test_checkout import made
from tests.mutation.mutants import Mutant, all_of, draw, modules
from tests.mutation.report import EQUIVALENT, equivalents

ROOT = Path(__file__).resolve().parents[2]
SIZES = '''\
"""Sizes."""


def fits(size_bytes: int) -> bool:
    """Whether it fits."""
    return size_bytes < 10


def twice(size_bytes: int) -> int:
    return size_bytes * 2


def never(size_bytes: int) -> int:
    return size_bytes - 1
'''
TESTS = """\
import os, signal, subprocess, sys, time

from medgrid.storage.sizes import fits


def test_what_is_small_fits():
    assert fits(9) and not fits(10)


def test_a_process_that_is_killed():
    code = (
        "import os, signal; from medgrid.storage.sizes import twice; "
        "print(twice(3), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ran = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    subprocess.Popen(["sleep", "SLEEP_S"], start_new_session=True)
    orphan = subprocess.run(
        ["sh", "-c", "sleep 0.1 >&- & echo $!"], stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    deadline_s = time.monotonic() + 60
    while os.path.exists(f"/proc/{orphan}"):
        assert time.monotonic() < deadline_s
    assert ran.stdout == "6\\n"
"""
PYTEST = """\
[tool.pytest.ini_options]
addopts = "-q --import-mode=importlib"
pythonpath = ["."]
"""


def project(folder: Path, source: str, tests: str = "") -> Path:
    for name, text in {
        "medgrid/__init__.py": "",
        "medgrid/storage/__init__.py": "",
        "medgrid/storage/sizes.py": source,
        "tests/storage/test_sizes.py": tests,
        "pyproject.toml": PYTEST,
    }.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def drawn(folder: Path, source: str, seed: int = 1, count: int = 100) -> list[Mutant]:
    root = project(folder, source)
    return draw(root, modules(root), seed, count)


def changed(folder: Path, statement: str) -> set[str]:
    """What becomes of a statement by all seeds."""
    source = f"def f(a, b, c):\n    {statement}\n"
    found = (one for seed in range(60) for one in drawn(folder, source, seed))
    return {line[2:] for one in found for line in one.name.splitlines() if line[0] == "+"}


def mutate(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program, in a process of its own: it ends all that runs below it."""
    code = (
        "import sys, pathlib; from tests.mutation.__main__ import main; "
        "sys.exit(main(sys.argv[2:], pathlib.Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(root), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder on the disk: mutants have shared memory of their own."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.slow
def test_what_tests_see_is_killed_and_what_none_sees_survives(tmp_path: Path) -> None:
    sleeping = f"{10_000_000 + os.getpid()}"
    root = project(tmp_path / "project", SIZES, TESTS.replace("SLEEP_S", sleeping))
    words = ("--count", "3", "--resume", str(tmp_path / "results"))
    (tmp_path / "results").mkdir()
    for name, torn in {"coverage.partly": '{"test": "te', "results-1-1of1.jsonl": '{"mu'}.items():
        (tmp_path / "results" / name).write_text(torn)  # whoever wrote there was killed
    ran = mutate(root, *words)
    assert (ran.returncode, ran.stderr) == (1, ""), ran.stdout  # one of three is too many
    told = json_lines.read(tmp_path / "results" / "results-1-1of1.jsonl")
    by_scope = {one["mutant"].split()[1]: (one["outcome"], one["by"]) for one in told}
    file = "tests/storage/test_sizes.py"
    assert by_scope == {
        "fits": ("killed", f"{file}::test_what_is_small_fits"),
        "twice": ("killed", f"{file}::test_a_process_that_is_killed"),
        "never": ("survived", ""),
    }
    assert (root / "medgrid/storage/sizes.py").read_text() == SIZES
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(sleeping.encode() in command for command in running)
    again = mutate(root, *words)
    # nothing is tried twice but what no test covered
    never = "medgrid/storage/sizes.py never\n- return size_bytes - 1\n+ return None\n"
    tried, told_again, summary = again.stdout.partition("\n\n")
    assert tried == f"survived: {never}by no test"
    assert ran.stdout.endswith(told_again + summary)
    place = "medgrid/storage/sizes.py:14"
    assert f"\n\n{never}survived at {place}, covered by no test\n" in again.stdout
    assert again.stdout.split()[-7:] == ["all", "2", "0", "1", "0", "0", "33.3"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("python", "why"),
    [
        ("exit 3", "tests cannot be collected"),
        (
            f'case "$*" in *--collect-only*) exec {sys.executable} "$@";; esac; exit 3',
            "the copy does not work without a fault, either",
        ),
    ],
)
def test_an_environment_that_is_broken_lets_no_mutant_survive(
    tmp_path: Path, python: str, why: str
) -> None:
    root = project(tmp_path / "project", SIZES, TESTS.replace("SLEEP_S", "1"))
    results = tmp_path / "results"
    words = ("--resume", str(results), "--coverage", str(tmp_path / "seen"))
    assert mutate(root, *words, "--collect", "tests").returncode == 0
    program = root / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{python}\n")
    program.chmod(0o755)
    ran = mutate(root, *words)
    assert ran.returncode == 1
    assert why in ran.stderr
    assert not list(results.glob("results*"))


@pytest.mark.slow
def test_each_state_of_a_checkout_has_results_of_its_own(tmp_path: Path) -> None:
    root = project(tmp_path / "project", SIZES, "def test_one(): pass\n")
    words = ("--collect", "tests")
    ran = mutate(root, *words)
    assert ran.returncode == 1
    assert "fatal: not a git repository" in ran.stderr
    made(root)
    for test in ("test_two", "test_three"):
        for _ in range(2):
            assert mutate(root, *words).returncode == 0
        with (root / "tests/storage/test_sizes.py").open("a") as file:
            file.write(f"def {test}(): pass\n")
    assert len(list((root / ".nightly").iterdir())) == 2


def test_what_tests_cover_is_kept_when_they_left_something(tmp_path: Path) -> None:
    root = project(tmp_path / "project", SIZES, "def test_one(): pass\n")
    (root / "conftest.py").write_text(
        f"def pytest_sessionfinish(session): session.exitstatus = {LEFT}\n"
    )
    ran = mutate(root, "--resume", str(tmp_path / "results"), "--collect", "tests")
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("statement", "becomes"),
    [
        ("return a < b", {"return (a <= b)", "return None"}),
        ("return a is b", {"return (a is not b)", "return None"}),
        ("return min(a, 1)", {"return max(a, 1)", "return min(a, 2)", "return None"}),
        ("a.b = c", {"pass"}),
        ("a += b", {"pass", "a -= b"}),
        ("a(b)", {"pass"}),
        ("if a: return", {"if (not (a)): return"}),
        ("while not a: pass", {"while (a): pass"}),
        ("a = b and not c", {"a = (b or not c)", "a = b and (c)"}),
        ("a = ''", {"a = 'XX'"}),
        ("a = ('b', True)", {"a = ('', True)", "a = ('b', False)"}),
        ("raise KeyError('no such key') from None", {"pass"}),
        ("raise KeyError(-a, 'no such')", {"pass", "raise KeyError((a), 'no such')"}),
        ("return a(hint='ask somebody')", {"return None"}),
        ("a = f'{b + 1} bytes'", set()),
        ("a: 'int' = b", set()),
        ("_LOG.info('%s', a + 1)", set()),
        ("assert a is not None", set()),
        ("import json", set()),
        ("'''A docstring.'''", set()),
    ],
)  # fmt: skip
def test_the_faults_of_a_statement(tmp_path: Path, statement: str, becomes: set[str]) -> None:
    assert changed(tmp_path, statement) == becomes


def test_a_handler_is_swallowed_and_a_decorator_left_out(tmp_path: Path) -> None:
    source = "def f(a):\n    try: a()\n    except OSError: g()\n"
    names = {one.operator for seed in range(60) for one in drawn(tmp_path, source, seed)}
    assert names == {"delete", "swallow"}
    (one,) = drawn(tmp_path, "@cached(3)\nclass A:\n    pass\n")
    assert one.source == "\nclass A:\n    pass\n"


def test_a_seed_draws_the_same_when_other_lines_change(tmp_path: Path) -> None:
    before = drawn(tmp_path, SIZES, count=2)
    assert [one.name for one in before] != [one.name for one in drawn(tmp_path, SIZES, 7, 2)]
    after = drawn(tmp_path, SIZES.replace('"""Sizes."""', '"""Sizes."""\n\nimport json\n'), count=2)
    assert [one.name for one in before] == [one.name for one in after]
    assert [one.line + 3 for one in before] == [one.line for one in after]


def test_no_statement_is_drawn_twice(tmp_path: Path) -> None:
    found = drawn(tmp_path, SIZES + SIZES.replace('"""Sizes."""', ""))
    assert len({one.name for one in found}) == len(found) == 6


@pytest.mark.slow  # it reads all rooms
def test_all_that_is_declared_equivalent_exists_and_has_a_reason() -> None:
    declared = equivalents(EQUIVALENT)
    assert all(len(reason.split()) > 3 for reason in declared.values())
    files = {name.split()[0] for name in declared}
    every = {
        mutant.name
        for module in modules(ROOT)
        if module.path in files
        for mutant in all_of(ROOT, module)
    }
    assert declared.keys() <= every, sorted(declared.keys() - every)
