"""CSA headers are made anew of the numbers that place, weight and time an image."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgrid.images.private.siemens import csa_tags
from tests.lab.dicoms import MOSAIC_TAGS, csa_header, encoded, instance, write_mosaic
from tests.lab.twins import assert_same, names_found, private, twin_of, written

NAMES = ["Meier", "Anna", "19620304", "47110815"]
PROTOCOL = """### ASCCONV BEGIN object=MrProtDataImpl@Meier version=41310008 Anna ###
ulVersion = 47110815
tProtocolName = "Meier^Anna"
sPatient.Meier = 1
Meier.lContrasts = 3
lContrasts = 2 # Anna
lInvContrasts = 19620304
alTE[0] = 30000
alTE[1] = 47110815
sSliceArray.ucMode = 0x4
sKSpace.lPhaseEncodingLines = 64
sKSpace.dPhaseResolution = 1.0
sPat.lAccelFactPE = Anna
sFastImaging.lEchoSpacing = 510
sWipMemBlock.adFree[1] = 0.00001
sWipMemBlock.adFree[2] = 0.125e-4
sWipMemBlock.alFree[3] = 19620304
sWipMemBlock.alFree[4] = 12
sWipMemBlock.alFree[Meier] = 12
sWipMemBlock.tFree = "Anna"
### ASCCONV END ###
Meier
"""
KEPT = """### ASCCONV BEGIN ###
alTE[0] = 30000
sSliceArray.ucMode = 0x4
sKSpace.lPhaseEncodingLines = 64
sKSpace.dPhaseResolution = 1
sFastImaging.lEchoSpacing = 510
sWipMemBlock.adFree[1] = 0.00001
sWipMemBlock.adFree[2] = 1.25e-05
sWipMemBlock.alFree[4] = 12
### ASCCONV END ###
"""


def csa_instance(image: bytes = b"", series: bytes = b"", **values: Any) -> Any:
    ds = instance(PatientID="47110815", PatientBirthDate="19620304", **values)
    block = ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    if image:
        block.add_new(0x10, "OB", image)
    if series:
        block.add_new(0x20, "OB", series)
    return ds


def files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def test_the_twin_of_a_mosaic_converts_to_the_same_volume(tmp_path: Path) -> None:
    write_mosaic(tmp_path / "in")
    (found,) = assert_same(tmp_path, files(tmp_path / "in"))
    assert found.voxels.shape == (64, 64, 4, 2)
    assert found.numbers["SliceTiming"] == [0, 0.5, 0.25, 0.75]
    assert all(written(data)[1].is_complete for data in files(tmp_path / "in"))


def test_the_twin_of_a_diffusion_series_converts_to_the_same_volume(tmp_path: Path) -> None:
    data = []
    for number, (weight, direction) in enumerate(
        [("0", []), ("1000", ["0.6", "0.8", "0"]), ("1000", ["0", "0.70710678", "-0.70710678"])], 1
    ):
        tags = {**MOSAIC_TAGS, "B_value": [weight], "DiffusionGradientDirection": direction}
        write_mosaic(tmp_path / str(number), csa_header(tags))
        ds = pydicom.dcmread(tmp_path / str(number) / "IM1.dcm")
        ds.InstanceNumber, ds.AcquisitionNumber = number, number
        ds.SOPInstanceUID += f".{number}"
        data.append(encoded(ds))
    (found,) = assert_same(tmp_path, data)
    assert found.gradients[".bval"].split() == ["0", "1000", "1000"]
    assert all(written(one)[1].is_complete for one in data)


def test_of_an_image_header_numbers_of_known_tags_stay() -> None:
    tags = {
        **MOSAIC_TAGS,
        "PatientName": ["Meier^Anna"],
        "UsedPatientWeight": ["47110815"],
        "Meier": ["1"],
        "ICE_Dims": ["X_1_Anna"],
    }
    twin = twin_of(encoded(csa_instance(csa_header(tags, b"Meier^Anna 19620304"))))
    assert names_found(twin, NAMES) == []
    found = private(csa_instance(csa_header(tags, b"Meier^Anna 19620304")))
    assert csa_tags(found["(0029,1010)"]) == {
        name: [float(one) for one in many] for name, many in MOSAIC_TAGS.items()
    }


@pytest.mark.parametrize("value", ["Meier", "19620304", "47110815", "1e9", "nan", "0x10", "1 2"])
@pytest.mark.parametrize("name", [*MOSAIC_TAGS, "B_value", "ImaRelTablePosition"])
def test_a_header_that_holds_something_else_is_dropped_and_said(name: str, value: str) -> None:
    header = csa_header({**MOSAIC_TAGS, name: [value]})
    twin, found = written(encoded(csa_instance(header)))
    assert not found.is_complete
    assert b"SV10" not in twin
    assert names_found(twin, NAMES) == []


def test_of_a_protocol_numbers_of_known_keys_stay() -> None:
    series = csa_header(
        {"Isocentered": ["Anna"], "MrPhoenixProtocol": [PROTOCOL], "UsedPatient": ["Meier"]},
        b"Anna",
    )
    ds = csa_instance(series=series)
    twin, derivative = written(encoded(ds))
    assert names_found(twin, NAMES) == []
    assert derivative.is_complete
    value = private(ds)["(0029,1020)"]
    assert KEPT.encode() in value
    assert value.count(b"ASCCONV BEGIN") == 1


@pytest.mark.parametrize(
    ("text", "kept"), [("p2 s3", "p2 s3"), ("p2s4", "p2 s4"), ("s4", "s4"), ("p2 Meier", None)]
)
def test_of_an_acceleration_factors_stay(text: str, kept: str | None) -> None:
    ds = instance()
    ds.private_block(0x0051, "SIEMENS MR HEADER", create=True).add_new(0x11, "LO", text)
    assert private(ds).get("(0051,1011)") == kept
    assert written(encoded(ds))[1].is_complete


def test_a_protocol_of_the_newer_software_is_text(tmp_path: Path) -> None:
    ds = instance(PatientID="47110815", PatientBirthDate="19620304")
    inner, outer = pydicom.Dataset(), pydicom.Dataset()
    block = inner.private_block(0x0021, "SIEMENS MR SDS 01", create=True)
    block.add_new(0x19, "OB", f'<XProtocol>\n{{\n <Name> "Meier"\n}}\n{PROTOCOL}'.encode())
    block.add_new(0x53, "CS", "ANNA")
    outer.private_block(0x0021, "SIEMENS MR SDS 01", create=True).add_new(0xFE, "SQ", [inner])
    ds.SharedFunctionalGroupsSequence = [outer]
    twin, derivative = written(encoded(ds))
    assert names_found(twin, NAMES) == []
    assert derivative.is_complete
    value = private(ds)["(0021,1019)"]
    assert value.rstrip(b"\0") == f"<XProtocol>\n{KEPT}".encode()


@pytest.mark.parametrize("cut", [3, 10, 15, 40, 100, 180, -2])
def test_a_header_that_ends_early_is_dropped_and_said(cut: int) -> None:
    twin, found = written(encoded(csa_instance(csa_header(MOSAIC_TAGS)[:cut])))
    assert not found.is_complete
    assert b"SliceNormalVector" not in twin


@given(st.data())
def test_damaged_headers_are_dropped_or_hold_numbers(data: st.DataObject) -> None:
    header = bytearray(csa_header(MOSAIC_TAGS, b"Meier^Anna"))
    place = st.integers(0, len(header) - 1)
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=6)):
        header[at] = value
    twin = twin_of(encoded(csa_instance(bytes(header))))
    assert names_found(twin, ["Meier", "Anna"]) == []


def test_a_header_cannot_ask_for_much_work() -> None:
    for place, value in ((8, 2**31), (16 + 76, 2**31 - 1), (16 + 84 + 4, 2**31 - 1)):
        header = bytearray(csa_header(MOSAIC_TAGS))
        struct.pack_into("<I", header, place, value)
        assert not written(encoded(csa_instance(bytes(header))))[1].is_complete
