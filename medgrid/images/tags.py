"""A bare walk over the elements of a DICOM file, for what is needed of *every* instance.

It reads about ten times faster than a full parse, because it builds nothing. It knows files with a
preamble in the uncompressed-header syntaxes; of anything else, or anything odd, it says `None`, and
the caller asks pydicom, which is the truth. ``tests/images/test_tags.py`` compares the two over
all of pydicom's files.

Sources: DICOM PS3.5 section 7.1 (data elements), 7.5 (sequences), A.4 (encapsulated pixel data);
PS3.10 section 7.1 (file meta information).
"""

from __future__ import annotations

import os
import struct
from typing import Final, NamedTuple

__all__ = ["PIXELS", "SHORT_HEADER", "UNDEFINED", "Header", "read_header", "shortfall"]

_BLOCK_BYTES: Final = 32 * 1024
UNDEFINED: Final = 0xFFFFFFFF
_MAX_DEPTH: Final = 32
_MAX_STEPS: Final = 5_000_000  # elements, items and fragments
_MAX_VALUE_BYTES: Final = 64 * 1024
SHORT_HEADER: Final = "ends within its header"
"""Problem of a file that ends before its elements do, as far as the walk understands them."""

_IMPLICIT_LITTLE: Final = b"1.2.840.10008.1.2"
_EXPLICIT_BIG: Final = b"1.2.840.10008.1.2.2"
_DEFLATED: Final = (b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.8.1")

_LONG_VRS: Final = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_VRS: Final = _LONG_VRS | frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)

_SOP_CLASS: Final = 0x00080016
_SOP_INSTANCE: Final = 0x00080018
_PATIENT_NAME: Final = 0x00100010
_PATIENT_ID: Final = 0x00100020
_ISSUER: Final = 0x00100021
_BIRTH_DATE: Final = 0x00100030
_STUDY: Final = 0x0020000D
_SERIES: Final = 0x0020000E
_NUMBER: Final = 0x00200013
_SAMPLES: Final = 0x00280002
_PHOTOMETRIC: Final = 0x00280004
_FRAMES: Final = 0x00280008
_ROWS: Final = 0x00280010
_COLUMNS: Final = 0x00280011
_BITS: Final = 0x00280100
_WANTED: Final = frozenset(
    (
        _SOP_CLASS,
        _SOP_INSTANCE,
        _PATIENT_NAME,
        _PATIENT_ID,
        _ISSUER,
        _BIRTH_DATE,
        _STUDY,
        _SERIES,
        _NUMBER,
        _SAMPLES,
        _PHOTOMETRIC,
        _FRAMES,
        _ROWS,
        _COLUMNS,
        _BITS,
    )
)
PIXELS: Final = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD


class Header(NamedTuple):
    """What is needed of every instance: whose it is, what it belongs to, its place, its pixels.

    `patient_name` and `birth_date` are empty unless there is no `patient_id`. `problem` says why it
    cannot be imported although it is DICOM, in words that quote no value. `header_bytes` is where
    the value of the pixel data begins, or its size where there is none.
    """

    sop_class: str
    sop_uid: str
    study_uid: str
    series_uid: str
    patient_id: str
    issuer: str
    patient_name: str
    birth_date: str
    number: int | None
    has_pixels: bool
    problem: str | None
    header_bytes: int = 0


class _Odd(Exception):
    """The walk met something it does not know: let pydicom read it."""


class _Short(Exception):
    """The file ends before its element does."""


class _Long(Exception):
    """There are more elements, items and fragments than any image has."""


def read_header(descriptor: int, size_bytes: int) -> Header | None:
    """Walk over an open file.

    Parameters
    ----------
    descriptor : int
        Open file descriptor; its position is not used.
    size_bytes : int
        Size of the file.

    Returns
    -------
    Header or None
        None when this is not a file the walk knows; it may still be DICOM.
    """
    walk = _Walk(descriptor, size_bytes)
    try:
        values, pixel_bytes, problem = walk.run()
        return _header(values, pixel_bytes, problem, walk.header_bytes)
    except _Long:
        problem = f"has more than {_MAX_STEPS} elements, items or fragments"
        return _header({}, None, problem, 0)
    except (_Odd, UnicodeDecodeError, ValueError, struct.error):
        return None


