"""Keys split over several key stores, at the prompt: one is lost, and made again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from tests.lab.prompt import Prompt


@pytest.fixture
def split(prompt: Prompt, tmp_path: Path) -> list[Path]:
    """Files of three key stores of which two are needed; the grid has one image."""
    files = [tmp_path / f"keys-{number}.db" for number in (1, 2, 3)]
    prompt.env["MEDGRID_KEYSTORE"] = " ".join(f"sqlite:///{file}" for file in files)
    prompt.env["MEDGRID_KEYSTORE_THRESHOLD"] = "2"
    prompt.ok("init")
    folder = tmp_path / "mr"
    folder.mkdir()
    shutil.copy(str(get_testdata_file("MR_small.dcm")), folder)
    prompt.ok("import", folder, "--to", "/trial")
    return files


def lose(file: Path) -> None:
    """Delete a key store with its journal."""
    for part in file.parent.glob(f"{file.name}*"):
        part.unlink()


def test_one_of_three_may_be_lost(prompt: Prompt, split: list[Path], tmp_path: Path) -> None:
    (lfn,) = prompt.ok("query", "Modality=MR").lines
    lose(split[1])
    prompt.ok("fetch", lfn, "--dir", tmp_path / "left")
    states = [row[1:] for row in prompt.ok("keystore", "show").rows]
    assert states == [["there", "2"], ["missing", "2"], ["there", "2"]]
    ran = prompt("register", __file__, "--to", "/note")
    assert (ran.code, ran.err.splitlines()[0]) == (
        7,
        f"medgrid: error: nothing can be written while a key store is missing: {split[1]}",
    )
    assert prompt.ok("query", "/note").lines == []

    assert prompt.ok("keystore", "mend").lines == [str(split[1])]
    lose(split[0])
    prompt.ok("fetch", lfn, "--dir", tmp_path / "mended")


def test_fewer_than_needed_open_nothing(prompt: Prompt, split: list[Path], tmp_path: Path) -> None:
    (lfn,) = prompt.ok("query", "Modality=MR").lines
    lose(split[0])
    lose(split[2])
    ran = prompt("fetch", lfn, "--dir", tmp_path / "out")
    assert ran.code == 7
    assert "1 of the key stores answer, 2 are needed" in ran.err
    assert not list((tmp_path / "out").rglob("*.dcm"))


def test_the_only_one_cannot_be_made_again(prompt: Prompt) -> None:
    prompt.ok("init")
    ran = prompt("keystore", "mend")
    assert (ran.code, ran.err.splitlines()) == (
        2,
        [
            "medgrid: error: this grid has one key store, and nothing to make it again from",
            "medgrid: hint: restore it from a backup",
        ],
    )
