"""Reading images: NIfTI, DICOM series and single files, made here and real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from volumes import UnreadableImage, read_volume

from tests.similarity.pairs import REAL, affine, rotation, save, smooth

# -- NIfTI -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mgz"])
def test_nifti(tmp_path: Path, name: str) -> None:
    data, matrix = smooth(), rotation(10) @ affine(1, 2, 3, origin=(4, 5, 6))
    kind: Any = nibabel.MGHImage if name.endswith("mgz") else nibabel.Nifti1Image
    kind(data, matrix.astype(np.float32)).to_filename(tmp_path / name)
    found = read_volume(tmp_path / name)
    assert np.array_equal(found.data, data)
    assert np.allclose(found.affine, matrix, atol=1e-4)
    assert found.valid is None


def test_of_a_time_series_the_mean(tmp_path: Path) -> None:
    data = np.stack([smooth(seed=seed) for seed in range(5)], axis=3)
    save(tmp_path / "a.nii.gz", data, affine(1))
    assert np.allclose(read_volume(tmp_path / "a.nii.gz").data, data.mean(axis=3), atol=1e-3)


def test_scaled_integers_and_flat_images(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.int16).reshape(3, 4)
    image: Any = nibabel.Nifti1Image(pixels, affine(1))
    image.header.set_slope_inter(2, -5)
    image.to_filename(tmp_path / "a.nii")
    found = read_volume(tmp_path / "a.nii")
    assert found.shape == (3, 4, 1)
    assert found.data.max() == 17


def test_what_is_no_number_is_marked(tmp_path: Path) -> None:
    data = smooth()
    data[2, 3, 4] = np.nan
    save(tmp_path / "a.nii", data, affine(1))
    found = read_volume(tmp_path / "a.nii")
    assert found.valid is not None
    assert (~found.valid).sum() == 1
    assert found.data[2, 3, 4] == 0


def test_real_nifti_files() -> None:
    assert read_volume(REAL / "anatomical.nii").shape == (33, 41, 25)
    assert read_volume(REAL / "example4d.nii.gz").shape == (128, 96, 24)


# -- DICOM -----------------------------------------------------------------------------------------

TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def instance(pixels: NDArray[Any], **attributes: Any) -> Dataset:
    """A CT image; `pixels` are [column, row] as in a volume."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
    ds.Modality = "CT"
    ds.Columns, ds.Rows = pixels.shape[:2]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.PixelData = pixels.T.astype("<i2").tobytes()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def saved(ds: Dataset, path: Path) -> Path:
    ds.save_as(path, enforce_file_format=True)
    return path


def series(folder: Path, data: NDArray[Any], matrix: NDArray[np.float64], **more: Any) -> Path:
    """A volume as a series whose file names say nothing of the order of its slices."""
    folder.mkdir()
    lps = TO_LPS @ matrix
    spacing = np.linalg.norm(lps[:3, :2], axis=0)
    row, column = lps[:3, 0] / spacing[0], lps[:3, 1] / spacing[1]
    order = np.random.default_rng(0).permutation(data.shape[2])
    for number, k in enumerate(order, 1):
        ds = instance(
            data[:, :, k],
            ImageOrientationPatient=[*row, *column],
            ImagePositionPatient=list(lps[:3, 3] + k * lps[:3, 2]),
            PixelSpacing=[spacing[1], spacing[0]],
            SliceThickness=1,
            InstanceNumber=number,
            **more,
        )
        saved(ds, folder / f"IM{number:06d}.dcm")
    return folder


MATRICES = {
    "axial": affine(-1, -2, 3, origin=(10, 20, -30)),
    "oblique": rotation(25) @ rotation(-15, 0) @ affine(-0.5, -0.7, 2.5, origin=(5, 6, 7)),
    "sagittal": affine(1)[:, [1, 2, 0, 3]] * np.array([-1, -1, 1, 1]),
    "tilted gantry": affine(-1, -1, 2) + np.array([[0] * 4, [0, 0, 0.4, 0], [0] * 4, [0] * 4]),
}


@pytest.mark.parametrize("name", MATRICES)
def test_a_series_lies_where_its_positions_say(tmp_path: Path, name: str) -> None:
    data = smooth((12, 10, 8)).astype(np.int16)
    found = read_volume(series(tmp_path / "s", data, MATRICES[name]))
    # slices are stacked along their normal: that may be the other way round
    expected, matrix = data, MATRICES[name]
    if not np.allclose(found.affine, matrix, atol=1e-3):
        expected = data[:, :, ::-1]
        matrix = matrix @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 7], [0, 0, 0, 1.0]])
    assert np.allclose(found.affine, matrix, atol=1e-3)
    assert np.array_equal(found.data, expected)


