"""Between a `GridObject` and its rows: where each attribute of an object lies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from medgrid.catalog.attributes import COLUMNS, AttributeColumn, type_of
from medgrid.catalog.schema import attribute, object_
from medgrid.database.many import among
from medgrid.model import (
    LFN,
    AttributeType,
    AttributeValue,
    DataClass,
    GridObject,
    ObjectId,
    ObjectKind,
    Review,
    Sha256,
)

__all__ = ["Split", "as_column", "objects", "select_objects", "split", "user_rows"]

_FIXED = (
    *("id", "lfn", "version", "kind", "filename", "size_bytes", "sha256", "created_s"),
    *("data_class", "owner", "digest", "review", "original", "rekeyed_as"),
)
_ATTRIBUTE_NAMES = tuple(COLUMNS)
_INTEGERS = frozenset(
    name for name, spec in COLUMNS.items() if object_.c[spec.column].type.python_type is int
)

Attributes = Mapping[str, AttributeValue | list[Any]]


@dataclass(slots=True)
class Split:
    """The attributes of one object by where they lie."""

    columns: dict[str, Any] = field(default_factory=dict)  # column name -> value
    lists: dict[str, list[Any]] = field(default_factory=dict)  # all values of columns with several
    document: dict[str, Any] = field(default_factory=dict)  # the JSON column


def split(attributes: Attributes) -> Split:
    """Sort what an importer brings into columns, rows and the JSON document.

    A value that does not fit its column's type is kept in the document, where it can be read.
    """
    parts = Split(columns=dict.fromkeys((spec.column for spec in COLUMNS.values()), None))
    for name, value in attributes.items():
        spec = COLUMNS.get(name)
        if spec is None:
            if value is not None:
                parts.document[name] = _finite(value)
            continue
        if isinstance(value, list | tuple):
            many = list(_flat(value))
            if len(many) > 1:
                fitting = [as_column(spec, part) for part in many]
                if None not in fitting:
                    parts.columns[spec.column] = fitting[0]
                    parts.lists[name] = fitting
                else:
                    parts.document[name] = _finite(list(value))
                continue
            value = many[0] if many else None
        fit = as_column(spec, value)
        if fit is not None:
            parts.columns[spec.column] = fit
        elif value is not None and value != "":
            parts.document[name] = _finite(value)
    return parts


def as_column(spec: AttributeColumn, value: Any) -> Any:
    """Return `value` as the column of `spec` keeps it, None when it does not fit."""
    if value is None or value == "":
        return None
    if spec.type is AttributeType.NUMBER:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not math.isfinite(value):
            return None
        if spec.name in _INTEGERS:
            return int(value) if value == int(value) and abs(value) < 2**53 else None
        return float(value)
    if spec.type is AttributeType.DATE:
        return value if type_of(value) is AttributeType.DATE else None
    return str(value)


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def _finite(value: Any) -> Any:
    """Replace numbers JSON cannot say by None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    return value


def user_rows(
    object_id: str, name: str, type_: AttributeType, value: AttributeValue | Sequence[Any]
) -> list[dict[str, Any]]:
    """Rows of table ``attribute`` for one name."""
    values = value if isinstance(value, list | tuple) else [value]
    is_number = type_ is AttributeType.NUMBER
    return [
        {
            "object_id": object_id,
            "name": name,
            "position": position,
            "num": float(part) if is_number else None,
            "text": None if is_number else _text(part),
        }
        for position, part in enumerate(values)
    ]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_SELECTED = [object_.c[name] for name in _FIXED] + [
    object_.c[spec.column] for spec in COLUMNS.values()
]


def select_objects() -> Any:
    """Select what `objects` reads."""
    return select(*_SELECTED, object_.c.attributes)


def objects(connection: Connection, rows: Sequence[Any]) -> list[GridObject]:
    """Make objects of rows of `select_objects`, with the attributes users gave them."""
    given = _user_attributes(connection, [row[0] for row in rows])
    start = len(_FIXED)
    found = []
    for row in rows:
        attributes: dict[str, Any] = {
            name: value
            for name, value in zip(_ATTRIBUTE_NAMES, row[start:-1], strict=True)
            if value is not None
        }
        if row[-1]:
            attributes.update(row[-1])
        if row[0] in given:
            attributes.update(given[row[0]])
        found.append(
            GridObject(
                id=ObjectId(row[0]),
                lfn=None if row[1] is None else str.__new__(LFN, row[1]),
                version=row[2],
                kind=ObjectKind(row[3]),
                filename=row[4],
                size_bytes=row[5],
                sha256=Sha256(row[6]),
                created_s=row[7],
                attributes=attributes,
                data_class=DataClass(row[8]),
                owner=row[9],
                patient=attributes.get("PatientID"),
                digest=row[10],
                review=Review(row[11]),
                original=row[12],
                rekeyed_as=row[13],
            )
        )
    return found


def _user_attributes(connection: Connection, ids: list[str]) -> dict[str, dict[str, Any]]:
    if not ids:
        return {}
    found: dict[str, dict[str, Any]] = {}
    rows = connection.execute(
        select(
            attribute.c.object_id,
            attribute.c.name,
            attribute.c.position,
            attribute.c.num,
            attribute.c.text,
        )
        .where(among(connection, attribute.c.object_id, ids))
        .order_by(attribute.c.object_id, attribute.c.name, attribute.c.position)
    )
    for object_id, name, position, number, text in rows:
        value = text if number is None else int(number) if number == int(number) else number
        of_object = found.setdefault(object_id, {})
        if position == 0:
            of_object[name] = value
        else:
            before = of_object[name]
            of_object[name] = [*(before if isinstance(before, list) else [before]), value]
    return found
