"""The attribute names a grid uses beside the columns, and the type each has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select, text, update

from medgrid.catalog.attributes import ALIASES, COLUMNS, AttributeColumn, check_name, type_of
from medgrid.catalog.rows import as_column
from medgrid.catalog.schema import attribute, attribute_name, object_
from medgrid.catalog.sight import Sight
from medgrid.errors import UsageError
from medgrid.model import VARIES, VARIES_WIDELY, AttributeType

__all__ = ["KnownName", "NameBook", "fit_column", "known_names", "seen_names"]

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


@dataclass(frozen=True, slots=True)
class KnownName:
    """An attribute name in use.

    `place` is ``json`` (brought by an importer), ``user``, or ``list``: a column of which some
    object has several values.
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


def seen_names(connection: Connection, sight: Sight, names: Iterable[str]) -> set[str]:
    """Those of `names`, which users gave, that some object has which is seen."""
    if sight.viewer is None:
        return set(names)
    return {name for name in names if _is_seen(connection, sight, name)}


def _is_seen(connection: Connection, sight: Sight, name: str) -> bool:
    """Whether some object that is seen has an attribute of a user; the first one found will do."""
    some = (
        select(attribute.c.object_id)
        .join(object_, object_.c.id == attribute.c.object_id)
        .where(attribute.c.name == name, sight.objects())
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

    def claim(self, name: str, value: Any, unit: str | None = None) -> KnownName:
        """Return what is known of an attribute a user sets; the first use fixes type and unit.

        Raises
        ------
        UsageError
            The name is not allowed, or `value` is of another type than the attribute has.
        """
        known = self._known.get(name)
        if known is None:
            _check_new(name)
            known = KnownName(name, type_of(value) or AttributeType.TEXT, "user", unit)
            if value is None or self._add(known):
                return known
            return self.claim(name, value, unit)  # another writer was first
        found = type_of(value)
        if known.place == "user" and not _fits(found, known.type):
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

    def _change(self, changed: KnownName) -> None:
        self._connection.execute(
            update(attribute_name)
            .where(attribute_name.c.name == changed.name)
            .values(type=str(changed.type), unit=changed.unit)
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


def _check_new(name: str) -> None:
    check_name(name)
    if name in RESERVED or name in ALIASES:
        raise UsageError(f"{name!r} is a word of the question language, no attribute name")
    twin = {known.lower(): known for known in COLUMNS}.get(name.lower())
    if twin is not None:
        raise UsageError(f"attribute {name!r} differs from {twin} by case only")


def _fits(found: AttributeType | None, wanted: AttributeType) -> bool:
    """Whether a value may stand for an attribute: any can be text, None takes it away."""
    return found in (None, wanted) or wanted is AttributeType.TEXT
