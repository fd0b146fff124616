"""DICOM files: pydicom's own, and series made of them that name a patient of the test's choice."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
