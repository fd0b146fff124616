"""The agent's own process, without a worker around it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

from medgrid.agent import daemon, server
from tests.lab.waiting import PATIENCE_S, wait_for


def _serve_without_housekeeping(root: str, ready: int) -> None:
    server._HOUSEKEEPING_S = 10 * PATIENCE_S
    daemon.archive_digest = lambda: "0" * 64
    daemon.serve(root, ready)


def test_a_signal_ends_it_at_once(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    fork = multiprocessing.get_context("fork")
    agent = fork.Process(target=_serve_without_housekeeping, args=(str(tmp_path / "agent"), writer))
    agent.start()
    os.close(writer)
    with os.fdopen(reader) as told:
        assert json.load(told) is None
    stat = Path(f"/proc/{agent.pid}/stat")
    try:
        wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S", "it to wait")
        assert agent.pid is not None
        os.kill(agent.pid, signal.SIGTERM)
        agent.join(PATIENCE_S)
        assert agent.exitcode == 0
    finally:
        agent.kill()
        agent.join()
