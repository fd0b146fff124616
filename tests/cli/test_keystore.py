"""Keys split over several key stores, at the prompt: one is lost, and made again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from medgrid.crypto.keystore import KeyStore
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


@pytest.mark.parametrize("home", ["this", "another"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_missing_one_is_not_made_anew(
    prompt: Prompt, split: list[Path], place: int, home: str, tmp_path: Path
) -> None:
    lose(split[place])
    if home == "another":
        prompt.home = tmp_path / home
    ran = prompt("init")
    assert (ran.code, ran.err.splitlines()) == (
        9,
        [
            f"medgrid: error: a key store of this grid is missing: {split[place]}",
            "medgrid: hint: mount its disk, or start its server; 'medgrid keystore mend' makes a "
            "lost one again",
        ],
    )
    assert not split[place].exists()


def test_an_empty_one_is_as_good_as_missing(
    prompt: Prompt, split: list[Path], tmp_path: Path
) -> None:
    (lfn,) = prompt.ok("query", "Modality=MR").lines
    lose(split[0])
    KeyStore.create(f"sqlite:///{split[0]}").close()
    prompt.ok("fetch", lfn, "--dir", tmp_path / "out")
    assert [row[1] for row in prompt.ok("keystore", "show").rows] == ["missing", "there", "there"]
    assert prompt("init").code == 9
    assert prompt.ok("keystore", "mend").lines == [str(split[0])]
    assert [row[1] for row in prompt.ok("keystore", "show").rows] == ["there"] * 3


@pytest.mark.parametrize("count", [1, 3])
def test_without_any_a_grid_gets_no_new_ones(prompt: Prompt, count: int) -> None:
    prompt.ok("init")
    files = [prompt.home / "keystore.db"]
    if count > 1:
        files = [prompt.home / f"keys-{number}.db" for number in range(count)]
        prompt.env["MEDGRID_KEYSTORE"] = " ".join(f"sqlite:///{file}" for file in files)
        prompt.env["MEDGRID_KEYSTORE_THRESHOLD"] = "2"
    for file in files:
        lose(file)
    for words in (["init"], ["identity", "ls"]):
        ran = prompt(*words)
        assert (ran.code, ran.err.splitlines()) == (
            9,
            [
                f"medgrid: error: there is no key store at {files[0]}",
                "medgrid: hint: mount its disk, or restore it from a backup; of several 'medgrid "
                "keystore mend' makes a lost one again",
            ],
        )
    assert not any(file.exists() for file in files)


def test_where_no_grid_is_yet_it_is_said(prompt: Prompt) -> None:
    for words in (["keystore", "show"], ["keystore", "upgrade"]):
        ran = prompt(*words)
        assert (ran.code, ran.err.splitlines()) == (
            9,
            [
                f"medgrid: error: no grid at {prompt.home}",
                "medgrid: hint: make one with 'medgrid init', or set MEDGRID_HOME",
            ],
        )


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
