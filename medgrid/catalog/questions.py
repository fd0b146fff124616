"""Asking: the LFNs and columns that answer a question, in order, a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select

from medgrid.catalog.query import Question
from medgrid.catalog.query_sql import Compiler
from medgrid.catalog.schema import object_
from medgrid.catalog.sight import Sight
from medgrid.database import Database
from medgrid.database.plans import unindexed
from medgrid.model import LFN

__all__ = ["count", "lfns", "select_columns"]

_CHUNK = 2000


def count(db: Database, sight: Sight, question: Question) -> int:
    """How many objects answer."""
    with db.read() as connection:
        condition = Compiler(connection, sight).where(question)
        found = connection.scalar(select(func.count()).select_from(object_).where(condition))
        return int(found or 0)


def lfns(db: Database, sight: Sight, question: Question, limit: int | None = None) -> Iterator[LFN]:
    """LFNs of the objects that answer, sorted."""
    with db.read() as connection:
        compiler = Compiler(connection, sight)
        statement = (
            select(object_.c.lfn)
            .where(compiler.where(question))
            .order_by(_by_lfn(compiler, question, limit))
            .limit(limit)
        )
        found = connection.execution_options(yield_per=_CHUNK).execute(statement)
        for chunk in found.scalars().partitions():
            for lfn in chunk:
                yield str.__new__(LFN, lfn)  # what is in the catalog has been checked


def select_columns(
    db: Database,
    sight: Sight,
    question: Question,
    columns: Sequence[str],
    sort: Sequence[str],
    limit: int | None,
) -> Iterator[tuple[Any, ...]]:
    """Columns of the objects that answer, sorted."""
    from medgrid.catalog.columns import Columns

    with db.read() as connection:
        compiler = Compiler(connection, sight)
        shown = Columns(compiler, columns)
        statement = (
            select(object_.c.id, *shown.expressions)
            .where(compiler.where(question))
            .order_by(*_order(compiler, sort), _by_lfn(compiler, question, limit))
            .limit(limit)
        )
        found = connection.execution_options(yield_per=_CHUNK).execute(statement)
        for chunk in found.partitions():
            yield from shown.rows(connection, chunk)


def _order(compiler: Compiler, sort: Sequence[str]) -> Iterator[ColumnElement[Any]]:
    for name in sort:
        descending = name.startswith("-")
        key = compiler.sort_key(name.removeprefix("-"))
        yield (key.desc() if descending else key.asc()).nulls_last()


def _by_lfn(compiler: Compiler, question: Question, limit: int | None) -> ColumnElement[Any]:
    """Order by LFN, not by its index where another bounds what is read to the end anyway."""
    if limit is None and compiler.has_range(question):
        return unindexed(compiler.connection, object_.c.lfn)
    return object_.c.lfn
