"""The tests' own PostgreSQL goes with the process that started it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.postgres import PostgresServer, new_server, remove_server
from tests.lab.prompt import ROOT
from tests.lab.waiting import wait_for

_DIES = """
import os
from tests.lab.postgres import new_server
print(new_server().directory, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
@pytest.mark.postgres
def test_the_next_one_removes_what_a_killed_run_left(postgres_server: PostgresServer) -> None:
    words = [sys.executable, "-c", _DIES]
    ran = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == -signal.SIGKILL
    left = Path(ran.stdout.strip())
    assert left.exists()
    running = left / "data" / "postmaster.pid"
    wait_for(lambda: not running.exists(), "its server to end")
    next_one = new_server()
    assert not left.exists()
    assert postgres_server.directory.exists()  # its owner lives
    remove_server(next_one)
    assert not next_one.directory.exists()
