"""DICOM files: pydicom's own, and series made of them that name a patient of the test's choice."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
ROOT_UID = "1.2.826.0.1.3680043.10.511"


def pydicom_file(name: str) -> Path:
    """A file of pydicom's wheel."""
    return PYDICOM_FILES / name


def all_pydicom_files() -> Iterator[Path]:
    """Every file of pydicom's wheel, DICOM or not."""
    return (path for path in sorted(PYDICOM_FILES.rglob("*")) if path.is_file())


def instance(number: int = 1, series: str = "1", study: str = "1", **values: Any) -> Dataset:
    """One slice of an MR series, with attributes set by keyword; None takes one away."""
    ds = pydicom.dcmread(pydicom_file("MR_small.dcm"))
    ds.StudyInstanceUID = f"{ROOT_UID}.1.{study}"
    ds.SeriesInstanceUID = f"{ROOT_UID}.2.{study}.{series}"
    ds.SOPInstanceUID = f"{ROOT_UID}.3.{study}.{series}.{number}"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.InstanceNumber = number
    ds.ImagePositionPatient = [0, 0, float(number)]
    ds.PatientID = "PAT-4711"
    ds.PatientName = "Meier^Anna"
    ds.StudyDate = "20210304"
    ds.SeriesDescription = "T1w"
    for keyword, value in values.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    return ds


def encoded(ds: Dataset) -> bytes:
    """Bytes of a DICOM file."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write_series(folder: Path, slices: int = 3, **values: Any) -> list[Path]:
    """Write a series as ``IM1.dcm``, ... into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(1, slices + 1):
        path = folder / f"IM{number}.dcm"
        path.write_bytes(encoded(instance(number, **values)))
        paths.append(path)
    return paths


def csa_header(tags: Mapping[str, Sequence[str]], junk: bytes = b"") -> bytes:
    """A Siemens CSA header, which keeps what no public element says.

    `junk`, of less than 60 bytes, stands wherever nothing is looked for.

    Source: nibabel's documentation, "Siemens format DICOM with CSA header", type 2.
    """
    fill = junk or b"\0"
    data = b"SV10" + (junk + b"\4\3\2\1")[:4] + struct.pack("<2I", len(tags), 77)
    for name, values in tags.items():
        field = name.encode() + b"\0"
        data += field + (fill * 64)[: 64 - len(field)]
        texts = [f"{value}\0".encode() + junk for value in values]
        texts += [b""] * (6 - len(texts))  # as a scanner pads them
        data += struct.pack("<i4s3i", len(values), b"FD" + junk[:2], 0, len(texts), 77)
        for text in texts:
            data += struct.pack("<4i", len(text), len(text), 77, len(text))
            data += text + (fill * 4)[: -len(text) % 4]
    return data + junk


MOSAIC_TAGS: Mapping[str, Sequence[str]] = {
    "NumberOfImagesInMosaic": ["4"],
    "SliceNormalVector": ["0", "-1", "0"],
    "MosaicRefAcqTimes": ["0", "500", "250", "750"],
    "PhaseEncodingDirectionPositive": ["1"],
    "BandwidthPerPixelPhaseEncode": ["20"],
}


def write_mosaic(folder: Path, csa: bytes | None = None) -> None:
    """Write two time points of four coronal slices each, whose normal only a CSA header tells.

    `csa` stands in place of a header of `MOSAIC_TAGS`.
    """
    folder.mkdir(parents=True)
    for number in (1, 2):
        ds = instance(
            number,
            Manufacturer="SIEMENS",
            ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
            ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
            ImagePositionPatient=[-100, 20, 100],
            Rows=128,
            Columns=128,
            RepetitionTime=1000,
            MRAcquisitionType="2D",
            ScanningSequence="EP",
            InPlanePhaseEncodingDirection="COL",
            AcquisitionMatrix=[64, 0, 0, 64],
            AcquisitionTime=f"10111{number}.000000",
        )
        pixels = np.random.default_rng(number).integers(0, 900, (128, 128), np.int16)
        ds.PixelData = pixels.tobytes()
        block = ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", csa_header(MOSAIC_TAGS) if csa is None else csa)
        (folder / f"IM{number}.dcm").write_bytes(encoded(ds))
