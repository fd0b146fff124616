"""Each byte is read once at import, and written once for each object that is kept of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate

from medgrid.actions.fetch import Fetched, fetch
from medgrid.actions.transfer import ignore_bad
from medgrid.images.codes import meaning_of
from tests.lab.counting import Counted, counted
from tests.lab.dicoms import encoded, instance, pydicom_file
from tests.lab.importer import Importer
from tests.lab.niftis import write_nifti

MIB = 1024 * 1024
BESIDE = 1.0 * MIB  # bytes that the databases of an import read and write


def series(folder: Path, instances: int, megabytes: int, uid: str = "1") -> int:
    """Write a series without compression; give its size in bytes."""
    folder.mkdir()
    total = 0
    for number in range(1, instances + 1):
        ds = instance(number, uid, Rows=1024, Columns=512 * megabytes)
        ds.PixelData = os.urandom(megabytes * MIB)
        total += (folder / f"{number}.dcm").write_bytes(encoded(ds))
    return total


def compressed_frames(folder: Path) -> int:
    """Write one compressed instance of many frames; give its size in bytes."""
    folder.mkdir()
    ds = pydicom.dcmread(pydicom_file("JPEG2000.dcm"))
    ds.NumberOfFrames = 16
    ds.PixelData = encapsulate([b"\xff\x4f" + os.urandom(MIB // 2) for _ in range(16)])
    return (folder / "1.dcm").write_bytes(encoded(ds))


def volume(path: Path) -> int:
    """Write a volume of noise; give the size of the file in bytes."""
    path.parent.mkdir()
    voxels = np.random.default_rng(1).integers(0, 2**15, (8, 512, 1024), dtype=np.int16)
    image: Any = nibabel.nifti1.Nifti1Image(voxels, np.eye(4))
    image.to_filename(str(path))
    return path.stat().st_size


INPUTS: dict[str, Callable[[Path], int]] = {
    "instances that are held": lambda folder: series(folder, 8, 1),
    "a large instance": lambda folder: series(folder, 1, 8),
    "compressed frames": compressed_frames,
    "a volume": lambda folder: volume(folder / "a.nii"),
    "a compressed volume": lambda folder: volume(folder / "a.nii.gz"),
}


@pytest.fixture
def warm(bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Importer:
    """A grid that has imported and fetched before, so that all code is loaded; 1 MiB is large."""
    write_nifti(tmp_path / "warm" / "a.nii.gz")
    series(tmp_path / "warm" / "series", 1, 1, uid="2")
    bring(tmp_path / "warm", to="/warm")
    fetched(bring, bring.lfns, tmp_path / "out")
    meaning_of("SCT", "12738006")  # pydicom's tables of concepts are read when the first is met
    monkeypatch.setattr("medgrid.images.pack._HELD_BYTES", 2 * MIB)
    return bring


def stored_bytes(bring: Importer) -> int:
    return sum(size for _, size in bring.grid.storage("local").walk())


def fetched(bring: Importer, lfns: list[str], folder: Path) -> Counted:
    with counted() as found:
        results = list(fetch(bring.grid, lfns, folder, on_bad=ignore_bad))
    assert all(isinstance(one, Fetched) for one in results)
    return found


@pytest.mark.parametrize("kind", INPUTS)
def test_an_import_reads_each_byte_once_and_writes_what_is_stored(
    warm: Importer, tmp_path: Path, kind: str
) -> None:
    size_bytes = INPUTS[kind](tmp_path / "in")
    before = stored_bytes(warm)
    with counted() as found:
        assert warm(tmp_path / "in").new == 1
    stored = stored_bytes(warm) - before
    # where large compressed frames begin is looked at before the pass, so that they carry no text
    looked_at = 0.2 * size_bytes if kind == "compressed frames" else 0
    assert found.read_bytes < 1.1 * size_bytes + looked_at + BESIDE
    assert found.written_bytes < stored + BESIDE
    assert stored < 2.02 * size_bytes


def test_single_instances_take_little_more_than_they_are(warm: Importer, tmp_path: Path) -> None:
    count, size_bytes = 60, 0
    (tmp_path / "in").mkdir()
    for number in range(count):
        data = encoded(instance(series=str(number + 10)))
        size_bytes += (tmp_path / "in" / f"{number}").write_bytes(data)
    before = stored_bytes(warm)
    with counted() as found:
        assert warm(tmp_path / "in").new == count
    stored = stored_bytes(warm) - before
    # an original and a twin, each with a tar's head, end and padding, and the tag of its segment
    assert stored < 2 * (size_bytes + count * (512 + 1024 + 511 + 28))
    assert stored < 2.5 * size_bytes
    # the scan reads a small file, and then the pass; the databases have pages for each object
    assert found.read_bytes < 2 * size_bytes + count * 40 * 1024
    assert found.written_bytes < stored + count * 40 * 1024


@pytest.mark.parametrize("kind", ["instances that are held", "a compressed volume"])
def test_a_fetch_reads_each_byte_once_and_writes_it_once(
    warm: Importer, tmp_path: Path, kind: str
) -> None:
    size_bytes = INPUTS[kind](tmp_path / "in")
    warm(tmp_path / "in")
    found = fetched(warm, [f"{warm.lfns[0]}.original"], tmp_path / "out2")
    assert found.read_bytes < 1.02 * size_bytes + BESIDE
    assert size_bytes <= found.written_bytes < 1.02 * size_bytes + BESIDE
    files = [path for path in (tmp_path / "out2").rglob("*") if path.is_file()]
    came = sorted(path.read_bytes() for path in (tmp_path / "in").iterdir())
    assert sorted(path.read_bytes() for path in files) == came


def test_what_is_imported_again_from_elsewhere_is_read_and_not_written(
    warm: Importer, tmp_path: Path
) -> None:
    size_bytes = series(tmp_path / "in", 8, 1)
    warm(tmp_path / "in")
    (tmp_path / "in").rename(tmp_path / "moved")
    with counted() as found:
        assert warm(tmp_path / "moved").known == 8
    assert found.read_bytes < 1.1 * size_bytes + BESIDE
    assert found.written_bytes < BESIDE
