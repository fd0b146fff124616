"""Staging beside sftp(1) over the same link: one large file, and many small ones.

Run: python -m tests.benchmarks.bench_staging [--megabytes N] [--small N]
sftp(1) checks no digest; here all bytes are digested where they arrive. Each is
measured several times in turn; the best of each counts.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from medgrid.config import Settings
from medgrid.model import Sha256, Worker
from medgrid.workers import open_link
from medgrid.workers.base import JournalRecord, Launch, OutputPattern, StageItem, WorkerLink
from tests.benchmarks.figures import Figure, Row, command
from tests.lab.sshd import Sshd

LARGE = Figure("staging to the worker, large file, digest checked there, to sftp(1)", at_least=1)
MANY = Figure("staging to the worker, 500 small files, to sftp(1)", at_least=1)
BACK = Figure("outputs back, large file, digest checked here, to sftp(1)", at_least=1)
FIGURES = (LARGE, MANY, BACK)
QUICK = {"megabytes": 4, "small": 20}
ROUNDS = 5
SMALL_BYTES = 4096


def files(directory: Path, count: int, size: int) -> list[Path]:
    """Write `count` files of random bytes."""
    directory.mkdir()
    paths = [directory / f"{directory.name}{number:05d}" for number in range(count)]
    for path in paths:
        path.write_bytes(os.urandom(size))
    return paths


def items(paths: list[Path]) -> list[StageItem]:
    """Files as a broker stages them: it has their digests from the catalog."""
    return [
        StageItem(
            Sha256(hashlib.sha256(path.read_bytes()).hexdigest()),
            path.stat().st_size,
            lambda path=path: path.open("rb"),  # type: ignore[misc]
        )
        for path in paths
    ]


def sftp(sshd: Sshd, command: str) -> None:
    """Run one command of sftp(1)."""
    argv = ["sftp", "-q", "-b", "-", "-P", str(sshd.port), "-i", str(sshd.identity)]
    argv += ["-o", f"UserKnownHostsFile={sshd.known_hosts}", "127.0.0.1"]
    subprocess.run(argv, input=command, text=True, check=True, stdout=subprocess.DEVNULL)


def seconds(action: Callable[[], object]) -> float:
    """How long `action` takes."""
    began_s = time.perf_counter()
    action()
    return time.perf_counter() - began_s


def empty_cache(root: Path) -> None:
    """Let the agent forget what was staged."""
    subprocess.run(["find", str(root / "cache"), "-type", "f", "-delete"], check=True)


def compare(
    figure: Figure, amount: float, unit: str, ours_s: list[float], theirs_s: list[float]
) -> Row:
    """The ratio of both rates."""
    ours, theirs = amount / min(ours_s), amount / min(theirs_s)
    return figure.row(ours / theirs, f"{ours:.0f} to {theirs:.0f} {unit}")


def measure(megabytes: int = 256, small: int = 500) -> Iterator[Row]:
    """Measure staging in, both kinds, and collecting."""
    with tempfile.TemporaryDirectory(prefix="mgb-") as name:
        directory = Path(name)
        sshd = Sshd(directory / "sshd")
        root, there = directory / "agent", directory / "there"
        settings = Settings(
            home=directory / "grid", known_hosts=str(sshd.known_hosts), identity=str(sshd.identity)
        )
        worker = Worker("w", sshd.url, "s", options={"root": str(root)})
        there.mkdir()
        try:
            link = open_link(worker, settings, "bench")
            large = files(directory / "large", 1, megabytes << 20)
            many = files(directory / "many", small, SMALL_BYTES)
            link.stage([])
            link.stage(items(many[:1]))
            for figure, paths, amount, unit in (
                (LARGE, large, megabytes, "MiB/s"),
                (MANY, many, small, "files/s"),
            ):
                wanted = items(paths)
                ours_s, theirs_s = [], []
                for _ in range(ROUNDS):
                    empty_cache(root)
                    ours_s.append(seconds(partial(link.stage, wanted)))
                    command = f"put {paths[0].parent}/* {there}\n"
                    theirs_s.append(seconds(partial(sftp, sshd, command)))
                yield compare(figure, amount, unit, ours_s, theirs_s)
            yield collect(link, sshd, there, directory, megabytes)
            link.close()
        finally:
            sshd.close()


def collect(link: WorkerLink, sshd: Sshd, there: Path, directory: Path, megabytes: int) -> Row:
    """Measure a large output on its way back, digest checked."""
    pattern = OutputPattern("o", "out")
    make = f"head -c {megabytes << 20} /dev/urandom > out"
    link.launch([Launch("1.1.1", ("sh", "-c", make), outputs=(pattern,))])
    records: list[JournalRecord] = []
    while not records:
        records = [one for one in link.follow(0, 10) if one.event == "done"]
    wanted = [("1.1.1", records[0].outputs[0])]

    def fetch() -> None:
        with (directory / "fetched").open("wb") as target:
            for _, _, chunks in link.collect(wanted):
                for chunk in chunks:
                    target.write(chunk)

    ours_s, theirs_s = [], []
    for _ in range(ROUNDS):
        ours_s.append(seconds(fetch))
        theirs_s.append(
            seconds(lambda: sftp(sshd, f"get {there}/large00000 {directory}/fetched\n"))
        )
    return compare(BACK, megabytes, "MiB/s", ours_s, theirs_s)


if __name__ == "__main__":
    command(measure, __doc__)
