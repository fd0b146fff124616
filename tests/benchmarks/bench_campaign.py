"""A random campaign (`tests.campaign`): what is not as it must be after faults of all kinds.

Run: python -m tests.benchmarks.bench_campaign [--runs N] [--seed N] [--minutes N]
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figures import Figure, LeftOut, Row, command
from tests.campaign.__main__ import campaign
from tests.lab.hosts import why_no_hosts
from tests.lab.postgres import binaries
from tests.lab.shim import why_no_shim

HOSTS = 2
VIOLATIONS = Figure("random campaign on SQLite and PostgreSQL, two hosts: violations", at_most=0)
FIGURES = (VIOLATIONS,)
QUICK = {"runs": 1}


def measure(runs: int = 1000, seed: int = 1, minutes: float = 8.0) -> Iterator[Row]:
    """Do runs until there are `runs`, or `minutes` are over."""
    reason = why_no_hosts() or why_no_shim() or (None if binaries() else "there is no PostgreSQL")
    if reason:
        raise LeftOut(reason)
    done = faults = violations = 0
    with tempfile.TemporaryDirectory(prefix="mg-campaign-") as name:
        for outcome in campaign(runs, seed, HOSTS, minutes, Path(name)):
            done += 1
            faults += outcome.faults
            violations += len(outcome.violations)
            print(f"seed {outcome.seed}: {outcome.faults} faults, {outcome.took_s:.0f} s")
            for line in (*outcome.violations, *(outcome.log if outcome.violations else ())):
                print(f"  {line}")
    yield VIOLATIONS.row(violations, f"{done} runs, {faults} faults")


if __name__ == "__main__":
    command(measure, __doc__)
