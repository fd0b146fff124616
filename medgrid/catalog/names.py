"""The attribute names a grid uses beside the columns, and the type each has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, text, update

from medgrid.catalog.attributes import ALIASES, COLUMNS, AttributeColumn, check_name, type_of
from medgrid.catalog.rows import as_column
from medgrid.catalog.schema import attribute_name
from medgrid.errors import UsageError
from medgrid.model import AttributeType

__all__ = ["KnownName", "claim", "fit_column", "known_names", "note_documents", "note_list"]

RESERVED = frozenset(
    (
        *("lfn", "id", "kind", "size", "version", "sha256", "filename", "created", "dataset"),
        *("visits", "algorithm", "job", "worker", "derived_from", "se", "se_site", "replicas"),
        *("input", "and", "or", "not", "in", "between", "is", "known", "unknown"),
    )
)
"""Words of the question language and fields that are no attributes."""


@dataclass(frozen=True, slots=True)
class KnownName:
    """An attribute name in use: `place` is ``json``, ``user`` or ``list`` (of a column)."""

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
        row.name: KnownName(row.name, AttributeType(row.type), row.place, row.unit) for row in rows
    }


def note_documents(connection: Connection, document: Mapping[str, Any]) -> None:
    """Remember the names an importer brings; a name with values of two types becomes text."""
    if not document:
        return
    known = known_names(connection)
    for name, value in document.items():
        type_ = type_of(value)
        if type_ is None:
            continue
        before = known.get(name)
        if before is None:
            _add(connection, name, type_, "json" if name not in COLUMNS else "misfit")


def note_list(connection: Connection, name: str) -> None:
    """Remember that a column's attribute has several values for some object."""
    _add(connection, name, COLUMNS[name].type, "list")


def claim(connection: Connection, name: str, value: Any, unit: str | None) -> KnownName:
    """Return what is known of an attribute a user sets, after fixing its type at first use.

    Raises
    ------
    UsageError
        The name is not allowed, or `value` is of another type than the attribute has.
    """
    check_name(name)
    if name in RESERVED or name in ALIASES:
        raise UsageError(f"{name!r} is a word of the question language, no attribute name")
    before = known_names(connection).get(name)
    if before is None:
        folded = {known.lower(): known for known in COLUMNS}
        twin = folded.get(name.lower())
        if twin is not None:
            raise UsageError(f"attribute {name!r} differs from {twin} by case only")
        before = KnownName(name, type_of(value) or AttributeType.TEXT, "user", unit)
        if value is not None:
            _add(connection, name, before.type, "user", unit)
        return before
    found = type_of(value)
    fits = found in (None, before.type) or (before.type is AttributeType.TEXT and found is not None)
    if before.place == "user" and not fits:
        raise UsageError(
            f"attribute {name!r} is a {before.type} in this grid, found {value!r}",
            hint="give a value of that type, or use another name",
        )
    if unit is not None and before.unit not in (None, unit):
        raise UsageError(
            f"attribute {name!r} is in {before.unit} in this grid, not in {unit}",
            hint=f"give the value in {before.unit}, or use another name",
        )
    if unit is not None and before.unit is None:
        connection.execute(
            update(attribute_name).where(attribute_name.c.name == name).values(unit=unit)
        )
    return before


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


def _add(
    connection: Connection, name: str, type_: AttributeType, place: str, unit: str | None = None
) -> None:
    connection.execute(
        text(
            "INSERT INTO attribute_name (name, type, place, unit)"
            " VALUES (:name, :type, :place, :unit) ON CONFLICT (name) DO NOTHING"
        ),
        {"name": name, "type": str(type_), "place": place, "unit": unit},
    )
