"""A cohort goes in, is asked for by arm, and comes out as a BIDS dataset."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.niftis import write_json, write_nifti
from tests.lab.prompt import Prompt

VALIDATOR = Path(sys.executable).with_name("bids-validator-deno")


def write_cohort(root: Path) -> None:
    """Two subjects with two visits each: FLAIR, DWI and a field map of it."""
    write_json(root / "dataset_description.json", {"Name": "trial", "BIDSVersion": "1.10.0"})
    rows = ["participant_id\tage\tsex\tarm"]
    for subject, arm in (
        ("01", "treated"),
        ("02", "placebo"),
        ("03", "treated"),
        ("04", "placebo"),
    ):
        rows.append(f"sub-{subject}\t34\tF\t{arm}")
        scores = ["session_id\tedss"]
        for visit, score in (("m00", 2.5), ("m12", 3.5)):
            folder = root / f"sub-{subject}" / f"ses-{visit}"
            stem = f"sub-{subject}_ses-{visit}"
            write_nifti(folder / "anat" / f"{stem}_FLAIR.nii.gz")
            write_nifti(folder / "dwi" / f"{stem}_dwi.nii.gz", shape=(4, 4, 4, 2))
            (folder / "dwi" / f"{stem}_dwi.bval").write_text("0 1000\n")
            (folder / "dwi" / f"{stem}_dwi.bvec").write_text("0 1\n0 0\n0 0\n")
            write_nifti(folder / "fmap" / f"{stem}_phasediff.nii.gz")
            fields = {"EchoTime1": 0.004, "EchoTime2": 0.006}
            fields_too = {"IntendedFor": f"ses-{visit}/dwi/{stem}_dwi.nii.gz"}
            write_json(folder / "fmap" / f"{stem}_phasediff.json", fields | fields_too)
            scores.append(f"ses-{visit}\t{score}")
        (root / f"sub-{subject}" / f"sub-{subject}_sessions.tsv").write_text("\n".join(scores))
    (root / "participants.tsv").write_text("\n".join(rows))


@pytest.fixture
def given(grid_prompt: Prompt, tmp_path: Path) -> Iterator[Path]:
    """The dataset of those who are treated."""
    write_cohort(tmp_path / "in")
    grid_prompt.ok("import", tmp_path / "in", "--to", "/trial")
    lfns = grid_prompt.ok("query", "arm=treated").lines
    assert len(lfns) == 12
    with tempfile.TemporaryDirectory() as folder:  # the validator reads nothing below /dev
        grid_prompt.ok("fetch", *lfns, "--bids", Path(folder, "out"))
        yield Path(folder, "out")


def test_it_is_valid_and_says_what_is_known(given: Path) -> None:
    ran = subprocess.run([VALIDATOR, "--json", given], capture_output=True, text=True, check=False)
    issues = json.loads(ran.stdout)["issues"]["issues"]
    assert [one for one in issues if one["severity"] == "error"] == []
    names = sorted(path.name for path in given.glob("sub-*"))
    assert len(names) == 2
    first = (given / "participants.tsv").read_text().splitlines()
    assert first[0] == "participant_id\tage\tarm\tsex"
    assert sorted(line.split("\t")[0] for line in first[1:]) == names
    assert {line.split("\t")[2] for line in first[1:]} == {"treated"}
    scores = (given / names[0] / f"{names[0]}_sessions.tsv").read_text()
    assert scores == "session_id\tedss\nses-m00\t2.5\nses-m12\t3.5\n"
    (car,) = given.glob(f"{names[0]}/ses-m00/fmap/*.json")
    target = f"{names[0]}/ses-m00/dwi/{names[0]}_ses-m00_dwi.nii.gz"
    assert json.loads(car.read_text())["IntendedFor"] == [f"bids::{target}"]
    assert (given / target).exists()
    assert len(list(given.rglob("*.bval"))) == len(list(given.rglob("*.bvec"))) == 4


def test_import_of_it_adds_nothing_and_fetch_again_changes_nothing(
    grid_prompt: Prompt, given: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in given.rglob("*") if path.is_file()}
    lfns = grid_prompt.ok("query", "arm=treated").lines
    grid_prompt.ok("fetch", *lfns, "--bids", given)
    assert before == {path: path.stat().st_mtime_ns for path in given.rglob("*") if path.is_file()}
    ran = grid_prompt.ok("import", given, "--to", "/again")
    assert ran.lines == []
    assert f"left out: {len(before)} files: this grid gave it out" in ran.err


def test_what_has_no_place_is_named_and_the_rest_comes(grid_prompt: Prompt, tmp_path: Path) -> None:
    write_nifti(tmp_path / "in" / "sub-1" / "anat" / "sub-1_T1w.nii")
    write_json(tmp_path / "in" / "dataset_description.json", {"Name": "x"})
    grid_prompt.ok("import", tmp_path / "in", "--to", "/one")
    (tmp_path / "notes.txt").write_text("notes")
    grid_prompt.ok("register", tmp_path / "notes.txt", "--to", "/notes")
    lfns = [*grid_prompt.ok("query", "suffix=T1w").lines, "/notes", "/nowhere"]
    ran = grid_prompt("fetch", *lfns, "--bids", tmp_path / "out")
    assert ran.code == 3
    assert "/notes has no place in a BIDS dataset: it is of no patient" in ran.err
    assert "/nowhere" in ran.err
    assert len(list((tmp_path / "out").rglob("*_T1w.nii.gz"))) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--dir", "a", "--bids", "b"], "say --dir DIR or --bids DIR"),
        ([], "say --dir DIR or --bids DIR"),
        (["--dir", "a", "--attributes", "arm"], "--attributes goes with --bids"),
        (["--bids", "a", "--packed"], "--packed goes with --dir"),
    ],
)
def test_what_does_not_go_together(grid_prompt: Prompt, words: list[str], told: str) -> None:
    ran = grid_prompt("fetch", "/x", *words)
    assert ran.code == 2
    assert told in ran.err