def test_a_series_is_where_dcm2niix_puts_it(tmp_path: Path) -> None:
    import subprocess

    import dcm2niix

    data = smooth((12, 10, 8)).astype(np.int16)
    folder = series(tmp_path / "s", data, MATRICES["oblique"], SeriesInstanceUID=generate_uid())
    subprocess.run(
        [dcm2niix.bin, "-f", "out", "-o", tmp_path, folder], check=True, capture_output=True
    )
    theirs: Any = nibabel.load(tmp_path / "out.nii")
    ours = read_volume(folder)
    where = np.array([3.0, 4, 5, 1])
    there = np.linalg.solve(theirs.affine, ours.affine @ where)
    assert np.allclose(there, np.rint(there), atol=0.01)
    i, j, k = (round(at) for at in there[:3])
    assert theirs.get_fdata()[i, j, k] == ours.data[3, 4, 5]


def test_rescaled_values(tmp_path: Path) -> None:
    ds = instance(np.arange(12).reshape(4, 3), RescaleSlope=2, RescaleIntercept=-1000)
    found = read_volume(saved(ds, tmp_path / "a.dcm"))
    assert found.shape == (4, 3, 1)
    assert (found.data.min(), found.data.max()) == (-1000, -978)


def test_two_images_at_one_place_are_averaged(tmp_path: Path) -> None:
    data = smooth((6, 5, 4)).astype(np.int16)
    folder = series(tmp_path / "s", data, affine(-1, -1, 1))
    for path in sorted(folder.iterdir()):
        ds = pydicom.dcmread(path)
        ds.PixelData = (ds.pixel_array + 10).astype("<i2").tobytes()
        saved(ds, folder / f"IM9{path.name[3:]}")
    assert np.array_equal(read_volume(folder).data, data + 5)


def test_a_localiser_gives_its_largest_plane(tmp_path: Path) -> None:
    folder = series(tmp_path / "s", smooth((6, 5, 4)).astype(np.int16), affine(-1, -1, 1))
    other = instance(
        np.zeros((6, 5)),
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
        ImagePositionPatient=[0, 0, 0],
        PixelSpacing=[1, 1],
    )
    saved(other, folder / "IM999999.dcm")
    assert read_volume(folder).shape == (6, 5, 4)


def test_an_enhanced_image(tmp_path: Path) -> None:
    data = smooth((6, 5, 4)).astype(np.int16)
    ds = instance(data[:, :, 0])
    ds.NumberOfFrames = 4
    ds.PixelData = data.transpose(2, 1, 0).astype("<i2").tobytes()
    shared, orientation, pixel = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    pixel.PixelSpacing, pixel.SliceThickness = [2, 1], 3
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([pixel])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for k in range(4):
        position, frame = Dataset(), Dataset()
        position.ImagePositionPatient = [10, 20, 30 + 3 * k]
        frame.PlanePositionSequence = Sequence([position])
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    found = read_volume(saved(ds, tmp_path / "a.dcm"))
    assert np.array_equal(found.data, data)
    assert np.allclose(found.affine, affine(-1, -2, 3, origin=(-10, -20, 30)))


def test_real_dicom_files() -> None:
    for name, shape in (("CT_small.dcm", (128, 128, 1)), ("MR_small.dcm", (64, 64, 1))):
        found = read_volume(Path(str(get_testdata_file(name))))
        assert found.shape == shape
    assert found.affine[0, 0] < 0  # towards the patient's left


def test_a_file_without_preamble_is_read_when_it_is_called_dcm(tmp_path: Path) -> None:
    ds = pydicom.dcmread(str(get_testdata_file("MR_small.dcm")))
    whole = read_volume(Path(str(get_testdata_file("MR_small.dcm"))))
    content = Path(str(get_testdata_file("MR_small.dcm"))).read_bytes()
    start = content.index(b"\x08\x00\x05\x00") if "SpecificCharacterSet" in ds else 132
    (tmp_path / "IM000001.dcm").write_bytes(content[start:])
    assert np.array_equal(read_volume(tmp_path).data, whole.data)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an image nibabel can read (ImageFileError)"),
        (b"\0" * 200, "not an image nibabel can read (ImageFileError)"),
    ],
)
def test_what_is_no_image(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage) as error:
        read_volume(path)
    assert str(error.value) == reason


def test_other_unreadable_images(tmp_path: Path) -> None:
    def reason(path: Path) -> str:
        with pytest.raises(UnreadableImage) as error:
            read_volume(path)
        return str(error.value)

    (tmp_path / "empty").mkdir()
    assert reason(tmp_path / "empty") == "it holds no DICOM image"
    assert reason(Path(str(get_testdata_file("rtplan.dcm")))) == "it holds no DICOM image"
    assert reason(Path(str(get_testdata_file("MR_truncated.dcm")))) == (
        "a DICOM image cannot be decoded (ValueError)"
    )
    colours = np.zeros((3, 3, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    save(tmp_path / "rgb.nii", colours, affine(1))
    assert reason(tmp_path / "rgb.nii") == "its voxels are not plain numbers"
    save(tmp_path / "nan.nii", np.full((3, 3, 3), np.nan), affine(1))
    assert reason(tmp_path / "nan.nii") == "it holds no finite number"
    whole = tmp_path / "whole.nii"
    save(whole, smooth(), affine(1))
    (tmp_path / "cut.nii").write_bytes(whole.read_bytes()[:2000])
    assert reason(tmp_path / "cut.nii") == "not an image nibabel can read (OSError)"
