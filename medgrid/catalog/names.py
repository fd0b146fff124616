"""The attribute names a grid uses beside the columns, and the type each has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, or_, select, text, update

from medgrid.catalog.attributes import (
    ALIASES,
    COLUMNS,
    GEOMETRY_COMPLETE,
    TWIN_MISSING,
    AttributeColumn,
    check_name,
    type_of,
)
from medgrid.catalog.rows import as_column
from medgrid.catalog.schema import attribute, attribute_name, object_, patient_attribute
from medgrid.catalog.sight import Sight, speaks_of
from medgrid.errors import UsageError
from medgrid.model import VARIES, VARIES_WIDELY, AttributeType

__all__ = [
    "BLIND",
    "OF_PATIENTS",
    "PATIENT",
    "UNBLINDED",
    "KnownName",
    "NameBook",
    "fit_column",
    "known_names",
    "seen_names",
]

RESERVED = frozenset(
    (
        *("class", "owner", "review", "original"),
        *("lfn", "id", "kind", "size", "version", "sha256", "filename", "created", "dataset"),
        *("visits", "algorithm", "job", "worker", "derived_from", "se", "se_site", "replicas"),
        *("input", "and", "or", "not", "in", "between", "is", "known", "unknown"),
        *(VARIES, VARIES_WIDELY),
    )
)
"""Words of the question language and fields that are no attributes."""


PATIENT, BLIND, UNBLINDED = "patient", "blind", "unblinded"
OF_PATIENTS = frozenset((PATIENT, BLIND, UNBLINDED))
"""Places of the attributes of patients and visits."""

_OF_IMPORTS = frozenset((GEOMETRY_COMPLETE, TWIN_MISSING))
"""Texts that imports say of images."""

_PLACES = {
    PATIENT: "is one of patients and visits, and is not blinded,",
    BLIND: "is blinded",
    UNBLINDED: "was blinded, and is not any more,",
}


@dataclass(frozen=True, slots=True)
class KnownName:
    """An attribute name in use.

    `place` is ``json`` (brought by an importer), ``user``, ``list``: a column of which some
    object has several values, or one of `OF_PATIENTS`: ``patient``, ``blind`` where its values are
    codes, and ``unblinded`` where everybody may know what these mean.
    """

    name: str
    type: AttributeType
    place: str
    unit: str | None = None


def known_names(connection: Connection) -> dict[str, KnownName]:
    """All names in use beside the columns."""
    rows = connection.execute(
        select(
            attribute_name.c.name,
            attribute_name.c.type,
            attribute_name.c.place,
            attribute_name.c.unit,
        )
    )
    return {
        name: KnownName(name, AttributeType(kind), place, unit) for name, kind, place, unit in rows
    }


def seen_names(connection: Connection, sight: Sight, names: Iterable[KnownName]) -> set[str]:
    """Those of `names`, which people gave, that some object has which is seen."""
    return {one.name for one in names if sight.viewer is None or _is_seen(connection, sight, one)}


def _is_seen(connection: Connection, sight: Sight, known: KnownName) -> bool:
    """Whether some object that is seen, or its patient, has an attribute; the first will do."""
    if known.place in OF_PATIENTS:
        table, is_of = patient_attribute, speaks_of(patient_attribute, object_)
    else:
        table, is_of = attribute, object_.c.id == attribute.c.object_id
    some = (
        select(table.c.name)
        .join(object_, is_of)
        .where(
            table.c.name == known.name,
            or_(table.c.num.is_not(None), table.c.text.is_not(None)),
            sight.objects(),
        )
        .limit(1)
    )
    return connection.scalar(some) is not None


class NameBook:
    """The names in use, as one transaction reads and adds to them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known = known_names(connection)

    def note_document(self, document: Mapping[str, Any]) -> None:
        """Remember the names an importer brings; a name with values of two types becomes text."""
        for name, value in document.items():
            type_ = type_of(value)
            if type_ is None or name in COLUMNS:
                continue
            before = self._known.get(name)
            if before is None:
                self._add(KnownName(name, type_, "json"))
            elif before.type not in (type_, AttributeType.TEXT) and before.place == "json":
                self._change(replace(before, type=AttributeType.TEXT))

    def note_list(self, name: str) -> None:
        """Remember that a column's attribute has several values for some object."""
        if name not in self._known:
            self._add(KnownName(name, COLUMNS[name].type, "list"))

    def has_lists(self, name: str) -> bool:
        """Whether some object has several values of a column's attribute."""
        return name in self._known and self._known[name].place == "list"

    def claim(
        self, name: str, value: Any, unit: str | None = None, place: str = "user"
    ) -> KnownName:
        """Return what is known of an attribute a user sets; the first use fixes type and unit.

        Raises
        ------
        UsageError
            The name is not allowed, `value` is of another type than the attribute has, or it is
            one of images where `place` says patients, or the other way round.
        """
        known = self._known.get(name)
        if known is None:
            _check_new(name, place)
            type_ = AttributeType.TEXT if name in _OF_IMPORTS else type_of(value)
            known = KnownName(name, type_ or AttributeType.TEXT, place, unit)
            if value is None or self._add(known):
                return known
            return self.claim(name, value, unit, place)  # another writer was first
        if known.place == UNBLINDED and place == PATIENT:
            place = UNBLINDED
        if known.place != place and OF_PATIENTS & {known.place, place}:
            raise UsageError(
                f"attribute {name!r} {_PLACES.get(known.place, 'is one of images')} in this grid",
                hint="use another name",
            )
        found = type_of(value)
        if known.place == place and not _fits(found, known.type):
            raise UsageError(
                f"attribute {name!r} is a {known.type} in this grid, found {value!r}",
                hint=f"give a {known.type}, or use another name",
            )
        if unit is not None and known.unit is None:
            known = replace(known, unit=unit)
            self._change(known)
        elif unit not in (None, known.unit):
            raise UsageError(
                f"attribute {name!r} is in {known.unit} in this grid, not in {unit}",
                hint=f"give the value in {known.unit}, or use another name",
            )
        return known

    def _add(self, new: KnownName) -> bool:
        """Enter a name; False when another writer just did, and what it entered is known now."""
        done = self._connection.execute(
            text(
                "INSERT INTO attribute_name (name, type, place, unit)"
                " VALUES (:name, :type, :place, :unit) ON CONFLICT (name) DO NOTHING"
            ),
            {"name": new.name, "type": str(new.type), "place": new.place, "unit": new.unit},
        )
        if done.rowcount == 0:
            self._known = known_names(self._connection)
            return False
        self._known[new.name] = new
        return True

    def hold(self, name: str, place: str) -> bool:
        """Keep others from an attribute of words until the end; give whether it is new.

        Raises
        ------
        UsageError
            It is known otherwise.
        """
        if name not in self._known:
            _check_new(name, place)
            if self._add(KnownName(name, AttributeType.TEXT, place)):
                return True
        is_same = attribute_name.c.name == name
        self._connection.execute(update(attribute_name).where(is_same).values(name=name))
        self._known = known_names(self._connection)  # whom we waited for may have changed it
        self.claim(name, "", place=place)
        return False

    def unblind(self, name: str) -> None:
        """Note that everybody may know what the codes of an attribute mean."""
        self._change(replace(self._known[name], place=UNBLINDED))

    def _change(self, changed: KnownName) -> None:
        self._connection.execute(
            update(attribute_name)
            .where(attribute_name.c.name == changed.name)
            .values(type=str(changed.type), unit=changed.unit, place=changed.place)
        )
        self._known[changed.name] = changed


def fit_column(spec: AttributeColumn, value: Any) -> Any:
    """Return `value` as the column keeps it.

    Raises
    ------
    UsageError
        It is of another type.
    """
    fitting = as_column(spec, value)
    if fitting is None and value not in (None, ""):
        raise UsageError(f"{spec.name} is a {spec.type}, found {value!r}")
    return fitting


def _check_new(name: str, place: str) -> None:
    check_name(name)
    if place in OF_PATIENTS:
        from medgrid.catalog.dictionary import dicom

        if name in COLUMNS or name in _OF_IMPORTS or dicom(name) is not None:
            raise UsageError(f"attribute {name!r} is one of images", hint="use another name")
    if name in RESERVED or name in ALIASES:
        raise UsageError(f"{name!r} is a word of the question language, no attribute name")
    twin = {known.lower(): known for known in COLUMNS}.get(name.lower())
    if twin is not None:
        raise UsageError(f"attribute {name!r} differs from {twin} by case only")


def _fits(found: AttributeType | None, wanted: AttributeType) -> bool:
    """Whether a value may stand for an attribute: any can be text, None takes it away."""
    return found in (None, wanted) or wanted is AttributeType.TEXT
