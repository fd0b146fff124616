"""What is known of patients and their visits: attributes that people or tables gave; history.

A visit is known by its session or study date, as objects have them. A value is never lost: another
one takes its place, and the earlier one stays behind it. What a table said once it does not say
again, so that a value that somebody put right stays right when the table is read again.

The values of an attribute may be codes (`Codes`); whoever may know what they mean has a list of it,
sealed, until it is released for everybody.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    insert,
    or_,
    select,
    text,
    update,
)

from medgrid.catalog.names import (
    BLIND,
    OF_PATIENTS,
    PATIENT,
    UNBLINDED,
    KnownName,
    NameBook,
    known_names,
    seen_names,
)
from medgrid.catalog.schema import (
    object_,
    patient_attribute,
    released_code,
    sealed_codes,
)
from medgrid.catalog.sight import Sight
from medgrid.catalog.visits import hold_patients
from medgrid.database import Database
from medgrid.database.many import among
from medgrid.errors import UsageError
from medgrid.model import AttributeType, plain_number

__all__ = ["Given", "PatientAttributeStore", "Said", "Unfit"]

_MAX_TEXT = 64

Value = float | str


@dataclass(frozen=True, slots=True)
class Given:
    """A value of an attribute of a patient, or of the visit that `visit` names; None is none."""

    patient: str
    visit: str
    name: str
    value: Value | None

    @property
    def word(self) -> str:
        """Its value as a question has it; empty for none."""
        if isinstance(self.value, str):
            return self.value
        return "" if self.value is None else plain_number(self.value)


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of a patient or a visit: by whom, when (epoch seconds), and out of what."""

    given: Given
    revision: int
    is_current: bool
    source: str
    given_by: str
    given_s: float


