"""Whether two people have become one patient, or one person two patients: what an import says.

Nothing is refused, since headers may be wrong. No value is quoted, and nothing is said of what the
user does not see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple

from medgrid.actions.grid import Grid
from medgrid.actions.importing.drafts import Namer
from medgrid.catalog.scanned import SeriesName
from medgrid.images.dicom import SeriesKey
from medgrid.images.nominative import spellings
from medgrid.images.scan import Scanned
from medgrid.images.tags import Header

__all__ = ["BIRTH_DATE", "Doubt", "Doubts", "Facts", "contradictions", "spelled"]

BIRTH_DATE = "birth date"

_YEAR_DAYS = 365.25
_ROUNDED_YEARS = 2.0  # by which birthdays differ that follow from two ages
_APART_YEARS = 15.0  # that may pass between images without a date
_OLDEST_YEARS = 90.0  # over 89 an age says no more


class Facts(NamedTuple):
    """What an image says of a patient: DICOM's M, F or O; years; a day, moved or not."""

    sex: str = ""
    age_years: float | None = None
    day: str = ""

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Facts:
        """What attributes of the catalog say; lists say nothing."""
        sex, age = attributes.get("PatientSex"), attributes.get("PatientAge")
        day = attributes.get("StudyDate")
        return cls(
            sex if isinstance(sex, str) else "",
            age if isinstance(age, int | float) and age < _OLDEST_YEARS else None,
            day if isinstance(day, str) else "",
        )

    @property
    def born(self) -> float | None:
        """Day of birth, in years."""
        try:
            days = date.fromisoformat(self.day).toordinal()
        except ValueError:
            return None
        return None if self.age_years is None else days / _YEAR_DAYS - self.age_years


def contradictions(one: Facts, other: Facts) -> list[str]:
    """What cannot be true of one person: ``sex``, ``age``."""
    found = ["sex"] if {one.sex, other.sex} == {"M", "F"} else []
    if one.age_years == other.age_years or one.age_years is None or other.age_years is None:
        return found  # one age may stand for all sessions of a subject
    if one.born is not None and other.born is not None:
        is_other = abs(one.born - other.born) > _ROUNDED_YEARS
    else:
        is_other = abs(one.age_years - other.age_years) > _APART_YEARS
    return [*found, "age"] if is_other else found


class Doubt(NamedTuple):
    """Something that a person should look at, in words that quote nothing; and what to do."""

    reason: str
    hint: str


class Doubts:
    """Finds them, and tells each once."""

    def __init__(self, grid: Grid, namer: Namer, tell: Callable[[Doubt], None]) -> None:
        self._imported = grid.catalog.imported
        self._namer = namer
        self._tell = tell
        self._known: dict[str, set[Facts]] = {}
        self._told: set[object] = set()

    def recall(self, patients: Iterable[str]) -> None:
        """Ask what the images say that the user sees of patients."""
        for patient, said in self._imported.said_of(patients).items():
            self._known.setdefault(patient, set()).update(map(Facts.of, said))

    def compare(self, series: Iterable[tuple[SeriesKey, SeriesName]]) -> None:
        """Look for series that two patients have, here or as far as the user sees them."""
        whose: dict[str, set[str]] = {}
        for key, name in series:
            if name.patient is not None:
                whose.setdefault(self._namer.series_id(key), set()).add(name.patient)
        others = self._imported.patients_of_series(whose)
        for series_id, patients in whose.items():
            self._coincide(patients | others.get(series_id, set()))

    def see(self, patient: str, facts: Facts) -> None:
        """Compare what an image says with all that was said of its patient."""
        known = self._known.setdefault(patient, set())
        if facts not in known:
            for what in sorted({one for other in known for one in contradictions(facts, other)}):
                self.contradict(patient, what)
            known.add(facts)

    def contradict(self, patient: str, what: str) -> None:
        """Say that images of one patient tell of two people."""
        if (patient, what) not in self._told:
            self._told.add((patient, what))
            self._tell(
                Doubt(
                    f"{patient}: images differ in the patient's {what}: they may be of two people",
                    "import what is of others apart, with an --issuer of its own; 'medgrid whois "
                    f"{patient}' says who it is",
                )
            )

    def _coincide(self, patients: Iterable[str]) -> None:
        names = sorted(patients)
        if len(names) > 1 and tuple(names) not in self._told:
            self._told.add(tuple(names))
            self._tell(
                Doubt(
                    f"{' and '.join(names)} have the same series: they may be one person",
                    "an id was corrected, or its issuer is missing in some files: if they are, "
                    f"'medgrid patient merge {names[0]} {names[1]}' lets the one become the other",
                )
            )


def spelled(grid: Grid, namer: Namer, scanned: list[Scanned]) -> list[Scanned]:
    """Spell the names of patients without an id alike: as the grid has them, if it does."""
    found: dict[SeriesKey, dict[str, str]] = {}
    for one in scanned:
        if one.header is not None and one.header.patient_name and not one.header.patient_id:
            key = _named(one.header)
            # as it was written first: who is in the grid keeps their pseudonym
            ways = dict.fromkeys((key.patient_name, *spellings(key.patient_name)))
            found[key] = {
                namer.of_series(key._replace(patient_name=way)): way for way in ways if way
            }
    if not found:
        return scanned
    pseudonyms = {patient for ways in found.values() for patient in ways}
    there = pseudonyms - grid.whole.access.without_team(pseudonyms)
    chosen = {
        key: next(
            (way for patient, way in ways.items() if patient in there),
            spellings(key.patient_name)[0] or key.patient_name,
        )
        for key, ways in found.items()
    }
    return [
        one._replace(header=one.header._replace(patient_name=chosen[_named(one.header)]))
        if one.header is not None and _named(one.header) in chosen
        else one
        for one in scanned
    ]


def _named(header: Header) -> SeriesKey:
    """What a patient without an id is known by."""
    return SeriesKey("", header.issuer, header.patient_name, header.birth_date, "", "")
