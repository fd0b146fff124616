"""Emergency jobs on a full grid, and how two users share it: a local worker and two lab hosts.

All slots hold jobs that sleep for ten minutes. Emergency jobs come one after another, then ten at
once; measured is from the start of ``medgrid submit`` to the start of the program on the worker.
Then one user has ten times as many short jobs as another, and then a quota.

Run as root: python -m tests.benchmarks.bench_priority [--alone N] [--at-once N] [--rounds N]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from medgrid.actions.grid import Grid
from medgrid.actions.init import initialise
from medgrid.catalog.job_states import PENDING
from medgrid.catalog.jobs import NewSubmission
from medgrid.config import load_settings
from medgrid.model import LFN, Cause, Job, JobState, Site, Worker
from tests.benchmarks.bench_dispatch import objects
from tests.benchmarks.bench_jobs import medgrid
from tests.benchmarks.bench_scale import Watched
from tests.benchmarks.figures import Figure, LeftOut, Row, command
from tests.lab.hosts import Lab, why_no_hosts

SLOTS = 4
WORKERS = 3
MANY, FEW, SHORT_S = 240, 24, 2
QUOTA = 3
EMERGENCY = (
    "an emergency job on a full grid (12 slots, local and two hosts by SSH), from the start of"
    " `submit` to the start of the program"
)
ONE = Figure(f"{EMERGENCY}: 20 one after another, the last of them", " s", at_most=2)
TEN = Figure(f"{EMERGENCY}: 10 at once, the last of them", " s", at_most=2)
SHARES = Figure(
    "slots of a user with 240 jobs to those of one with 24, on 12, while both want more",
    at_most=1.5,
)
HELD = Figure("slots of a user whose quota is 3, on a grid with 12", at_most=QUOTA)
FIGURES = (ONE, TEN, SHARES, HELD)
QUICK = {"alone": 2, "at_once": 4, "rounds": 1}


def algorithm(directory: Path, name: str, script: str) -> Path:
    """An algorithm that runs a shell script."""
    (directory / name).mkdir()
    (directory / name / "run.sh").write_text(script)
    file = directory / f"{name}.json"
    file.write_text(
        json.dumps(
            {
                "name": name,
                "tool-version": "1",
                "schema-version": "0.5",
                "description": "A script.",
                "command-line": "sh [BUNDLE]/run.sh [FILE]",
                "inputs": [{"id": "file", "name": "File", "type": "File", "value-key": "[FILE]"}],
                "custom": {"medgrid": {"bundle": name}},
            }
        )
    )
    return file


def wait_for(condition: Callable[[], object], timeout_s: float = 120) -> None:
    """Look until it is true."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until_s:
            sys.exit("it did not happen")
        time.sleep(0.05)


def emergencies(grid: Grid, lfns: Sequence[LFN]) -> list[float]:
    """Submit emergency jobs with one command; seconds until each ran, when all have ended."""
    began_s = time.time()
    _, out = medgrid(
        grid.settings.home, "submit", "--priority", "emergency", "look", *map(str, lfns)
    )
    ids = out.split()

    def jobs() -> list[Job]:
        return grid.catalog.jobs.jobs(ids)

    wait_for(lambda: all(job.state.is_final for job in jobs()))
    found = jobs()
    if any(job.cause is not Cause.OK for job in found):
        sys.exit("an emergency job failed")
    print(f"  {min(job.created_s for job in found) - began_s:.2f} s of it the command", end="")
    print(f", on {', '.join(sorted({str(job.worker) for job in found}))}")
    return [(job.started_s or 0.0) - began_s for job in found]


def distribution(figure: Figure, found: Sequence[float]) -> Row:
    """The slowest one, and how the others were."""
    ordered = sorted(found)
    p95 = ordered[max(0, round(0.95 * len(ordered)) - 1)]
    return figure.row(ordered[-1], f"median {statistics.median(ordered):.2f}, p95 {p95:.2f} s")


def submit_as(grid: Grid, owner: str, lfns: Sequence[LFN]) -> str:
    """Submit short jobs as somebody."""
    made = grid.catalog.algorithms.find("short")
    items = [[one.id] for one in grid.catalog.objects.get_many(list(lfns)).values()]
    number, _ = grid.whole.jobs.create_submission(
        NewSubmission(made.digest, "short@1", owner, items, "file", {}, {})
    )
    return str(number)


