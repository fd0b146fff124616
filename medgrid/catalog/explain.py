"""Which part of a question leaves nothing: how many objects each part finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, select, true

from medgrid.catalog.nominative import is_nominative
from medgrid.catalog.query import Question
from medgrid.catalog.query_ast import And, Compare, Node, Not, OneOf, Or
from medgrid.catalog.query_fields import ColumnField
from medgrid.catalog.query_sql import Compiler
from medgrid.catalog.schema import object_
from medgrid.catalog.sight import Sight
from medgrid.database import Database

__all__ = ["Clause", "explain"]

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Clause:
    """One part of a question.

    Attributes
    ----------
    text : str
        The part, as the question language writes it.
    depth : int
        How deep it lies in the question.
    alone : int
        Objects it finds by itself.
    together : int or None
        Objects it and the parts before it in the same ``and`` find; None outside of one.
    note : str
        What the catalog has instead, when it finds nothing by itself.
    """

    text: str
    depth: int
    alone: int
    together: int | None = None
    note: str = ""


def explain(db: Database, sight: Sight, question: Question) -> list[Clause]:
    """Count what each part of a question finds, the whole first.

    Raises
    ------
    UsageError
        A name is unknown, or a value does not go with it.
    """
    with db.read() as connection:
        compiler = Compiler(connection, sight)
        counter = _Counter(connection, compiler, question)
        if question.root is None:
            return [Clause("/", 0, counter.count(true()))]
        return list(counter.clauses(question.root, 0))


class _Counter:
    def __init__(self, connection: Connection, compiler: Compiler, question: Question) -> None:
        self._connection = connection
        self._compiler = compiler
        self._text = question.text
        self._base = compiler.base(question)

    def count(self, condition: ColumnElement[bool]) -> int:
        found = self._connection.scalar(
            select(func.count()).select_from(object_).where(condition, self._base)
        )
        return int(found or 0)

    def clauses(self, node: Node, depth: int, together: int | None = None) -> Iterator[Clause]:
        condition = self._compiler.condition(node, self._text)
        alone = self.count(condition)
        note = self._note(node) if alone == 0 else ""
        yield Clause(str(node), depth, alone, together, note)
        if isinstance(node, Or):
            for part in node.parts:
                yield from self.clauses(part, depth + 1)
        elif isinstance(node, Not) and isinstance(node.part, And | Or | Not):
            yield from self.clauses(node.part, depth + 1)
        elif isinstance(node, And):
            so_far: list[ColumnElement[bool]] = []
            for part in node.parts:
                so_far.append(self._compiler.condition(part, self._text))
                yield from self.clauses(part, depth + 1, self.count(and_(*so_far)))

    def _note(self, node: Node) -> str:
        """Values the catalog has of an attribute that was asked for in vain."""
        if not isinstance(node, Compare | OneOf) or node.name in (
            *("algorithm", "dataset", "derived_from", "job", "lfn", "id"),
        ):
            return ""
        if is_nominative(node.name):
            return ""
        field = self._compiler.field(node.name)
        if not isinstance(field, ColumnField):
            return ""
        rows = self._connection.execute(
            select(field.column, func.count())
            .where(field.column.is_not(None), self._base)
            .group_by(field.column)
            .order_by(func.count().desc(), field.column)
            .limit(_EXAMPLES)
        ).all()
        if not rows:
            return f"no object has {field.name}"
        return "there is " + ", ".join(f"{value} ({number})" for value, number in rows)
