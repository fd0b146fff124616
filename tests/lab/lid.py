"""A laptop whose lid is closed while hosts by SSH work for it."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from tests.lab.hosts import Lab
from tests.lab.prompt import ROOT, Prompt
from tests.lab.waiting import PATIENCE_S, linger, wait_for

__all__ = ["Opened", "close_the_lid"]


@dataclass(frozen=True)
class Opened:
    """What is found when the lid is open again and submission 1 has ended.

    Attributes
    ----------
    done : int
        Jobs that did what they should.
    once : set of str
        Jobs that the journals of all hosts saw start once and end once, at their first attempt.
    used : Counter
        Jobs by host.
    """

    done: int
    once: set[str]
    used: Counter[str]


def close_the_lid(prompt: Prompt, lab: Lab, directory: Path, jobs: int, closed_s: float) -> Opened:
    """Make a grid of three hosts, submit, sleep while the jobs run, wake and wait for the end.

    While the lid is closed no process of the user lives and no packet passes.
    """
    machines = [lab.host(number, size="900m") for number in (1, 2, 3)]
    prompt.env |= {
        "MEDGRID_IDENTITY": str(lab.identity),
        "MEDGRID_KNOWN_HOSTS": str(lab.known_hosts),
        "MEDGRID_CONNECT_TIMEOUT_S": "5",
        "MEDGRID_KEEPALIVE_S": "5",
    }
    grid_id = prompt.ok("init").rows[0][1]
    prompt.ok("worker", "rm", "local")
    for machine in machines:
        words = ["--slots", "2", "--site", machine.name]
        prompt.ok("worker", "add", machine.name, machine.url, *words)
    _volumes(directory / "volumes", jobs)
    imported = prompt.ok("import", directory / "volumes", "--to", "/trial", "--keep-names")
    assert len(imported.lines) == jobs + 1
    prompt.ok("algorithm", "add", ROOT / "config/algorithms/similarity.json")
    targets = "".join(f"/trial/v{number:03d}\n" for number in range(1, jobs + 1))
    submitted = prompt.ok(
        "submit", "similarity", "-", "--with", "source=/trial/v000", stdin=targets
    )
    assert len(submitted.lines) == jobs

    def states() -> Counter[str]:
        return Counter(row[1] for row in prompt.ok("status", "1").rows)

    wait_for(lambda: states()["Done"] >= min(20, jobs // 10), lambda: f"the first ends: {states()}")

    holder = json.loads(prompt.ok("broker", "status", "--json").out)["holder"]
    os.kill(int(holder.split()[-1]), signal.SIGKILL)
    for machine in machines:
        machine.cut()
    linger(closed_s, "connections that nobody keeps alive are given up")
    for machine in machines:
        machine.heal()

    ended = prompt("status", "1", "--wait", timeout_s=4 * PATIENCE_S)
    assert ended.code == 0, ended.err
    journals = f"/home/grid/.medgrid-agent/{grid_id}/*/journal"
    log = "".join(machine.exec(f"cat {journals}") for machine in machines)
    records = [json.loads(line) for line in log.splitlines()]
    times = {
        event: Counter(one["attempt"] for one in records if one["event"] == event)
        for event in ("started", "done")
    }
    attempts = times["started"].keys() | times["done"].keys()
    tried = Counter(attempt.rpartition(".")[0] for attempt in attempts)
    return Opened(
        done=states()["Done"],
        once={
            job
            for job, count in tried.items()
            if count == times["started"][f"{job}.1"] == times["done"][f"{job}.1"] == 1
        },
        used=Counter(row[2] for row in prompt.ok("status", "1").rows),
    )


def _volumes(folder: Path, count: int) -> None:
    """`count` small volumes: one shape, each a little more disturbed than the one before."""
    nifti: Any = nibabel.nifti1
    rng = np.random.default_rng(7)
    grid = np.indices((24, 24, 24)).astype(float) - 11.5
    head = 900 * np.exp(-(grid**2).sum(axis=0) / 60)
    folder.mkdir()
    for number in range(count + 1):
        voxels = head + number * rng.standard_normal(head.shape)
        image = nifti.Nifti1Image(voxels.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
        image.to_filename(folder / f"v{number:03d}.nii.gz")
