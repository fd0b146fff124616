"""A clock that is set back does not make a connection wait for the old time to come again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.hosts import Lab
from tests.lab.prompt import ROOT
from tests.lab.shim import Shim, why_no_shim
from tests.lab.waiting import PATIENCE_S

_READ = """
import sys
from pathlib import Path
from medgrid.config import Settings
from medgrid.errors import Unreachable
from medgrid.transport.ssh import connect
home, url, identity, known = sys.argv[1:]
settings = Settings(
    Path(home), identity=identity, known_hosts=known, connect_timeout_s=2, keepalive_s=1
)
with connect(url, settings) as connection, connection.exec("echo ready; sleep 1000") as process:
    process.settimeout(3)
    print(process.stdout.readline().decode().strip(), flush=True)
    try:
        process.stdout.read(1)
    except Unreachable as error:
        print(error.message)
    else:
        print("the connection ended")
"""


@pytest.mark.lab
def test_a_dead_host_is_noticed_though_the_clock_was_set_back(hosts: Lab, tmp_path: Path) -> None:
    reason = why_no_shim()
    if reason:
        pytest.skip(reason)
    host = hosts.host(1)
    shim = Shim(tmp_path / "shim")
    shim.jump(86400)
    words = [str(tmp_path), host.url, str(hosts.identity), str(hosts.known_hosts)]
    with subprocess.Popen(
        [sys.executable, "-c", _READ, *words],
        env={**os.environ, **shim.env, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        host.cut()
        shim.jump(0)
        try:
            out, _ = reader.communicate(timeout=PATIENCE_S)
        finally:
            reader.kill()
    assert out == "the connection ended\n" or "the connection was lost" in out
