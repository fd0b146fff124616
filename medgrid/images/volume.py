"""A NIfTI file as a volume: whose it is, its name, geometry and side-car, de-identified."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from medgrid.images import allowed
from medgrid.images.bids import (
    ENTITIES_AND_SUFFIX,
    BidsName,
    Companion,
    Participant,
    companions,
    dataset_root,
    participant,
    side_car,
    subjects_of,
    visits,
)
from medgrid.images.codes import clean_code, codes_of
from medgrid.images.deidentify import (
    MAX_MEASURED,
    MAX_NUMBERS,
    age_years,
    allowed_value,
    clean_text,
    id_words,
    label,
    number,
    person_words,
    segment,
    told_moment,
)
from medgrid.images.nifti import geometry
from medgrid.images.nominative import nominative_fields
from medgrid.images.review import volume_review_reason
from medgrid.images.scrub import Scrubber
from medgrid.images.words import SHIPPED, Vocabulary, normal

__all__ = [
    "Volume",
    "clean_side_car",
    "long_words",
    "read_volume",
    "renewed",
    "said_at_visits",
    "said_by_tables",
    "side_car_attributes",
]

_MS_FIELDS = frozenset(
    ("RepetitionTime", "EchoTime", "EchoTime1", "EchoTime2", "InversionTime", "ExposureTime")
)
_SAME = {"ManufacturersModelName": "ManufacturerModelName", "BodyPart": "BodyPartExamined"}
_TABLES = {"ImageTypeText": "ImageType"}
_SEXES = {
    **dict.fromkeys(("m", "male", "man"), "M"),
    **dict.fromkeys(("f", "female", "woman"), "F"),
    **dict.fromkeys(("o", "other"), "O"),
}
_PER_YEAR = {
    **dict.fromkeys(("", "year", "years", "y", "yr", "yrs"), 1.0),
    **dict.fromkeys(("month", "months"), 12.0),
    **dict.fromkeys(("week", "weeks"), 52.1775),
    **dict.fromkeys(("day", "days"), 365.25),
}
_MAX_VALUES = 64
_MAX_LISTED = 65536  # numbers of one field of a side-car that goes with its image
_MAX_PLACE = 1024  # characters
_RENEWED = allowed.JUDGED | allowed.BIDS_TEXTS | allowed.BIDS_CODES


class Volume(NamedTuple):
    """What is needed to register a NIfTI file.

    `patient_id` and `issuer` are empty when nothing says whose it is; `dataset` is the name of the
    BIDS dataset whose subject `patient_id` is. `label` is empty when nothing
    but the file's name could be one. `problem` says why a side-car, or the
    table of participants, could not be read.

    `nominative` is what names the patient (`medgrid.images.nominative`), to be sealed, and `words`
    those that no companion may hold.
    `place` is what tells files of one session apart, whatever words are known: only what is made of
    it with a key goes anywhere. `held` are words that were held back, of those that do not name
    the patient; `texts` are the attributes that they stand in, as they were.
    `review` says why a person must look at it before others may.
    `references` are images of the same subject that it names by session and label, as
    `session` and `label` are. `attributes` and `side_car` hold the dates and UIDs of the side-car:
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
    references: dict[str, list[tuple[str, str]]]
    companions: tuple[Companion, ...]
    held: frozenset[str] = frozenset()
    place: str = ""
    texts: Mapping[str, Any] = MappingProxyType({})
    review: str = ""


def read_volume(
    path: str,
    descriptor: int,
    size_bytes: int,
    compressed: bool,
    vocabulary: Vocabulary = SHIPPED,
) -> Volume:
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
    vocabulary : Vocabulary
        Words that descriptions may have.

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
    scrub = Scrubber(whose.words, vocabulary)
    attributes = shape | side_car_attributes(car.fields, scrub)
    entities = _entities(name, whose, scrub) if name else {}
    if name:  # what its side-car says goes before what its folder is called
        attributes = name.attributes(entities) | attributes
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
        label=segment(name.label(entities)) if name else _label(attributes),
        attributes=attributes,
        problem=car.problem or known.problem,
        nominative=nominative_fields(car.fields) | whose.ids,
        words=whose.words,
        side_car=clean_side_car(car.fields, scrub),
        references=_references(car.fields, whose, scrub),
        companions=tuple(beside),
        held=frozenset(scrub.held),
        place=_place(name, car.fields, whose),
        texts=_texts(name, car.fields, attributes),
        review=volume_review_reason(attributes, car.fields),
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


