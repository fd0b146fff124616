"""Start of the whole process: ``medgrid --help`` beside ``python -c 'import click'``, and a query.

``python -m tests.benchmarks.bench_startup [--runs N] [--catalog HOME]``: prints the medians and
their ratios. Bars: help <= 1.5 x ``import click``; a query <= 1.5 x ``import click, sqlalchemy``.
The commands take turns, so that all of them see the same noise. HOME is a grid home with a large
catalog; by default an empty one is made.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def median_ms(
    commands: Mapping[str, Sequence[str]], env: Mapping[str, str], runs: int
) -> dict[str, float]:
    """Median time of each command in milliseconds, whole process."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
            times[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--catalog", type=Path, metavar="HOME")
    asked = parser.parse_args()
    python = sys.executable
    medgrid = [python, "-I", "-m", "medgrid"]
    with tempfile.TemporaryDirectory() as scratch:
        home = asked.catalog or Path(scratch) / "grid"
        env = {**os.environ, "MEDGRID_HOME": str(home)}
        if asked.catalog is None:
            subprocess.run([*medgrid, "init"], env=env, check=True, stdout=subprocess.DEVNULL)
        commands: dict[str, list[str]] = {
            "import click": [python, "-c", "import click"],
            "medgrid --help": [*medgrid, "--help"],
            "bin/medgrid --help": [str(ROOT / "bin" / "medgrid"), "--help"],
            "import click, sqlalchemy": [python, "-c", "import click, sqlalchemy"],
            "medgrid query": [*medgrid, "query", "Modality=MR and PatientAge>=200"],
        }
        found = median_ms(commands, env, asked.runs)
    for name, taken_ms in found.items():
        print(f"{name:28} {taken_ms:7.1f} ms")
    for name, peer in (
        ("medgrid --help", "import click"),
        ("bin/medgrid --help", "import click"),
        ("medgrid query", "import click, sqlalchemy"),
    ):
        print(f"{name} / {peer}: {found[name] / found[peer]:.2f} (bar 1.5)")


if __name__ == "__main__":
    main()
