"""Jobs on three hosts by SSH while the laptop sleeps: no broker, no network, for a minute.

Run as root: python -m tests.benchmarks.bench_lid [--jobs N] [--closed-s S]
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figures import Figure, LeftOut, Row, command
from tests.lab.hosts import Lab, why_no_hosts
from tests.lab.lid import close_the_lid
from tests.lab.prompt import Prompt

ONCE = Figure(
    "300 jobs on three hosts, one minute of it without network and broker: not done exactly once",
    at_most=0,
)
FIGURES = (ONCE,)
QUICK = {"jobs": 30, "closed_s": 5.0}


def measure(jobs: int = 300, closed_s: float = 60.0) -> Iterator[Row]:
    """Submit, close the lid, open it, and read the journals."""
    reason = why_no_hosts()
    if reason:
        raise LeftOut(reason)
    lab = Lab()
    try:
        with tempfile.TemporaryDirectory(prefix="mgb-") as name:
            prompt = Prompt(Path(name) / "grid")
            try:
                found = close_the_lid(prompt, lab, Path(name), jobs, closed_s)
            finally:
                prompt("broker", "stop")
    finally:
        lab.close()
    yield ONCE.row(jobs - len(found.once), f"{found.done} are Done")


if __name__ == "__main__":
    command(measure, __doc__)
