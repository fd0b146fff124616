"""Elements as the bytes of a DICOM file.

Source: DICOM PS3.5 section 7 (data elements, sequences), PS3.10 section 7.1 (file meta).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from medgrid.images.clean import pad

__all__ = ["EXPLICIT_LITTLE", "Element", "Syntax", "elements", "file_meta", "item"]

_IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
_EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
_LONG: Final = frozenset(
    ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
)
_MAX_SHORT_BYTES: Final = 0xFFFE
_IMPLEMENTATION: Final = "2.25.98142370529963407742315190426380557281"

Element = tuple[int, str, bytes]
"""Tag, value representation, encoded value."""


@dataclass(frozen=True, slots=True)
class Syntax:
    """How a dataset is encoded: its transfer syntax, and what follows from it."""

    uid: str
    is_implicit: bool = False
    order: str = "<"

    @classmethod
    def of(cls, uid: str, *, is_implicit: bool, is_little: bool) -> Syntax:
        """Syntax of a dataset that was read so; `uid` matters when its pixels are compressed."""
        if not is_little:
            return cls(_EXPLICIT_BIG, order=">")
        if is_implicit:
            return cls(_IMPLICIT_LITTLE, is_implicit=True)
        return cls(EXPLICIT_LITTLE if uid in ("", _IMPLICIT_LITTLE, _EXPLICIT_BIG) else uid)

    def head(self, tag: int, vr: str, length: int) -> bytes:
        """Tag, value representation and length of an element."""
        group, number = tag >> 16, tag & 0xFFFF
        if self.is_implicit:
            return struct.pack(f"{self.order}HHI", group, number, length)
        if vr not in _LONG and length > _MAX_SHORT_BYTES:
            vr = "UN"  # PS3.5 6.2.2 note 4
        code = vr.encode("ascii")
        if vr in _LONG:
            return struct.pack(f"{self.order}HH2sHI", group, number, code, 0, length)
        return struct.pack(f"{self.order}HH2sH", group, number, code, length)


def elements(found: Iterable[Element], syntax: Syntax) -> bytes:
    """Encode elements, in the order of their tags."""
    parts: list[bytes] = []
    for tag, vr, value in sorted(found, key=lambda one: one[0]):
        padded = pad(vr, value)
        parts += (syntax.head(tag, vr, len(padded)), padded)
    return b"".join(parts)


def item(content: bytes, syntax: Syntax) -> bytes:
    """One item of a sequence."""
    return struct.pack(f"{syntax.order}HHI", 0xFFFE, 0xE000, len(content)) + content


def file_meta(sop_class: str, sop_uid: str, syntax: Syntax) -> bytes:
    """Preamble and file meta information, which say nothing but these and who wrote the file."""
    meta = Syntax(EXPLICIT_LITTLE)
    content = elements(
        [
            (0x00020001, "OB", b"\0\1"),
            (0x00020002, "UI", sop_class.encode("ascii")),
            (0x00020003, "UI", sop_uid.encode("ascii")),
            (0x00020010, "UI", syntax.uid.encode("ascii")),
            (0x00020012, "UI", _IMPLEMENTATION.encode("ascii")),
            (0x00020013, "SH", b"MEDGRID"),
        ],
        meta,
    )
    length = elements([(0x00020000, "UL", struct.pack("<I", len(content)))], meta)
    return bytes(128) + b"DICM" + length + content
