"""Options and fixtures that every test may use."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = [
    "tests.lab.prompt",
    # one module per real thing that tests run against; each defines its fixtures
    "tests.lab.sshd",
    "tests.lab.hosts",
    "tests.lab.postgres",
    "tests.lab.field",
    "tests.lab.datagrid",
    "tests.lab.hospital",
    "tests.lab.importer",
    "tests.lab.ward",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start: a shell has its background jobs ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(1800))
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="takes minutes; run with --slow")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skip)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty grid home, and no MEDGRID_* variable from outside."""
    import os

    for name in list(os.environ):
        if name.startswith("MEDGRID_"):
            monkeypatch.delenv(name)
    path = tmp_path / "grid"
    monkeypatch.setenv("MEDGRID_HOME", str(path))
    yield path
