"""Start of the whole process: ``medgrid --help`` beside ``python -c 'import click'``, and a query.

Run: python -m tests.benchmarks.bench_startup [--runs N]
The commands take turns, so that all of them see the same noise; medians count. A query on a large
catalog is `bench_query`'s.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.benchmarks.figures import Figure, Row, command

ROOT = Path(__file__).resolve().parents[2]
CLICK, BOTH = "import click", "import click, sqlalchemy"
HELP = Figure(f"`medgrid --help`, whole process, to `python -c '{CLICK}'`", at_most=1.5)
SCRIPT = Figure(f"`bin/medgrid --help`, whole process, to `python -c '{CLICK}'`", at_most=1.5)
QUERY = Figure(
    f"`medgrid query` in an empty catalog, whole process, to `python -c '{BOTH}'`", at_most=1.5
)
FIGURES = (HELP, SCRIPT, QUERY)
QUICK = {"runs": 3}


def median_ms(
    commands: Mapping[str, Sequence[str]], env: Mapping[str, str], runs: int
) -> dict[str, float]:
    """Median time of each command in milliseconds, whole process."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, words in commands.items():
            began = time.perf_counter()
            subprocess.run(words, env=env, check=True, stdout=subprocess.DEVNULL)
            times[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(found) for name, found in times.items()}


def measure(runs: int = 21) -> Iterator[Row]:
    """Measure all of them in turn."""
    python = sys.executable
    medgrid = [python, "-I", "-m", "medgrid"]
    with tempfile.TemporaryDirectory() as scratch:
        env = {**os.environ, "MEDGRID_HOME": str(Path(scratch) / "grid")}
        subprocess.run([*medgrid, "init"], env=env, check=True, stdout=subprocess.DEVNULL)
        commands: dict[str, list[str]] = {
            CLICK: [python, "-c", CLICK],
            HELP.what: [*medgrid, "--help"],
            SCRIPT.what: [str(ROOT / "bin" / "medgrid"), "--help"],
            BOTH: [python, "-c", BOTH],
            QUERY.what: [*medgrid, "query", "Modality=MR and PatientAge>=200"],
        }
        found = median_ms(commands, env, runs)
    for figure, peer in ((HELP, CLICK), (SCRIPT, CLICK), (QUERY, BOTH)):
        ours_ms, peer_ms = found[figure.what], found[peer]
        yield figure.row(ours_ms / peer_ms, f"{ours_ms:.0f} to {peer_ms:.0f} ms")


if __name__ == "__main__":
    command(measure, __doc__)
