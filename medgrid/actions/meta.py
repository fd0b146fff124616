"""Attributes of patients and visits: give, take away, show; and blind them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from medgrid.actions.attributes import Changed, give
from medgrid.actions.blinding import Codes
from medgrid.actions.grid import Grid
from medgrid.actions.importing.drafts import Namer
from medgrid.actions.importing.naming import namer_of
from medgrid.actions.importing.tables import Subjects, TableReport, given, read_rows, tell
from medgrid.actions.permission import patients_allowed
from medgrid.catalog.attributes import check_name
from medgrid.catalog.names import KnownName
from medgrid.catalog.patient_attributes import Given, Said
from medgrid.crypto.policy import Verb
from medgrid.documents import Unreadable
from medgrid.errors import ConfigError, NotFound, UsageError
from medgrid.images.bids import dataset_root, subjects_of
from medgrid.images.people import (
    MISSING,
    UNIT,
    is_long,
    level_of,
    number_of,
    people_table,
    refused_name,
)
from medgrid.model import LFN, AttributeType

__all__ = ["Place", "Table", "attributes", "import_table", "set_values", "show", "unset_values"]

_SUBJECTS = ("participant_id", "patient", "patient_id", "PatientID", "subject", "subject_id")
_SESSIONS = ("session_id", "session", "visit")
_PSEUDONYM = re.compile(r"P-[0-9A-Z]+")


@dataclass(frozen=True, slots=True)
class Place:
    """A patient, or one of their visits."""

    patient: str
    visit: str = ""

    @classmethod
    def parse(cls, word: str) -> Place:
        """Read ``PATIENT[/SESSION]``.

        Raises
        ------
        UsageError
            It has more parts, or none.
        """
        patient, _, visit = word.partition("/")
        if not patient or "/" in visit:
            raise UsageError(
                f"{word!r} is no patient and no visit", hint="say PATIENT, or PATIENT/SESSION"
            )
        return cls(patient, visit.removeprefix("ses-"))

    def __str__(self) -> str:
        return f"{self.patient}/{self.visit}" if self.visit else self.patient


def set_values(grid: Grid, place: Place, words: Mapping[str, str], unit: str = "") -> Changed:
    """Say something of a patient in the user's care, or of a visit; all or nothing.

    Raises
    ------
    NotFound
        There is no such patient of the user's, or no such visit.
    UsageError
        A name or a value is not allowed, or the attribute has another type or unit.
    """
    _require(grid, place)
    _require_visit(grid, place)
    if unit and not UNIT.fullmatch(unit):
        raise UsageError(f"{unit!r} is no unit")
    known = grid.catalog.patient_attributes
    new = [
        Given(place.patient, place.visit, name, _value(name, text, known.known(name), unit))
        for name, text in words.items()
    ]
    return give(grid, new, units=dict.fromkeys(words, unit) if unit else None)


def _value(name: str, text: str, known: KnownName | None, unit: str) -> float | str:
    check_name(name)
    if reason := refused_name(name):
        raise UsageError(f"attribute {name!r} is not kept: {reason}")
    number = number_of(text)
    if number is not None and (known is None or known.type is AttributeType.NUMBER):
        if is_long(text) and not (unit or (known and known.unit)):
            raise UsageError(
                f"{name}: a long number may be an id", hint="say its --unit if it is none"
            )
        return number
    word = level_of(text)
    if word is None:
        raise UsageError(
            f"{name}: a value is a number, a word or a few",
            hint="dates, long numbers and free text are not kept",
        )
    return word


def unset_values(grid: Grid, place: Place, names: Sequence[str]) -> Changed:
    """Take values away; they stay in the history.

    Raises
    ------
    NotFound
        There is no such patient of the user's, or nothing to take away.
    """
    _require(grid, place)
    said = grid.catalog.patient_attributes.of([place.patient])
    there = {one.given.name for one in said if one.given.visit == place.visit}
    for name in names:
        if name not in there:
            raise NotFound(
                f"{place} has no {name}", hint=f"see 'medgrid meta show {place.patient}'"
            )
    known = grid.catalog.patient_attributes
    new = [Given(place.patient, place.visit, name, None) for name in dict.fromkeys(names)]
    places = {name: found.place for name in names if (found := known.known(name)) is not None}
    done = Changed([], [])
    with grid.whole.transaction():
        for one in new:
            fresh, replaced = give(grid, [one], place=places[one.name])
            done.fresh.extend(fresh)
            done.replaced.extend(replaced)
    return done


def _require(grid: Grid, place: Place) -> None:
    problem = patients_allowed(grid, Verb.WRITE, [place.patient])[place.patient]
    if problem is not None:
        raise problem


def _require_visit(grid: Grid, place: Place) -> None:
    """Whether it has images, or a table said something of it before these."""
    store = grid.catalog.patient_attributes
    visits = store.visits([place.patient]).get(place.patient, set())
    if place.visit and place.visit not in visits:
        visits |= {one.given.visit for one in store.history([place.patient])} - {""}
        if place.visit not in visits:
            raise NotFound(
                f"{place.patient} has no visit {place.visit}",
                hint=f"visits are {', '.join(sorted(visits)) or 'known by session or study date'}",
            )


def show(grid: Grid, place: Place, *, history: bool = False) -> list[Said]:
    """What is known of a patient and their visits, or of one visit; with all that was.

    Raises
    ------
    NotFound
        There is no such patient, as far as the user may know.
    """
    store = grid.catalog.patient_attributes
    said = (store.history if history else store.of)([place.patient])
    if not said:
        problem = patients_allowed(grid, Verb.SEE, [place.patient])[place.patient]
        seen = grid.catalog.patient_attributes.visits([place.patient])
        if problem is not None and place.patient not in seen:
            raise problem
    return [one for one in said if place.visit in ("", one.given.visit)]


def attributes(grid: Grid) -> list[KnownName]:
    """Attributes of patients and visits that the user sees somewhere."""
    return list(grid.catalog.patient_attributes.names().values())


# -- tables ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table:
    """A table to be imported.

    Attributes
    ----------
    path : Path
        Tab-separated, or ``.csv``; a JSON file beside it may say Levels and Units.
    issuer : str
        Who gave the ids, as for an import of images.
    blind : sequence of str
        Columns whose values become codes.
    to : sequence of str
        Who may know what the codes mean; the user, when nobody is named.
    """

    path: Path
    issuer: str = ""
    blind: Sequence[str] = ()
    to: Sequence[str] = ()


def import_table(grid: Grid, table: Table) -> TableReport:
    """Bring what a table says of patients in the user's care, and of their visits.

    Raises
    ------
    NotFound
        There is no such file.
    UsageError
        It cannot be read, or has no column of patients; a column cannot be blinded.
    Denied
        What the codes of a blinded attribute mean is sealed to others.
    """
    path = table.path
    if not path.is_file():
        raise NotFound(f"{str(path)!r} does not exist", hint="name a table")
    try:
        rows, described = read_rows(path)
    except Unreadable as exc:
        raise UsageError(f"{path.name}: {exc}") from None
    columns = rows[0] if rows else {}
    subject = next((one for one in _SUBJECTS if one in columns), None)
    if subject is None:
        raise UsageError(
            f"{path.name} has no column of patients",
            hint=f"call it {_SUBJECTS[0]}; it holds pseudonyms, or ids as images have them",
        )
    session = next((one for one in _SESSIONS if one in columns), None)
    found = people_table(rows, described, subject, session)
    report = TableReport(path.name, wrong=found.wrong, left_out=found.left_out)
    known = {name: value for _, _, values in found.rows for name, value in values.items()}
    for name in table.blind:
        if name not in known:
            reason = found.left_out.get(name, f"{path.name} has no values of it")
            raise UsageError(f"{name} cannot be blinded: {reason}")
        if not isinstance(known[name], str):
            raise UsageError(
                f"{name} cannot be blinded: it has numbers, and codes stand for words",
                hint=f"list them as Levels of {name} in {path.with_suffix('.json').name}: they are "
                "words then, also when it is unblinded",
            )
    called = _Called(grid, table)
    new = given(grid, found, called, lambda patients: _not_mine(grid, patients), report)
    report.others, report.unknown = [*report.others, *report.unknown], []
    source = called.source
    with grid.whole.transaction():
        tell(grid, [one for one in new if one.name not in table.blind], source, found.units, report)
        for name in table.blind:
            chosen = [one for one in new if one.name == name]
            codes = Codes(grid, name)
            done = codes.blind(chosen, table.to, source)
            cannot = f"codes of {name}: somebody who knew them cannot any more"
            report.lost += [f"{cannot}: {reason}" for reason in codes.lost]
            report.fresh += done.fresh
            report.replaced += done.replaced
    return report


def _not_mine(grid: Grid, patients: Iterable[str]) -> set[str]:
    problems = patients_allowed(grid, Verb.WRITE, patients)
    return {patient for patient, problem in problems.items() if problem is not None}


class _Called:
    """Whom a table speaks of: by pseudonyms and sessions of the catalog, or ids as images have."""

    def __init__(self, grid: Grid, table: Table) -> None:
        self._grid = grid
        self._table = table

    @cached_property
    def _namer(self) -> Namer:
        return namer_of(self._grid, LFN("/tables"), self._table.issuer)

    @cached_property
    def _subjects(self) -> Subjects:
        root = dataset_root(str(self._table.path.resolve()))
        return Subjects(self._namer, subjects_of(root) if root else "")

    @cached_property
    def source(self) -> str:
        """What the history calls the table: not by its name, which may be a patient's."""
        with suppress(ConfigError):
            return f"table {self._namer.file_key(str(self._table.path.resolve()))[:8]}"
        return "table"

    @cached_property
    def _merged(self) -> dict[str, str]:
        return self._grid.catalog.merged.all()

    def patient(self, subject: str) -> str:
        if _PSEUDONYM.fullmatch(subject):
            return self._merged.get(subject, subject)
        return self._subjects.patient(subject)

    def visit(self, subject: str, session: str, there: Collection[str]) -> str:
        if _PSEUDONYM.fullmatch(subject):
            return "" if session.lower() in MISSING else session.removeprefix("ses-")
        return self._subjects.visit(subject, session, there)

    def shown(self, subject: str, place: str) -> str:
        return subject if _PSEUDONYM.fullmatch(subject) else place
