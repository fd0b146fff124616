"""The three lanes of the tests, and what each takes of tests that have very many cases.

The first lane (plain ``bin/test``) holds what catches most in ten minutes; ``--slow`` adds tests
that take minutes; ``--nightly`` adds what is exhaustive or very long. A test with a great many
cases has all of them in the nightly lane and a sample in the others, drawn by ``--seed``:

- ``@pytest.mark.sampled(20)`` keeps twenty of a test's parameter sets;
- the fixture `sample` draws from values inside a test.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from typing import TypeVar

import pytest

__all__ = ["Sample"]

T = TypeVar("T")
SLOW_TEST_S = 1800


class Sample:
    """Draws from values: the same ones for one seed and one test."""

    def __init__(self, seed: str, everything: bool) -> None:
        self._random = random.Random(seed)
        self._everything = everything

    def __call__(self, values: Iterable[T], count: int) -> list[T]:
        """So many of the values, in their order; all of them in the nightly lane."""
        found = list(values)
        if self._everything or len(found) <= count:
            return found
        return [found[i] for i in sorted(self._random.sample(range(len(found)), count))]


@pytest.fixture
def sample(request: pytest.FixtureRequest) -> Sample:
    """Draw from many values, in the nightly lane all: ``for byte in sample(range(9999), 50)``."""
    return _sample(request.config, request.node.nodeid)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")
    parser.addoption("--nightly", action="store_true", help="also run what takes hours")
    parser.addoption("--seed", type=int, default=0, help="draws the samples of exhaustive tests")


def pytest_report_header(config: pytest.Config) -> str:
    lane = "nightly" if config.getoption("--nightly") else "slow" if _slow(config) else "first"
    return f"lane: {lane}, seed {config.getoption('--seed')}"


@pytest.hookimpl(tryfirst=True)  # before -m chooses by marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the lane does not take."""
    for item in items:
        if isinstance(item, pytest.Function) and "sample" in item.fixturenames:
            item.add_marker(pytest.mark.sampled)
    for marker, wanted in (("slow", _slow(config)), ("nightly", config.getoption("--nightly"))):
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.timeout(SLOW_TEST_S))
                if not wanted:
                    reason = (
                        f"takes {'minutes' if marker == 'slow' else 'long'}; run with --{marker}"
                    )
                    item.add_marker(pytest.mark.skip(reason=reason))
    left_out = _not_drawn(config, items)
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


def _not_drawn(config: pytest.Config, items: list[pytest.Item]) -> set[pytest.Item]:
    """Parameter sets of sampled tests that this run does without."""
    named = {arg.partition("[")[0] for arg in config.args if "[" in arg}
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    counts: dict[str, int] = {}
    for item in items:
        test = item.nodeid.partition("[")[0]
        marker = item.get_closest_marker("sampled")
        if marker is not None and marker.args and test not in named:  # whoever names a case gets it
            cases[test].append(item)
            counts[test] = marker.args[0]
    return {
        item
        for test, found in cases.items()
        for item in set(found) - set(_sample(config, test)(found, counts[test]))
    }


def _sample(config: pytest.Config, test: str) -> Sample:
    return Sample(f"{config.getoption('--seed')} {test}", bool(config.getoption("--nightly")))


def _slow(config: pytest.Config) -> bool:
    return bool(config.getoption("--slow") or config.getoption("--nightly"))