class Unfit(UsageError):
    """An attribute may not be called so, or may not have a value."""

    def __init__(self, name: str, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.name = name


class PatientAttributeStore:
    """Attributes of patients and visits. Each method is one transaction.

    A viewer sees what is said of patients in their care, and of visits of which they see an object.
    """

    def __init__(self, db: Database, sight: Sight) -> None:
        self._db = db
        self._sight = sight

    # -- giving ------------------------------------------------------------------------------------

    def give(
        self,
        new: Sequence[Given],
        by: str,
        *,
        source: str = "",
        units: Mapping[str, str] | None = None,
        place: str = PATIENT,
    ) -> tuple[list[Given], list[Given]]:
        """Say something of patients whom the grid has; all or nothing.

        Parameters
        ----------
        new : sequence of Given
            Each attribute of a patient or visit once.
        by : str
            Who says so. Whether they may is for the caller to ask; a server asks again.
        source : str
            The table it stands in; what this said before it does not say again. Empty is somebody,
            who means what they say.
        units : mapping, optional
            Unit by name.
        place : str
            ``blind`` where the values are codes.

        Returns
        -------
        (list of Given, list of Given)
            What is new, and what took the place of another value.

        Raises
        ------
        Unfit
            A name or a value is not allowed, or the attribute has another type or unit.
        """
        if not new:
            return [], []
        with self._db.write() as connection:
            names = NameBook(connection)
            known = {}
            for name, value in {one.name: one.value for one in new}.items():
                try:
                    known[name] = names.claim(name, value, (units or {}).get(name), place)
                except UsageError as error:
                    raise Unfit(name, error.message, error.hint) from error
            codes = _codes(connection, known.values())
            rows = [_row(one, known[one.name], codes) for one in new]
            hold_patients(connection, sorted({one.patient for one in new}), self._sight)
            give = _give_guarded if self._sight.is_guarded else _give
            fresh, replaced = give(connection, rows, by, source)
            return [new[place] for place in fresh], [new[place] for place in replaced]

    # -- reading -----------------------------------------------------------------------------------

    def of(self, patients: Iterable[str]) -> list[Said]:
        """What is known of patients and their visits now, sorted."""
        return self._said(among_patients=patients, only_current=True)

    def history(self, patients: Iterable[str]) -> list[Said]:
        """All that was ever said of patients and their visits, by name, the oldest first."""
        return self._said(among_patients=patients, only_current=False)

    def _said(self, among_patients: Iterable[str], *, only_current: bool) -> list[Said]:
        said = patient_attribute.c
        with self._db.read() as connection:
            question = select(patient_attribute, released_code.c.meaning).outerjoin(
                released_code,
                and_(released_code.c.name == said.name, released_code.c.code == said.text),
            )
            question = question.where(
                among(connection, said.patient, set(among_patients)), self._sight.said()
            )
            if only_current:
                known = or_(said.num.is_not(None), said.text.is_not(None))
                question = question.where(said.is_current, known)
            ordered = question.order_by(said.patient, said.visit, said.name, said.revision)
            return [
                Said(
                    Given(row.patient, row.visit, row.name, _value(row)),
                    row.revision,
                    bool(row.is_current),
                    row.source,
                    row.given_by,
                    row.given_s,
                )
                for row in connection.execute(ordered)
            ]

    def names(self) -> dict[str, KnownName]:
        """Attributes of patients and visits that the viewer sees somewhere, by name."""
        with self._db.read() as connection:
            ours = [one for one in known_names(connection).values() if one.place in OF_PATIENTS]
            seen = seen_names(connection, self._sight, ours)
        return {one.name: one for one in sorted(ours, key=lambda one: one.name) if one.name in seen}

    def known(self, name: str) -> KnownName | None:
        """What is known of an attribute, of whatever; None when it is new."""
        with self._db.read() as connection:
            return known_names(connection).get(name)

    def visits(self, patients: Iterable[str]) -> dict[str, set[str]]:
        """Sessions and study dates of patients, as far as the viewer sees objects of them."""
        found: dict[str, set[str]] = {}
        columns = (object_.c.patient, object_.c.session, object_.c.study_date)
        with self._db.read() as connection:
            chosen = among(connection, object_.c.patient, set(patients)), self._sight.objects()
            for patient, *names in connection.execute(select(*columns).where(*chosen).distinct()):
                found.setdefault(patient, set()).update(filter(None, names))
        return found

    # -- codes -------------------------------------------------------------------------------------

    def codes_for(self, name: str, reader: str) -> str | None:
        """What the codes of an attribute mean, sealed to a reader; None when it is not."""
        with self._db.read() as connection:
            sealed: str | None = connection.scalar(
                select(sealed_codes.c.sealed).where(
                    sealed_codes.c.name == name, sealed_codes.c.reader == reader
                )
            )
        return sealed or None

    def hold_codes(self, name: str) -> bool:
        """Keep others from the codes of an attribute until the end; give whether it is new.

        Raises
        ------
        Unfit
            It is known, and not blinded.
        """
        with self._db.write() as connection:
            try:
                return NameBook(connection).hold(name, BLIND)
            except UsageError as error:
                raise Unfit(name, error.message, error.hint) from error

    def seal_codes(self, name: str, sealed: Mapping[str, str], by: str) -> None:
        """Keep what the codes of an attribute mean, by reader, in place of all earlier lists."""
        with self._db.write() as connection:
            chosen = sealed_codes.c.name == name
            there = set(connection.scalars(select(sealed_codes.c.reader).where(chosen)))
            # who holds a list already may change those of others
            for reader in sorted({*there, *sealed}, key=lambda one: one != by):
                row = {"sealed": sealed.get(reader, ""), "given_by": by, "given_s": time.time()}
                if reader in there:
                    is_theirs = chosen, sealed_codes.c.reader == reader
                    connection.execute(update(sealed_codes).where(*is_theirs).values(row))
                else:
                    connection.execute(
                        insert(sealed_codes), {**row, "name": name, "reader": reader}
                    )

    def release_codes(self, name: str, meanings: Mapping[str, str], by: str) -> None:
        """Let everybody know what the codes of an attribute mean."""
        with self._db.write() as connection:
            names = NameBook(connection)
            known = {"name": name, "released_by": by, "released_s": time.time()}
            connection.execute(
                insert(released_code),
                [{**known, "code": code, "meaning": text} for code, text in meanings.items()],
            )
            names.unblind(name)


def _codes(connection: Connection, names: Iterable[KnownName]) -> dict[tuple[str, str], str]:
    """Codes that stand for values which everybody may know, by name and value."""
    unblinded = [one.name for one in names if one.place == UNBLINDED]
    if not unblinded:
        return {}
    codes = released_code.c
    rows = connection.execute(
        select(codes.name, codes.meaning, codes.code).where(
            among(connection, codes.name, unblinded)
        )
    )
    return {(name, meaning): code for name, meaning, code in rows}


def _row(one: Given, known: KnownName, codes: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    """A value as the table has it; where `codes` has one for it, that.

    Raises
    ------
    Unfit
        It is none that may stand there.
    """
    value, num, words = one.value, None, None
    if known.type is AttributeType.NUMBER and value is not None:
        if isinstance(value, str) or not math.isfinite(value):
            raise Unfit(one.name, f"attribute {one.name!r} is a number in this grid, not a word")
        num = float(value)
    elif value is not None:
        words = one.word
        if not 0 < len(words) <= _MAX_TEXT:
            raise Unfit(one.name, f"a value of {one.name!r} has 1 to {_MAX_TEXT} characters")
    return {
        "patient": one.patient,
        "visit": one.visit,
        "name": one.name,
        "num": num,
        "text": None if words is None else codes.get((one.name, words), words),
    }


def _value(row: Any) -> Value | None:
    if row.num is not None:
        return int(row.num) if row.num == int(row.num) else float(row.num)
    text: str | None = row.text if row.meaning is None else row.meaning
    return text


def _key(row: Any) -> tuple[str, str, str]:
    return (row.patient, row.visit, row.name)


def _give(
    connection: Connection, rows: Sequence[dict[str, Any]], by: str, source: str
) -> tuple[list[int], list[int]]:
    """Enter rows; give the places of those that are new, and of those that replace a value."""
    said = patient_attribute.c
    patients = {row["patient"] for row in rows}
    before: dict[tuple[str, str, str], Any] = {}
    told: dict[tuple[str, str, str], tuple[Any, Any]] = {}  # the last that this source said
    columns = (said.patient, said.visit, said.name, said.revision, said.num, said.text, said.source)
    found: Select[Any] = select(*columns).where(among(connection, said.patient, patients))
    for row in connection.execute(found.order_by(*columns[:4])):
        before[_key(row)] = row
        if row.source == source:
            told[_key(row)] = (row.num, row.text)
    fresh: list[int] = []
    replaced: list[int] = []
    new = []
    known = {"is_current": True, "source": source, "given_by": by, "given_s": time.time()}
    for place, one in enumerate(rows):
        key = (one["patient"], one["visit"], one["name"])
        value = (one["num"], one["text"])
        old = before.get(key)
        old_value = (None, None) if old is None else (old.num, old.text)
        if value == old_value or (source and told.get(key) == value):
            continue
        (fresh if old_value == (None, None) else replaced).append(place)
        new.append({**one, **known, "revision": 1 if old is None else old.revision + 1})
    if new:
        is_same: list[ColumnElement[bool]] = [
            said[name] == bindparam(f"its_{name}") for name in ("patient", "visit", "name")
        ]
        connection.execute(
            update(patient_attribute).where(*is_same, said.is_current).values(is_current=False),
            [{f"its_{name}": one[name] for name in ("patient", "visit", "name")} for one in new],
        )
        connection.execute(insert(patient_attribute), new)
    return fresh, replaced


def _give_guarded(
    connection: Connection, rows: Sequence[dict[str, Any]], _by: str, source: str
) -> tuple[list[int], list[int]]:
    """Enter rows as somebody who does not see all of them, and whose name the server knows."""
    given = {name: [row[name] for row in rows] for name in ("patient", "visit", "name", "num")}
    places = connection.scalars(
        text(
            "SELECT * FROM medgrid.give_attributes(:patient, :visit, :name,"
            " CAST(:num AS double precision[]), CAST(:text AS text[]), :source)"
        ),
        {**given, "text": [row["text"] for row in rows], "source": source},
    ).all()
    return [one - 1 for one in places if one > 0], [-one - 1 for one in places if one < 0]
