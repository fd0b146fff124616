"""Conditions on many values, whatever the database knows of how its values are spread.

SQLite, without statistics or with old ones, may put a table of values inside the loop over another
table, and so read the values once for each row of it. Values in a subquery of their own are sorted
once, and each row is looked up by them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    UnaryExpression,
    any_,
    bindparam,
    func,
    select,
)
from sqlalchemy.sql.operators import custom_op

__all__ = ["among", "unindexed"]


def among(
    connection: Connection, column: ColumnElement[Any], values: Iterable[Any]
) -> ColumnElement[bool]:
    """Whether a column is one of these texts or whole numbers, however many they are."""
    given = list(values)
    if connection.dialect.name == "sqlite":
        rows = func.json_each(json.dumps(given, ensure_ascii=False)).table_valued("value")
        return column.in_(select(rows.c.value))
    from sqlalchemy.dialects.postgresql import ARRAY

    kind = column.type if column.type.python_type is int else String()
    return column == any_(bindparam(None, given, ARRAY(kind)))


def unindexed(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column by which SQLite shall not search, because another condition finds fewer rows."""
    if connection.dialect.name != "sqlite":
        return column
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)
