"""A plugin of pytest, put beside a copy whose statements are marked: what each test has run.

It imports nothing of the project: the copy may be of any.
"""

from __future__ import annotations

import base64
import json
import mmap
import time
import zlib
from collections.abc import Generator
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--marks", type=Path, help="the file that marked statements set bytes of")
    parser.addoption("--marks-to", type=Path, help="gets a line for each test that passed")
    parser.addoption("--marks-known", type=Path, help="names tests that have one, and do not run")


def pytest_configure(config: pytest.Config) -> None:
    names = ("--marks", "--marks-to", "--marks-known")
    config.pluginmanager.register(_Recording(*map(config.getoption, names)))


class _Recording:
    def __init__(self, marks: Path, record: Path, known: Path) -> None:
        with marks.open("r+b") as file:
            self._marks = mmap.mmap(file.fileno(), 0)
        self._nothing = bytes(len(self._marks))
        self._record = record
        self._passed = False
        self._known = frozenset(known.read_text().split("\n"))

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid not in self._known]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._marks[:] = self._nothing
        self._passed = False
        start_s = time.monotonic()
        result = yield
        if self._passed:
            hits = base64.b85encode(zlib.compress(self._marks[:])).decode()
            took_s = round(time.monotonic() - start_s, 3)
            with self._record.open("a") as file:
                file.write(json.dumps({"test": item.nodeid, "s": took_s, "hits": hits}) + "\n")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self._passed = report.passed
        elif report.failed:
            self._passed = False
