"""Submit and status of 10,000 jobs, in process and as whole commands.

Run: python -m tests.benchmarks.bench_jobs [--count N] [--url DATABASE_URL]
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from medgrid.actions.grid import Grid
from medgrid.actions.init import initialise
from medgrid.catalog.jobs import NewSubmission
from medgrid.catalog.objects import Registration
from medgrid.config import load_settings
from medgrid.crypto.vault import Whose, sealing
from medgrid.model import LFN, DataClass, GridObject, ObjectKind, Sha256, new_object_id
from tests.benchmarks.bench_startup import BOTH, median_ms
from tests.benchmarks.figures import Figure, Row, command

SUBMIT = Figure("submit 10 k jobs, the transaction", " s", at_most=2)
SUBMIT_WHOLE = Figure("submit 10 k jobs, the whole command", " s", at_most=2)
SUBMIT_PROTECTED = Figure(
    "submit 10 k jobs on encrypted inputs, the whole command", " s", at_most=2
)
STATUS = Figure("status of 10 k jobs, in process", " s", at_most=0.5)
STATUS_WHOLE = Figure(
    f"`medgrid status` of 10 k jobs, whole process, to `python -c '{BOTH}'`", at_most=2
)
FIGURES = (SUBMIT, SUBMIT_WHOLE, SUBMIT_PROTECTED, STATUS, STATUS_WHOLE)
QUICK = {"count": 100}
ROOT = Path(__file__).resolve().parents[2]
MEDGRID = [sys.executable, "-m", "medgrid"]
DESCRIPTOR = {
    "name": "noop",
    "tool-version": "1",
    "schema-version": "0.5",
    "description": "Does nothing.",
    "command-line": "true [FILE]",
    "inputs": [{"id": "file", "name": "File", "type": "File", "value-key": "[FILE]"}],
    "custom": {"medgrid": {"environment": {"kind": "host", "programs": ["true"]}}},
}


def surroundings(home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MEDGRID_HOME": str(home),
        "MEDGRID_BROKER_AUTOSTART": "0",
    }


def medgrid(home: Path, *words: str, stdin: str = "") -> tuple[float, str]:
    """Run a command; return its wall time in seconds and its stdout."""
    began_s = time.perf_counter()
    ran = subprocess.run(
        [*MEDGRID, *words],
        env=surroundings(home),
        input=stdin,
        text=True,
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - began_s, ran.stdout


def register(grid: Grid, count: int) -> list[LFN]:
    """Enter `count` objects without bytes."""
    lfns = [LFN(f"/bench/f{number}") for number in range(count)]
    grid.catalog.objects.register(
        [
            Registration(
                GridObject(new_object_id(), lfn, ObjectKind.FILE, "image.txt", 1, Sha256("0" * 64))
            )
            for lfn in lfns
        ]
    )
    return lfns


def register_protected(grid: Grid, count: int) -> list[LFN]:
    """Enter `count` objects of the user's own, encrypted, without bytes."""
    whose = Whose(DataClass.IMAGE, None, (grid.settings.user,))
    new, seals = [], []
    for number in range(count):
        one = sealing(new_object_id(), whose)
        body = b"".join(one.encrypt([b"1"]))
        one.stored(Sha256(hashlib.sha256(body).hexdigest()))
        seals.append(one)
        new.append(
            Registration(
                GridObject(
                    one.object_id,
                    LFN(f"/bench/p{number}"),
                    ObjectKind.FILE,
                    "image.txt",
                    1,
                    one.body().body_sha256,
                    data_class=DataClass.IMAGE,
                    owner=grid.settings.user,
                )
            )
        )
    began_s = time.perf_counter()
    grid.keep(seals)
    print(f"keys of {count} objects kept: {time.perf_counter() - began_s:.3f} s")
    grid.catalog.objects.register(new)
    return [LFN(f"/bench/p{number}") for number in range(count)]


def measure(count: int = 10_000, url: str = "") -> Iterator[Row]:
    """Submit and look, on SQLite or the database at `url`."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory) / "grid"
        environ = {"MEDGRID_CATALOG": url} if url else {}
        os.environ.update(environ)
        grid = Grid(load_settings(home, environ))
        initialise(grid)
        lfns = register(grid, count)
        file = Path(directory) / "noop.json"
        file.write_text(json.dumps(DESCRIPTOR))
        medgrid(home, "algorithm", "add", str(file))
        objects = grid.catalog.objects.get_many(lfns)
        digest = grid.catalog.algorithms.find("noop").digest

        began_s = time.perf_counter()
        number, _ = grid.catalog.jobs.create_submission(
            NewSubmission(
                digest,
                "noop@1",
                grid.settings.user,
                [[objects[lfn].id] for lfn in lfns],
                "file",
                {},
                {},
            )
        )
        yield SUBMIT.row(time.perf_counter() - began_s)

        began_s = time.perf_counter()
        assert sum(1 for _ in grid.catalog.jobs.lines([str(number)])) == count
        yield STATUS.row(time.perf_counter() - began_s)

        whole_s, out = medgrid(home, "submit", "noop", "-", stdin="\n".join(lfns))
        assert len(out.split()) == count
        yield SUBMIT_WHOLE.row(whole_s)
        protected = register_protected(grid, count)
        whole_s, out = medgrid(home, "submit", "noop", "-", stdin="\n".join(protected))
        assert len(out.split()) == count
        yield SUBMIT_PROTECTED.row(whole_s)
        _, out = medgrid(home, "status", str(number))
        assert len(out.splitlines()) == count
        commands = {
            "status": [*MEDGRID, "status", str(number)],
            "--count": [*MEDGRID, "status", str(number), "--count"],
            BOTH: [sys.executable, "-c", BOTH],
        }
        found = median_ms(commands, surroundings(home), runs=5)
        note = f"{found['status']:.0f} to {found[BOTH]:.0f} ms"
        yield STATUS_WHOLE.row(found["status"] / found[BOTH], note)
        print(f"medgrid status --count, whole command: {found['--count']:.0f} ms")
        grid.close()


if __name__ == "__main__":
    command(measure, __doc__)
