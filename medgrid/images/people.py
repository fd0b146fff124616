"""Tables about people: which of their columns may be known, judged by name and by all values.

Numbers may be known, and words that are levels: those that the table's description lists, or words
of which each stands there for several people. Never names, dates, ids and long numbers. Whatever is
none of this is left out, with the reason; so is a cell that does not fit its column.

Source: Brain Imaging Data Structure 1.11, "Tabular files", "Participants file", "Sessions file".
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from medgrid.images import allowed
from medgrid.images.bids import ENTITIES

__all__ = [
    "MISSING",
    "UNIT",
    "PeopleTable",
    "Wrong",
    "attribute_of",
    "is_long",
    "level_of",
    "number_of",
    "people_table",
    "refused_name",
]

MISSING = frozenset(("", "n/a", "na", "nan", "null"))
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_LEVEL = re.compile(r"[^\W_][\w+./<>=%()-]*(?: [\w+./<>=%()-]+){0,2}")
UNIT = re.compile(r"[\w%°/*^.() -]{1,24}")
_DATE = re.compile(
    r"\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:\d{4}|\d\d)|\d{1,2}:\d\d"
    r"|(?<!\d)(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?i:\d{1,4}[ -]?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[ -]?\d{1,4})"
)
_LONG = re.compile(r"\d{7}")
_LONG_WORD = re.compile(r"\d{5}")
_MOST_CHARACTERS = 40
_MOST_LEVELS = 20
_YEARS = 1900, 2101
_SHORT_DATES = ("%d%m%y", "%y%m%d", "%m%d%y")
_MOST_WRONG = 0.2  # of the cells of a column of numbers
_SHORT = 4  # characters that may be in a word by accident
_PEOPLE = frozenset(
    """
    name names surname forename firstname lastname fullname nickname initials id ids identifier mrn
    ssn nhs cpr nino passport insurance address street city town village zip zipcode postcode postal
    phone telephone tel mobile fax email mail contact url physician doctor nurse operator rater
    reader reviewer investigator interviewer examiner technician technologist radiologist
    neurologist referrer relative mother father spouse partner employer occupation comment comments
    note notes remark remarks
    """.split()  # noqa: SIM905
)
_DATES = frozenset(
    ("date", "dates", "datetime", "birth", "birthday", "birthdate", "born", "dob", "yob")
)
_OF_IMAGES = ENTITIES | allowed.BIDS_NUMBERS | allowed.BIDS_TEXTS | allowed.BIDS_CODES
_IMAGES_HAVE = {"age": "PatientAge", "sex": "PatientSex", "gender": "PatientSex"}

_NO_LEVELS = (
    "free text: words are kept that the JSON file beside the table lists as Levels, or of which "
    "each stands there for several people"
)
"""Why a column of words is left out."""


class Wrong(NamedTuple):
    """A cell that is left out: where it stands, and why, which quotes nothing."""

    row: str
    column: str
    reason: str


@dataclass(slots=True)
class PeopleTable:
    """What a table says of people.

    Attributes
    ----------
    rows : list of (str, str, dict)
        Subject and session as the table has them, and values by attribute.
    units : dict
        Unit by attribute.
    left_out : dict
        Why columns are left out.
    wrong : list of Wrong
    places : list of str
        What the rows are called.
    """

    rows: list[tuple[str, str, dict[str, float | str]]] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    wrong: list[Wrong] = field(default_factory=list)
    places: list[str] = field(default_factory=list)


def people_table(
    rows: Sequence[Mapping[str, str]],
    described: Mapping[str, Any],
    subject: str,
    session: str | None = None,
    skip: Collection[str] = (),
    places: Sequence[str] = (),
    leave_out: Collection[str] = (),
) -> PeopleTable:
    """Judge a table.

    Parameters
    ----------
    rows : sequence of mapping
        Cells by column.
    described : mapping
        The JSON file beside it: ``Levels`` and ``Units`` by column.
    subject, session : str
        Columns that say whose the row is.
    skip : collection of str
        Columns that say nothing of a person, and are not said to be left out.
    places : sequence of str
        What the rows are called; ``row 1`` is the first by itself.
    leave_out : collection of str
        Attributes that are not taken.
    """
    found = PeopleTable(
        [(row.get(subject, "").strip(), row.get(session or "", "").strip(), {}) for row in rows],
        places=list(places) or [f"row {number}" for number in range(1, len(rows) + 1)],
    )
    taken: set[str] = set()
    for column in dict.fromkeys(column for row in rows for column in row):
        if column in (subject, session) or column in skip:
            continue
        name = attribute_of(column)
        said = described.get(column)
        spec = said if isinstance(said, dict) else {}
        cells = {
            place: text
            for place, row in enumerate(rows)
            if (text := row.get(column, "").strip()).lower() not in MISSING
        }
        reason = _reason(name, cells, [one for one, _, _ in found.rows], spec)
        if name in taken:
            reason = f"another column is {name}, too"
        if name in leave_out:
            reason = "as it was asked for"
        if reason:
            found.left_out[column] = reason
        elif cells:
            taken.add(name)
            _take(found, column, name, cells, spec)
    return found


def attribute_of(column: str) -> str:
    """Name of the attribute that a column becomes."""
    name = re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_")
    return f"_{name}" if name[:1].isdigit() else name


def _take(
    found: PeopleTable, column: str, name: str, cells: Mapping[int, str], spec: Mapping[str, Any]
) -> None:
    listed = _levels(spec)
    is_number = listed is None and _is_numeric(cells.values())
    subjects = [subject for subject, _, _ in found.rows]
    levels = _shared(cells, subjects) if listed is None else listed
    for place, text in cells.items():
        value: float | str | None
        if is_number:
            value, reason = number_of(text), "not a number"
        else:
            value = level_of(text) if text in levels else None
            reason = "nobody else has this word" if listed is None else "not one of its Levels"
            if _names(subjects[place], text):
                value, reason = None, "an id"
        if value is None:
            found.wrong.append(Wrong(found.places[place], column, reason))
        else:
            found.rows[place][2][name] = value
    unit = spec.get("Units")
    if is_number and isinstance(unit, str) and UNIT.fullmatch(unit):
        found.units[name] = unit


def _reason(
    name: str, cells: Mapping[int, str], subjects: Sequence[str], spec: Mapping[str, Any]
) -> str:
    """Why a column may not be known; empty when it may."""
    if reason := refused_name(name):
        return reason
    own = sum(1 for place, text in cells.items() if _names(subjects[place], text))
    if own and own * 2 >= len(cells):
        return "ids of people"
    levels = _levels(spec)
    if levels is None:
        reason = _of_numbers([text for text in cells.values() if number_of(text) is not None], spec)
        if reason or _is_numeric(cells.values()):
            return reason
    if any(_DATE.search(text) for text in cells.values()):
        return "dates"
    if levels is not None:
        return "" if any(map(level_of, levels)) else _NO_LEVELS
    shared = _shared(cells, subjects)
    alone = sum(1 for text in cells.values() if text not in shared)
    is_few = len(shared) <= _MOST_LEVELS and alone * 2 <= len(cells)
    return "" if is_few and all(map(level_of, cells.values())) else _NO_LEVELS


def _shared(cells: Mapping[int, str], subjects: Sequence[str]) -> set[str]:
    """Words of a column that each stand for several people."""
    people: dict[str, set[str]] = {}
    for place, text in cells.items():
        if subject := subjects[place].removeprefix("sub-"):
            people.setdefault(text, set()).add(subject)
    return {text for text, whose in people.items() if len(whose) > 1}


def refused_name(name: str) -> str:
    """Why an attribute of people may not be called so; empty when it may."""
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    if not name:
        return "it has no name"
    if name.lower() in _IMAGES_HAVE:
        return f"images have it, as {_IMAGES_HAVE[name.lower()]}"
    if name in _OF_IMAGES:
        return "images have an attribute of this name"
    if words & _DATES:
        return "dates"
    return "names, ids or remarks, by its name" if words & _PEOPLE else ""


def is_long(text: str) -> bool:
    """Whether a number is so long that it may be an id."""
    return _LONG.match(text.lstrip("+-")) is not None


def _of_numbers(texts: Sequence[str], spec: Mapping[str, Any]) -> str:
    """Why numbers may not be known.

    Some may stand for what is not known: distinct ones above zero are counted.
    """
    numbers = {one for one in map(float, texts) if one > 0}
    whole = [f"{one:.0f}" for one in numbers if one == int(one)]  # 310151.0 is how pandas writes
    if _are_most(numbers, [one for one in whole if _DATE.fullmatch(one)]):
        return "dates"
    if "Units" in spec:
        return ""
    if any(map(is_long, texts)):
        return "long numbers, which may be ids; numbers that have Units in the JSON file are kept"
    least, end = _YEARS
    if _are_most(numbers, [one for one in numbers if least <= one < end]):
        return "years, which are dates; numbers that have Units in the JSON file are kept"
    if any(_are_most(numbers, _short_dates(whole, form)) for form in _SHORT_DATES):
        return "dates, such as 310151; numbers that have Units in the JSON file are kept"
    return ""


def _are_most(numbers: Collection[float], some: Collection[Any]) -> bool:
    return len(some) * 2 > len(numbers)


def _short_dates(whole: Iterable[str], form: str) -> list[str]:
    """Numbers of six digits, or five after a zero that was lost, that are dates of a form."""
    found = []
    for text in whole:
        if len(text) in (5, 6):
            with suppress(ValueError):
                datetime.strptime(text.zfill(6), form)
                found.append(text)
    return found if any(len(text) == 6 for text in found) else []


def _names(subject: str, text: str) -> bool:
    label = subject.removeprefix("sub-").lower()
    return len(label) >= _SHORT and label in text.lower()


def _levels(spec: Mapping[str, Any]) -> Collection[str] | None:
    levels = spec.get("Levels")
    return [str(one) for one in levels] if isinstance(levels, dict | list) and levels else None


def _is_numeric(texts: Iterable[str]) -> bool:
    given = list(texts)
    wrong = sum(1 for text in given if number_of(text) is None)
    return bool(given) and wrong <= len(given) * _MOST_WRONG


def number_of(text: str) -> float | None:
    """A number; None when it is none."""
    found = float(text) if _NUMBER.fullmatch(text) else math.inf
    return found if math.isfinite(found) else None


def level_of(text: str) -> str | None:
    """A word, or a few, that may be a level; None for a date, a long number, a sentence."""
    if len(text) > _MOST_CHARACTERS or not _LEVEL.fullmatch(text):
        return None
    return None if _DATE.search(text) or _LONG_WORD.search(text) else text
