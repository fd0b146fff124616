"""The program as a worker runs it, and its pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from measures import Resampler, compare
from picture import draw
from PIL import Image
from volumes import Volume, read_volume

from tests.similarity.pairs import REAL, affine, rotation, save, smooth, volume

PROGRAM = Path(__file__).parents[2] / "config" / "algorithms" / "similarity" / "similarity.py"
ANATOMICAL = REAL / "anatomical.nii"
FUNCTIONAL = REAL / "functional.nii"


def run(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAM, *words], cwd=folder, capture_output=True, text=True
    )


def test_one_file_per_target(tmp_path: Path) -> None:
    ended = run(tmp_path, "--source", ANATOMICAL, "--targets", ANATOMICAL, FUNCTIONAL)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "measures-0001.json",
        "measures-0002.json",
    ]
    first = json.loads((tmp_path / "measures-0001.json").read_text())
    assert first == {
        "target": 1,
        "ncc": pytest.approx(1),
        "ssd": 0,
        "msd": 0,
        "nmi": pytest.approx(2),
        "correlation_ratio": pytest.approx(1),
        "overlap_voxels": 33825,
        "overlap_fraction": 1,
    }
    second = json.loads((tmp_path / "measures-0002.json").read_text())
    assert second["target"] == 2
    assert 1 < second["nmi"] < first["nmi"]


def test_no_overlap_is_no_failure(tmp_path: Path) -> None:
    save(tmp_path / "a.nii", smooth(), affine(1))
    far = affine(1, origin=(900, 0, 0))
    save(tmp_path / "b.nii", smooth(), far)
    ended = run(tmp_path, "--source", "a.nii", "--targets", "b.nii", "--picture")
    assert (ended.returncode, ended.stderr) == (0, "")
    found = json.loads((tmp_path / "measures-0001.json").read_text())
    assert found["nmi"] is None
    assert found["overlap_voxels"] == 0
    assert found["reason"] == "no overlap"
    assert (tmp_path / "picture-0001.png").exists()


def test_an_unreadable_target_is_named_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "b.nii").write_bytes(b"no image")
    ended = run(tmp_path, "--source", ANATOMICAL, "--targets", ANATOMICAL, "b.nii")
    assert ended.returncode == 1
    assert ended.stderr == (
        "similarity: target 2 cannot be read: not an image nibabel can read (ImageFileError)\n"
    )


def test_options(tmp_path: Path) -> None:
    save(tmp_path / "mask.nii", np.ones((33, 41, 25), np.uint8), read_volume(ANATOMICAL).affine)
    options = ["--bins", "32", "--interpolation", "cubic", "--threshold=-5", "--mask", "mask.nii"]
    ended = run(tmp_path, "--source", ANATOMICAL, "--targets", ANATOMICAL, *options)
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "measures-0001.json").read_text())["overlap_voxels"] < 33825


# -- pictures --------------------------------------------------------------------------------------


def picture(source: Volume, target: Volume) -> Image.Image:
    seen = Resampler(target, source.affine)
    return draw(source, seen, compare(source, target), 1)


def marked(corner: tuple[int, int, int]) -> Volume:
    """A dark head with one bright corner, in RAS+."""
    data = np.zeros((40, 50, 30), np.float32)
    data[tuple(slice(0, 12) if at == 0 else slice(-12, None) for at in corner)] = 100
    return volume(data)


def test_the_patients_right_is_on_the_left() -> None:
    """A mark at the patient's right, front and head, seen through three ways to store it."""
    source = marked((1, 1, 1))
    for stored in (
        source,
        Volume(source.data[::-1].copy(), np.diag([-1.0, 1, 1, 1]) @ affine(1, origin=(-39, 0, 0))),
        Volume(source.data.transpose(2, 0, 1).copy(), affine(1)[:, [2, 0, 1, 3]]),
    ):
        found = compare(stored, stored)
        found.centre = tuple(
            round(at) for at in np.linalg.solve(stored.affine, [34.0, 44, 24, 1])[:3]
        )
        page = draw(stored, Resampler(stored, stored.affine), found, 1)
        grey = np.asarray(page.convert("L"))[:, 8:308] > 250
        # axial: 40 x 50 mm is 240 x 300 pixels, the mark is its upper left corner
        axial = grey[34 : 34 + 300, 30:270]
        assert axial[20:60, 10:60].mean() > 0.9
        assert axial[150:, :].mean() < 0.02
        assert axial[:, 130:].mean() < 0.02
        # coronal: 40 x 30 mm is 300 x 225 pixels; head is up
        coronal = grey[34 + 308 : 34 + 308 + 225]
        assert coronal[30:80, 20:80].mean() > 0.9
        assert coronal[120:].mean() < 0.02
        # sagittal: 50 x 30 mm is 300 x 180 pixels; front is left
        sagittal = grey[34 + 308 + 233 : 34 + 308 + 233 + 180]
        assert sagittal[20:60, 10:60].mean() > 0.9
        assert sagittal[:, 150:].mean() < 0.02


def test_pictures_of_real_images(tmp_path: Path) -> None:
    page = picture(read_volume(ANATOMICAL), read_volume(FUNCTIONAL))
    assert page.size[0] == 4 * 308 + 8
    page.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 50_000


def test_a_single_slice_is_one_plane() -> None:
    one = volume(smooth((24, 20, 1)), rotation(30))
    assert picture(one, one).size[1] < 400


def test_agreement_is_black() -> None:
    source = volume(smooth())
    page = np.asarray(picture(source, source))
    assert page[60:300, 3 * 308 + 60 : 4 * 308 - 60].max() == 0
