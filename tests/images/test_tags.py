"""The bare walk says what pydicom says, over all files of pydicom and over broken ones."""

from __future__ import annotations

import io
import os
import random
import re
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from medgrid.images.dicom import header_of, read_with_pydicom
from medgrid.images.tags import Header, read_header, shortfall
from tests.lab.dicoms import all_pydicom_files, encoded, instance, pydicom_file


def walked(path: Path) -> Header | None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return read_header(descriptor, path.stat().st_size)
    finally:
        os.close(descriptor)


def asked(path: Path) -> Header | None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return header_of(descriptor, path.stat().st_size)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("path", list(all_pydicom_files()), ids=lambda path: path.name)
def test_it_agrees_with_pydicom(path: Path) -> None:
    data = path.read_bytes()
    truth = read_with_pydicom(io.BytesIO(data), data[128:132] == b"DICM")
    found = walked(path)
    if found is None:
        assert asked(path) == truth
        return
    assert truth is not None
    if found.problem and found.problem.startswith("ends within"):
        # pydicom does not mind where a file ends
        truth = truth._replace(problem=found.problem)
    assert found == truth


def test_it_knows_most_files() -> None:
    paths = [path for path in all_pydicom_files() if path.read_bytes()[128:132] == b"DICM"]
    known = [path for path in paths if walked(path) is not None]
    assert len(known) > 0.8 * len(paths)


@pytest.mark.parametrize(
    "name",
    ["MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm"],
)
def test_a_file_cut_anywhere_is_never_whole(name: str, tmp_path: Path) -> None:
    data = pydicom_file(name).read_bytes()
    whole = walked(pydicom_file(name))
    assert whole is not None
    assert whole.problem is None
    cut = tmp_path / "cut.dcm"
    # after the pixels comes padding, whose loss loses nothing
    big = name.endswith("bigendian.dcm")
    padding = data.rfind(b"\xff\xfc\xff\xfc" if big else b"\xfc\xff\xfc\xff")
    last = padding if padding > 0 else len(data)
    for end in [*range(132, last, 37), last - 1]:
        cut.write_bytes(data[:end])
        found = asked(cut)
        if found is None:
            continue
        assert found.problem or not found.has_pixels or not found.series_uid, end


def test_a_cut_says_where(tmp_path: Path) -> None:
    data = encoded(instance())
    path = tmp_path / "a.dcm"
    path.write_bytes(data[: len(data) - 5000])
    found = walked(path)
    assert found is not None
    assert found.problem == "ends within its pixel data"
    path.write_bytes(data[:700])
    found = walked(path)
    assert found is not None
    assert found.problem == "ends within its header"


def test_too_few_pixels_are_counted(tmp_path: Path) -> None:
    ds = instance(PixelData=bytes(100))
    path = tmp_path / "a.dcm"
    path.write_bytes(encoded(ds))
    found = walked(path)
    assert found is not None
    assert found.problem == "pixel data has 100 of 8192 bytes"


def test_shortfall_knows_bits_and_subsampling() -> None:
    assert shortfall(10, 10, 1, 1, 1, "MONOCHROME2", 13) is None
    assert shortfall(10, 10, 1, 1, 1, "MONOCHROME2", 12) == "pixel data has 12 of 13 bytes"
    assert shortfall(2, 2, 3, 8, 1, "YBR_FULL_422", 8) is None


