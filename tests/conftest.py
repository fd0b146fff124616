"""Options and fixtures that every test may use."""

from __future__ import annotations

import gc
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType

import pytest

pytest_plugins = [
    "tests.lanes",
    "tests.lab.compiled",
    "tests.lab.surroundings",
    "tests.lab.leftovers",
    "tests.lab.prompt",
    # one module per real thing that tests run against; each defines its fixtures
    "tests.lab.sshd",
    "tests.lab.shim",
    "tests.lab.hosts",
    "tests.lab.postgres",
    "tests.lab.field",
    "tests.lab.datagrid",
    "tests.lab.hospital",
    "tests.lab.importer",
    "tests.lab.ward",
    "tests.lab.wheels",
]


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start: a shell has its background jobs ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Look no more at the tests themselves for what is garbage: they stay to the end."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[object],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give a line to every step of a failure: where a test's time runs out there may be none,
    and pytest ends the whole run over that."""
    if call.excinfo is not None:
        error: BaseException | None = call.excinfo.value
        seen: list[BaseException] = []
        while error is not None and error not in seen:
            seen.append(error)
            error.__traceback__ = with_lines(error.__traceback__)
            error = error.__cause__ or error.__context__
        call.excinfo = pytest.ExceptionInfo.from_exception(call.excinfo.value)
    return (yield)


def with_lines(step: TracebackType | None) -> TracebackType | None:
    if step is None:
        return None
    below = with_lines(step.tb_next)
    line: int | None = step.tb_lineno  # CPython 3.11 says None, whatever the types say
    if line is None:
        return TracebackType(below, step.tb_frame, -1, step.tb_frame.f_code.co_firstlineno)
    step.tb_next = below
    return step


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
