"""Conditions on many values, whose plan does not hang on what the database knows of its values.

SQLite, without statistics or with old ones, may put a table of values inside the loop over another
table, and so read the values once for each row of it. Values in a subquery of their own are sorted
once, and each row is looked up by them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    String,
    TableValuedAlias,
    any_,
    bindparam,
    func,
    literal_column,
    select,
    tuple_,
    type_coerce,
)

__all__ = ["among", "pair_among", "value_table"]


def among(
    connection: Connection, column: ColumnElement[Any], values: Iterable[Any]
) -> ColumnElement[bool]:
    """Whether a column is one of these texts or whole numbers, however many they are."""
    given = list(values)
    if connection.dialect.name == "sqlite":
        rows = func.json_each(json.dumps(given, ensure_ascii=False))
        return column.in_(select(literal_column("value")).select_from(rows))
    from sqlalchemy.dialects.postgresql import ARRAY

    kind = column.type if column.type.python_type is int else String()
    return column == any_(bindparam(None, given, ARRAY(kind)))


def pair_among(
    connection: Connection,
    columns: tuple[ColumnElement[Any], ColumnElement[Any]],
    pairs: Iterable[tuple[Any, Any]],
) -> ColumnElement[bool]:
    """Whether two columns are one of these pairs, of texts or whole numbers, however many."""
    given = list(pairs)
    if connection.dialect.name == "sqlite":
        rows = func.json_each(json.dumps(given, ensure_ascii=False)).table_valued("value")
        parts = [func.json_extract(rows.c.value, f"$[{place}]") for place in (0, 1)]
        return tuple_(*columns).in_(select(*parts))
    from sqlalchemy.dialects.postgresql import ARRAY

    kinds = [BigInteger() if one.type.python_type is int else String() for one in columns]
    lists = [
        bindparam(None, [pair[place] for pair in given], ARRAY(kind))
        for place, kind in enumerate(kinds)
    ]
    rows = func.unnest(*lists).table_valued("first", "second").render_derived()
    return tuple_(*columns).in_(select(rows.c.first, rows.c.second))


def value_table(connection: Connection, values: Iterable[str]) -> TableValuedAlias:
    """Give texts as a table with one column ``value``, however many they are."""
    given = list(values)
    if connection.dialect.name == "sqlite":
        rows = func.json_each(json.dumps(given, ensure_ascii=False))
        return rows.table_valued("value", name="given")
    from sqlalchemy.dialects.postgresql import JSONB

    bound = type_coerce(bindparam(None, given, JSONB), JSONB)
    return func.jsonb_array_elements_text(bound).table_valued("value", name="given")