def _entities(name: BidsName, whose: _Whose, scrub: Scrubber) -> dict[str, str]:
    """Entities of a file's name, and its suffix, whose values are known words."""
    names = Scrubber(long_words(whose.words), scrub.vocabulary)
    return {key: value for key, value in name.parts.items() if _is_known(value, names, scrub)}


def _is_known(value: str, names: Scrubber, scrub: Scrubber) -> bool:
    """Whether a value of a file's name is known words, and no names; others are held."""
    held = scrub.vocabulary.sift(normal(value)).held
    scrub.hold(held)
    return not held and not names.finds(value)


def said_by_tables(path: str) -> dict[str, Any]:
    """Age and sex that an image has of the tables of its dataset."""
    name = BidsName.parse(path)
    root = dataset_root(path) if name else None
    if name is None or root is None:
        return {}
    return _participant(participant(root, name.subject, name.entities.get("ses", "")))


def said_at_visits(root: str, subject: str) -> list[dict[str, Any]]:
    """Age and sex that images of a subject may have of the tables of a dataset."""
    return [_participant(participant(root, subject, one)) for one in ("", *visits(root, subject))]


def _participant(found: Participant) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    if sex := _SEXES.get(found.sex.strip().lower()):
        attributes["PatientSex"] = sex
    try:
        years = float(found.age) / _PER_YEAR[found.age_unit.strip().lower()]
    except (ValueError, KeyError):
        return attributes
    if 0 <= years < 200:
        attributes["PatientAge"] = 90.0 if years > 89 else round(years, 2)
    return attributes


def _session(name: BidsName | None) -> str:
    session = segment(name.entities.get("ses", "")) if name else ""
    return session and f"ses-{session}"


def _label(attributes: Mapping[str, Any]) -> str:
    if "SeriesDescription" in attributes or "ProtocolName" in attributes:
        return label(attributes)
    return ""


def clean_side_car(fields: Mapping[str, Any], scrub: Scrubber) -> dict[str, Any]:
    """What of a side-car may be known, under its own names and in its own units."""
    found: dict[str, Any] = {}
    for field, value in fields.items():
        clean = _clean(_SAME.get(field, field), value, scrub, _MAX_LISTED)
        if isinstance(clean, list) and isinstance(value, str):
            found[field] = "\\".join(clean)
        elif clean is not None:
            found[field] = clean
    return found | _moments(fields, found)


def _place(name: BidsName | None, fields: Mapping[str, Any], whose: _Whose) -> str:
    if name is not None:
        return segment(Scrubber(long_words(whose.words))(name.rest), _MAX_PLACE)
    text = str(fields.get("SeriesDescription") or fields.get("ProtocolName") or "")
    return segment(Scrubber(whose.words)(text[:_MAX_PLACE]), _MAX_PLACE)


