"""The pixel data of a DICOM file, as it lies there: found, checked, never decoded.

Sources: DICOM PS3.5 section 8 and annex A.4 (encapsulated pixel data), PS3.3 C.7.6.3; ITU-T T.81
annex B (JPEG segments), T.800 annex A (JPEG 2000 segments).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from medgrid.images.encode import Syntax

__all__ = ["PIXEL_TAGS", "NoPixels", "Pixels", "find_pixels"]

_CHUNK_BYTES: Final = 1024 * 1024
_UNDEFINED: Final = 0xFFFFFFFF
PIXEL_TAGS: Final = {0x7FE00008: "OF", 0x7FE00009: "OD", 0x7FE00010: "OW"}
_ITEM: Final = 0xFFFEE000
_SEQUENCE_END: Final = 0xFFFEE0DD
_LOOK_BYTES: Final = 64 * 1024
_MAX_FRAGMENTS: Final = 5_000_000
_MAX_SEGMENTS: Final = 1000
_JPEG_TEXT: Final = frozenset((0xFE, *range(0xE1, 0xE8), *range(0xE9, 0xEE), 0xEF))
"""Comment and application segments but those of JFIF, SPIFF and Adobe, which hold no text."""
_ENCODER: Final = re.compile(
    rb"(created by |creator: ?)?(openjpeg|kakadu|kdu|jasper|lead |aware|pegasus|accusoft|lavc|"
    rb"ffmpeg|grok|dcm4che|intel|imagemagick|gdcm|dcmtk|offis|pvrg|matlab|lossless|quality)",
    re.IGNORECASE,
)


class NoPixels(Exception):
    """There is no whole pixel data; the message quotes nothing of the file."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Where the value of the pixel data lies in its file.

    Attributes
    ----------
    head : bytes
        Tag, value representation and length of the element.
    start, value_bytes : int
        The value, fragments and their end included.
    is_encapsulated : bool
    has_text : bool
        Whether compressed frames carry text beside their pixels.
    """

    head: bytes
    start: int
    value_bytes: int
    is_encapsulated: bool
    has_text: bool

    @property
    def size_bytes(self) -> int:
        """Size of the whole element."""
        return len(self.head) + self.value_bytes

    @property
    def span(self) -> tuple[int, int]:
        """Where the value begins and ends in its file."""
        return self.start, self.start + self.value_bytes

    def chunks(self, stream: BinaryIO) -> Iterator[bytes]:
        """Bytes of the value, read from its file.

        Raises
        ------
        NoPixels
            The file has become shorter.
        """
        stream.seek(self.start)
        left = self.value_bytes
        while left:
            chunk = stream.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise NoPixels("ends within its pixel data")
            left -= len(chunk)
            yield chunk


def find_pixels(stream: BinaryIO, syntax: Syntax) -> Pixels:
    """Find the pixel data.

    Parameters
    ----------
    stream : binary file
        At the element of the pixel data; it may be moved.
    syntax : Syntax
        Of the dataset.

    Raises
    ------
    NoPixels
        There is none, not all of it, or in no form that is known.
    """
    tag, vr, length = _head(stream, syntax)
    start = stream.tell()
    if length != _UNDEFINED:
        if stream.seek(0, 2) - start < length:
            raise NoPixels("ends within its pixel data")
        if not length:
            raise NoPixels("no pixel data")
        return Pixels(syntax.head(tag, vr, length), start, length, False, False)
    if tag != 0x7FE00010 or syntax.is_implicit:
        raise NoPixels("pixel data in a form that is not known")
    end, has_text = _fragments(stream, start, syntax)
    return Pixels(syntax.head(tag, "OB", _UNDEFINED), start, end - start, True, has_text)


def _head(stream: BinaryIO, syntax: Syntax) -> tuple[int, str, int]:
    head = stream.read(8)
    if len(head) < 8:
        raise NoPixels("no pixel data")
    group, number, length = struct.unpack(f"{syntax.order}HHI", head)
    tag = group << 16 | number
    if tag not in PIXEL_TAGS:
        raise NoPixels("no pixel data")
    vr = PIXEL_TAGS[tag]
    if not syntax.is_implicit:
        found = head[4:6].decode("ascii", "replace")
        if found not in ("OB", "OW", "UN", vr) or (found == "OB" and vr != "OW"):
            raise NoPixels("pixel data in a form that is not known")
        vr = vr if found == "UN" else found
        rest = stream.read(4)
        if len(rest) < 4:
            raise NoPixels("ends within its pixel data")
        (length,) = struct.unpack(f"{syntax.order}I", rest)
    return tag, vr, length


def _fragments(stream: BinaryIO, start: int, syntax: Syntax) -> tuple[int, bool]:
    """Where encapsulated pixel data ends, and whether its fragments hold text."""
    size = stream.seek(0, 2)
    offset = start
    has_text = False
    is_table = True  # the first item is the basic offset table
    for _ in range(_MAX_FRAGMENTS):
        stream.seek(offset)
        head = stream.read(8)
        if len(head) < 8:
            raise NoPixels("ends within its pixel data")
        group, number, length = struct.unpack(f"{syntax.order}HHI", head)
        tag = group << 16 | number
        offset += 8
        if tag == _SEQUENCE_END:
            return offset, has_text
        if tag != _ITEM or offset + length > size:
            raise NoPixels("ends within its pixel data")
        if not (is_table or has_text):
            has_text = _has_text(stream.read(min(length, _LOOK_BYTES)))
        is_table = False
        offset += length
    raise NoPixels(f"has more than {_MAX_FRAGMENTS} fragments")


def _has_text(frame: bytes) -> bool:
    """Whether a JPEG or JPEG 2000 stream begins with segments of text other than its encoder's."""
    if frame[:2] not in (b"\xff\xd8", b"\xff\x4f"):
        return False
    text = _JPEG_TEXT if frame[1] == 0xD8 else frozenset((0x64,))
    last = (0xDA, 0xD9) if frame[1] == 0xD8 else (0x90, 0x93, 0xD9)
    at = 2
    for _ in range(_MAX_SEGMENTS):
        if at + 4 > len(frame) or frame[at] != 0xFF:
            return False
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker in last:
            return False
        if marker == 0xFF:  # filling before a marker
            at += 1
            continue
        skip = 6 if marker == 0x64 else 4  # JPEG 2000 says of its comments what they are
        content = frame[at + skip : at + 2 + length].strip(b"\0 \r\n")
        if marker in text and content and not _ENCODER.match(content):
            return True
        at += 2 + length
    return True  # no encoder writes so many
