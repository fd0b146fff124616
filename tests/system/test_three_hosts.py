"""A laptop, three hosts by SSH and 300 jobs; its lid is closed while they run."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from tests.lab.hosts import Lab
from tests.lab.prompt import ROOT, Prompt

TARGETS = 300


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


@pytest.mark.slow
@pytest.mark.lab
def test_the_lid_is_closed_while_300_jobs_run_on_three_hosts(
    hosts: Lab, prompt: Prompt, tmp_path: Path
) -> None:
    machines = [hosts.host(number, size="900m") for number in (1, 2, 3)]
    prompt.env |= {
        "MEDGRID_IDENTITY": str(hosts.identity),
        "MEDGRID_KNOWN_HOSTS": str(hosts.known_hosts),
        "MEDGRID_CONNECT_TIMEOUT_S": "5",
        "MEDGRID_KEEPALIVE_S": "5",
    }
    grid_id = prompt.ok("init").rows[0][1]
    prompt.ok("worker", "rm", "local")
    for machine in machines:
        words = ["--slots", "2", "--site", machine.name]
        prompt.ok("worker", "add", machine.name, machine.url, *words)
    _volumes(tmp_path / "volumes", TARGETS)
    imported = prompt.ok("import", tmp_path / "volumes", "--to", "/trial", "--keep-names")
    assert len(imported.lines) == TARGETS + 1
    prompt.ok("algorithm", "add", ROOT / "config/algorithms/similarity.json")
    targets = "".join(f"/trial/v{number:03d}\n" for number in range(1, TARGETS + 1))
    submitted = prompt.ok(
        "submit", "similarity", "-", "--with", "source=/trial/v000", stdin=targets
    )
    assert len(submitted.lines) == TARGETS

    def states() -> Counter[str]:
        return Counter(row[1] for row in prompt.ok("status", "1").rows)

    deadline = time.monotonic() + 300
    while states()["Done"] < 20:
        assert time.monotonic() < deadline, states()
        time.sleep(0.5)

    # the lid closes: no process of the user lives, no packet passes
    holder = json.loads(prompt.ok("broker", "status", "--json").out)["holder"]
    os.kill(int(holder.split()[-1]), signal.SIGKILL)
    for machine in machines:
        machine.cut()
    time.sleep(60)
    for machine in machines:
        machine.heal()

    ended = prompt("status", "1", "--wait", timeout_s=600)
    assert ended.code == 0, ended.err
    assert states() == {"Done": TARGETS}

    # each job was tried once, started once, ended once, and gave one result
    journals = f"/home/grid/.medgrid-agent/{grid_id}/*/journal"
    log = "".join(machine.exec(f"cat {journals}") for machine in machines)
    records = [json.loads(line) for line in log.splitlines()]
    for event in ("started", "done"):
        seen = Counter(record["attempt"] for record in records if record["event"] == event)
        assert set(seen) == {f"1.{number}.1" for number in range(1, TARGETS + 1)}
        assert set(seen.values()) == {1}
    used = Counter(row[2] for row in prompt.ok("status", "1").rows)
    assert all(used[machine.name] > TARGETS // 10 for machine in machines), used

    registered = prompt.ok("register", "1", "--to", "/trial/results")
    assert len(registered.lines) == TARGETS
    ranked = prompt.ok(
        "query", "algorithm=similarity", "--sort", "-nmi", "--columns", "input.targets"
    )
    assert ranked.rows[0] == ["/trial/results/1.1/measures-1", "/trial/v001"]
    assert len(ranked.lines) == TARGETS
    assert prompt("fsck").code == 0
    prompt("broker", "stop")