def _texts(
    name: BidsName | None, fields: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    """Texts of a side-car and of a file's name that are not known as they stand."""
    said = {_SAME.get(field, field): value for field, value in fields.items()}
    found = {key: value for key, value in said.items() if key in _RENEWED and _is_text(value)}
    if name is not None:
        said = name.attributes(name.parts)
        found |= {key: said[key] for key in ENTITIES_AND_SUFFIX & said.keys()}
    return {
        key: value
        for key, value in found.items()
        if value != known.get(key) and len(str(value)) <= _MAX_PLACE
    }


def _is_text(value: Any) -> bool:
    return all(isinstance(one, str) for one in (value if isinstance(value, list) else [value]))


def renewed(texts: Mapping[str, Any], scrub: Scrubber) -> dict[str, Any]:
    """Attributes that `Volume.texts` give by the words that are known now; None for none."""
    found = side_car_attributes({key: texts[key] for key in texts.keys() & _RENEWED}, scrub)
    of_name = {key: str(texts[key]) for key in texts.keys() & ENTITIES_AND_SUFFIX}
    found |= {key: value for key, value in of_name.items() if _is_known(value, scrub, scrub)}
    return {key: found.get(key) for key in texts.keys() & (_RENEWED | ENTITIES_AND_SUFFIX)}


def side_car_attributes(fields: Mapping[str, Any], scrub: Scrubber) -> dict[str, Any]:
    """What of a side-car may be known, as attributes.

    BIDS gives times in seconds; those that DICOM gives in ms become ms, so that one attribute has
    one unit.
    """
    found: dict[str, Any] = {}
    for field, value in fields.items():
        name = _SAME.get(field, field)
        clean = _clean(name, value, scrub, MAX_NUMBERS)
        if clean is None or name in found:
            continue
        if name in _MS_FIELDS:
            many = [round(one * 1000, 6) for one in (clean if isinstance(clean, list) else [clean])]
            clean = many if isinstance(clean, list) else many[0]
        found[name] = clean
    day, _, time = str(fields.get("AcquisitionDateTime") or "").partition("T")
    if "StudyDate" not in found and day:
        known = allowed_value("StudyDate", [day[:10]], scrub)
        if known is not None:
            found["StudyDate"] = told_moment(known, time)
    found |= _moments(fields, found)
    age = age_years(
        str(fields.get("PatientAge") or ""),
        str(fields.get("PatientBirthDate") or ""),
        str(found.get("StudyDate") or "").partition("T")[0],
    )
    if age is not None:
        found["PatientAge"] = age
    return found


def _moments(fields: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, str]:
    """Dates of a side-car with the times of day that it gives beside them."""
    return {
        name: told_moment(found[name], str(fields.get(name.replace("Date", "Time")) or ""))
        for name in allowed.DATES & fields.keys()
        if isinstance(found.get(name), str)
    }


def _clean(name: str, value: Any, scrub: Scrubber, most_numbers: int) -> Any:
    form = allowed.BIDS_FORMS.get(name)
    if form and isinstance(value, str) and form.fullmatch(value):
        return value
    values = value if isinstance(value, list) else _parts(name, value, scrub)
    given = [one for one in values if one is not None]
    numbers = [found for one in values if (found := number(one)) is not None]
    if name in allowed.NUMBERS and len(given) != len(values):
        return None  # a list that lacks a number says something else
    if name in allowed.BIDS_MOMENTS and any(abs(one) >= MAX_MEASURED for one in numbers):
        return None
    known = allowed_value(name, given, scrub, most_numbers)
    if known is not None:
        return known
    clean: list[Any] = []
    if name in allowed.BIDS_CODES and len(values) <= _MAX_VALUES:
        codes = (clean_code(_TABLES.get(name, name), str(one), scrub) for one in values)
        clean = [code for code in codes if code is not None]
        return clean[0] if len(clean) == 1 and len(values) == 1 else clean or None
    if name in allowed.BIDS_NUMBERS and len(values) <= most_numbers:
        clean = numbers
    elif name in allowed.BIDS_TEXTS and len(values) <= _MAX_VALUES:
        clean = [
            clean_text(str(one), scrub, name) for one in values if not isinstance(one, list | dict)
        ]
    if not any(one != "" for one in clean) or len(clean) != len(values):
        return None
    return clean if isinstance(value, list) else clean[0]


def _parts(name: str, value: Any, scrub: Scrubber) -> list[Any]:
    """Codes that a side-car joins: ``SK\\SP``, in older ones ``SK_SP``."""
    if name not in allowed.CODES or not isinstance(value, str):
        return [value]
    joined = value.split("\\")
    if len(joined) > 1 or clean_code(name, value, scrub) is not None:
        return joined
    parts = value.split("_")
    return parts if all(part.upper() in codes_of(name) for part in parts) else [value]


def _references(
    fields: Mapping[str, Any], whose: _Whose, scrub: Scrubber
) -> dict[str, list[tuple[str, str]]]:
    """Images of the same subject that a side-car names: sessions and labels."""
    found: dict[str, list[tuple[str, str]]] = {}
    for field in allowed.BIDS_REFERENCES & fields.keys():
        value = fields[field]
        names = [
            BidsName.parse(str(one)) for one in (value if isinstance(value, list) else [value])
        ]
        inner = [
            (_session(name), label)
            for name in names
            if name and (label := segment(name.label(_entities(name, whose, scrub))))
        ]
        if inner and len(inner) == len(names) <= _MAX_VALUES:
            found[field] = inner
    return found
