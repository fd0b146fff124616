"""No-op jobs through the link to one SSH worker, without a broker: what the agent can do.

Run: python -m tests.benchmarks.bench_agent [JOBS]
Bar of the whole path (`bench_dispatch`): >= 400 jobs/s; this part must leave room for the broker.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from medgrid.config import Settings
from medgrid.model import Worker
from medgrid.workers import open_link
from medgrid.workers.base import Launch
from tests.benchmarks.bench_dispatch import parallel
from tests.lab.sshd import Sshd

SLOTS = 4


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


def main(count: int = 4000) -> None:
    """Measure, and GNU parallel beside it."""
    with tempfile.TemporaryDirectory(prefix="mgb-") as name:
        directory = Path(name)
        sshd = Sshd(directory / "sshd")
        try:
            ours = launches_per_s(directory, sshd, count)
            print(f"agent: {ours:.0f} jobs/s ({count} jobs)")
            for theirs in parallel(directory, sshd)[:1]:  # neither brings inputs
                print(f"GNU parallel, ControlMaster: {theirs:.1f} jobs/s")
                print(f"ratio: {ours / theirs:.1f}")
        finally:
            sshd.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
