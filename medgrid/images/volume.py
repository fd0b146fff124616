"""A NIfTI file as a volume: whose it is, its name, geometry and side-car, de-identified."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from medgrid.images import allowed
from medgrid.images.bids import (
    BidsName,
    Companion,
    Participant,
    companions,
    dataset_root,
    participant,
    side_car,
    subjects_of,
)
from medgrid.images.deidentify import (
    MAX_NUMBERS,
    age_years,
    allowed_value,
    clean_text,
    id_words,
    label,
    number,
    person_words,
    segment,
)
from medgrid.images.nifti import geometry
from medgrid.images.nominative import nominative_fields
from medgrid.images.scrub import Scrubber

__all__ = ["Volume", "clean_side_car", "long_words", "read_volume", "side_car_attributes"]

_MS_FIELDS = frozenset(
    ("RepetitionTime", "EchoTime", "EchoTime1", "EchoTime2", "InversionTime", "ExposureTime")
)
_SAME = {"ManufacturersModelName": "ManufacturerModelName"}
_MAX_VALUES = 64
_MAX_LISTED = 65536  # numbers of one field of a side-car that goes with its image


class Volume(NamedTuple):
    """What is needed to register a NIfTI file.

    `patient_id` and `issuer` are empty when nothing says whose it is; `dataset` is the name of the
    BIDS dataset whose subject `patient_id` is. `label` is empty when nothing
    but the file's name could be one. `problem` says why a side-car, or the
    table of participants, could not be read.

    `nominative` is what names the patient (`medgrid.images.nominative`), to be sealed, and `words`
    those that no companion may hold.
    `attributes` and `side_car` hold the dates and UIDs of the side-car:
    `medgrid.images.deidentify.keyed` replaces them before they go anywhere.
    """

    filename: str
    patient_id: str
    issuer: str
    dataset: str
    session: str  # ``ses-pre``, may be empty, and may name the patient
    label: str
    attributes: dict[str, Any]
    problem: str
    nominative: dict[str, str]
    words: tuple[str, ...]
    side_car: dict[str, Any]  # what of it may be known, as it says it
    companions: tuple[Companion, ...]


def read_volume(path: str, descriptor: int, size_bytes: int, compressed: bool) -> Volume:
    """Read the header of a NIfTI file and all that describes it.

    Whether the voxels of a gzip file are all there is found when they are read.

    Parameters
    ----------
    path : str
        The file.
    descriptor : int
        The file, open.
    size_bytes : int
        Its size.
    compressed : bool
        Whether it is a gzip file.

    Raises
    ------
    ValueError
        It is no NIfTI file, or it ends early.
    """
    with open(descriptor, "rb", buffering=0, closefd=False) as stream:
        shape = geometry(stream, size_bytes, compressed=compressed, whole=False)
    name = BidsName.parse(path)
    dataset = dataset_root(path) if name else None
    beside = companions(path, dataset)
    car = side_car(beside)
    whose = _Whose.of(car.fields, name, dataset)
    scrub = Scrubber(whose.words)
    references = _references(car.fields, whose)
    attributes = shape | side_car_attributes(car.fields, scrub) | references
    if name:
        attributes |= _entities(name, whose)
    known = Participant()
    if name and dataset:
        known = participant(dataset, name.subject, name.entities.get("ses", ""))
    attributes |= _participant(known)
    return Volume(
        filename="image.nii.gz" if compressed else "image.nii",
        patient_id=whose.patient_id,
        issuer=whose.issuer,
        dataset=whose.dataset,
        session=_session(name),
        label=_label(name, attributes, whose),
        attributes=attributes,
        problem=car.problem or known.problem,
        nominative=nominative_fields(car.fields) | whose.ids,
        words=whose.words,
        side_car=clean_side_car(car.fields, scrub) | references,
        companions=tuple(beside),
    )


class _Whose(NamedTuple):
    """Whose image it is, and the words that say so."""

    patient_id: str
    issuer: str
    dataset: str
    words: tuple[str, ...]

    @classmethod
    def of(cls, fields: Mapping[str, Any], name: BidsName | None, dataset: str | None) -> _Whose:
        patient_id = str(fields.get("PatientID") or "").strip()
        words = [*person_words(str(fields.get("PatientName") or "")), *id_words(patient_id)]
        if name is None:
            issuer = str(fields.get("IssuerOfPatientID") or "").strip()
            return cls(patient_id, issuer, "", tuple(words))
        words += id_words(name.subject)
        return cls(name.subject, "", subjects_of(dataset), tuple(words))

    @property
    def ids(self) -> dict[str, str]:
        """What the patient is called by, as far as it is known."""
        found = {"PatientID": self.patient_id, "IssuerOfPatientID": self.issuer or self.dataset}
        return {name: text for name, text in found.items() if text and self.patient_id}


def long_words(words: Iterable[str]) -> tuple[str, ...]:
    """Words that are no number or label by accident, as ``01`` of ``run-01`` is."""
    return tuple(word for word in words if len(word) >= 4)


def _entities(name: BidsName, whose: _Whose) -> dict[str, str]:
    scrub = Scrubber(long_words(whose.words))
    return {key: value for key, value in name.attributes.items() if not scrub.finds(value)}


def _participant(found: Participant) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    sex = found.sex.strip().upper()[:1]
    if sex in ("M", "F", "O"):
        attributes["PatientSex"] = sex
    try:
        years = float(found.age)
    except ValueError:
        return attributes
    if 0 <= years < 200:
        attributes["PatientAge"] = 90.0 if years > 89 else years
    return attributes


def _session(name: BidsName | None) -> str:
    session = segment(name.entities.get("ses", "")) if name else ""
    return session and f"ses-{session}"


def _label(name: BidsName | None, attributes: Mapping[str, Any], whose: _Whose) -> str:
    if name is not None:
        return segment(Scrubber(long_words(whose.words))(name.label))
    if "SeriesDescription" in attributes or "ProtocolName" in attributes:
        return label(attributes)
    return ""


def clean_side_car(fields: Mapping[str, Any], scrub: Scrubber) -> dict[str, Any]:
    """What of a side-car may be known, under its own names and in its own units."""
    found: dict[str, Any] = {}
    for field, value in fields.items():
        clean = _clean(_SAME.get(field, field), value, scrub, _MAX_LISTED)
        if clean is not None:
            found[field] = clean
    return found


def side_car_attributes(fields: Mapping[str, Any], scrub: Scrubber) -> dict[str, Any]:
    """What of a side-car may be known, as attributes.

    BIDS gives times in seconds; those that DICOM gives in ms become ms, so that one attribute has
    one unit.
    """
    found: dict[str, Any] = {}
    for field, value in fields.items():
        name = _SAME.get(field, field)
        clean = _clean(name, value, scrub, MAX_NUMBERS)
        if clean is None:
            continue
        if name in _MS_FIELDS and isinstance(clean, int | float):
            clean = round(clean * 1000, 6)
        found[name] = clean
    moment = str(fields.get("AcquisitionDateTime") or "")[:10]
    if "StudyDate" not in found and moment:
        day = allowed_value("StudyDate", [moment], scrub)
        if day is not None:
            found["StudyDate"] = day
    age = age_years(
        str(fields.get("PatientAge") or ""),
        str(fields.get("PatientBirthDate") or ""),
        str(found.get("StudyDate") or ""),
    )
    if age is not None:
        found["PatientAge"] = age
    return found


def _clean(name: str, value: Any, scrub: Scrubber, most_numbers: int) -> Any:
    values = value if isinstance(value, list) else [value]
    known = allowed_value(name, [one for one in values if one is not None], scrub)
    if known is not None:
        return known
    clean: list[Any] = []
    if name in allowed.BIDS_NUMBERS and len(values) <= most_numbers:
        clean = [found for one in values if (found := number(one)) is not None]
    elif name in allowed.BIDS_TEXTS and len(values) <= _MAX_VALUES:
        clean = [clean_text(str(one), scrub) for one in values if not isinstance(one, list | dict)]
    if not any(one != "" for one in clean) or len(clean) != len(values):
        return None
    return clean if isinstance(value, list) else clean[0]


def _references(fields: Mapping[str, Any], whose: _Whose) -> dict[str, Any]:
    """Images of the same subject that a side-car names, as the grid calls them."""
    scrub = Scrubber(long_words(whose.words))
    found: dict[str, Any] = {}
    for field in allowed.BIDS_REFERENCES & fields.keys():
        value = fields[field]
        names = [
            BidsName.parse(str(one)) for one in (value if isinstance(value, list) else [value])
        ]
        inner = [(_session(name) + "/" + segment(name.label)).lstrip("/") for name in names if name]
        if inner and len(inner) == len(names) <= _MAX_VALUES and not any(map(scrub.finds, inner)):
            found[field] = inner
    return found
