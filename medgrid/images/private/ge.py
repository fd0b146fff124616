"""GE: diffusion, slice order and timing of EPI, acceleration; speed and detector of CT.

Of the user data of a pulse sequence five numbers stay, of the compressed protocol the few lines
that say in what order and how far apart slices are taken.

Sources: GE's conformance statements; dcm2niix, nii_dicom.cpp and nii_dicom_batch.cpp; RFC 1952.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from typing import Final

from medgrid.images.private.values import (
    IsClean,
    Kept,
    Numbers,
    Rebuilt,
    Words,
    fitted,
    number_text,
)

__all__ = ["BIAS", "ELEMENTS"]

_MAX_PROTOCOL_BYTES: Final = 1024 * 1024
_LINES: Final[Mapping[str, tuple[float, float]]] = {
    "SLICEORDER": (0, 9),
    "VIEWORDER": (0, 9),
    "MBACCEL": (0, 64),
    "NOSLC": (0, 4096),
    "DELACQ": (0, 100_000),
    "DELACQNOAV": (0, 100_000),
}
_OPTIONS: Final = frozenset(("EPI", "FMRI", "MPh", "MPhVar", "DIFF"))
_LINE: Final = re.compile(r'([A-Z0-9]+) "([^"]*)"\s*')
_NUMBER: Final = re.compile(r"-?\d+(\.\d*)?")
_MINIMUM: Final = "Minimum"

_VERSION: Final = (5.0, 40.0)
_MOVED_SINCE: Final = 25.002
_USER_BYTES: Final = 918
_MAX_POSITIONS: Final = 8
_IS_EPI: Final = 0x800
_IS_FLIPPED: Final = 0x4
_MAX_ORDER: Final = 9

_COUNT: Final = (0, 10_000)
_FREE: Final = (-10_000, 10_000)
BIAS: Final = 1_000_000_000
"""What some scanners add to a b-value."""

_MAX_B_VALUE: Final = 100_000


def _protocol(data: bytes, is_clean: IsClean) -> bytes | None:
    """The compressed protocol, packed anew of the lines that stay."""
    (size,) = struct.unpack_from("<I", data)
    engine = zlib.decompressobj(16 + zlib.MAX_WBITS)
    text = engine.decompress(data[4 : 4 + size], _MAX_PROTOCOL_BYTES).decode("ascii", "replace")
    if not engine.eof:
        return None
    lines = [""]  # one key is looked for after the end of a line
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        value = _line_value(found[1], found[2], is_clean) if found else None
        if found and value is not None:
            lines.append(f'{found[1]} "{value}"')
    if len(lines) == 1:
        return b""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    packed = packer.compress("\n".join([*lines, ""]).encode("ascii")) + packer.flush()
    return struct.pack("<I", len(packed)) + packed


def _line_value(key: str, text: str, is_clean: IsClean) -> str | None:
    if key == "IOPT":
        return ", ".join(word for word in re.split(r", *", text) if word in _OPTIONS)
    if key == "DELACQ" and text == _MINIMUM:
        return text
    if key not in _LINES or not _NUMBER.fullmatch(text):
        return None
    value = fitted(float(text), *_LINES[key], is_clean)
    return None if value is None else number_text(value)


def _user_data(data: bytes, is_clean: IsClean) -> bytes | None:  # noqa: ARG001 - no number is free
    """Whether an EPI was read in reverse, and in what order, in the places where that stands."""
    offset = int.from_bytes(data[24:26], "little")
    if len(data) < offset + _USER_BYTES:
        return b""
    (version,) = struct.unpack_from("<f", data, offset)
    if not _VERSION[0] <= version <= _VERSION[1]:
        return b""
    is_moved = version >= _MOVED_SINCE
    base = offset + (0x4C if is_moved else 0)
    order_at = base + 0x394 - (0x8C if is_moved else 0)
    (is_epi,) = struct.unpack_from("<H", data, base + 0x3A)
    (polarity,) = struct.unpack_from("<H", data, base + 0x30)
    (order,) = struct.unpack_from("<H", data, order_at)
    if not is_epi & _IS_EPI:
        return b""
    if order > _MAX_ORDER:
        return None
    found = bytearray(offset + _USER_BYTES)
    struct.pack_into("<H", found, 24, offset)
    struct.pack_into("<f", found, offset, round(version, 3))
    struct.pack_into("<H", found, base + 0x3A, is_epi & _IS_EPI)
    struct.pack_into("<H", found, base + 0x30, polarity & _IS_FLIPPED)
    struct.pack_into("<H", found, order_at, order)
    return bytes(found)


def _b_value(data: bytes, is_clean: IsClean) -> bytes | None:
    """The b-value, to which some scanners add a bias; what stands beside it says nothing of it."""
    parts = data.decode("ascii").strip("\0 ").split("\\")
    bias, weight = divmod(int(parts[0]), BIAS)
    if bias not in (0, 1) or fitted(weight, 0, _MAX_B_VALUE, is_clean) is None:
        return None
    return "\\".join([str(bias * BIAS + weight), *["0"] * (len(parts[:4]) - 1)]).encode("ascii")


def _first_factor(data: bytes, is_clean: IsClean) -> bytes | None:
    """The multiband factor, the first of several values that are not all numbers."""
    first = data.decode("ascii").partition("\\")[0]
    return Numbers("IS", 0, 64).rebuilt(first.encode("ascii"), "<", is_clean)


def _table_position(data: bytes, is_clean: IsClean) -> bytes:
    """Numbers in their places, of which some may be empty."""
    one = Numbers("DS", *_FREE)
    parts = data.rstrip(b"\0 ").split(b"\\")[:_MAX_POSITIONS]
    return b"\\".join(one.rebuilt(part, "<", is_clean) or b"" for part in parts)


_SEQUENCES: Final = ("epi2_pepolar", "epi_pepolar", "epi2", "epiRT", "epi", "3db0map", "b0map")
_UNIT: Final = (-1.01, 1.01)

_SHIM: Final = Numbers("SS", -16_384, 16_384)

ELEMENTS: Final[Mapping[str, Mapping[int, Kept]]] = {
    "GEMS_ACQU_01": {
        0x001923: Numbers("DS", *_FREE),  # table speed
        0x001924: Numbers("DS", -1e6, 1e6),  # mid scan time
        0x001927: Numbers("DS", *_FREE),  # rotation speed
        0x00195A: Numbers("FL", 0, 1e11),  # duration of the acquisition, microseconds
        0x00197F: Numbers("DS", *_FREE),  # how far the table moved
        0x00199C: Words(_SEQUENCES, "LO", within=True),
        0x00199E: Words(("EPI", "EPI2", "B0map"), "LO"),
        0x0019B3: Numbers("DS", *_FREE),  # user data 12: which way phase encoding alternates
        0x0019BB: Numbers("DS", *_UNIT),  # diffusion direction
        0x0019BC: Numbers("DS", *_UNIT),
        0x0019BD: Numbers("DS", *_UNIT),
        0x0019DF: Numbers("DS", *_COUNT),  # number of volumes without weighting
        0x0019E0: Numbers("DS", *_COUNT),  # number of diffusion directions
    },
    "GEMS_RELA_01": {0x00214F: Numbers("SS", *_COUNT)},  # locations in the acquisition
    "GEMS_SERS_01": {
        0x002507: Numbers("SL", 0, 1_000_000),  # images in the series
        0x00251B: Rebuilt(_protocol),
    },
    "GEMS_PARM_01": {
        0x004302: _SHIM,
        0x004303: _SHIM,
        0x004304: _SHIM,
        0x00432A: Rebuilt(_user_data),
        0x00432C: Numbers("SS", 0, 32_767),  # effective echo spacing, microseconds
        0x00432F: Numbers("SS", 0, 9),  # magnitude, phase, real, imaginary
        0x004339: Rebuilt(_b_value, "IS"),
        0x00437C: Numbers("FL", 0, 10_000),  # delay after a group of slices, seconds
        0x004383: Numbers("DS", 0, 100, most=2),  # ASSET factors
        0x0043B2: Rebuilt(_table_position, "LO"),
        0x0043B6: Rebuilt(_first_factor, "LO"),
    },
    "GEMS_HELIOS_01": {
        0x004501: Numbers("SS", 0, 4096),  # rows of the detector
        0x004502: Numbers("FL", 0, 1000),  # their width
    },
}
