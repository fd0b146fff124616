"""Comparing one SQL value with what a question gives; values are always bound."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Double, and_, func, literal

from medgrid.catalog.query_values import Span
from medgrid.catalog.schema import Text

__all__ = ["Dialect", "below", "compare", "contains_glob", "glob", "path_glob", "upper_bound"]

Dialect = str
"""``sqlite`` or ``postgresql``."""

_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def bound(value: Any) -> ColumnElement[Any]:
    """Return `value` as a bound parameter of the type it has, whatever it is compared with."""
    if isinstance(value, int) and abs(value) < 2**63:
        return literal(value, BigInteger)
    if isinstance(value, int | float):
        return literal(float(value), Double)
    return literal(value, Text)


def compare(column: ColumnElement[Any], operator: str, span: Span) -> ColumnElement[bool]:
    """``column OP span`` for ``= < <= > >=``; a span is before or after as a whole."""
    low = bound(span.low)
    if operator == "=":
        if span.end is None:
            return column == low
        return and_(column >= low, column < bound(span.end))
    if operator == "<":
        return column < low
    if operator == ">=":
        return column >= low
    if operator == "<=":
        return column <= low if span.end is None else column < bound(span.end)
    return column > low if span.end is None else column >= bound(span.end)


def contains_glob(pattern: str) -> bool:
    """Whether `pattern` has a wildcard."""
    return "*" in pattern or "?" in pattern


def glob(column: ColumnElement[Any], pattern: str, dialect: Dialect) -> ColumnElement[bool]:
    r"""Whether `column` matches, without regard to the case of A-Z.

    ``*`` is any text, ``?`` one character, ``\`` takes the next character as it is.
    """
    parts = []
    chars = iter(pattern)
    for char in chars:
        if char == "\\":
            char = next(chars, "\\")
        elif char in "*?":
            parts.append("%" if char == "*" else "_")
            continue
        parts.append("\\" + char if char in "%_\\" else char)
    like = "".join(parts)
    if dialect == "sqlite":
        return column.like(literal(like, Text), escape="\\")
    return func.lower(column).like(literal(like.translate(_ASCII_LOWER), Text), escape="\\")


def path_glob(column: ColumnElement[Any], pattern: str, dialect: Dialect) -> ColumnElement[bool]:
    """Whether an LFN matches: ``*`` is any text, ``/`` too, ``?`` one character; case counts.

    What stands before the first wildcard is looked up in the index.
    """
    head = pattern[: min(pattern.find(char) % (len(pattern) + 1) for char in "*?")]
    parts: list[ColumnElement[bool]] = [column >= literal(head, Text)]
    end = upper_bound(head)
    if end is not None:
        parts.append(column < literal(end, Text))
    if pattern != head + "*":
        if dialect == "sqlite":
            escaped = pattern.replace("[", "[[]")
            parts.append(column.op("GLOB")(literal(escaped, Text)))
        else:
            like = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            like = like.replace("*", "%").replace("?", "_")
            parts.append(column.like(literal(like, Text), escape="\\"))
    return and_(*parts)


def below(column: ColumnElement[Any], folder: str) -> ColumnElement[bool]:
    """Whether an LFN lies below `folder`, which ends with ``/``."""
    return and_(column > literal(folder, Text), column < literal(folder[:-1] + "0", Text))


def upper_bound(prefix: str) -> str | None:
    """First text, by code points, after all that start with `prefix`; None when there is none."""
    while prefix:
        following = ord(prefix[-1]) + 1
        if following == 0xD800:
            following = 0xE000  # no surrogates
        if following <= 0x10FFFF:
            return prefix[:-1] + chr(following)
        prefix = prefix[:-1]
    return None
