"""From an import to an image without a face that is granted, over a real sshd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import pytest

from tests.deface import nothing
from tests.deface.heads import make, turn
from tests.deface.test_deface import check
from tests.lab.prompt import ROOT, Prompt
from tests.lab.sshd import Sshd, physician
from tests.lab.waiting import PATIENCE_S

pytestmark = [
    pytest.mark.slow,
    pytest.mark.sshd,
    pytest.mark.usefixtures("pydeface", "deface_wheels"),
]

UNTIL = "2099-12-31"


@pytest.fixture
def alice(tmp_path: Path, sshd: Sshd) -> Iterator[Prompt]:
    """A physician whose jobs run on a host."""
    found = physician(tmp_path / "alice", sshd, ROOT / "config/algorithms/deface.json")
    yield found
    found("broker", "stop")


def waited_for(prompt: Prompt, lfn: str) -> tuple[str, dict[str, Any]]:
    """Deface an image: the job's id and how it ended."""
    job = prompt.ok("submit", "deface", lfn).lines[0]
    ran = prompt("status", job, "--wait", "--json", timeout_s=2 * PATIENCE_S)
    return job, ran.documents[0]


def test_a_head(alice: Prompt, tmp_path: Path) -> None:
    made = make(matrix=turn(0, 15))
    made.write(tmp_path / "in/sub-ann/anat/sub-ann_T1w.nii.gz")
    (head,) = alice.ok("import", tmp_path / "in", "--to", "/trial").lines
    patient = head.split("/")[2]
    warned = alice.ok("grant", "alice", head, "--until", UNTIL).err
    assert f"images of heads show faces: {head}" in warned

    job, ended = waited_for(alice, head)
    assert (ended["state"], ended["reason"], ended["worker"]) == ("Done", "done", "w1")
    lfns = alice.ok("register", job, "--to", "/trial/faceless").lines
    assert [Path(lfn).name for lfn in lfns] == ["image", "report"]
    image, report = (alice.ok("stat", lfn, "--json").documents[0] for lfn in lfns)
    assert (image["class"], image["kind"], report["class"]) == ("image", "volume", "image")
    assert image["attributes"]["PatientID"] == report["attributes"]["PatientID"] == patient
    assert report["attributes"]["fit"] > 1
    assert head in alice.ok("provenance", lfns[0]).out
    assert alice.ok("grant", "alice", lfns[0], "--until", UNTIL).err.count("faces") == 0

    alice.ok("fetch", job, "--dir", tmp_path / "out")
    (path,) = (tmp_path / "out").rglob("image.nii.gz")
    check(made, nib.load(path))
    text = next((tmp_path / "out").rglob("report.json")).read_text()
    assert json.loads(text)["removed_voxels"] == report["attributes"]["removed_voxels"]


def test_what_is_no_head(alice: Prompt, tmp_path: Path) -> None:
    path = tmp_path / "in/sub-ben/anat/sub-ben_T1w.nii.gz"
    path.parent.mkdir(parents=True)
    nothing.sphere().to_filename(path)
    (lfn,) = alice.ok("import", tmp_path / "in", "--to", "/trial").lines
    job, ended = waited_for(alice, lfn)
    assert (ended["state"], ended["reason"]) == ("Done", "exit code 1")
    assert "deface: refused, nothing is written: no head was found" in alice.ok("explain", job).out
    ran = alice("register", job, "--to", "/trial/faceless")
    assert (ran.code, ran.out) == (8, "")
    assert alice.ok("query", "--count", "/trial").out == "1\n"