class _Walk:
    """One pass over one file, through a window that moves forward."""

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self.descriptor = descriptor
        self.size = size_bytes
        self.base = 0
        self.header_bytes = 0
        self.steps = iter(range(_MAX_STEPS))
        self.window = os.pread(descriptor, _BLOCK_BYTES, 0)

    def at(self, offset: int, length: int) -> int:
        """Make `length` bytes at file `offset` visible; give their place in the window."""
        place = offset - self.base
        if place >= 0 and place + length <= len(self.window):
            return place
        if offset + length > self.size:
            raise _Short
        self.window = os.pread(self.descriptor, max(_BLOCK_BYTES, length), offset)
        self.base = offset
        if len(self.window) < length:
            raise _Short
        return 0

    def run(self) -> tuple[dict[int, bytes], int | None, str | None]:
        """Give wanted values by tag, the length of the pixel data (None: absent), a problem."""
        if self.window[128:132] != b"DICM":
            raise _Odd
        try:
            offset, syntax = self._meta()
        except _Short:
            self.header_bytes = self.size
            return {}, None, SHORT_HEADER
        if syntax in _DEFLATED:
            raise _Odd
        explicit = syntax != _IMPLICIT_LITTLE
        order = ">" if syntax == _EXPLICIT_BIG else "<"
        values: dict[int, bytes] = {}
        try:
            pixel_bytes = self._dataset(offset, explicit, order, values)
        except _Short:
            self.header_bytes = self.size
            return values, None, SHORT_HEADER
        if order == ">":
            for tag in (_SAMPLES, _ROWS, _COLUMNS, _BITS):
                if tag in values:
                    values[tag] = values[tag][::-1]
        if pixel_bytes is None:
            self.header_bytes = self.size
            return values, None, None
        if pixel_bytes < 0:
            return values, 1, "ends within its pixel data"
        encapsulated = pixel_bytes == UNDEFINED
        problem = None if encapsulated else _too_few(values, pixel_bytes)
        return values, pixel_bytes, problem

    def _meta(self) -> tuple[int, bytes]:
        """Walk over group 2; give where the dataset starts and the transfer syntax."""
        offset = 132
        syntax = b""
        unpack = struct.Struct("<HH2sH").unpack_from
        while True:
            if offset == self.size:
                return offset, syntax
            place = self.at(offset, 8)
            group, element, vr, length = unpack(self.window, place)
            if group != 2:
                break
            if vr not in _VRS:
                raise _Odd
            start = offset + 8
            if vr in _LONG_VRS:
                place = self.at(offset, 12)
                (length,) = struct.unpack_from("<I", self.window, place + 8)
                start = offset + 12
            if length == UNDEFINED:
                raise _Odd
            if element == 0x0010:
                if length > _MAX_VALUE_BYTES:
                    raise _Odd
                place = self.at(start, length)
                syntax = self.window[place : place + length].rstrip(b"\0 ")
            offset = start + length
        if not syntax:
            raise _Odd
        return offset, syntax

    def _dataset(
        self, offset: int, explicit: bool, order: str, values: dict[int, bytes]
    ) -> int | None:
        """Walk over top-level elements up to the pixel data; give its length.

        None: there is none. Negative: the file ends within it.
        """
        unpack_head = struct.Struct(order + ("HH2sH" if explicit else "HHI")).unpack_from
        unpack_long = struct.Struct(order + "I").unpack_from
        size = self.size
        last = 0
        for _ in self.steps:
            if offset >= size:
                break
            place = offset - self.base
            window = self.window
            if place < 0 or place + 12 > len(window):
                place = self.at(offset, min(12, size - offset))
                window = self.window
                if size - offset < 8:
                    raise _Short
            if explicit:
                group, element, vr, length = unpack_head(window, place)
                start = offset + 8
                if vr in _LONG_VRS:
                    if size - offset < 12:
                        raise _Short
                    (length,) = unpack_long(window, place + 8)
                    start = offset + 12
                elif vr not in _VRS:
                    raise _Odd
            else:
                group, element, length = unpack_head(window, place)
                vr = b"UN"
                start = offset + 8
            tag = group << 16 | element
            if tag <= last or group < 8:
                raise _Odd
            last = tag
            if tag in PIXELS:
                self.header_bytes = start
                if length == UNDEFINED:
                    return UNDEFINED if self._fragments_end(start, order) else -1
                return length if start + length <= size else -1
            if length == UNDEFINED:
                if explicit and vr not in (b"SQ", b"UN"):
                    raise _Odd
                # PS3.5 6.2.2 note 2: UN of undefined length holds implicit little endian
                offset = self._skip_sequence(
                    start, explicit and vr == b"SQ", "<" if vr == b"UN" and explicit else order, 0
                )
                continue
            if tag in _WANTED:
                if length > _MAX_VALUE_BYTES:
                    raise _Odd
                place = self.at(start, length)
                values[tag] = self.window[place : place + length]
            offset = start + length
        else:
            raise _Long
        if offset > size:
            raise _Short
        return None

    def _skip_sequence(self, offset: int, explicit: bool, order: str, depth: int) -> int:
        """Give where a sequence of undefined length ends."""
        if depth > _MAX_DEPTH:
            raise _Odd
        unpack = struct.Struct(order + "HHI").unpack_from
        for _ in self.steps:
            place = self.at(offset, 8)
            group, element, length = unpack(self.window, place)
            tag = group << 16 | element
            offset += 8
            if tag == _SEQUENCE_END:
                return offset
            if tag != _ITEM:
                raise _Odd
            if length == UNDEFINED:
                offset = self._skip_item(offset, explicit, order, depth)
            else:
                offset += length
        raise _Long

    def _skip_item(self, offset: int, explicit: bool, order: str, depth: int) -> int:
        """Give where an item of undefined length ends."""
        unpack = struct.Struct(order + "HHI").unpack_from
        unpack_head = struct.Struct(order + "HH2sH").unpack_from
        unpack_long = struct.Struct(order + "I").unpack_from
        for _ in self.steps:
            place = self.at(offset, 8)
            group, element, length = unpack(self.window, place)
            if group << 16 | element == _ITEM_END:
                return offset + 8
            nested = explicit
            nested_order = order
            start = offset + 8
            if explicit:
                _, _, vr, length = unpack_head(self.window, place)
                if vr in _LONG_VRS:
                    place = self.at(offset, 12)
                    (length,) = unpack_long(self.window, place + 8)
                    start = offset + 12
                    if vr == b"UN":
                        nested, nested_order = False, "<"
                elif vr not in _VRS:
                    raise _Odd
            if length == UNDEFINED:
                offset = self._skip_sequence(start, nested, nested_order, depth + 1)
            else:
                offset = start + length
        raise _Long

    def _fragments_end(self, offset: int, order: str) -> bool:
        """Whether encapsulated pixel data has all its fragments and its end."""
        unpack = struct.Struct(order + "HHI").unpack_from
        try:
            for _ in self.steps:
                place = self.at(offset, 8)
                group, element, length = unpack(self.window, place)
                tag = group << 16 | element
                if tag == _SEQUENCE_END:
                    return True
                if tag != _ITEM:
                    raise _Odd
                offset += 8 + length
        except _Short:
            return False
        raise _Long


