"""The program on heads whose face is known, and on what is no head: nothing is written then."""

from __future__ import annotations

import filecmp
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medgrid.algorithms.descriptor import load
from tests.deface import nothing
from tests.deface.heads import Made, dice, make, turn

pytestmark = pytest.mark.usefixtures("pydeface")

CONFIG = Path(__file__).parents[2] / "config" / "algorithms"


def run(program: Path, folder: Path, source: Path) -> subprocess.CompletedProcess[str]:
    """Deface a file into a folder, as a worker does; what memory was freed is overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    words: list[str | Path] = [source, "image.nii.gz", "report.json", "--picture=picture.png"]
    return subprocess.run(
        [sys.executable, program, *words],
        cwd=folder,
        env={**os.environ, "MALLOC_PERTURB_": "85"},
        capture_output=True,
        text=True,
    )


def defaced(program: Path, folder: Path, made: Made) -> tuple[Any, dict[str, float]]:
    """The image without a face and the report."""
    ended = run(program, folder / "out", made.write(folder / "in.nii.gz"))
    assert (ended.returncode, ended.stderr) == (0, "")
    image: Any = nib.load(folder / "out" / "image.nii.gz")
    return image, json.loads((folder / "out" / "report.json").read_text())


def refused(program: Path, folder: Path, image: Any) -> str:
    """Why an image is refused; nothing is left behind."""
    path = folder / "in.nii.gz"
    image.to_filename(path)
    ended = run(program, folder / "out", path)
    assert ended.returncode == 1
    assert list((folder / "out").iterdir()) == []
    before, _, reason = ended.stderr.partition("deface: refused, nothing is written: ")
    assert before == ""
    return reason.rstrip("\n")


def check(made: Made, image: Any, missed: float = 0.02) -> None:
    """The face is gone, but for a part `missed` of it, and no other tissue is touched."""
    own, left = np.asarray(made.image.dataobj), np.asarray(image.dataobj)
    assert np.allclose(image.affine, made.image.affine, atol=1e-4)
    assert left.dtype == own.dtype
    changed = left != own
    assert not left[changed].any()
    tissue = own > 60
    assert dice(changed & tissue, made.face & tissue) > 0.95
    assert (made.face & tissue & ~changed).sum() < missed * (made.face & tissue).sum()


@pytest.mark.slow
def test_a_head_tilted_by_30_degrees(program: Path, tmp_path: Path) -> None:
    made = make(matrix=turn(0, 30), axes="PSR", slope=0.6)
    made.image.header["descrip"] = b"DOE^JANE"
    made.image.header["aux_file"] = b"DOE^JANE"
    made.image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"DOE^JANE"))
    image, report = defaced(program, tmp_path, made)
    check(made, image)
    assert b"DOE" not in gzip.decompress((tmp_path / "out" / "image.nii.gz").read_bytes())
    own = load(CONFIG / "deface.json").descriptor["custom"]["medgrid"]
    assert own["attributes"]["report"] == list(report)
    assert report["rotation_deg"] == pytest.approx(30, abs=1)
    assert report["scale_min"] == pytest.approx(1, abs=0.01)
    # the background where a scanner could have wrapped it goes, too
    assert 0.98 < report["removed_voxels"] / made.face.sum() < 1.25
    with Image.open(tmp_path / "out" / "picture.png") as picture:
        assert picture.size == (840, 280)


@pytest.mark.slow
@pytest.mark.drawn(4)
@pytest.mark.parametrize(
    "made",
    [
        lambda: make(matrix=turn(1, 30), shift_mm=(25, -30, 40)),
        lambda: make(matrix=turn(2, 30), axes="LAS"),
        lambda: make(spacing_mm=(1, 1, 5), bend_mm=2),
        lambda: make(spacing_mm=(5, 1, 1), axes="ASR"),
        lambda: make(spacing_mm=(4, 4, 4)),
        lambda: make(noise=40, slope=1.0),
        lambda: make(contrast=lambda values: 500 * np.exp(-values / 150)),
        lambda: make(matrix=np.eye(3) * 0.87),
        lambda: make(matrix=np.array([[1, 0.08, 0], [0, 1, 0.08], [0, 0, 1]])),
    ],
    ids=["moved", "turned", "thick", "sagittal", "coarse", "noisy", "T2", "child", "sheared"],
)
def test_heads(program: Path, tmp_path: Path, made: Callable[[], Made]) -> None:
    found = made()
    check(found, defaced(program, tmp_path, found)[0])


@pytest.mark.slow
def test_left_and_right_swapped(program: Path, tmp_path: Path) -> None:
    """Nobody can see it in the image; the face is found as far as the mean head is symmetric."""
    made = make(bend_mm=2)
    affine = made.image.affine.copy()
    affine[0] *= -1
    swapped = Made(nib.Nifti1Image(np.asarray(made.image.dataobj), affine), made.face)
    check(swapped, defaced(program, tmp_path, swapped)[0], missed=0.05)


@pytest.mark.slow
def test_the_same_image_gives_the_same_bytes(program: Path, tmp_path: Path) -> None:
    made = make(spacing_mm=(3, 3, 3))
    for name in ("a", "b"):
        defaced(program, tmp_path / name, made)
    for name in ("image.nii.gz", "report.json", "picture.png"):
        a, b = (tmp_path / folder / "out" / name for folder in "ab")
        assert filecmp.cmp(a, b, shallow=False), name


@pytest.mark.slow
def test_a_brain_without_its_skull(program: Path, tmp_path: Path) -> None:
    assert "no tissue where the face should be: 0%" in refused(program, tmp_path, nothing.brain())


@pytest.mark.slow
@pytest.mark.drawn(5)
@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (nothing.noise, "no head was found"),
        (nothing.clouds, "no head was found"),
        (nothing.sphere, "no head was found"),
        (nothing.shells, "no brain where it should be"),
        (nothing.abdomen, "no head was found"),
        (nothing.faceless, "no tissue where the face should be"),
        (lambda: nothing.contrary(1), "against the header's orientation"),
        (lambda: nothing.contrary(1, 2), "against the header's orientation"),
        (lambda: nothing.part(slice(0, 50)), "the field of view cuts the brain"),
        (lambda: nothing.part(slice(None), slice(60, None)), "the field of view cuts the brain"),
        (lambda: nothing.part(slice(None), slice(0, 85)), "the field of view leaves the face out"),
        (
            lambda: nothing.part(slice(None), slice(None), slice(70, None)),
            "the field of view leaves the face out",
        ),
        (
            lambda: nothing.part(slice(None), slice(None), slice(0, 50)),
            "the field of view cuts the brain",
        ),
    ],
    ids=[
        "noise",
        "clouds",
        "sphere",
        "shells",
        "abdomen",
        "faceless",
        "mirrored",
        "upside-down",
        "half",
        "front",
        "back",
        "top",
        "neck",
    ],
)
def test_what_is_refused(
    program: Path, tmp_path: Path, image: Callable[[], Any], reason: str
) -> None:
    assert reason in refused(program, tmp_path, image())
