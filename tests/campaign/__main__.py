"""Random faults, many runs: ``python -m tests.campaign --runs 200 --seed 1``.

Run number K has the seed SEED + K, and ``--runs 1`` with that seed repeats it: the same grid, jobs
and faults at the same times. What is violated is printed with the log of the faults, and the grid's
directory is kept. Exit code 1 when anything was.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.campaign.drawing import draw
from tests.campaign.run import Outcome, run
from tests.lab.hosts import Lab, why_no_hosts
from tests.lab.postgres import PostgresServer, binaries, new_server, remove_server
from tests.lab.shim import why_no_shim

__all__ = ["campaign", "main"]


def campaign(
    runs: int, seed: int, hosts: int, minutes: float | None, directory: Path
) -> Iterator[Outcome]:
    """Do runs one after the other."""
    until_s = None if minutes is None else time.monotonic() + 60 * minutes
    with _lab(hosts) as lab, _server() as server:
        for number in range(seed, seed + runs):
            if until_s is not None and time.monotonic() > until_s:
                return
            drawn = draw(number, hosts if lab else 0, server is not None)
            yield run(drawn, directory / f"run-{number}", lab, server)


@contextmanager
def _lab(hosts: int) -> Iterator[Lab | None]:
    reason = why_no_hosts() if hosts else "none are wanted"
    if reason:
        _say(f"without lab hosts: {reason}")
        yield None
        return
    lab = Lab()
    try:
        yield lab
    finally:
        lab.close()


@contextmanager
def _server() -> Iterator[PostgresServer | None]:
    if binaries() is None:
        _say("without PostgreSQL: no server programs")
        yield None
        return
    server = new_server(durable=True)
    try:
        yield server
    finally:
        remove_server(server)


def main(argv: list[str]) -> int:
    """Do a campaign; an exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="of the first run [1]")
    parser.add_argument("--hosts", type=int, default=2, help="lab hosts, for root [2]")
    parser.add_argument("--minutes", type=float, help="start no run after so long")
    parser.add_argument("--verbose", action="store_true", help="show the log of all faults")
    parser.add_argument("--dir", type=Path, help="keep bad runs here, not in a temporary directory")
    options = parser.parse_args(argv)
    reason = why_no_shim()
    if reason:
        sys.exit(reason)
    directory = options.dir or Path(tempfile.mkdtemp(prefix="mg-campaign-"))
    directory.mkdir(parents=True, exist_ok=True)
    total: Counter[str] = Counter()
    for outcome in campaign(options.runs, options.seed, options.hosts, options.minutes, directory):
        _tell(outcome, directory, options.verbose)
        total += Counter(runs=1, faults=outcome.faults, violations=len(outcome.violations))
    if options.dir is None and not total["violations"]:
        shutil.rmtree(directory)
    _say(f"{total['runs']} runs, {total['faults']} faults, {total['violations']} violations")
    return 1 if total["violations"] else 0


def _tell(outcome: Outcome, directory: Path, verbose: bool) -> None:
    _say(f"seed {outcome.seed}: {outcome.faults} faults, {outcome.took_s:.0f} s")
    for line in outcome.notes:
        _say(f"  note: {line}")
    for line in outcome.violations:
        _say(f"  VIOLATION: {line}")
    if verbose or outcome.violations:
        _say("\n".join(f"  {line}" for line in outcome.log))
    if outcome.violations:
        _say(f"  kept: {directory / f'run-{outcome.seed}'}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
