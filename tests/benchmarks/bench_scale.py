"""Ten thousand jobs of ten seconds on a hundred workers of four slots, by SSH.

The hundred workers are a hundred agents behind one sshd on this machine; each job sleeps and
writes one small file. Perfect is JOBS x SECONDS / (WORKERS x SLOTS). The start of a hundred agents,
which here share the processors, is measured apart, with one empty job for each slot.

Run: python -m tests.benchmarks.bench_scale [--jobs N] [--seconds S] [--workers N]
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from medgrid.actions.grid import Grid
from medgrid.actions.init import initialise
from medgrid.config import load_settings
from medgrid.model import JobState, Site, Worker
from tests.benchmarks.bench_dispatch import objects
from tests.benchmarks.bench_jobs import ROOT, medgrid
from tests.benchmarks.figures import Figure, Row, command
from tests.lab.sshd import Sshd

SLOTS = 4
START = Figure("one empty job a slot on 100 workers x 4 slots, all on this machine, cold", " s")
PERFECT = Figure(
    "10 k jobs of 10 s on 100 workers x 4 slots, all on this machine, of perfect", " %", at_least=95
)
CPU = Figure("the broker meanwhile: processor", " cores", at_most=1)
MEMORY = Figure("the broker meanwhile: memory", " MiB", at_most=500)
FIGURES = (START, PERFECT, CPU, MEMORY)
QUICK = {"jobs": 40, "seconds": 1.0, "workers": 4}


def algorithm(directory: Path, seconds: float, name: str = "nap") -> Path:
    """An algorithm that sleeps and writes a file."""
    (directory / name).mkdir()
    (directory / name / "run.sh").write_text(f'sleep {seconds}; cat "$1" > out.txt\n')
    file = directory / f"{name}.json"
    file.write_text(
        json.dumps(
            {
                "name": name,
                "tool-version": "1",
                "schema-version": "0.5",
                "description": "Sleeps.",
                "command-line": "sh [BUNDLE]/run.sh [FILE]",
                "inputs": [{"id": "file", "name": "File", "type": "File", "value-key": "[FILE]"}],
                "output-files": [{"id": "out", "name": "out", "path-template": "out.txt"}],
                "custom": {"medgrid": {"bundle": name}},
            }
        )
    )
    return file


class Watched:
    """A broker in a process of its own, and what it uses."""

    def __init__(self, home: Path, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "medgrid", "broker", "run"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "MEDGRID_HOME": str(home), **env},
            stderr=(home / "broker.err").open("wb"),
        )

    def _status(self, field: str) -> float:
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / (1024 if line.endswith("kB") else 1)
        raise KeyError(field)

    @property
    def memory_mib(self) -> float:
        """Resident memory."""
        return self._status("VmRSS")

    @property
    def most_mib(self) -> float:
        """The most there ever was."""
        return self._status("VmHWM")

    @property
    def threads(self) -> int:
        """How many there are."""
        return int(self._status("Threads"))

    @property
    def cpu_s(self) -> float:
        """Processor time."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Let it end."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


def measure(jobs: int = 10_000, seconds: float = 10.0, workers: int = 100) -> Iterator[Row]:
    """Start the agents, then let them work."""
    with tempfile.TemporaryDirectory(prefix="mgb-") as name:
        directory = Path(name)
        sshd = Sshd(directory / "sshd")
        env = {
            "MEDGRID_KNOWN_HOSTS": str(sshd.known_hosts),
            "MEDGRID_IDENTITY": str(sshd.identity),
            "MEDGRID_BROKER_AUTOSTART": "0",
        }
        home = directory / "grid"
        try:
            with Grid(load_settings(home, env)) as grid:
                initialise(grid)
                grid.catalog.places.remove_worker("local")
                grid.catalog.places.put_site(Site("there"))
                for number in range(workers):
                    root = {"root": str(directory / f"w{number:03d}")}
                    grid.catalog.places.put_worker(
                        Worker(f"w{number:03d}", sshd.url, "there", slots=SLOTS, options=root)
                    )
                lfns = objects(grid, jobs)
                medgrid(home, "algorithm", "add", str(algorithm(directory, seconds)))
                medgrid(home, "algorithm", "add", str(algorithm(directory, 0, "blink")))
                medgrid(home, "submit", "blink", "-", stdin="\n".join(lfns[: workers * SLOTS]))
                broker = Watched(home, env)
                began_s = time.perf_counter()
                medgrid(home, "status", "1", "--wait")
                yield START.row(time.perf_counter() - began_s)
                took_s, _ = medgrid(home, "submit", "nap", "-", stdin="\n".join(lfns))
                print(f"submit of {jobs} jobs, whole command: {took_s:.2f} s")
                yield from run(grid, broker, jobs, seconds, workers)
        finally:
            sshd.close()
            subprocess.run(["pkill", "-f", str(directory)], check=False)


def run(grid: Grid, broker: Watched, count: int, seconds: float, workers: int) -> Iterator[Row]:
    """Watch a broker do all jobs."""
    perfect_s = count * seconds / (workers * SLOTS)
    began_s, began_cpu_s = time.perf_counter(), broker.cpu_s
    shown, full_s, done = 0, None, 0
    while done < count:
        time.sleep(0.2)
        counts = grid.catalog.jobs.counts(["2"])
        done = counts.get(JobState.DONE, 0)
        running = counts.get(JobState.RUNNING, 0)
        took_s = time.perf_counter() - began_s
        if full_s is None and running >= workers * SLOTS:
            full_s = took_s
            print(f"all slots busy after {full_s:.1f} s")
        if done * 10 // count > shown:
            shown = done * 10 // count
            print(
                f"{took_s:6.1f} s  {done:6d} done  {running:4d} running  "
                f"{broker.memory_mib:4.0f} MiB  {broker.cpu_s:6.1f} s processor  "
                f"{broker.threads} threads",
                flush=True,
            )
    took_s, cpu_s = time.perf_counter() - began_s, broker.cpu_s - began_cpu_s
    yield PERFECT.row(100 * perfect_s / took_s, f"{took_s:.0f} s")
    yield CPU.row(cpu_s / took_s, f"{1000 * cpu_s / count:.2f} ms a job")
    yield MEMORY.row(broker.most_mib)
    broker.stop()


if __name__ == "__main__":
    command(measure, __doc__)
