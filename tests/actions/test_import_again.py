"""What is in the grid already comes in once, whatever it is called and whoever packed it."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from medgrid.actions.importing.drafts import Draft
from medgrid.images.derive_series import SeriesPass
from medgrid.images.pack import PACKED_END
from medgrid.model import GridObject
from tests.lab.datagrid import kept_keys
from tests.lab.dicoms import write_series
from tests.lab.importer import Importer, nothing_is_left
from tests.lab.niftis import write_nifti


@pytest.fixture
def padded(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Series are packed as they once were: with zeros up to a whole record."""
    pieces: Callable[[SeriesPass], Iterator[tuple[bytes, Any]]] = SeriesPass.pieces

    def of_records(self: SeriesPass) -> Iterator[tuple[bytes, Any]]:
        sizes = [0, 0]
        for piece in pieces(self):
            sizes = [size + len(part) for size, part in zip(sizes, piece, strict=True)]
            yield piece
        original, twin = (bytes(-size % tarfile.RECORDSIZE) for size in sizes)
        yield original, twin

    with monkeypatch.context() as patch:
        patch.setattr(SeriesPass, "pieces", of_records)
        yield patch


def touch(folder: Path) -> None:
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))


def test_a_series_that_was_packed_in_whole_records_is_known_and_goes_on(
    bring: Importer, padded: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = write_series(tmp_path / "in", 3)
    bring(tmp_path / "in")
    (lfn,) = bring.lfns
    assert bring.original(lfn).size_bytes % tarfile.RECORDSIZE == 0
    padded.undo()
    held = kept_keys(bring.grid.settings)

    touch(tmp_path / "in")
    summary = bring(tmp_path / "in")
    assert (summary.known, summary.new) == (3, 0)
    assert kept_keys(bring.grid.settings) == held
    assert bring.members(bring.original(lfn)) == [path.read_bytes() for path in files]

    files = write_series(tmp_path / "in", 4)
    assert bring(tmp_path / "in").versions == 1
    assert bring.original(lfn).size_bytes % tarfile.RECORDSIZE != 0
    assert bring.members(bring.original(lfn)) == [path.read_bytes() for path in files]


@pytest.fixture(params=["held", "large"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are held in memory, or are too large for that."""
    if request.param == "large":
        monkeypatch.setattr("medgrid.images.pack._HELD_BYTES", 0)


def bodies(bring: Importer) -> list[str]:
    return sorted(pfn for pfn, _ in bring.grid.storage("local").walk())


@pytest.mark.usefixtures("size")
def test_a_volume_that_nothing_names_comes_in_once(bring: Importer, tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a" / "one.nii.gz")
    assert bring(tmp_path / "a").new == 1
    (lfn,) = bring.lfns
    stored, keys = bodies(bring), kept_keys(bring.grid.settings)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.nii.gz").write_bytes(path.read_bytes())
    summary = bring(tmp_path / "b")
    assert (summary.new, summary.known) == (0, 1)
    assert (bodies(bring), kept_keys(bring.grid.settings)) == (stored, keys)
    assert bring(tmp_path / "b").unchanged == 1
    assert bring(tmp_path / "b", dry_run=True).unchanged == 1
    touch(tmp_path / "b")
    assert bring(tmp_path / "b", dry_run=True).known == 1
    write_nifti(tmp_path / "b" / "two.nii.gz", seed=1)
    assert bring(tmp_path / "b").new == 1
    assert bring.lfns != [lfn]


def test_two_large_volumes_of_one_content_become_one_object(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medgrid.images.pack._HELD_BYTES", 0)
    for name in ("a", "b"):
        write_nifti(tmp_path / "in" / f"{name}.nii")
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.known) == (1, 1)
    assert len(bodies(bring)) == len(kept_keys(bring.grid.settings)) == 2
    assert bring(tmp_path / "in").unchanged == 2


@pytest.mark.usefixtures("size")
def test_a_volume_that_keeps_its_name_gets_a_version_when_its_content_changes(
    bring: Importer, tmp_path: Path
) -> None:
    path = write_nifti(tmp_path / "in" / "brain.nii")
    bring(tmp_path / "in", keep_names=True)
    touch(tmp_path / "in")
    summary = bring(tmp_path / "in", keep_names=True)
    assert (summary.known, summary.new) == (1, 0)
    write_nifti(path, seed=1)
    summary = bring(tmp_path / "in", keep_names=True)
    assert (summary.new, summary.versions) == (1, 1)
    assert bring.content(bring.original("/trial/brain")) == path.read_bytes()


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_volume_that_ends_early_is_told_and_leaves_nothing(
    bring: Importer, tmp_path: Path, dry_run: bool
) -> None:
    path = write_nifti(tmp_path / "in" / "a.nii.gz", (64, 64, 8))
    path.write_bytes(path.read_bytes()[:-100])
    for _ in range(2):
        summary = bring(tmp_path / "in", dry_run=dry_run, again=True)
        assert (summary.failed, summary.new) == (1, 0)
        assert bring.reasons == [("a.nii.gz", "compressed data end early")]
        assert nothing_is_left(bring.grid)


def test_a_volume_that_ends_early_is_not_read_again(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_nifti(tmp_path / "in" / "a.nii.gz")
    path.write_bytes(path.read_bytes()[:-100])
    bring(tmp_path / "in")

    def never(*_: object) -> Draft:
        raise AssertionError("it was read")

    monkeypatch.setattr("medgrid.actions.importing.volumes.volume_draft", never)
    assert bring(tmp_path / "in").failed_before == 1
    assert bring.reasons == []


def test_the_end_of_a_series_is_all_that_a_tar_needs(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 1)
    bring(tmp_path / "in")
    both: list[GridObject] = [bring.twin(bring.lfns[0]), bring.original(bring.lfns[0])]
    for item in both:
        content = bring.content(item)
        assert content.endswith(PACKED_END)
        (member,) = bring.members(item)
        assert len(content) == 512 + -(-len(member) // 512) * 512 + len(PACKED_END)
