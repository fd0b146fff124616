"""One mutant against its tests: is it noticed?"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.coverage import Tests
from tests.mutation.mutants import Mutant
from tests.mutation.trees import Tree

__all__ = ["Verdict", "try_mutant"]

_SLACK = 10  # so many times its usual time a test may take: the machine may be busy
_START_S = 30.0
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
_HANGS = "from pytest-timeout"
_NONE_CODE = 5
_ENDED = "(pytest ended with"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a mutant: ``killed``, ``timeout`` (killed too) or ``survived``.

    Attributes
    ----------
    by : str
        The test that noticed.
    tests : list of str
        What ran, or was to run until one failed.
    is_cut : bool
        There were more tests than there was time for.
    """

    outcome: str
    by: str
    tests: list[str]
    is_cut: bool


def try_mutant(tree: Tree, mutant: Mutant, tests: Tests, most_s: float) -> Verdict:
    """Put a mutant into the copy, run its tests until one fails, and take it out again.

    No more tests are run than take `most_s` together.
    """
    sums_s = itertools.accumulate(tests.values())
    chosen = [test for test, sum_s in zip(tests, sums_s, strict=True) if sum_s <= most_s]
    is_cut = len(chosen) < len(tests)
    if not chosen:
        return Verdict("survived", "", [], is_cut)
    outcome, by = _confirmed(tree, mutant, {test: tests[test] for test in chosen})
    return Verdict(outcome, by, chosen, is_cut)


def _confirmed(tree: Tree, mutant: Mutant, tests: Tests) -> tuple[str, str]:
    """Run tests until one fails, again too, and does not without the fault: machines are busy."""
    while True:
        outcome, by = _run(tree, mutant, tests)
        if outcome == "survived":
            return outcome, by
        one = {by: tests[by]} if by in tests else tests
        is_sure = outcome == "timeout" or _run(tree, mutant, one)[0] != "survived"
        clean, why = _run(tree, None, one) if is_sure else ("", "")
        if clean == "survived":
            return outcome, by
        if why.startswith(_ENDED):
            raise RuntimeError(f"the copy does not work without a fault, either: {why}")
        names = list(tests)
        first = names.index(by) + 1 if by in tests else len(names)
        tests = {name: tests[name] for name in names[first:]}


def _run(tree: Tree, mutant: Mutant | None, tests: Tests) -> tuple[str, str]:
    """Run tests with a fault, or without one."""
    if not tests:
        return "survived", ""
    if mutant is not None:
        tree.write(mutant.module.path, mutant.source)
    try:
        return _told(tree, tests)
    finally:
        if mutant is not None:
            tree.write(mutant.module.path, mutant.module.source)


def _told(tree: Tree, tests: Tests) -> tuple[str, str]:
    names = tree.root / "chosen-tests"
    names.write_text("\n".join(tests))
    test_s = _START_S + _SLACK * max(tests.values())
    limit_s = 2 * test_s + _SLACK * sum(tests.values())
    code = tree.pytest("-x", "-rfE", f"--timeout={test_s:.0f}", f"@{names}", limit_s=limit_s)
    if code is None:
        return "timeout", ""
    if code == 0:
        return "survived", ""
    if code == _NONE_CODE:
        raise RuntimeError(f"no test ran: {Path(tree.log).read_text()[-2000:]}")
    log = tree.log.read_text(errors="replace")
    found = _FAILED.search(log)
    outcome = "timeout" if _HANGS in log else "killed"
    return outcome, found[1] if found else f"{_ENDED} {code})"
