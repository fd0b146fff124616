"""DICOM files: which are images, what of them belongs together, and a series' full header.

pydicom is the truth here; `medgrid.images.tags` is asked first because it is faster.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from medgrid.images.bounded import EASY_BYTES, TooMuch, parse
from medgrid.images.pack import Changed
from medgrid.images.tags import PIXELS, SHORT_HEADER, UNDEFINED, Header, read_header, shortfall

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

__all__ = [
    "Refusal",
    "SeriesKey",
    "full_header",
    "header_of",
    "is_document",
    "is_image",
    "open_header",
    "quiet_pydicom",
    "read_with_pydicom",
    "refusal",
    "series_key",
]

_DICOMDIR = "1.2.840.10008.1.3.10"
_IMAGES = frozenset(
    """
    1.2.840.10008.5.1.4.1.1.66.4 1.2.840.10008.5.1.4.1.1.66.7 1.2.840.10008.5.1.4.1.1.30
    1.2.840.10008.5.1.4.1.1.481.2 1.2.840.10008.5.1.4.1.1.6.2
    1.2.840.10008.5.1.4.1.1.81.1 1.2.840.10008.5.1.4.1.1.82.1
    """.split()  # noqa: SIM905
)
"""SOP classes that are images though their names do not say so: segmentations, maps, doses."""


class SeriesKey(NamedTuple):
    """What instances of one object have in common."""

    patient_id: str
    issuer: str
    patient_name: str
    birth_date: str
    study_uid: str
    series_uid: str


def header_of(descriptor: int, size_bytes: int) -> Header | None:
    """Read what is needed of one instance; None when the file is not DICOM.

    Parameters
    ----------
    descriptor : int
        Open file descriptor; its position may change.
    size_bytes : int
        Size of the file.
    """
    found = read_header(descriptor, size_bytes)
    if found is not None and found.problem != SHORT_HEADER:
        return _checked(found, descriptor)
    start = os.pread(descriptor, 132, 0)
    is_sure = start[128:] == b"DICM"
    if not is_sure and not _starts_a_dataset(start):
        return None
    with open(descriptor, "rb", closefd=False) as stream:
        stream.seek(0)
        truth = read_with_pydicom(stream, is_sure)
    if found is not None and (truth is None or truth.problem or not truth.has_pixels):
        return found
    return truth and _checked(truth, descriptor)


def _checked(header: Header, descriptor: int) -> Header:
    """The same, with a problem when its header is large and goes beyond the bounds."""
    if header.problem is None and header.header_bytes > EASY_BYTES:
        with open(descriptor, "rb", closefd=False) as stream:
            stream.seek(0)
            try:
                full_header(stream)
            except ValueError as exc:
                return header._replace(problem=str(exc))
    return header


def _starts_a_dataset(start: bytes) -> bool:
    """Whether a file without preamble begins with an element of group 2 or 8."""
    if len(start) < 12:
        return False
    return (start[:2] in (b"\x02\0", b"\x08\0") and start[3:4] == b"\0") or (
        start[:2] in (b"\0\x02", b"\0\x08") and start[2:3] == b"\0"
    )


_WANTED = (
    *(0x00080016, 0x00080018, 0x00100010, 0x00100020, 0x00100021, 0x00100030),
    *(0x0020000D, 0x0020000E, 0x00200013),
    *(0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280100),
)
"""Tags of what a `Header` is made of."""


def read_with_pydicom(stream: BinaryIO, is_sure: bool) -> Header | None:
    """Read like `read_header`, slower and of every form pydicom knows.

    Parameters
    ----------
    stream : binary file
        At its start.
    is_sure : bool
        Whether it is DICOM; else that is found out.
    """
    pixels: list[tuple[int, int]] = []  # where their value begins, and its length

    def never(tag: int, _vr: str | None, length: int, place: int) -> bool:
        if tag in PIXELS:
            pixels.append((place, length))
        return False

    try:
        with _as_value_errors():
            ds, plain = parse(stream, never, _WANTED)
            if not is_sure and "SOPClassUID" not in ds:
                return None
            place, length = pixels[-1] if pixels else (0, 0)
            if length == UNDEFINED and plain.tell() == place:  # pydicom went back, without an end
                return _broken("ends within its pixel data")
            size_bytes = plain.seek(0, 2)
            return _header(ds, place, min(length, size_bytes - place), place or size_bytes)
    except ValueError as exc:
        return _broken(str(exc)) if is_sure else None


def _header(ds: FileDataset, pixels_at: int, pixel_bytes: int, header_bytes: int) -> Header:
    patient_id = _plain(ds, "PatientID")
    return Header(
        sop_class=_plain(ds, "SOPClassUID")
        or str(getattr(ds.file_meta, "MediaStorageSOPClassUID", "")),
        sop_uid=_plain(ds, "SOPInstanceUID"),
        study_uid=_plain(ds, "StudyInstanceUID"),
        series_uid=_plain(ds, "SeriesInstanceUID"),
        patient_id=patient_id,
        issuer=_plain(ds, "IssuerOfPatientID"),
        patient_name="" if patient_id else _plain(ds, "PatientName"),
        birth_date="" if patient_id else _plain(ds, "PatientBirthDate"),
        number=_number(ds, "InstanceNumber"),
        has_pixels=pixel_bytes > 0,
        problem=_pixel_problem(ds, pixel_bytes) if pixels_at else None,
        header_bytes=header_bytes,
    )


@contextmanager
def _as_value_errors() -> Iterator[None]:
    """Turn what pydicom raises into ValueErrors whose messages quote nothing.

    An error of the disk says nothing of the bytes, and is left as it is.
    """
    with quiet_pydicom():
        try:
            yield
        except (MemoryError, TooMuch, Changed):
            raise
        except RecursionError:
            raise ValueError("sequences are nested too deep") from None
        except Exception as exc:  # pydicom meets broken bytes with errors of every kind
            if isinstance(exc, OSError) and exc.errno is not None:
                raise
            raise ValueError(f"header cannot be read ({type(exc).__name__})") from None


def _pixel_problem(ds: FileDataset, found_bytes: int) -> str | None:
    syntax = getattr(ds.file_meta, "TransferSyntaxUID", None)
    if syntax is not None and syntax.is_compressed and not syntax.is_deflated:
        return None
    rows, columns, bits = (_number(ds, name) for name in ("Rows", "Columns", "BitsAllocated"))
    if rows is None or columns is None or bits is None:
        return None
    return shortfall(
        rows,
        columns,
        _number(ds, "SamplesPerPixel") or 1,
        bits,
        _number(ds, "NumberOfFrames") or 1,
        _plain(ds, "PhotometricInterpretation"),
        found_bytes,
    )


def _plain(ds: Dataset, keyword: str) -> str:
    value = ds.get(keyword)
    if value is None:
        return ""
    if not isinstance(value, str) and isinstance(value, Iterable) and keyword != "PatientName":
        value = "\\".join(str(part) for part in value)
    return str(value).strip("\0 ")


def _number(ds: Dataset, keyword: str) -> int | None:
    try:
        return int(ds.get(keyword))
    except (TypeError, ValueError):
        return None


def _broken(reason: str) -> Header:
    return Header("", "", "", "", "", "", "", "", None, False, reason)


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom's warnings and log: they quote values."""
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Refusal(NamedTuple):
    """Why an instance is not imported, and whether that is a defect of an image."""

    reason: str
    is_failure: bool


