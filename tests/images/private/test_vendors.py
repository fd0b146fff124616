"""What Philips, United Imaging, Canon and Siemens' newer software keep deeper or elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from medgrid.images.private import values
from tests.lab.dicoms import MOSAIC_TAGS, csa_header, encoded, instance
from tests.lab.twins import KEYS, assert_same, names_found, twin_of, written

NAMES = ["Meier", "Anna", "19620304", "47110815"]


def philips(number: int, weight: float, direction: list[float]) -> Any:
    """One slice of a diffusion series of two slices."""
    place, volume = (number - 1) % 2, (number - 1) // 2
    ds = instance(number, Manufacturer="Philips Medical Systems", PatientID="47110815")
    ds.ImagePositionPatient = [0, 0, 2.0 * place]
    ds.SliceLocation = 2.0 * place
    ds.TemporalPositionIdentifier = 1
    ds.ImageComments = "Meier^Anna"
    own = ds.private_block(0x2001, "Philips Imaging DD 001", create=True)
    own.add_new(0x03, "FL", weight)
    own.add_new(0x04, "CS", "O" if weight else "N")
    own.add_new(0x0A, "IS", place + 1)
    own.add_new(0x18, "SL", 2)
    own.add_new(0x7B, "IS", 47110815)
    mr = ds.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    mr.add_new(0x0D, "FL", 0.0)
    mr.add_new(0x0E, "FL", 0.5)
    for offset, component in enumerate(direction):
        mr.add_new(0xB0 + offset, "FL", component)
    more = Dataset()
    more.PatientName = "Meier^Anna"
    more.RequestingPhysician = "Meier"
    inner = more.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
    inner.add_new(0x12, "IS", 2 if weight else 1)
    inner.add_new(0x13, "IS", volume + 1)
    inner.add_new(0x29, "CS", "MEIER")
    five = ds.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
    five.add_new(0x0F, "SQ", [more])
    return ds


WEIGHTS = [(0.0, [0.0, 0.0, 0.0]), (1000.0, [0.6, 0.8, 0.0]), (1000.0, [0.0, 0.6, -0.8])]


def test_philips_volumes_convert_as_before_and_name_nobody(tmp_path: Path) -> None:
    files = [
        encoded(philips(2 * volume + place, weight, direction))
        for volume, (weight, direction) in enumerate(WEIGHTS)
        for place in (1, 2)
    ]
    with pytest.raises(AssertionError):
        assert names_found(files[0], NAMES) == []
    for data in files:
        assert names_found(twin_of(data), NAMES) == []
    (found,) = assert_same(tmp_path, files)
    assert found.gradients[".bval"].split() == ["0", "1000", "1000"]


def test_of_a_private_sequence_numbers_stay_in_every_encoding() -> None:
    ds = philips(1, 1000.0, [0.6, 0.8, 0.0])
    implicit = pydicom.dcmread(io.BytesIO(encoded(ds)))
    implicit.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    buffer = io.BytesIO()
    implicit.save_as(buffer, implicit_vr=True, little_endian=True)
    for data in (encoded(ds), buffer.getvalue()):
        twin = pydicom.dcmread(io.BytesIO(twin_of(data)))
        (item,) = twin.private_block(0x2005, "Philips MR Imaging DD 005")[0x0F].value
        assert item.private_block(0x2005, "Philips MR Imaging DD 005")[0x12].value == 2


def test_a_sequence_of_unknown_representation_is_read(tmp_path: Path) -> None:
    frame = Dataset()
    frame.ImagePositionPatient = [1, 2, 3]
    frame.AcquisitionTime = "101112.5"
    frame.OperatorsName = "Meier^Anna"
    ds = instance(Manufacturer="UIH", ImageType=["ORIGINAL", "PRIMARY", "M", "VFRAME"])
    block = ds.private_block(0x0065, "Image Private Header", create=True)
    block.add_new(0x50, "DS", "4")
    block.add_new(0x51, "SQ", [frame])
    block.add_new(0x0D, "SH", "F:2S")
    block.add_new(0x05, "SH", "Meier")
    data = encoded(ds)
    at = data.index(b"\x65\0\x51\x10SQ")
    end = at + 12 + int.from_bytes(data[at + 8 : at + 12], "little")
    content = _implicit(frame)
    head = data[: at + 4] + b"UN\0\0" + len(content).to_bytes(4, "little")
    data = head + content + data[end:]
    twin, derivative = written(data)
    assert derivative.is_complete
    assert names_found(twin, NAMES) == []
    found = pydicom.dcmread(io.BytesIO(twin))
    (item,) = found[0x0065, 0x1051].value
    assert list(item.ImagePositionPatient) == [1, 2, 3]
    assert item.AcquisitionTime == KEYS.time("101112.5")
    assert found[0x0065, 0x100D].value == "F:2"


def _implicit(item: Dataset) -> bytes:
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = True, True
    write_dataset(buffer, item)
    content = buffer.getvalue()
    return b"\xfe\xff\0\xe0" + len(content).to_bytes(4, "little") + content


def test_a_grid_without_its_frames_is_said() -> None:
    ds = instance(Manufacturer="UIH", ImageType=["ORIGINAL", "PRIMARY", "M", "VFRAME"])
    ds.private_block(0x0065, "Image Private Header", create=True).add_new(0x50, "DS", "4")
    assert not written(encoded(ds))[1].is_complete


def test_a_mosaic_without_its_normal_is_said() -> None:
    ds = instance(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    assert not written(encoded(ds))[1].is_complete
    block = ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", csa_header({**MOSAIC_TAGS, "SliceNormalVector": []}))
    assert not written(encoded(ds))[1].is_complete
    block.add_new(0x10, "OB", csa_header(MOSAIC_TAGS))
    assert written(encoded(ds))[1].is_complete


@pytest.mark.parametrize(
    ("kinds", "is_complete"), [(["ORIGINAL", "PRIMARY"], False), (["DERIVED", "TRACEW"], True)]
)
def test_weighting_by_public_elements_needs_a_direction(
    kinds: list[str], is_complete: bool
) -> None:
    ds = instance(ImageType=kinds, DiffusionBValue=1000.0)
    assert written(encoded(ds))[1].is_complete is is_complete
    ds.DiffusionGradientOrientation = [0.0, 0.6, 0.8]
    assert written(encoded(ds))[1].is_complete


@pytest.mark.parametrize(
    ("comment", "kept"),
    [
        ("b=1000(0.445,0.000,0.895)", "b=1000(0.445,0,0.895)"),
        ("b=1000(-1.0,0.5,0.25) ", "b=1000(-1,0.5,0.25)"),
        ("b=1000(0.445,0.000,0.895) Meier", None),
        ("Meier b=1000(0.445,0.000,0.895)", None),
        ("b=1000(0.445,0.000,19620304)", None),
        ("b=1000(--,..,0)", None),
        ("b=19620304(0,0,1)", None),
        ("Meier", None),
    ],
)
def test_of_a_comment_a_direction_stays_and_nothing_else(comment: str, kept: str | None) -> None:
    ds = instance(ImageComments=comment, Manufacturer="CANON_MEC", DiffusionBValue=1000.0)
    twin, derivative = written(encoded(ds))
    assert names_found(twin, NAMES) == []
    assert pydicom.dcmread(io.BytesIO(twin)).get("ImageComments") == kept
    assert derivative.is_complete is (kept is not None)


def test_series_without_private_elements_cost_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked at, and nothing made anew, that is not there."""
    seen: list[bytes] = []

    def counting(own: Callable[..., Any]) -> Callable[..., Any]:
        def rebuilt(self: Any, data: bytes, *words: Any) -> Any:
            seen.append(data)
            return own(self, data, *words)

        return rebuilt

    for kind in (values.Numbers, values.Words, values.Codes, values.Rebuilt):
        monkeypatch.setattr(kind, "rebuilt", counting(kind.rebuilt))
    twin_of(encoded(instance()))
    assert seen == []
    twin_of(encoded(philips(1, 0.0, [0.0, 0.0, 0.0])))
    assert len(seen) == 12