def shares(grid: Grid, many: str, few: str) -> Row:
    """Who has how many slots while both want them."""
    began_s = time.monotonic()
    while_both: list[tuple[int, int]] = []
    while True:
        time.sleep(0.5)
        counts = [grid.whole.jobs.counts([one]) for one in (many, few)]
        running = [one.get(JobState.RUNNING, 0) for one in counts]
        waiting = [sum(count for state, count in one.items() if state in PENDING) for one in counts]
        if len(while_both) % 4 == 0:
            print(
                f"  {time.monotonic() - began_s:5.1f} s  running {running[0]:2d} : {running[1]:2d}"
                f"  waiting {waiting[0]:3d} : {waiting[1]:3d}"
            )
        if not waiting[1] or time.monotonic() - began_s > 60:
            break
        while_both.append((running[0], running[1]))
    settled = while_both[4:] or while_both
    first, second = (statistics.mean(one[place] for one in settled) for place in (0, 1))
    return SHARES.row(first / second, f"{first:.1f} : {second:.1f}")


def measure(alone: int = 20, at_once: int = 10, rounds: int = 30) -> Iterator[Row]:
    """Measure on a local worker and two lab hosts; `rounds` are looks at the quota."""
    reason = why_no_hosts()
    if reason:
        raise LeftOut(reason)
    lab = Lab()
    os.environ["MEDGRID_KNOWN_HOSTS"] = str(lab.known_hosts)
    os.environ["MEDGRID_IDENTITY"] = str(lab.identity)
    os.environ["MEDGRID_BROKER_AUTOSTART"] = "0"
    env = {name: value for name, value in os.environ.items() if name.startswith("MEDGRID_")}
    with tempfile.TemporaryDirectory(prefix="mgb-") as name:
        directory = Path(name)
        home = directory / "grid"
        try:
            with Grid(load_settings(home, env)) as grid:
                initialise(grid, slots=SLOTS)
                grid.catalog.places.put_site(Site("there"))
                for number in range(1, WORKERS):
                    host = lab.host(number)
                    grid.catalog.places.put_worker(
                        Worker(host.name, host.url, "there", slots=SLOTS)
                    )
                scripts = {
                    "long": "exec sleep 600\n",
                    "look": 'exec cat "$1"\n',
                    "short": f"exec sleep {SHORT_S}\n",
                }
                for one, script in scripts.items():
                    medgrid(home, "algorithm", "add", str(algorithm(directory, one, script)))
                yield from on_grid(grid, home, env, alone, at_once, rounds)
        finally:
            lab.close()


def on_grid(
    grid: Grid, home: Path, env: dict[str, str], alone: int, at_once: int, rounds: int
) -> Iterator[Row]:
    """With a grid that is ready."""
    slots = SLOTS * WORKERS
    lfns = objects(grid, MANY + FEW)
    broker = Watched(home, env)
    try:
        medgrid(home, "submit", "long", "-", stdin="\n".join(lfns[: 3 * slots]))
        wait_for(lambda: grid.whole.jobs.counts(["1"]).get(JobState.RUNNING, 0) == slots)
        print(f"{slots} slots on {WORKERS} workers are full, and others queue for them")
        found: list[float] = []
        for number in range(alone):
            found += emergencies(grid, lfns[number : number + 1])
            time.sleep(0.5)
        yield distribution(ONE, found)
        yield distribution(TEN, emergencies(grid, lfns[:at_once]))
        long_jobs = grid.catalog.jobs.jobs(["1"])
        print(
            f"of the sleeping jobs {sum(job.attempt > 1 for job in long_jobs)} were killed, "
            f"{sum(job.paused_s > 0 for job in long_jobs)} stood still for them"
        )
        medgrid(home, "cancel", "1")
        wait_for(lambda: set(grid.whole.jobs.counts(["1"])) == {JobState.CANCELLED})

        print(f"{MANY} jobs of {SHORT_S} s of one user, a moment later {FEW} of another")
        many = submit_as(grid, "cid", lfns[:MANY])
        wait_for(lambda: grid.whole.jobs.counts([many]).get(JobState.RUNNING, 0) == slots)
        yield shares(grid, many, submit_as(grid, "dee", lfns[MANY:]))

        medgrid(home, "quota", "set", "cid", "--slots", str(QUOTA))
        time.sleep(3 + 3 * SHORT_S)  # it is read, and what queued before has ended
        most = 0
        for _ in range(rounds):
            most = max(most, grid.whole.jobs.counts([many]).get(JobState.RUNNING, 0))
            time.sleep(0.2)
        yield HELD.row(most)
    finally:
        subprocess.run(
            [sys.executable, "-m", "medgrid", "cancel", *"123"],
            env={**os.environ, "MEDGRID_HOME": str(home)},
            capture_output=True,
            check=False,
        )  # what still sleeps here would outlive this program
        time.sleep(2)
        broker.stop()


if __name__ == "__main__":
    command(measure, __doc__)