def refusal(header: Header) -> Refusal | None:
    """Say why an instance is not imported; None: it is."""
    if header.sop_class == _DICOMDIR:
        return Refusal("DICOMDIR, an index of other files", False)
    if header.problem is not None:
        return Refusal(header.problem, True)
    is_other = is_document(header.sop_class)
    if is_other and not (header.series_uid and header.study_uid):
        return Refusal(f"of no study ({_class_name(header.sop_class)})", False)
    if not header.series_uid:
        return Refusal("no SeriesInstanceUID", True)
    if not header.study_uid:
        return Refusal("no StudyInstanceUID", True)
    if not header.sop_uid:
        return Refusal("no SOPInstanceUID", True)
    if not header.has_pixels and not is_other:
        name = _class_name(header.sop_class)
        return Refusal(f"no pixel data ({name})", "Image" in name)
    return None


def is_image(sop_class: str) -> bool:
    """Whether instances of a SOP class of the standard are images."""
    return sop_class in _IMAGES or "Image Storage" in _standard_name(sop_class)


def is_document(sop_class: str) -> bool:
    """Whether they are something else that belongs to a study: a report, a plan, contours."""
    return (
        "Storage" in _standard_name(sop_class).replace("Storage Commitment", "")
        and sop_class != _DICOMDIR
        and not is_image(sop_class)
    )


@lru_cache(1024)
def _standard_name(sop_class: str) -> str:
    """Name that the standard gives a SOP class; empty for others."""
    from pydicom.uid import UID

    name = UID(sop_class).name if sop_class else ""
    return "" if name == sop_class else name


def _class_name(sop_class: str) -> str:
    """Name of a SOP class, such as ``MR Image Storage``."""
    from pydicom.uid import UID

    if not sop_class:
        return "no SOPClassUID"
    name = UID(sop_class).name
    return name if name != sop_class else "private SOP class"


def open_header(stream: BinaryIO) -> tuple[FileDataset, BinaryIO]:
    """Parse everything but the pixels of one instance.

    Parameters
    ----------
    stream : binary file
        At its start.

    Returns
    -------
    ds : pydicom.dataset.FileDataset
    pixels : binary file
        Stands at the element of the pixel data: `stream`, or what was inflated of it.

    Raises
    ------
    ValueError
        pydicom cannot; the message quotes no value.
    Changed
        The file cannot be read.
    """
    with _as_value_errors():
        return parse(stream, lambda tag, *_: tag in PIXELS)


def full_header(stream: BinaryIO) -> Dataset:
    """The same without the pixels."""
    return open_header(stream)[0]


def series_key(header: Header) -> SeriesKey:
    """The series, and the patient, an instance belongs to."""
    return SeriesKey(
        header.patient_id,
        header.issuer,
        header.patient_name,
        header.birth_date,
        header.study_uid,
        header.series_uid,
    )
