"""The de-identified twin of a DICOM file: the same pixels under a header that names nobody.

The header is written anew (`medgrid.images.rewrite`); the pixel data is copied bit for bit. One
file gives the same bytes always, so that a further import makes nothing new.

Source: DICOM PS3.15 annex E, Basic Application Level Confidentiality Profile with the options that
`medgrid.images.stamp` declares. ``tests/images/test_derive_oracle.py`` puts something telling into
every attribute of table E.1-1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from medgrid.images.clean import Cleaner
from medgrid.images.deidentify import age_years, first_value, words_of
from medgrid.images.dicom import is_image, open_header, quiet_pydicom
from medgrid.images.encode import EXPLICIT_LITTLE, Element, Syntax, elements, file_meta
from medgrid.images.patient import PatientKeys, is_standard_uid
from medgrid.images.pixels import NoPixels, Pixels, find_pixels
from medgrid.images.private.complete import is_complete
from medgrid.images.review import review_reason
from medgrid.images.rewrite import Rewriter, undecoded
from medgrid.images.scrub import Scrubber
from medgrid.images.stamp import stamp
from medgrid.images.words import SHIPPED, Vocabulary

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = [
    "NOT_AN_IMAGE",
    "Derivative",
    "NoDerivative",
    "derive",
    "derive_header",
]

NOT_AN_IMAGE: Final = "not an image"
"""What begins the reason why there is no twin of a report, a plan and the like."""

_PATIENT_AGE: Final = 0x00101010
_IMAGE_TYPE: Final = 0x00080008
_STUDY_UID: Final = 0x0020000D
_NUMBER_OF_FRAMES: Final = 0x00280008
_OF_FRAMES: Final = (0x00280009, 0x0028000A, 0x3004000C)
_STRUCTURES: Final = "1.2.840.10008.5.1.4.1.1.481.3"
"""Contours, the one class without pixels that can be de-identified."""

_OF_STRUCTURES: Final = (
    (0x00081070, "PN", b""),  # OperatorsName
    (0x30060002, "SH", b"STRUCTURES"),  # StructureSetLabel
    (0x30060008, "DA", b""),  # StructureSetDate
    (0x30060009, "TM", b""),  # StructureSetTime
)
"""What contours must have, the label alone with a value."""


class NoDerivative(Exception):
    """An object has no de-identified twin; the message says why and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Derivative:
    """A de-identified instance that is ready to be written.

    Attributes
    ----------
    sop_uid : str
        Its own SOPInstanceUID.
    size_bytes : int
    review : str
        Why a person must look at its pixels before others may; empty: nobody need.
    is_complete : bool
        Whether it still says all of where it lies and how it was taken that its source says in
        private elements.
    """

    sop_uid: str
    size_bytes: int
    review: str
    is_complete: bool
    _header: bytes
    _pixels: Pixels | None
    _stream: BinaryIO
    _is_inflated: bool

    def beside(self, source: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Bytes of the file, beside those of its source that they are made of.

        Parameters
        ----------
        source : iterable of bytes
            The whole source, from its start.

        Yields
        ------
        bytes, bytes
            A piece of the source and one of this file; either may be empty.
        """
        if self._pixels is None:
            yield b"", self._header
            yield from ((chunk, b"") for chunk in source)
            return
        yield b"", self._header + self._pixels.head
        if self._is_inflated:
            yield from ((chunk, b"") for chunk in source)
            yield from ((b"", chunk) for chunk in self._pixels.chunks(self._stream))
            return
        offset = 0
        for chunk in source:
            begin, end = (max(at - offset, 0) for at in self._pixels.span)
            offset += len(chunk)
            yield chunk, chunk[begin:end]

    def chunks(self) -> Iterator[bytes]:
        """Bytes of the file; the source must still be open.

        Raises
        ------
        NoDerivative
            The source has become shorter.
        """
        if self._pixels is None:
            yield self._header
            return
        yield self._header + self._pixels.head
        try:
            yield from self._pixels.chunks(self._stream)
        except NoPixels as exc:
            raise NoDerivative(str(exc)) from None


def derive(
    source: BinaryIO,
    keys: PatientKeys,
    words: Iterable[str] = (),
    vocabulary: Vocabulary = SHIPPED,
) -> Derivative:
    """De-identify one DICOM file.

    Parameters
    ----------
    source : binary file
        Open at its start; it must be seekable.
    keys : PatientKeys
        What stands for the patient.
    words : iterable of str
        Further names and ids to cut out of text, beside those the header holds.
    vocabulary : Vocabulary
        Words that descriptions may have.

    Raises
    ------
    NoDerivative
        It is no image, broken, or of a kind that nobody can judge.
    """
    try:
        ds, stream = open_header(source)
        all_words = words_of(ds).union(words)
    except ValueError as exc:
        raise NoDerivative(str(exc)) from None
    return derive_header(ds, source, stream, keys, Scrubber(all_words, vocabulary))


def derive_header(
    ds: Dataset, source: BinaryIO, stream: BinaryIO, keys: PatientKeys, scrub: Scrubber
) -> Derivative:
    """De-identify one DICOM file whose header was read.

    Parameters
    ----------
    ds : pydicom.dataset.Dataset
        Its header, of which nothing but names was decoded.
    source : binary file
        The file; it must be seekable.
    stream : binary file
        What `medgrid.images.dicom.open_header` gave beside the header.
    keys : PatientKeys
        What stands for the patient.
    scrub : Scrubber
        Cuts all names and ids, also those that the header holds.

    Raises
    ------
    NoDerivative
        As `derive` does.
    """
    try:
        with quiet_pydicom():
            return _derive(ds, source, stream, keys, scrub)
    except (NoDerivative, MemoryError):
        raise
    except NoPixels as exc:
        raise NoDerivative(str(exc)) from None
    except Exception as exc:  # pydicom meets broken bytes with errors of every kind
        raise NoDerivative(f"header cannot be read ({type(exc).__name__})") from None


def _derive(
    ds: Dataset, source: BinaryIO, stream: BinaryIO, keys: PatientKeys, scrub: Scrubber
) -> Derivative:
    sop_class = _image_class(ds)
    sop_uid = keys.uid(undecoded(ds, 0x00080018))
    if not sop_uid:
        raise NoDerivative("no SOPInstanceUID")
    declared = str(getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", ""))
    if declared and not is_standard_uid(declared):
        raise NoDerivative("its transfer syntax is not known")
    is_inflated = stream is not source
    syntax = _syntax(ds, EXPLICIT_LITTLE if is_inflated else declared)
    pixels = None if sop_class == _STRUCTURES else find_pixels(stream, syntax)
    if pixels is not None and pixels.is_encapsulated != _is_compressed(syntax):
        raise NoDerivative("pixel data contradict the transfer syntax")
    _check_names(ds)
    writer = Rewriter(Cleaner(keys, scrub), syntax, _is_signed(ds))
    found = _with_frames(_age(ds, writer.dataset(ds)))
    has = {tag: value for tag, _, value in found}
    is_whole = not writer.is_lossy and is_complete(undecoded(ds, _IMAGE_TYPE), has, writer.private)
    study_uid = has.get(_STUDY_UID, b"").decode("ascii").strip("\0 ")
    found += [one for one in stamp(keys, study_uid, syntax) if one[0] not in has]
    if pixels is None:
        found += [one for one in _OF_STRUCTURES if one[0] not in has]
    if writer.is_unicode:
        found.append((0x00080005, "CS", b"ISO_IR 192"))
    header = file_meta(sop_class, sop_uid, syntax) + elements(found, syntax)
    review = "" if pixels is None else review_reason(ds) or _pixel_reason(ds, pixels)
    size_bytes = len(header) + (pixels.size_bytes if pixels else 0)
    return Derivative(sop_uid, size_bytes, review, is_whole, header, pixels, stream, is_inflated)


def _check_names(ds: Dataset) -> None:
    """Refuse a header whose names cannot be read: nothing could be cut."""
    for keyword in ("PatientName", "PatientID"):
        try:
            ds.get(keyword)
        except Exception:
            raise NoDerivative(f"its {keyword} cannot be read") from None
        if keyword in ds and ds[keyword].VR not in ("PN", "LO", "SH"):
            raise NoDerivative(f"its {keyword} cannot be read")


def _image_class(ds: Dataset) -> str:
    from pydicom.uid import UID

    uid = undecoded(ds, 0x00080016)
    if uid == _STRUCTURES:
        return uid
    if not uid:
        raise NoDerivative("no SOPClassUID")
    if not is_standard_uid(uid):
        raise NoDerivative("a private or unknown SOP class")
    if not is_image(uid):
        raise NoDerivative(f"{NOT_AN_IMAGE} ({UID(uid).name})")
    return uid


def _syntax(ds: Dataset, declared: str) -> Syntax:
    """Syntax the dataset is written in, whatever its file meta information declares."""
    from pydicom.dataelem import RawDataElement

    for raw in ds.values():
        if isinstance(raw, RawDataElement):
            return Syntax.of(
                declared, is_implicit=raw.is_implicit_VR, is_little=raw.is_little_endian
            )
    raise NoDerivative("no header")


def _is_compressed(syntax: Syntax) -> bool:
    from pydicom.uid import UID

    return bool(UID(syntax.uid).is_encapsulated)


def _is_signed(ds: Dataset) -> bool:
    return first_value(ds, "PixelRepresentation") == "1"


def _pixel_reason(ds: Dataset, pixels: Pixels) -> str:
    """Why the pixels may hold more than pixels."""
    if pixels.has_text:
        return "compressed frames carry text"
    if pixels.is_encapsulated:
        return ""
    sizes = [first_value(ds, name) for name in ("Rows", "Columns", "BitsAllocated")]
    counts = [first_value(ds, name) or "1" for name in ("SamplesPerPixel", "NumberOfFrames")]
    try:
        needed = (math.prod(map(int, (*sizes, *counts))) + 7) // 8
    except ValueError:
        return "pixel data cannot be measured"
    return "pixel data are longer than their frames" if pixels.value_bytes > needed + 1 else ""


def _with_frames(found: list[Element]) -> list[Element]:
    """Elements without what orders frames, where nothing says how many these are."""
    if any(tag == _NUMBER_OF_FRAMES for tag, _, _ in found):
        return found
    return [one for one in found if one[0] not in _OF_FRAMES]


def _age(ds: Dataset, found: list[Element]) -> list[Element]:
    """Elements with the age, which takes the birth date's place, where a file gives none."""
    if any(tag == _PATIENT_AGE and value for tag, _, value in found):
        return found
    years = age_years("", first_value(ds, "PatientBirthDate"), first_value(ds, "StudyDate"))
    if years is None:
        return found
    text = f"{int(years):03d}Y" if years >= 2 else f"{int(years * 12):03d}M"
    others = [one for one in found if one[0] != _PATIENT_AGE]
    return [*others, (_PATIENT_AGE, "AS", text.encode("ascii"))]
