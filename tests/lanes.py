"""The three lanes of the tests, and what each takes of tests that have very many cases.

The first lane (plain ``bin/test``) holds what catches most in ten minutes; ``--slow`` adds tests
that take minutes; ``--nightly`` adds all cases of tests that have a great many. Those have the
fixture `sample`, which draws some in the other lanes, by ``--seed``, or, where each case takes
minutes, the mark `drawn`, which says how many cases the other lanes draw; both get the mark
`sampled`.

The first lane also takes less of the same, drawn by the seed: half of those samples, a third of
Hypothesis' examples, and of a test that several implementations pass (databases, key stores, places
of workers), one. Where a run names its tests, or a server is missing, it takes all of the last.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

__all__ = ["Sample", "examples"]

T = TypeVar("T")
SLOW_TEST_S = 1800
EXAMPLES, EXAMPLES_OF_FIRST = 100, 30
SAMPLED_OF_FIRST = 0.5
IMPLEMENTED = {"database", "place", "store"}
"""Fixtures that are one implementation after the other."""


class Sample:
    """Draws from values: the same ones for one seed and one test."""

    def __init__(self, seed: str, part: float) -> None:
        self._random = random.Random(seed)
        self._part = part

    def __call__(self, values: Iterable[T], count: int) -> list[T]:
        """So many of the values, in their order; half in the first lane, all in the nightly."""
        found = list(values)
        if not found or count < 1:
            raise ValueError(f"{count} of {len(found)} values: a test of nothing")
        if len(found) <= count * self._part:
            return found
        taken = self._random.sample(range(len(found)), math.ceil(count * self._part))
        return [found[i] for i in sorted(taken)]


@pytest.fixture
def sample(request: pytest.FixtureRequest) -> Sample:
    """Draw from many values, in the nightly lane all: ``for byte in sample(range(9999), 50)``."""
    options = request.config.option
    part = math.inf if options.nightly else 1 if options.slow else SAMPLED_OF_FIRST
    return Sample(f"{options.seed} {request.node.nodeid}", part)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")
    parser.addoption("--nightly", action="store_true", help="also draw all cases of all tests")
    parser.addoption("--seed", type=int, default=0, help="draws the samples of exhaustive tests")


@pytest.hookimpl(tryfirst=True)  # before Hypothesis looks
def pytest_configure(config: pytest.Config) -> None:
    """Let one seed draw all examples that are drawn."""
    if getattr(config.option, "hypothesis_seed", "") is None:
        config.option.hypothesis_seed = str(config.option.seed)
    # a busy machine is as good as an idle one; fixtures are used by examples as by tests
    settings.register_profile(
        "medgrid",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        max_examples=EXAMPLES if _slow(config) else EXAMPLES_OF_FIRST,
    )
    settings.load_profile("medgrid")


def examples(count: int) -> int:
    """How many examples a test draws in this lane that draws `count` in the slow one."""
    return max(count * settings().max_examples // EXAMPLES, 1)


def pytest_report_header(config: pytest.Config) -> str:
    lane = "nightly" if config.getoption("--nightly") else "slow" if _slow(config) else "first"
    return f"lane: {lane}, seed {config.getoption('--seed')}"


@pytest.hookimpl(tryfirst=True)  # before -m chooses by marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what draws, skip what the lane does not take, and give what is long its time."""
    for item in items:
        draws = isinstance(item, pytest.Function) and (
            "sample" in item.fixturenames or item.get_closest_marker("drawn") is not None
        )
        if draws:
            item.add_marker(pytest.mark.sampled)
        is_slow = item.get_closest_marker("slow") is not None
        if is_slow or (draws and config.option.nightly):
            item.add_marker(pytest.mark.timeout(SLOW_TEST_S))
        if is_slow and not _slow(config):
            item.add_marker(pytest.mark.skip(reason="takes minutes; run with --slow"))
    drawn = set(items)
    is_whole = config.args == config.getini("testpaths")
    if is_whole and not config.option.nightly:
        drawn = _drawn(items, config.option.seed)
    if is_whole and not _slow(config) and _has_servers():
        drawn &= _one_of_each(items, config.option.seed)
    if len(drawn) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in drawn])
        items[:] = [item for item in items if item in drawn]


def _has_servers() -> bool:
    """Whether no implementation would be skipped."""
    from tests.lab.postgres import binaries  # plugins, which pytest is to import
    from tests.lab.sshd import SSHD

    return binaries() is not None and Path(SSHD).exists()


def _drawn(items: Iterable[pytest.Item], seed: int) -> set[pytest.Item]:
    """Tests, and of the cases of one with the mark `drawn` as many as it says."""
    found, cases = set[pytest.Item](), defaultdict[str, list[pytest.Item]](list)
    for item in items:
        if item.get_closest_marker("drawn") is None:
            found.add(item)
        else:
            cases[item.nodeid.partition("[")[0]].append(item)
    for name, some in cases.items():
        mark = some[0].get_closest_marker("drawn")
        assert mark is not None
        found.update(random.Random(f"{seed} {name}").sample(some, min(mark.args[0], len(some))))
    return found


def _one_of_each(items: Iterable[pytest.Item], seed: int) -> set[pytest.Item]:
    """Tests, and one of those that differ in nothing but the implementation."""
    alike = defaultdict[str, list[pytest.Item]](list)
    for item in items:
        test, _, ids = item.nodeid.partition("[")
        given = item.callspec.params if hasattr(item, "callspec") else {}
        if item.get_closest_marker("slow") is None:
            for fixture in IMPLEMENTED & given.keys():
                ids = ids.replace(str(given[fixture]), "", 1)
        alike[f"{test}[{ids}"].append(item)
    return {random.Random(f"{seed} {name}").choice(some) for name, some in alike.items()}


def _slow(config: pytest.Config) -> bool:
    return bool(config.option.slow or config.option.nightly)
