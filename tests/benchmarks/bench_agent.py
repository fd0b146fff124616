"""No-op jobs through the link to one SSH worker, without a broker: what the agent can do.

Run: python -m tests.benchmarks.bench_agent [--jobs N]
The whole path is `bench_dispatch`'s; this part must leave room for the broker.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from medgrid.config import Settings
from medgrid.model import Worker
from medgrid.workers import open_link
from medgrid.workers.base import Launch
from tests.benchmarks.figures import Figure, Row, command
from tests.lab.sshd import Sshd

SLOTS = 4
LAUNCHES = Figure(
    "no-op jobs, from the launch to the durable record, one SSH worker, no broker",
    "/s",
    at_least=600,
)
FIGURES = (LAUNCHES,)
QUICK = {"jobs": 100}


def launches_per_s(directory: Path, sshd: Sshd, count: int) -> float:
    """Jobs per second from launch to the last ``done`` record, durable and read."""
    settings = Settings(
        home=directory / "grid", known_hosts=str(sshd.known_hosts), identity=str(sshd.identity)
    )
    options = {"root": str(directory / "agent")}
    link = open_link(Worker("w", sshd.url, "s", slots=SLOTS, options=options), settings, "bench")
    offset = link.info.journal_offset
    began_s, before = time.perf_counter(), os.times()
    link.launch([Launch(f"1.{number}.1", ("true",)) for number in range(1, count + 1)])
    done = 0
    while done < count:
        for record in link.follow(offset, 10):
            offset = record.offset
            done += record.event == "done"
    took_s, after = time.perf_counter() - began_s, os.times()
    mine_s = after.user + after.system - before.user - before.system
    print(f"this side's processor time: {1000 * mine_s / count:.2f} ms a job")
    link.close()
    os.kill(_agent_pid(directory / "agent"), 15)
    return count / took_s


def _agent_pid(root: Path) -> int:
    import json

    return int(json.loads((root / "run" / "state").read_text())["pid"])


def measure(jobs: int = 4000) -> Iterator[Row]:
    """Launch jobs through one link."""
    with tempfile.TemporaryDirectory(prefix="mgb-") as name:
        directory = Path(name)
        sshd = Sshd(directory / "sshd")
        try:
            yield LAUNCHES.row(launches_per_s(directory, sshd, jobs))
        finally:
            sshd.close()


if __name__ == "__main__":
    command(measure, __doc__)
