"""Attribute names: which are columns, their types, and how values are checked against them.

DICOM attributes go by keyword, BIDS entities by their long lower-case name. Where an attribute lies
is one of

- *column*: typed and indexed, see `COLUMNS`;
- *json*: brought by an importer, in the JSON column of the object;
- *user*: given with `ObjectStore.set_attributes`, one row per value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from medgrid.errors import UsageError
from medgrid.model import AttributeType

__all__ = [
    "ALIASES",
    "COLUMNS",
    "GEOMETRY_COMPLETE",
    "TWIN_MISSING",
    "TWIN_REMOVED",
    "TAGS",
    "AttributeColumn",
    "check_name",
    "nearest",
    "type_of",
]

_TEXT, _NUMBER, _DATE = AttributeType.TEXT, AttributeType.NUMBER, AttributeType.DATE


@dataclass(frozen=True, slots=True)
class AttributeColumn:
    """An attribute that has a column of its own in table ``object``."""

    name: str
    column: str
    type: AttributeType
    tag: str | None = None  # DICOM (gggg,eeee)


COLUMNS: dict[str, AttributeColumn] = {
    spec.name: spec
    for spec in (
        AttributeColumn("PatientID", "patient", _TEXT, "(0010,0020)"),
        AttributeColumn("PatientSex", "patient_sex", _TEXT, "(0010,0040)"),
        AttributeColumn("PatientAge", "patient_age", _NUMBER, "(0010,1010)"),
        AttributeColumn("StudyInstanceUID", "study_uid", _TEXT, "(0020,000d)"),
        AttributeColumn("StudyDate", "study_date", _DATE, "(0008,0020)"),
        AttributeColumn("StudyDescription", "study_description", _TEXT, "(0008,1030)"),
        AttributeColumn("SeriesInstanceUID", "series_uid", _TEXT, "(0020,000e)"),
        AttributeColumn("SeriesDate", "series_date", _DATE, "(0008,0021)"),
        AttributeColumn("SeriesNumber", "series_number", _NUMBER, "(0020,0011)"),
        AttributeColumn("SeriesDescription", "series_description", _TEXT, "(0008,103e)"),
        AttributeColumn("Modality", "modality", _TEXT, "(0008,0060)"),
        AttributeColumn("BodyPartExamined", "body_part_examined", _TEXT, "(0018,0015)"),
        AttributeColumn("ProtocolName", "protocol_name", _TEXT, "(0018,1030)"),
        AttributeColumn("Manufacturer", "manufacturer", _TEXT, "(0008,0070)"),
        AttributeColumn("ManufacturerModelName", "manufacturer_model_name", _TEXT, "(0008,1090)"),
        AttributeColumn("MagneticFieldStrength", "magnetic_field_strength", _NUMBER, "(0018,0087)"),
        AttributeColumn("RepetitionTime", "repetition_time", _NUMBER, "(0018,0080)"),
        AttributeColumn("EchoTime", "echo_time", _NUMBER, "(0018,0081)"),
        AttributeColumn("SliceThickness", "slice_thickness", _NUMBER, "(0018,0050)"),
        AttributeColumn("Rows", "rows", _NUMBER, "(0028,0010)"),
        AttributeColumn("Columns", "columns", _NUMBER, "(0028,0011)"),
        AttributeColumn("NumberOfSlices", "number_of_slices", _NUMBER, "(0054,0081)"),
        AttributeColumn("NumberOfTimepoints", "number_of_timepoints", _NUMBER),
        AttributeColumn("NumberOfFrames", "number_of_frames", _NUMBER, "(0028,0008)"),
        AttributeColumn(
            "NumberOfSeriesRelatedInstances", "number_of_instances", _NUMBER, "(0020,1209)"
        ),
        AttributeColumn("VoxelSizeX", "voxel_size_x", _NUMBER),
        AttributeColumn("VoxelSizeY", "voxel_size_y", _NUMBER),
        AttributeColumn("VoxelSizeZ", "voxel_size_z", _NUMBER),
        AttributeColumn("session", "session", _TEXT),
        AttributeColumn("task", "task", _TEXT),
        AttributeColumn("acquisition", "acquisition", _TEXT),
        AttributeColumn("run", "run", _TEXT),
        AttributeColumn("suffix", "suffix", _TEXT),
        AttributeColumn("datatype", "datatype", _TEXT),
    )
}

TAGS: dict[str, str] = {spec.tag: spec.name for spec in COLUMNS.values() if spec.tag}

ALIASES: dict[str, str] = {
    # BIDS entities by their short names; the subject is the pseudonym
    "sub": "PatientID",
    "subject": "PatientID",
    "ses": "session",
    "acq": "acquisition",
    "ce": "ceagent",
    "trc": "tracer",
    "rec": "reconstruction",
    "dir": "direction",
    "desc": "description",
    "res": "resolution",
    "den": "density",
    "hemi": "hemisphere",
    "NumberOfInstances": "NumberOfSeriesRelatedInstances",
}

GEOMETRY_COMPLETE = "GeometryComplete"
"""``no`` at a de-identified series that lacks private numbers which its original has."""

TWIN_MISSING = "TwinMissing"
"""Why an original has no de-identified twin; one of these may be:"""

TWIN_REMOVED = "removed"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_DATE_TEXT = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_MAX_NAME = 128


def check_name(name: str) -> str:
    """Return `name` when an attribute may be called so.

    Raises
    ------
    UsageError
        It has other characters than letters, digits, ``_`` and ``.``, or is too long.
    """
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not an attribute name",
            hint="a letter or '_', then letters, digits, '_' and '.'",
        )
    return name


def type_of(value: Any) -> AttributeType | None:
    """Type that `value` shows by itself; None when it shows none (None, an empty list).

    A list has the type of its elements, text when they differ. Text in the form ``YYYY-MM-DD`` is
    a date.
    """
    if isinstance(value, list | tuple):
        types = {found for part in value if (found := type_of(part)) is not None}
        if not types:
            return None
        return types.pop() if len(types) == 1 else _TEXT
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, bool):
        return _TEXT
    if isinstance(value, int | float):
        return _NUMBER
    return _DATE if isinstance(value, str) and _DATE_TEXT.fullmatch(value) else _TEXT


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Hint that names what is spelled like `word`, None when nothing is."""
    import difflib

    folded = {name.lower(): name for name in names}
    found = difflib.get_close_matches(word.lower(), folded, n=3, cutoff=0.6)
    found += [low for low in folded if word and word.lower() in low and low not in found][:3]
    if not found:
        return None
    return f"did you mean {', '.join(folded[low] for low in found[:3])}?"