def sequences(depth: int, undefined: bool) -> Dataset:
    inner = Dataset()
    inner.CodeValue = "x" * 9
    if depth:
        inner.ReferencedImageSequence = Sequence([sequences(depth - 1, undefined), Dataset()])
        inner["ReferencedImageSequence"].is_undefined_length = undefined
    inner.is_undefined_length_sequence_item = undefined
    return inner


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize(
    "syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_nested_sequences_are_passed_over(
    tmp_path: Path, undefined: bool, syntax: pydicom.uid.UID | None
) -> None:
    ds = instance(7)
    ds.ReferencedStudySequence = Sequence([sequences(4, undefined)] * 3)
    ds["ReferencedStudySequence"].is_undefined_length = undefined
    path = tmp_path / "a.dcm"
    if syntax is not None:
        ds.file_meta.TransferSyntaxUID = syntax
        if syntax is ExplicitVRBigEndian:
            ds["PixelData"].value = ds.PixelData
    with path.open("wb") as stream:
        pydicom.dcmwrite(
            stream,
            ds,
            implicit_vr=syntax is ImplicitVRLittleEndian,
            little_endian=syntax is not ExplicitVRBigEndian,
            enforce_file_format=False,
            force_encoding=True,
        )
    found = asked(path)
    assert found is not None
    assert (found.number, found.has_pixels, found.problem) == (7, True, None)
    if syntax is not DeflatedExplicitVRLittleEndian:
        assert walked(path) == found


@pytest.mark.parametrize("undefined", [True, False])
def test_what_is_nested_very_deep_is_left_to_pydicom(tmp_path: Path, undefined: bool) -> None:
    path = tmp_path / "a.dcm"
    for depth in (32, 33):
        ds = instance(7)
        ds.ReferencedStudySequence = Sequence([sequences(depth, undefined)])
        ds["ReferencedStudySequence"].is_undefined_length = undefined
        path.write_bytes(encoded(ds))
        found = asked(path)
        assert found is not None
        assert (found.number, found.problem) == (7, None)
        assert (walked(path) is None) == (undefined and depth == 33)


def test_large_frames_and_items_are_passed_over_unread(tmp_path: Path) -> None:
    ds = pydicom.dcmread(pydicom_file("JPEG2000.dcm"))
    item = Dataset()
    item.add_new(0x00091010, "OB", os.urandom(100_000))
    item.is_undefined_length_sequence_item = True
    ds.ReferencedStudySequence = Sequence([item] * 3)
    ds["ReferencedStudySequence"].is_undefined_length = True
    ds.NumberOfFrames = 3
    ds.PixelData = encapsulate([os.urandom(100_000) for _ in range(3)])
    path = tmp_path / "a.dcm"
    path.write_bytes(encoded(ds))
    found = walked(path)
    assert found is not None
    assert (found.has_pixels, found.problem) == (True, None)
    assert found == read_with_pydicom(io.BytesIO(path.read_bytes()), True)
    path.write_bytes(path.read_bytes()[:-8])
    cut = walked(path)
    assert cut is not None
    assert cut.problem == "ends within its pixel data"


def test_a_name_in_another_script_does_not_slow_it_down(tmp_path: Path) -> None:
    ds = instance(SpecificCharacterSet="ISO_IR 192", PatientName="山田^太郎")
    path = tmp_path / "a.dcm"
    path.write_bytes(encoded(ds))
    assert walked(path) is not None


def test_an_id_in_another_script_is_read_by_pydicom(tmp_path: Path) -> None:
    ds = instance(SpecificCharacterSet="ISO_IR 100", PatientID="Å-17")
    path = tmp_path / "a.dcm"
    path.write_bytes(encoded(ds))
    assert walked(path) is None
    found = asked(path)
    assert found is not None
    assert found.patient_id == "Å-17"


def test_noise_never_breaks_it(tmp_path: Path) -> None:
    data = bytearray(encoded(instance()))
    chance = random.Random(7)
    path = tmp_path / "noise.dcm"
    for _ in range(400):
        noisy = bytearray(data[:3000])
        for _ in range(chance.randint(1, 12)):
            noisy[chance.randrange(132, len(noisy))] = chance.randrange(256)
        path.write_bytes(noisy)
        found = asked(path)
        if found is not None and found.problem:
            assert re.fullmatch(
                r"ends within its (header|pixel data)"
                r"|pixel data has \d+ of \d+ bytes"
                r"|header cannot be read \(\w+\)",
                found.problem,
            )
