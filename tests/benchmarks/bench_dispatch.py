"""No-op jobs end to end over one SSH worker, beside GNU parallel with an SSH ControlMaster.

End to end: waiting in the catalog -> matched, staged, launched, run, journalled with fsync,
recorded Done with provenance. The same sshd serves both; both run four jobs at a time. Then a
quarter as many jobs on encrypted inputs, each of which is opened on the worker in memory.

GNU parallel runs before and after, as the speed of a machine drifts: bare, which is told nothing
but a number, and bringing each job its own input, as medgrid does (this needs rsync). On an ext4
without a journal, files that were deleted in the last minutes (by an earlier run, say) slow the
making of new ones.

Run: python -m tests.benchmarks.bench_dispatch [--jobs N]
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from medgrid.actions.broker import run_broker
from medgrid.actions.grid import Grid
from medgrid.actions.init import initialise
from medgrid.actions.transfer import Uploads
from medgrid.catalog.objects import Registration
from medgrid.config import load_settings
from medgrid.crypto.vault import Whose
from medgrid.model import (
    LFN,
    DataClass,
    GridObject,
    JobState,
    ObjectKind,
    Replica,
    Site,
    Worker,
    new_object_id,
)
from medgrid.storage.base import physical_name
from tests.benchmarks.bench_jobs import DESCRIPTOR, medgrid
from tests.benchmarks.figures import Figure, LeftOut, Row, command
from tests.lab.sshd import Sshd

SLOTS = 4
JOBS = Figure("no-op jobs, each with an input, one SSH worker, records durable", "/s", at_least=400)
ENCRYPTED = Figure("the same, each with an encrypted input", "/s")
PARALLEL = "no-op jobs to GNU parallel over ssh with ControlMaster"
BRINGING = Figure(f"{PARALLEL}, which brings each its input by rsync", at_least=15)
BARE = Figure(f"{PARALLEL}, bare: no input, no record, nothing registered")
FIGURES = (JOBS, ENCRYPTED, BRINGING, BARE)
QUICK = {"jobs": 200, "peer_jobs": 50}


def protected(grid: Grid, count: int) -> list[LFN]:
    """Enter `count` encrypted objects."""
    whose = Whose(DataClass.IMAGE, None, (grid.settings.user,))
    new, sealings = [], []
    with Uploads(grid) as uploads:
        for number in range(count):
            lfn = LFN(f"/bench/p{number}")
            made = uploads.seal(new_object_id(), "local", [f"{number % 10}\n".encode()], whose)
            item = GridObject(
                made.sealing.object_id,
                lfn,
                ObjectKind.FILE,
                "image.txt",
                2,
                made.replica.sha256,
                data_class=DataClass.IMAGE,
                owner=grid.settings.user,
            )
            new.append(Registration(item, (made.replica,)))
            sealings.append(made.sealing)
        grid.keep(sealings)
        grid.catalog.objects.register(new)
    return [one.object.lfn for one in new if one.object.lfn]


def objects(grid: Grid, count: int) -> list[LFN]:
    """Enter `count` objects that share the bytes of a few."""
    storage = grid.storage("local")
    new, lfns = [], []
    for number in range(count):
        object_id = new_object_id()
        pfn = physical_name(object_id)
        stored = storage.put(pfn, [f"{number % 10}\n".encode()])
        lfn = LFN(f"/bench/f{number}")
        item = GridObject(object_id, lfn, ObjectKind.FILE, "image.txt", 2, stored.sha256)
        new.append(Registration(item, (Replica(object_id, "local", pfn, 2, stored.sha256),)))
        lfns.append(lfn)
    grid.catalog.objects.register(new)
    return lfns


def dispatch(directory: Path, sshd: Sshd, count: int) -> tuple[float, float]:
    """Jobs per second of medgrid, from the start of a broker to the last job Done.

    The second with encrypted inputs.
    """
    home = directory / "grid"
    settings = load_settings(
        home,
        {
            "MEDGRID_KNOWN_HOSTS": str(sshd.known_hosts),
            "MEDGRID_IDENTITY": str(sshd.identity),
            "MEDGRID_BROKER_AUTOSTART": "0",
        },
    )
    with Grid(settings) as grid:
        initialise(grid)
        grid.catalog.places.remove_worker("local")
        grid.catalog.places.put_site(Site("there"))
        grid.catalog.places.put_worker(Worker("w1", sshd.url, "there", slots=SLOTS))
        lfns = objects(grid, count)
        file = directory / "noop.json"
        file.write_text(json.dumps(DESCRIPTOR))
        medgrid(home, "algorithm", "add", str(file))
        medgrid(home, "submit", "noop", lfns[0])
        run_broker(grid, until_stuck=True)  # ships the agent, as once per host
        rate = _rate(grid, "2", lfns)
        return rate, _rate(grid, "3", protected(grid, max(count // 4, 1)))


def _rate(grid: Grid, number: str, lfns: list[LFN]) -> float:
    """Jobs per second of submission `number`, one for each of `lfns`."""
    count = len(lfns)
    medgrid(grid.settings.home, "submit", "noop", "-", stdin="\n".join(lfns))
    began_s = time.perf_counter()
    cpu_s = time.process_time()
    run_broker(grid, until_stuck=True)
    took_s = time.perf_counter() - began_s
    cpu_s = time.process_time() - cpu_s
    counts = grid.catalog.jobs.counts([number])
    assert counts == {JobState.DONE: count}, counts
    print(f"broker's own processor time: {1000 * cpu_s / count:.2f} ms a job")
    return count / took_s


def parallel(directory: Path, sshd: Sshd, count: int) -> tuple[float, ...]:
    """Jobs per second of GNU parallel over one ControlMaster: bare, and bringing inputs.

    What is not installed is left out.
    """
    if shutil.which("parallel") is None:
        return ()
    config = directory / "ssh_config"
    config.write_text(
        f"Host bench\n HostName 127.0.0.1\n Port {sshd.port}\n"
        f" IdentityFile {sshd.identity}\n UserKnownHostsFile {sshd.known_hosts}\n"
        f" ControlMaster auto\n ControlPath {directory}/%C\n ControlPersist 60\n"
    )
    ssh = f"ssh -F {config}"
    subprocess.run([*ssh.split(), "bench", "true"], check=True)
    env = {**os.environ, "HOME": str(directory)}
    inputs = directory / "inputs"
    inputs.mkdir(exist_ok=True)
    numbers = [str(number) for number in range(count)]
    for number in numbers:
        (inputs / number).write_text(f"{number}\n")
    rates = []
    for words in ((), ("--transferfile", "{}", "--cleanup")):
        if words and shutil.which("rsync") is None:
            break
        command = ["parallel", "--will-cite", "--ssh", ssh, "-S", f"{SLOTS}/bench", *words]
        began_s = time.perf_counter()
        subprocess.run([*command, "true", ":::", *numbers], check=True, env=env, cwd=inputs)
        rates.append(count / (time.perf_counter() - began_s))
    subprocess.run([*ssh.split(), "-O", "exit", "bench"], check=True, capture_output=True)
    return tuple(rates)


def measure(jobs: int = 10_000, peer_jobs: int = 500) -> Iterator[Row]:
    """Measure ours between two runs of its peer."""
    with tempfile.TemporaryDirectory(prefix="mgb-") as name:
        directory = Path(name)
        sshd = Sshd(directory / "sshd")
        try:
            before = parallel(directory, sshd, peer_jobs)
            ours, encrypted = dispatch(directory, sshd, jobs)
            yield JOBS.row(ours)
            yield ENCRYPTED.row(encrypted)
            after = parallel(directory, sshd, peer_jobs)
        finally:
            sshd.close()
    for figure, first, last in zip((BARE, BRINGING), before, after, strict=False):
        theirs = (first + last) / 2
        yield figure.row(ours / theirs, f"it makes {theirs:.3g}/s here")
    if len(before) < 2:
        raise LeftOut("GNU parallel or rsync is not installed")


if __name__ == "__main__":
    command(measure, __doc__)
