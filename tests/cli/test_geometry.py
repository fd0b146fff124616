"""Twins that lack private numbers: how they are found, and who says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.dicoms import write_mosaic, write_series
from tests.lab.prompt import ROOT, Prompt


@pytest.fixture
def imported(grid_prompt: Prompt, tmp_path: Path) -> Iterator[tuple[Prompt, str]]:
    """A grid with a mosaic whose CSA header is damaged, and its LFN."""
    write_mosaic(tmp_path / "in", b"SV10 Meier^Anna")
    ran = grid_prompt.ok("import", tmp_path / "in", "--to", "/trial")
    yield grid_prompt, ran.lines[0]
    grid_prompt("broker", "stop")


def warning(lfn: str) -> str:
    return (
        f"medgrid: warning: GeometryComplete=no: what is converted from {lfn} may be misplaced, "
        "or lack diffusion directions and slice times\n"
        "medgrid: hint: 'medgrid import --nifti' makes volumes of the originals\n"
    )


def test_such_twins_are_asked_for(imported: tuple[Prompt, str], tmp_path: Path) -> None:
    prompt, lfn = imported
    write_mosaic(tmp_path / "whole")
    write_series(tmp_path / "plain", series="7")
    whole = prompt.ok("query", "Modality=MR").lines
    prompt.ok("import", tmp_path / "plain", "--to", "/trial")
    assert whole == [lfn]
    assert prompt.ok("query", "GeometryComplete=no").lines == [lfn]
    assert lfn not in prompt.ok("query", "not GeometryComplete=no").lines
    (document,) = prompt.ok("stat", f"{lfn}.original", "--json").documents
    assert "GeometryComplete" not in document["attributes"]


def test_a_grid_without_one_can_be_asked(grid_prompt: Prompt, tmp_path: Path) -> None:
    write_mosaic(tmp_path / "in")
    (lfn,) = grid_prompt.ok("import", tmp_path / "in", "--to", "/trial").lines
    assert grid_prompt.ok("query", "GeometryComplete=no").lines == []
    assert grid_prompt.ok("query", "not GeometryComplete=no").lines == [lfn]
    assert grid_prompt.ok("fetch", lfn, "--dir", tmp_path / "out").err == ""


def test_fetch_warns(imported: tuple[Prompt, str], tmp_path: Path) -> None:
    prompt, lfn = imported
    ran = prompt.ok("fetch", lfn, f"{lfn}.original", "--dir", tmp_path / "out")
    assert len(ran.lines) == 2
    assert ran.err == warning(lfn)
    ran = prompt.ok("fetch", lfn, "--dir", tmp_path / "again", "--json")
    (said,) = map(json.loads, ran.err.splitlines())
    assert said["schema"] == "medgrid.warning/1"
    assert said["message"].startswith("GeometryComplete=no: ")


def test_submit_warns(imported: tuple[Prompt, str]) -> None:
    prompt, lfn = imported
    prompt.ok("algorithm", "add", ROOT / "config" / "algorithms" / "checksum.json")
    ran = prompt.ok("submit", "checksum", lfn)
    assert ran.lines == ["1.1"]
    assert warning(lfn) in ran.err
    assert warning(lfn) not in prompt.ok("submit", "checksum", f"{lfn}.original").err


def test_a_volume_made_of_the_original_lacks_nothing(grid_prompt: Prompt, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 5, DiffusionBValue=1000.0)
    lfn, *made = grid_prompt.ok("import", tmp_path / "in", "--to", "/trial", "--nifti").lines
    assert grid_prompt.ok("query", "GeometryComplete=no").lines == [lfn]
    assert any(one.endswith(".nii") for one in made)
