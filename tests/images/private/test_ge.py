"""Of GE's user data and compressed protocol what is known stays, packed anew."""

from __future__ import annotations

import gzip
import struct
import zlib
from typing import Any

import pytest

from tests.lab.dicoms import encoded, instance
from tests.lab.twins import names_found, private, twin_of, written

NAMES = ["Meier", "Anna", "19620304", "47110815"]
PROTOCOL = """SEDESC "Meier"
PSEQ "Anna"
IOPT "EPI, Meier, MPh"
SLICEORDER "1"
VIEWORDER "19620304"
MBACCEL "Meier"
NOSLC "47110815"
DELACQ "Minimum"
DELACQNOAV "0.5"
MEIER "1"
"""


def ge_instance(creator: str, group: int, **elements: tuple[int, str, Any]) -> Any:
    ds = instance(Manufacturer="GE", PatientID="47110815", PatientBirthDate="19620304")
    block = ds.private_block(group, creator, create=True)
    for number, vr, value in elements.values():
        block.add_new(number, vr, value)
    return ds


def protocol_block(text: str) -> bytes:
    packed = gzip.compress(text.encode())
    name = packed[:3] + b"\x18" + packed[4:10] + b"Meier\0Anna\0" + packed[10:]  # name, comment
    return struct.pack("<I", len(name)) + name + b"Meier^Anna "


def user_data(version: float = 26.002, flags: int = 0x800 | 0x4, order: int = 2) -> bytes:
    offset, moved = 3232, version >= 25.002
    data = bytearray(b"Meier^Anna 19620304 " * 250)
    base = offset + (0x4C if moved else 0)
    struct.pack_into("<H", data, 24, offset)
    struct.pack_into("<f", data, offset, version)
    struct.pack_into("<H", data, base + 0x3A, flags | 0x6D)
    struct.pack_into("<H", data, base + 0x30, flags | 0x6D & ~4)
    struct.pack_into("<H", data, base + 0x394 - (0x8C if moved else 0), order)
    return bytes(data)


def test_of_a_protocol_known_lines_stay() -> None:
    ds = ge_instance("GEMS_SERS_01", 0x0025, block=(0x1B, "OB", protocol_block(PROTOCOL)))
    twin, derivative = written(encoded(ds))
    block = private(ds)["(0025,101B)"]
    (size,) = struct.unpack_from("<I", block)
    engine = zlib.decompressobj(31)
    text = engine.decompress(block[4:])
    assert engine.unused_data in (b"", b"\0")
    assert size == len(block) - 4 - len(engine.unused_data)
    assert text.decode() == (
        '\nIOPT "EPI, MPh"\nSLICEORDER "1"\nDELACQ "Minimum"\nDELACQNOAV "0.5"\n'
    )
    assert names_found(twin, NAMES) == []
    assert derivative.is_complete


@pytest.mark.parametrize(
    "block",
    [b"", b"\1\0\0\0", protocol_block(PROTOCOL)[:40], b"\x20\0\0\0Meier^Anna"],
    ids=["empty", "short", "cut", "text"],
)
def test_a_protocol_that_cannot_be_read_is_dropped_and_said(block: bytes) -> None:
    ds = ge_instance("GEMS_SERS_01", 0x0025, block=(0x1B, "OB", block or b"\0\0"))
    twin, found = written(encoded(ds))
    assert names_found(twin, NAMES) == []
    assert not found.is_complete


def test_a_protocol_that_grows_without_end_is_dropped() -> None:
    packed = gzip.compress(bytes(64 * 1024 * 1024), 9)
    block = struct.pack("<I", len(packed)) + packed
    ds = ge_instance("GEMS_SERS_01", 0x0025, block=(0x1B, "OB", block))
    assert not written(encoded(ds))[1].is_complete


@pytest.mark.parametrize("version", [24.0, 26.002])
def test_of_user_data_five_numbers_stay(version: float) -> None:
    data = user_data(version)
    ds = ge_instance("GEMS_PARM_01", 0x0043, data=(0x2A, "OB", data))
    twin = twin_of(encoded(ds))
    assert names_found(data, NAMES) == ["Meier", "Anna", "19620304"]
    assert names_found(twin, NAMES) == []
    found = private(ds)["(0043,102A)"]
    base = 3232 + (0x4C if version > 25 else 0)
    assert struct.unpack_from("<f", found, 3232)[0] == pytest.approx(version)
    assert struct.unpack_from("<H", found, base + 0x3A) == (0x800,)
    assert struct.unpack_from("<H", found, base + 0x30) == (4,)
    assert sum(map(bool, found)) <= 2 + 4 + 1 + 1 + 1


def test_user_data_of_what_is_no_epi_says_nothing() -> None:
    ds = ge_instance("GEMS_PARM_01", 0x0043, data=(0x2A, "OB", user_data(flags=0)))
    assert private(ds) == {}
    assert written(encoded(ds))[1].is_complete


def test_weighting_stays_and_what_stands_beside_it_does_not() -> None:
    ds = ge_instance("GEMS_PARM_01", 0x0043, b=(0x39, "IS", [1000000750, 47110815, 0, 19620304]))
    block = ds.private_block(0x0019, "GEMS_ACQU_01", create=True)
    for number, value in ((0xBB, "0.6"), (0xBC, "-0.8"), (0xBD, "0.0")):
        block.add_new(number, "DS", value)
    block.add_new(0x9C, "LO", "/usr/Meier/epi2")
    block.add_new(0x9E, "LO", "EPI2")
    found = private(ds)
    assert list(found["(0043,1039)"]) == [1000000750, 0, 0, 0]
    assert (found["(0019,10BB)"], found["(0019,10BC)"]) == (0.6, -0.8)
    assert (found["(0019,109C)"], found["(0019,109E)"]) == ("epi2", "EPI2")
    assert written(encoded(ds))[1].is_complete


def test_weighting_without_a_direction_is_said() -> None:
    ds = ge_instance("GEMS_PARM_01", 0x0043, b=(0x39, "IS", [1000000750, 8, 0, 0]))
    assert not written(encoded(ds))[1].is_complete
    ds = ge_instance("GEMS_PARM_01", 0x0043, b=(0x39, "IS", [1000000000, 8, 0, 0]))
    assert written(encoded(ds))[1].is_complete


def test_the_multiband_factor_stays_alone() -> None:
    ds = ge_instance("GEMS_PARM_01", 0x0043, factor=(0xB6, "LO", ["2", "0", "Meier", ""]))
    assert private(ds)["(0043,10B6)"] == "2"


def test_of_a_table_position_numbers_stay_in_their_places() -> None:
    position = ["960.5", "Meier", "-128.45", "", "-9999", "47110815"]
    ds = ge_instance("GEMS_PARM_01", 0x0043, position=(0xB2, "LO", position))
    twin, derivative = written(encoded(ds))
    assert names_found(twin, NAMES) == []
    assert list(private(ds)["(0043,10B2)"]) == ["960.5", "", "-128.45", "", "-9999", ""]
    assert derivative.is_complete
