"""DICOM files: which are images, what of them belongs together, and a series' full header.

pydicom is the truth here; `medgrid.images.tags` is asked first because it is faster.
"""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from medgrid.images.tags import Header, read_header, shortfall

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

__all__ = [
    "Refusal",
    "SeriesKey",
    "full_header",
    "header_of",
    "quiet_pydicom",
    "read_with_pydicom",
    "refusal",
    "series_key",
]

_DICOMDIR = "1.2.840.10008.1.3.10"
_MAX_FALLBACK_BYTES = 2 * 1024**3


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
    if found is not None:
        return found
    start = os.pread(descriptor, 132, 0)
    if start[128:] != b"DICM" and not _starts_a_dataset(start):
        return None
    if size_bytes > _MAX_FALLBACK_BYTES:
        return _broken("too large to be read in this form")
    with open(descriptor, "rb", closefd=False) as stream:
        stream.seek(0)
        return read_with_pydicom(stream.read(), start[128:] == b"DICM")


def _starts_a_dataset(start: bytes) -> bool:
    """Whether a file without preamble begins with an element of group 2 or 8."""
    if len(start) < 12:
        return False
    return (start[:2] in (b"\x02\0", b"\x08\0") and start[3:4] == b"\0") or (
        start[:2] in (b"\0\x02", b"\0\x08") and start[2:3] == b"\0"
    )


_WANTED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "InstanceNumber",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "FloatPixelData",
    "DoubleFloatPixelData",
    "PixelData",
)


def read_with_pydicom(data: bytes, is_sure: bool) -> Header | None:
    """Read like `read_header`, slower and of every form pydicom knows."""
    import pydicom

    with quiet_pydicom():
        try:
            ds = pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=list(_WANTED))
            if not is_sure and "SOPClassUID" not in ds:
                return None
            pixels = next((tag for tag in _WANTED[-3:] if tag in ds), None)
            patient_id = _plain(ds, "PatientID")
            header = Header(
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
                has_pixels=pixels is not None and len(ds[pixels].value or b"") > 0,
                problem=None,
            )
            return header._replace(problem=_pixel_problem(ds, pixels))
        except MemoryError:
            raise
        except Exception as exc:  # pydicom meets broken bytes with errors of every kind
            return _broken(f"header cannot be read ({type(exc).__name__})") if is_sure else None


def _pixel_problem(ds: FileDataset, pixels: str | None) -> str | None:
    if pixels is None or ds[pixels].value is None:
        return None
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
        len(ds[pixels].value),
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
    if not header.series_uid:
        return Refusal("no SeriesInstanceUID", True)
    if not header.study_uid:
        return Refusal("no StudyInstanceUID", True)
    if not header.sop_uid:
        return Refusal("no SOPInstanceUID", True)
    if not header.has_pixels:
        name = _class_name(header.sop_class)
        return Refusal(f"no pixel data ({name})", "Image" in name)
    return None


def _class_name(sop_class: str) -> str:
    """Name of a SOP class, such as ``MR Image Storage``."""
    from pydicom.uid import UID

    if not sop_class:
        return "no SOPClassUID"
    name = UID(sop_class).name
    return name if name != sop_class else "private SOP class"


def full_header(stream: BinaryIO) -> Dataset:
    """Parse everything but the pixels of one instance.

    Raises
    ------
    ValueError
        pydicom cannot; the message quotes no value.
    """
    import pydicom

    with quiet_pydicom():
        try:
            return pydicom.dcmread(stream, force=True, stop_before_pixels=True)
        except MemoryError:
            raise
        except Exception as exc:
            raise ValueError(f"header cannot be read ({type(exc).__name__})") from None


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
