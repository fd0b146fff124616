"""Geometry of NIfTI files, broken ones, and volumes without text."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from medgrid.images.nifti import VolumeDerivative, clean_volume, derive_volume, geometry
from tests.lab.niftis import nibabel_file, write_nifti


def read(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        return geometry(stream, path.stat().st_size, compressed=path.suffix == ".gz")


def refused(data: bytes, *, compressed: bool = False) -> str:
    with pytest.raises(ValueError) as caught:
        geometry(io.BytesIO(data), len(data), compressed=compressed)
    return str(caught.value)


def test_geometry_of_nibabels_files() -> None:
    assert read(nibabel_file("anatomical.nii")) == {
        "Columns": 33,
        "Rows": 41,
        "NumberOfSlices": 25,
        "NumberOfTimepoints": 1,
        "VoxelType": "int16",
        "VoxelSizeX": 2.0,
        "VoxelSizeY": 2.0,
        "VoxelSizeZ": 2.0,
        "Orientation": "LAS",
        "Space": "aligned",
    }
    functional = read(nibabel_file("functional.nii"))
    assert functional["NumberOfTimepoints"] == 20
    assert functional["RepetitionTime"] == 2000.0
    second = read(nibabel_file("example_nifti2.nii.gz"))
    assert (second["Columns"], second["Rows"], second["NumberOfSlices"]) == (32, 20, 12)


def test_a_size_is_told_as_it_was_written(tmp_path: Path) -> None:
    image: Any = nibabel.nifti1.Nifti1Image(np.zeros((4, 5, 6), np.float32), np.eye(4))
    image.header.set_zooms((0.1, 0.9375, 250.3))  # in 32 bits: 250.30000305
    image.to_filename(tmp_path / "thick.nii")
    found = read(tmp_path / "thick.nii")
    sizes = [found[f"VoxelSize{axis}"] for axis in "XYZ"]
    assert sizes == [0.1, 0.9375, 250.3]


def test_a_field_of_vectors_has_components(tmp_path: Path) -> None:
    image: Any = nibabel.nifti1.Nifti1Image(np.zeros((4, 5, 6, 1, 3), np.float32), np.eye(4))
    image.to_filename(tmp_path / "warp.nii")
    found = read(tmp_path / "warp.nii")
    assert (found["NumberOfTimepoints"], found["NumberOfComponents"]) == (1, 3)
    assert "NumberOfComponents" not in read(nibabel_file("functional.nii"))


def test_a_period_under_the_wrong_unit_is_left_out() -> None:
    assert "RepetitionTime" not in read(nibabel_file("example4d.nii.gz"))


def test_broken_files_say_why() -> None:
    data = nibabel_file("anatomical.nii").read_bytes()
    assert refused(data[:-1]) == "voxels end early: 68001 of 68002 bytes"
    assert refused(data[:200]) == "too short for a NIfTI header"
    assert refused(bytes(400)) == "not a NIfTI file"
    assert refused(b"x" * 5000) == "not a NIfTI file"
    assert refused(nibabel_file("nifti1.hdr").read_bytes()) == (
        "a header whose voxels lie in another file (.hdr/.img); make it .nii"
    )
    broken = bytearray(data)
    broken[42:44] = (-5).to_bytes(2, "little", signed=True)
    assert refused(bytes(broken)) == "header has no or negative dimensions"
    broken = bytearray(data)
    broken[70:72] = b"\xff\x7f"
    assert refused(bytes(broken)).startswith("header cannot be read (")


def test_what_goes_on_and_on_behind_its_voxels_is_refused(tmp_path: Path) -> None:
    """A sparse file costs its maker nothing, and whoever stores it a disk."""
    path = tmp_path / "sparse.nii"
    shutil.copyfile(nibabel_file("anatomical.nii"), path)
    whole = path.stat().st_size
    os.truncate(path, whole + 1000)
    assert read(path) == read(nibabel_file("anatomical.nii"))
    os.truncate(path, 1 << 40)
    with pytest.raises(ValueError, match=rf"holds {1 << 40} bytes, more than the {whole} of"):
        read(path)


def test_broken_compression_says_why() -> None:
    data = nibabel_file("example4d.nii.gz").read_bytes()
    assert refused(data[:-10], compressed=True) == "compressed data end early"
    assert refused(b"plain text", compressed=True) == "compressed data is not gzip"
    wrong = bytearray(data)
    wrong[-6] ^= 1
    assert refused(bytes(wrong), compressed=True) == "compressed data fails its checksum"
    wrong = bytearray(data)
    wrong[2000:2100] = bytes(100)
    assert refused(bytes(wrong), compressed=True).startswith("compressed data ")
    whole = gzip.decompress(data)
    assert refused(gzip.compress(whole[:-1]), compressed=True).startswith("voxels end early")


def test_a_cleaned_volume_has_its_voxels_and_no_text(tmp_path: Path) -> None:
    source = tmp_path / "a.nii"
    nifti: Any = nibabel.nifti1
    image = nifti.Nifti1Image(
        np.arange(60, dtype=np.float32).reshape(3, 4, 5), np.diag([-2.0, 2.0, 3.0, 1.0])
    )
    image.header["descrip"] = b"Meier^Anna"
    image.header["aux_file"] = b"Meier"
    image.header["intent_name"] = b"Meier"
    image.header["db_name"] = b"Meier"
    image.header.extensions.append(nifti.Nifti1Extension("comment", b"Meier^Anna"))
    image.to_filename(str(source))
    assert b"Meier" in source.read_bytes()
    found = clean_volume(source, tmp_path / "b.nii.gz")
    assert b"Meier" not in gzip.decompress((tmp_path / "b.nii.gz").read_bytes())
    clean: Any = nibabel.loadsave.load(tmp_path / "b.nii.gz")
    assert np.array_equal(clean.get_fdata(), image.get_fdata())
    assert np.array_equal(clean.affine, image.affine)
    assert list(clean.header.extensions) == []
    assert found == read(tmp_path / "b.nii.gz")
    clean_volume(source, tmp_path / "c.nii.gz")
    assert (tmp_path / "b.nii.gz").read_bytes() == (tmp_path / "c.nii.gz").read_bytes()


def test_scaled_and_four_dimensional_volumes_stay_what_they_are(tmp_path: Path) -> None:
    for name in ("functional.nii", "resampled_anat_moved.nii"):
        target = tmp_path / f"{name}.gz"
        clean_volume(nibabel_file(name), target)
        before: Any = nibabel.loadsave.load(nibabel_file(name))
        after: Any = nibabel.loadsave.load(target)
        assert np.array_equal(before.get_fdata(), after.get_fdata(), equal_nan=True)
        assert np.array_equal(before.affine, after.affine)
        assert before.header.get_zooms() == after.header.get_zooms()


def test_half_a_volume_is_not_cleaned(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="voxels end early"):
        clean_volume(path, tmp_path / "b.nii.gz")


def telling_volume(kind: str, order: str, tail: bytes = b"") -> tuple[bytes, Any]:
    """A volume whose every field of text, extension and tail hold a name."""
    nifti: Any = nibabel.nifti2 if kind == "2" else nibabel.nifti1
    header = getattr(nifti, f"Nifti{kind}Header")(endianness=order)
    voxels = np.arange(120, dtype=f"{order}i2").reshape(2, 3, 4, 5)
    header.set_data_dtype(voxels.dtype)
    image = getattr(nifti, f"Nifti{kind}Image")(voxels, np.diag([-2.0, 2.0, 3.0, 1.0]), header)
    header = image.header
    header.set_xyzt_units("mm", "sec")
    header.set_zooms((2.0, 2.0, 3.0, 1.5))
    header.set_qform(np.diag([-2.0, 2.0, 3.0, 1.0]), 1)
    header.set_intent("t test", (9,))
    for name in ("descrip", "aux_file", "intent_name", "db_name", "data_type", "unused_str"):
        if name in header.keys():  # noqa: SIM118 - iterating a header gives no names
            header[name] = b"Meier^Anna"
    for name in ("extents", "session_error"):
        if name in header.keys():  # noqa: SIM118
            header[name] = 4711
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Meier^Anna" * 9))
    data = bytearray(image.to_bytes() + tail)
    at, form = (176, "2d") if kind == "2" else (112, "2f")
    struct.pack_into(f"{order}{form}", data, at, 0.5, 3.0)  # scl_slope, scl_inter
    return bytes(data), image


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["1", "2"])
def test_a_derived_volume_has_its_geometry_and_voxels_alone(
    kind: str, order: str, compressed: bool
) -> None:
    plain, image = telling_volume(kind, order, tail=b"Meier^Anna")
    assert plain.count(b"Meier") > 10
    data = gzip.compress(plain) if compressed else plain
    found = b"".join(derive_volume(io.BytesIO(data)))
    assert found == b"".join(derive_volume(io.BytesIO(gzip.compress(plain, 1))))
    assert found[:9] == b"\x1f\x8b\x08\x00" + bytes(4) + found[8:9], "no name, no time"
    clean = gzip.decompress(found)
    assert b"Meier" not in clean
    assert (4711).to_bytes(4, "little") not in clean
    after = type(image).from_bytes(clean)
    before = type(image).from_bytes(plain)
    assert after.header.endianness == order
    assert after.dataobj.get_unscaled().tobytes() == before.dataobj.get_unscaled().tobytes()
    assert np.array_equal(after.get_fdata(), before.get_fdata())
    assert np.array_equal(after.affine, before.affine)
    assert after.header.get_zooms() == before.header.get_zooms()
    assert after.header.get_xyzt_units() == before.header.get_xyzt_units()
    assert after.header.get_intent()[:2] == ("t test", (9.0,))
    for name in ("qform_code", "sform_code", "slice_code", "cal_max", "toffset"):
        assert after.header[name] == before.header[name]
    assert list(after.header.extensions) == []
    assert b"".join(derive_volume(io.BytesIO(found))) == found


def test_fields_beyond_the_dimensions_are_not_kept() -> None:
    plain, _ = telling_volume("1", "<")
    changed = bytearray(plain)
    changed[40 + 2 * 7 : 42 + 2 * 7] = b"An"  # dim[7]
    changed[76 + 4 * 7 : 80 + 4 * 7] = b"Anna"  # pixdim[7]
    clean = gzip.decompress(b"".join(derive_volume(io.BytesIO(changed))))
    assert b"An" not in clean[:352]


def test_voxels_behind_long_extensions_are_found() -> None:
    _, image = telling_volume("1", "<")
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 9_000_000))
    plain = image.to_bytes()
    clean = gzip.decompress(b"".join(derive_volume(io.BytesIO(plain))))
    assert clean[352:] == plain[-240:]


@pytest.mark.parametrize("name", ["anatomical.nii", "example_nifti2.nii.gz", "functional.nii"])
def test_nibabels_files_stay_what_they_show(name: str) -> None:
    path = nibabel_file(name)
    found = gzip.decompress(b"".join(derive_volume(io.BytesIO(path.read_bytes()))))
    before: Any = nibabel.loadsave.load(path)
    after = type(before).from_bytes(found)
    assert np.array_equal(before.get_fdata(), after.get_fdata(), equal_nan=True)
    assert np.array_equal(before.affine, after.affine)


def test_what_is_no_volume_is_not_derived() -> None:
    plain, _ = telling_volume("1", "<")
    for data, reason in (
        (b"hello", "too short for a NIfTI header"),
        (plain[:-1], f"voxels end early: {len(plain) - 1} of {len(plain)} bytes"),
        (gzip.compress(plain[:-1]), f"voxels end early: {len(plain) - 1} of {len(plain)} bytes"),
        (gzip.compress(plain)[:-20], "compressed data end early"),
        (gzip.compress(plain)[:-5] + b"wrong", "compressed data fails its checksum"),
        (
            gzip.compress(plain[:-1]) + b"junk",
            "compressed data is followed by something else than gzip before its voxels end",
        ),
    ):
        with pytest.raises(ValueError, match=f"^{reason}$"):
            list(derive_volume(io.BytesIO(data)))


@pytest.mark.parametrize("step", [1, 7, 4096])
def test_a_gzip_file_of_several_members_that_comes_in_pieces_is_one_volume(step: int) -> None:
    plain, _ = telling_volume("1", "<")
    data = b"".join(gzip.compress(plain[at : at + 200]) for at in range(0, len(plain), 200))
    data += bytes(600)
    derivative = VolumeDerivative()
    found = b"".join(
        chunk for at in range(0, len(data), step) for chunk in derivative(data[at : at + step])
    )
    assert found + derivative.end() == b"".join(derive_volume(io.BytesIO(plain)))
    assert geometry(io.BytesIO(data), len(data), compressed=True)["Columns"] == 2


def test_the_header_alone_is_read_when_the_voxels_are_read_later() -> None:
    plain, _ = telling_volume("1", "<")
    data = gzip.compress(plain + os.urandom(3_000_000), 1)
    stream = io.BytesIO(data[:-100])
    found = geometry(stream, len(data), compressed=True, whole=False)
    assert found["Columns"] == 2
    assert stream.tell() <= 8192
    with pytest.raises(ValueError, match=r"^voxels end early: \d+ of \d+ bytes$"):
        geometry(io.BytesIO(plain[:-1]), len(plain) - 1, compressed=False, whole=False)


def test_what_inflates_a_thousand_times_takes_no_memory() -> None:
    image: Any = nibabel.nifti1.Nifti1Image(np.zeros((512, 512, 64), np.uint16), np.eye(4))
    data = gzip.compress(image.to_bytes(), 9)
    del image
    assert len(data) < 100_000
    tracemalloc.start()
    try:
        derivative = VolumeDerivative()
        assert sum(len(chunk) for chunk in derivative(data)) + len(derivative.end()) < 100_000
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8 * 1024 * 1024
