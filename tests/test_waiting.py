"""Tests wait for something to be so, and nothing they say depends on how fast a machine is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import waiting
from tests.lab.waiting import PATIENCE_S, wait_for

TESTS = Path(__file__).parent
CLOCKS = {"sleep", "monotonic", "perf_counter", "process_time", "thread_time"}
LIMITS = {"timeout", "timeout_s"}
MAY: dict[str, str] = {
    "lab/waiting.py": "here it is done for all",
    "benchmarks": "they measure",
    "campaign": "faults come at the times that were drawn",
    "nightly": "a night is over at some time",
    "mutation": "a mutant that hangs is told by the time it takes",
    "broker/test_matching.py": "what has run for long is told by the clock",
    "broker/test_station.py": "the clock of a broker is put on",
}
"""Who may read a clock or sleep, and why."""
MAY_LIMIT: dict[str, str] = {
    "lab/hosts.py": "what does not answer is asked again",
    "lab/faults.py": "a database that is locked is a fault that was done already",
}
"""Who may say how long something takes at most, and why."""


def is_among(path: Path, those: dict[str, str]) -> bool:
    name = path.relative_to(TESTS).as_posix()
    return any(name == one or name.startswith(f"{one}/") for one in those)


def flaws(path: Path, text: str) -> Iterator[str]:
    """Sleeps, clocks and limits of a file."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = node.attr.removesuffix("_ns")
            if (node.value.id, name) in {("time", clock) for clock in CLOCKS}:
                yield f"{path}:{node.lineno}: time.{node.attr}"
            if (node.value.id, name) == ("asyncio", "sleep"):
                yield f"{path}:{node.lineno}: asyncio.sleep"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield f"{path}:{node.lineno}: import from time"
        elif isinstance(node, ast.alias) and node.name == "time" and node.asname:
            yield f"{path}:{node.lineno}: time under another name"
        elif isinstance(node, ast.List) and node.elts:
            first = node.elts[0]
            if isinstance(first, ast.Constant) and first.value == "sleep" and is_short(node):
                yield f"{path}:{node.lineno}: a process that sleeps"


def is_short(command: ast.List) -> bool:
    """Whether a ``sleep`` ends by itself; one that a test ends may last."""
    seconds = command.elts[-1]
    return isinstance(seconds, ast.Constant) and float(str(seconds.value)) < PATIENCE_S


def limits(path: Path, text: str) -> Iterator[str]:
    """Numbers of seconds that a file gives something for it to be done."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        for word in node.keywords:
            if word.arg in LIMITS and isinstance(word.value, ast.Constant) and word.value.value:
                yield f"{path}:{node.lineno}: {word.arg}={word.value.value!r}"
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if name in ("wait", "join", "communicate") and any(
            isinstance(one, ast.Constant) and isinstance(one.value, int | float)
            for one in node.args
        ):
            yield f"{path}:{node.lineno}: {name}()"


def test_nobody_sleeps_or_reads_a_clock() -> None:
    found = [
        flaw
        for path in sorted(TESTS.rglob("*.py"))
        if not is_among(path, MAY)
        for flaw in flaws(path, path.read_text())
    ]
    assert not found, "\n".join(["wait for what must come: tests/lab/waiting.py", *found])


def test_nobody_says_how_long_something_may_take() -> None:
    found = [
        flaw
        for path in sorted(TESTS.rglob("*.py"))
        if not is_among(path, MAY | MAY_LIMIT)
        for flaw in limits(path, path.read_text())
    ]
    assert not found, "\n".join(["use PATIENCE_S of tests/lab/waiting.py", *found])


def test_the_look_finds_what_it_is_for() -> None:
    here = Path(__file__)
    bad = (
        "import time\nfrom time import sleep\ntime.sleep(1)\nassert time.monotonic() - began < 5\n"
        "import time as clock\nasyncio.sleep(1)\nsubprocess.run(['sleep', '5'])\n"
        "subprocess.Popen(['sleep', '600'])\n"
    )
    assert len(list(flaws(here, bad))) == 6
    slow = "p.communicate(timeout=20)\np.wait(5)\nt.join(timeout=PATIENCE_S)\n' '.join(words)\n"
    assert len(list(limits(here, slow))) == 2


@pytest.mark.parametrize("name", [*MAY, *MAY_LIMIT])
def test_who_may_is_there(name: str) -> None:
    assert (TESTS / name).exists()


def test_waiting_ends_with_what_was_found() -> None:
    found = iter([[], [], ["a"]])
    assert wait_for(lambda: next(found), "a name") == ["a"]


def test_waiting_for_what_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.05)
    with pytest.raises(AssertionError, match=r"^waited 0\.05 s for the end of 3 jobs$"):
        wait_for(lambda: False, lambda: f"the end of {3} jobs")
    with pytest.raises(AssertionError, match=r"^in vain waited for news$"):
        wait_for(lambda: False, "news", while_=lambda: False)