def shortfall(
    rows: int, columns: int, samples: int, bits: int, frames: int, photometric: str, found: int
) -> str | None:
    """Say so when uncompressed pixel data has fewer bytes than its header asks for."""
    needed = (rows * columns * samples * bits * frames + 7) // 8
    if photometric == "YBR_FULL_422":
        needed = needed * 2 // 3
    if found < needed:
        return f"pixel data has {found} of {needed} bytes"
    return None


def _too_few(values: dict[int, bytes], found: int) -> str | None:
    if not all(tag in values for tag in (_ROWS, _COLUMNS, _BITS)):
        return None
    rows, columns, bits, samples = (
        int.from_bytes(values[tag], "little") if values.get(tag) else 1
        for tag in (_ROWS, _COLUMNS, _BITS, _SAMPLES)
    )
    frames = int(_text(values, _FRAMES) or 1)
    return shortfall(rows, columns, samples, bits, frames, _text(values, _PHOTOMETRIC), found)


def _text(values: dict[int, bytes], tag: int) -> str:
    """Value of `tag` as text; raises for what is not plain ASCII."""
    return values[tag].strip(b"\0 ").decode("ascii") if tag in values else ""


def _header(
    values: dict[int, bytes], pixel_bytes: int | None, problem: str | None, header_bytes: int
) -> Header:
    if _SOP_CLASS not in values and problem is None:
        raise _Odd
    number = _text(values, _NUMBER)
    patient_id = _text(values, _PATIENT_ID)
    # without an id, name and birth date tell patients apart; else they are not even decoded
    name = "" if patient_id else _text(values, _PATIENT_NAME)
    birth_date = "" if patient_id else _text(values, _BIRTH_DATE)
    if "\x1b" in patient_id + name:
        raise _Odd  # ISO 2022 escapes: the bytes look like ASCII and are not
    return Header(
        sop_class=_text(values, _SOP_CLASS),
        sop_uid=_text(values, _SOP_INSTANCE),
        study_uid=_text(values, _STUDY),
        series_uid=_text(values, _SERIES),
        patient_id=patient_id,
        issuer=_text(values, _ISSUER),
        patient_name=name,
        birth_date=birth_date,
        number=int(number) if number else None,
        has_pixels=bool(pixel_bytes),
        problem=problem,
        header_bytes=header_bytes,
    )
