"""Pictures for a person's look: colours, frames, volumes, series, and what cannot be shown."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pydicom
import pytest

from medgrid.images.pack import FileStamp, Member, Part, pack, packed
from medgrid.images.png import png
from medgrid.images.preview import NoPreview, draw, preview
from tests.lab.dicoms import encoded, instance, pydicom_file, write_series
from tests.lab.niftis import nibabel_file, write_nifti


def picture(data: bytes) -> PIL.Image.Image:
    found = PIL.Image.open(io.BytesIO(data))
    found.load()
    return found


@pytest.mark.parametrize("shape", [(3, 5), (1, 1), (4, 7, 3)])
def test_a_png_is_read_back(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(np.asarray(picture(png(values))), values)


def test_frames_of_an_ultrasound_are_shown_in_colour() -> None:
    found = draw(pydicom_file("examples_ybr_color.dcm"), tiles=4)
    assert (found.shown, found.total) == (4, 30)
    shown = picture(found.png)
    assert (shown.mode, shown.size) == ("RGB", (2 * 320 + 4, 2 * 240 + 4))


def test_one_frame_fills_the_picture() -> None:
    found = draw(pydicom_file("CT_small.dcm"))
    assert (found.shown, found.total) == (1, 1)
    shown = picture(found.png)
    assert (shown.mode, shown.size) == ("L", (128, 128))
    assert shown.getextrema() == (0, 255)


def test_volumes_are_shown_slice_by_slice(tmp_path: Path) -> None:
    for name, total in (("anatomical.nii", 25), ("example_nifti2.nii.gz", 24)):
        found = draw(nibabel_file(name), tiles=9)
        assert (found.shown, found.total) == (9, total)
        assert picture(found.png).mode == "L"
    path = write_nifti(tmp_path / "a.nii").rename(tmp_path / "a")
    assert draw(path).shown == 6, "whatever its name"


def test_a_packed_series_is_shown(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", 5)
    members = [Member(str(path), FileStamp.of(path.stat())) for path in paths]
    tar = tmp_path / "series.tar"
    tar.write_bytes(b"".join(pack(members)))
    found = draw(tar, tiles=3)
    assert (found.shown, found.total) == (3, 5)
    assert picture(found.png).size == (2 * 64 + 4, 2 * 64 + 4)


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_a_volume_with_companions_is_shown(tmp_path: Path, name: str) -> None:
    path = write_nifti(tmp_path / name)
    tar = tmp_path / "a.tar"
    parts = [Part.of(name, path.read_bytes()), Part.of("image.json", b"{}")]
    tar.write_bytes(b"".join(packed(parts)))
    assert draw(tar) == draw(path)


def test_gray_frames_beside_coloured_ones_are_shown_in_colour(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, 1)
    coloured = instance(PixelData=bytes(64 * 64 * 3), SamplesPerPixel=3, BitsAllocated=8)
    coloured.BitsStored, coloured.HighBit, coloured.PixelRepresentation = 8, 7, 0
    coloured.PhotometricInterpretation, coloured.PlanarConfiguration = "RGB", 0
    other = tmp_path / "coloured.dcm"
    other.write_bytes(encoded(coloured))
    tar = tmp_path / "series.tar"
    members = [Member(str(one), FileStamp.of(one.stat())) for one in (path, other)]
    tar.write_bytes(b"".join(pack(members)))
    shown = picture(draw(tar).png)
    assert (shown.mode, shown.size) == ("RGB", (2 * 64 + 4, 64))


def test_text_that_hardly_differs_is_seen_when_ranks_are_shown(tmp_path: Path) -> None:
    frame = np.zeros((64, 64), np.uint16)
    frame[32:] = 4000
    frame[10:12, 5:60] = 3
    path = tmp_path / "a.dcm"
    path.write_bytes(encoded(instance(PixelData=frame.tobytes())))
    plain = np.asarray(picture(draw(path).png))
    ranks = np.asarray(picture(draw(path, equalise=True).png))
    assert int(plain[10, 30]) - int(plain[0, 0]) < 2
    assert int(ranks[10, 30]) - int(ranks[0, 0]) > 100


def test_large_frames_shrink_and_keep_their_bright_lines(tmp_path: Path) -> None:
    frame = np.zeros((2000, 3000), np.uint8)
    frame[777] = 255
    ds = instance(PixelData=frame.tobytes(), Rows=2000, Columns=3000, BitsAllocated=8)
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 7, 0
    path = tmp_path / "a.dcm"
    path.write_bytes(encoded(ds))
    shown = np.asarray(picture(draw(path).png))
    assert shown.shape == (666, 1000)
    assert shown[777 // 3].min() == 255


def test_what_cannot_be_shown_says_why(tmp_path: Path) -> None:
    with pytest.raises(NoPreview) as caught:
        draw(pydicom_file("MR_small_jpeg_ls_lossless.dcm"))
    assert caught.value.message == (
        "nothing installed can decode JPEG-LS Lossless Image Compression"
    )
    assert caught.value.hint == (
        "install a decoder: pip install pillow, or pylibjpeg with its plugins"
    )
    (tmp_path / "a").write_text("hello")
    for path in (tmp_path / "a", pydicom_file("test-SR.dcm"), pydicom_file("MR_truncated.dcm")):
        with pytest.raises(NoPreview, match=r"^pixels cannot be decoded \(\w+\)$"):
            draw(path)


def test_a_picture_is_drawn_in_a_process_of_its_own() -> None:
    assert preview(pydicom_file("CT_small.dcm")) == draw(pydicom_file("CT_small.dcm"))
    with pytest.raises(NoPreview) as caught:
        preview(pydicom_file("README.txt"))
    with pytest.raises(NoPreview) as same:
        draw(pydicom_file("README.txt"))
    assert (caught.value.message, caught.value.hint) == (same.value.message, same.value.hint)


def test_frames_that_claim_more_than_the_memory_are_not_drawn(tmp_path: Path) -> None:
    ds = pydicom.dcmread(pydicom_file("MR_small_RLE.dcm"))
    ds.Rows = ds.Columns = 65535
    (tmp_path / "a.dcm").write_bytes(encoded(ds))
    with pytest.raises(NoPreview, match=r"^to draw it takes more than 4 GiB$|cannot be decoded"):
        preview(tmp_path / "a.dcm")
