"""The agent's own process, without a worker around it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from medgrid.agent import daemon, server
from tests.lab.waiting import PATIENCE_S, wait_for

Start = Callable[..., BaseProcess]


def _serve(root: str, ready: int, settings: dict[str, float]) -> None:
    for name, value in settings.items():
        setattr(server, name, value)
    vars(daemon)["archive_digest"] = lambda: "0" * 64
    daemon.serve(root, ready)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start an agent with other settings of its server, and wait until it listens."""
    with ExitStack() as stack:

        def started(**settings: float) -> BaseProcess:
            reader, writer = os.pipe()
            fork = multiprocessing.get_context("fork")
            agent = fork.Process(target=_serve, args=(str(tmp_path / "agent"), writer, settings))
            agent.start()
            stack.callback(agent.join)
            stack.callback(agent.kill)
            os.close(writer)
            with os.fdopen(reader) as told:
                assert json.load(told) is None
            return agent

        yield started


def test_a_signal_ends_it_at_once(start: Start) -> None:
    agent = start(_HOUSEKEEPING_S=10 * PATIENCE_S)
    stat = Path(f"/proc/{agent.pid}/stat")
    wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S", "it to wait")
    assert agent.pid is not None
    os.kill(agent.pid, signal.SIGTERM)
    agent.join(PATIENCE_S)
    assert agent.exitcode == 0


def test_it_ends_when_nobody_needs_it(start: Start) -> None:
    agent = start(_HOUSEKEEPING_S=0.05, _IDLE_S=0.2)
    agent.join(PATIENCE_S)
    assert agent.exitcode == 0


def test_what_a_crash_may_have_torn_is_not_used_again(start: Start, tmp_path: Path) -> None:
    earlier = start()
    earlier.kill()
    earlier.join()
    root = tmp_path / "agent"
    folders = {path.relative_to(root) for path in root.rglob("*") if path.is_dir()}
    (root / "cache" / "ab").mkdir()
    (root / "cache" / "ab" / "torn").write_bytes(bytes(9))
    state = root / "run" / "state"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"boot": "an earlier one"}))
    start()
    assert not (root / "cache" / "ab").exists()
    assert {path.relative_to(root) for path in root.rglob("*") if path.is_dir()} >= folders
