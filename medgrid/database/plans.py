"""What SQLite is told of conditions, so that its plans do not hang on its statistics.

With statistics it takes the same number of rows to have each value of a column, and reads a whole
table for a value that hardly any row has.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, UnaryExpression, func, literal_column
from sqlalchemy.sql.operators import custom_op

__all__ = ["rare", "unindexed"]


def rare(connection: Connection, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """A condition by which SQLite shall search, because as many rows are wanted as meet it.

    It is for statements that read one table: what is joined by the same column would be searched
    by all of the values, too, for each row.
    """
    if connection.dialect.name != "sqlite":
        return condition
    return func.likelihood(condition, literal_column("0.0001"))


def unindexed(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column by which SQLite shall not search, because another condition finds fewer rows."""
    if connection.dialect.name != "sqlite":
        return column
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)
