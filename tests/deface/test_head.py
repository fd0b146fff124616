"""What is read, what is refused before anything is looked for, and what is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from head import Head, Unusable, read_head

from tests.lab.dicoms import encoded, instance

SHAPE = (40, 50, 45)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def volume(shape: tuple[int, ...] = SHAPE, affine: Any = AFFINE, kind: Any = np.int16) -> Any:
    values = np.arange(np.prod(shape)) % 251
    return nib.Nifti1Image(values.reshape(shape).astype(kind), affine)


def nowhere() -> Any:
    image = volume()
    image.set_sform(AFFINE, 0)
    image.set_qform(AFFINE, 0)
    return image


def in_metres() -> Any:
    image = volume(affine=np.diag([0.002, 0.002, 0.002, 1]))
    image.header.set_xyzt_units("meter")
    return image


COLOUR = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (lambda: volume((40, 50, 45, 3)), "expected one 3D volume, found 40 x 50 x 45 x 3 voxels"),
        (lambda: volume((40, 50)), "expected one 3D volume, found 40 x 50 voxels"),
        (nowhere, "the header does not say how the image is oriented"),
        (in_metres, "the header measures voxels in another unit than mm"),
        (
            lambda: volume(affine=np.diag([0.1, 0.1, 0.1, 1])),
            "expected voxels of a head, found 0.1 x 0.1 x 0.1 mm",
        ),
        (
            lambda: volume((40, 50, 5)),
            "the field of view holds no whole head: 80 x 100 x 10 mm",
        ),
        (
            lambda: nib.Nifti1Image(np.zeros(SHAPE, COLOUR), AFFINE),
            "expected one number a voxel, found type [('R', 'u1'), ('G', 'u1'), ('B', 'u1')]",
        ),
        (
            lambda: volume(kind=np.complex64),
            "expected one number a voxel, found type complex64",
        ),
        (lambda: nib.Nifti1Image(np.full(SHAPE, 7, np.int16), AFFINE), "all voxels are the same"),
    ],
    ids=["4D", "2D", "nowhere", "metres", "animal", "slab", "colour", "complex", "constant"],
)
def test_what_is_not_looked_at(tmp_path: Path, image: Callable[[], Any], reason: str) -> None:
    image().to_filename(tmp_path / "in.nii.gz")
    with pytest.raises(Unusable) as error:
        read_head(tmp_path / "in.nii.gz")
    assert str(error.value) == reason


def test_files_that_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "in.nii.gz").write_bytes(b"junk")
    with pytest.raises(Unusable, match="not a whole NIfTI file"):
        read_head(tmp_path / "in.nii.gz")
    (tmp_path / "series").mkdir()
    with pytest.raises(Unusable) as error:
        read_head(tmp_path / "series")
    assert str(error.value) == "expected one DICOM series, found 0"
    volume().to_filename(tmp_path / "whole.nii")
    (tmp_path / "cut.nii").write_bytes((tmp_path / "whole.nii").read_bytes()[:9000])
    with pytest.raises(Unusable, match="not a whole NIfTI file"):
        read_head(tmp_path / "cut.nii")


def test_one_volume_in_four_dimensions_is_three_dimensional(tmp_path: Path) -> None:
    volume((*SHAPE, 1)).to_filename(tmp_path / "in.nii")
    assert read_head(tmp_path / "in.nii").stored.shape == SHAPE


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("scale", [(1.0, 0.0), (0.25, -1024.0)])
def test_what_is_written_is_what_was_read(
    tmp_path: Path, kind: Any, scale: tuple[float, float]
) -> None:
    stored = (np.arange(np.prod(SHAPE)) % 251).reshape(SHAPE).astype(kind)
    affine = np.array([[0, 0, 2, -5], [-2.5, 0, 0, 7], [0, 3, 0, 11], [0, 0, 0, 1]], float)
    head = Head(stored, *scale, affine)
    face = np.zeros(SHAPE, np.bool_)
    face[:10] = True
    head.write(head.without(face), tmp_path / "out.nii.gz")
    image: Any = nib.load(tmp_path / "out.nii.gz")
    assert image.get_data_dtype() == kind
    assert np.array_equal(image.dataobj.get_unscaled()[10:], stored[10:])
    expected = min(0.0, scale[1])
    assert np.allclose(image.get_fdata()[:10], expected)
    assert np.allclose(image.affine, affine)
    assert np.allclose(image.header.get_qform(), affine, atol=1e-5)
    again = read_head(tmp_path / "out.nii.gz")
    assert (again.slope, again.inter) == scale


def test_voxels_that_are_no_numbers(tmp_path: Path) -> None:
    image = volume(kind=np.float32)
    values = np.asarray(image.dataobj).copy()
    values[3, 3, 3] = np.nan
    values[4, 4, 4] = np.inf
    nib.Nifti1Image(values, AFFINE).to_filename(tmp_path / "in.nii.gz")
    head = read_head(tmp_path / "in.nii.gz")
    assert np.isfinite(head.values()).all()
    assert head.background() == 0


SLICES = 41
STEP_MM = 7 / 3
ROWS: dict[str, Any] = {"PixelSpacing": [1.5, 1.25], "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}


def coronal(folder: Path, missing: int = 0) -> Path:
    """A series whose slices go from front to back, their positions rounded as headers do."""
    folder.mkdir()
    for number in range(1, SLICES + 1):
        ds = instance(number, **ROWS)
        ds.ImagePositionPatient = [-50, round(number * STEP_MM, 3), 60]
        ds.Rows, ds.Columns = 60, 70
        ds.PixelData = np.full((60, 70), number, np.int16).tobytes()
        if number != missing:
            (folder / f"{SLICES - number}.dcm").write_bytes(encoded(ds))
    return folder


def test_a_dicom_series(tmp_path: Path) -> None:
    head = read_head(coronal(tmp_path / "series"))
    assert head.stored.shape == (70, 60, SLICES)
    front = head.affine @ [0, 0, 0, 1], head.stored[0, 0, 0]
    back = head.affine @ [0, 0, SLICES - 1, 1], head.stored[0, 0, SLICES - 1]
    assert sorted([front[1], back[1]]) == [1, SLICES]
    first = front if front[1] == 1 else back
    assert np.allclose(first[0], [50, -STEP_MM, 60, 1], atol=0.01)
    assert np.allclose(np.abs(head.affine[:3, :3]).sum(axis=0), [1.25, 1.5, STEP_MM], atol=0.001)


def test_a_dicom_series_that_lacks_a_slice(tmp_path: Path) -> None:
    with pytest.raises(Unusable) as error:
        read_head(coronal(tmp_path / "series", missing=20))
    assert str(error.value) == "the slices of the series are not evenly spaced"
