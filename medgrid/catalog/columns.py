"""What ``--columns`` can show: attributes, fields, and how an object was made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, select

from medgrid.catalog.query_fields import ColumnField, DocumentField, RowsField
from medgrid.catalog.query_sql import Compiler
from medgrid.catalog.rows import value_table
from medgrid.catalog.schema import (
    attribute,
    derivation,
    derivation_input,
    derivation_link,
    derivation_output,
    object_,
    patient,
    replica,
    storage_element,
)
from medgrid.catalog.sight import Sight
from medgrid.errors import UsageError
from medgrid.model import JobId

__all__ = ["Columns"]

Values = dict[str, Any]
"""Value of one column by object id."""
Load = Callable[[Connection, Sequence[str]], Values]


class Columns:
    """Columns of an answer: `expressions` to select after the object id, and the rest by chunk.

    Raises
    ------
    UsageError
        A name is unknown.
    """

    def __init__(self, compiler: Compiler, names: Sequence[str]) -> None:
        self.expressions: list[ColumnElement[Any]] = []
        self._cells: list[Callable[[Row[Any], dict[int, Values]], Any]] = []
        self._loads: dict[int, Load] = {}
        self._document_at: int | None = None
        self._sight = compiler.sight
        for place, name in enumerate(names):
            self._add(place, compiler, name)

    def rows(self, connection: Connection, chunk: Sequence[Row[Any]]) -> Iterator[tuple[Any, ...]]:
        """Finish a chunk of selected rows."""
        ids = [row[0] for row in chunk]
        loaded = {place: load(connection, ids) for place, load in self._loads.items()}
        for row in chunk:
            yield tuple(cell(row, loaded) for cell in self._cells)

    def _add(self, place: int, compiler: Compiler, name: str) -> None:
        special = self._special(name)
        if special is not None:
            self._load(place, special)
            return
        field = compiler.field(name)
        if isinstance(field, DocumentField):
            self._from_document(field.name)
        elif isinstance(field, ColumnField):
            self._from_column(place, field)
        elif isinstance(field, RowsField) and field.name == "visits":
            visits = select(patient.c.visits).where(patient.c.pseudonym == object_.c.patient)
            self._from_expression(visits.correlate(object_).scalar_subquery())
        else:
            self._load(place, _user_values(field))

    def _special(self, name: str) -> Load | None:
        if name == "derived_from":
            return _inputs(None, self._sight)
        if name.startswith("input."):
            return _inputs(name.removeprefix("input."), self._sight)
        if name == "job":
            return _jobs(self._sight)
        return _SPECIAL.get(name)

    def _from_expression(self, expression: ColumnElement[Any]) -> None:
        at = len(self.expressions) + 1
        self.expressions.append(expression)
        self._cells.append(lambda row, _: row[at])

    def _from_column(self, place: int, field: ColumnField) -> None:
        self._from_expression(field.column)
        if field.lists is not None:
            alone = self._cells.pop()
            self._loads[place] = _user_values(field.lists)
            self._cells.append(
                lambda row, loaded: (
                    loaded[place][row[0]] if row[0] in loaded[place] else alone(row, loaded)
                )
            )

    def _from_document(self, name: str) -> None:
        if self._document_at is None:
            self.expressions.append(object_.c.attributes)
            self._document_at = len(self.expressions)
        at = self._document_at
        self._cells.append(lambda row, _: row[at].get(name))

    def _load(self, place: int, load: Load) -> None:
        self._loads[place] = load
        self._cells.append(lambda row, loaded: loaded[place].get(row[0]))


def _gather(rows: Iterator[Any]) -> Values:
    """One value, or a list of several, by object id."""
    found: dict[str, list[Any]] = {}
    for object_id, value in rows:
        found.setdefault(object_id, []).append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def _user_values(field: RowsField) -> Load:
    def load(connection: Connection, ids: Sequence[str]) -> Values:
        given = value_table(connection, ids)
        (owner,) = field.owners.selected_columns
        rows = connection.execute(
            field.owners.add_columns(field.value)
            .where(owner.in_(select(given.c.value)), field.value.is_not(None))
            .order_by(owner, *([attribute.c.position] if owner.table is attribute else []))
        )
        return _gather(
            (key, int(value) if isinstance(value, float) and value == int(value) else value)
            for key, value in rows
        )

    return load


def _by_object(statement: Select[Any], owner: ColumnElement[Any]) -> Load:
    def load(connection: Connection, ids: Sequence[str]) -> Values:
        given = value_table(connection, ids)
        return _gather(iter(connection.execute(statement.where(owner.in_(select(given.c.value))))))

    return load


def _made_by(value: ColumnElement[Any]) -> Load:
    made = derivation_output.c.object_id
    return _by_object(
        select(made, value).join(derivation, derivation.c.id == derivation_output.c.derivation),
        made,
    )


def _jobs(sight: Sight) -> Load:
    def load(connection: Connection, ids: Sequence[str]) -> Values:
        given = value_table(connection, ids)
        rows = connection.execute(
            select(derivation_output.c.object_id, derivation.c.submission, derivation.c.job_number)
            .join(derivation, derivation.c.id == derivation_output.c.derivation)
            .join(given, given.c.value == derivation_output.c.object_id)
            .where(derivation.c.submission.is_not(None), sight.asked_for())
        )
        return {made: str(JobId(submission, number)) for made, submission, number in rows}

    return load


def _inputs(role: str | None, sight: Sight) -> Load:
    """LFNs (ids where there is none) an object was made from, of one role or of all."""
    if role == "":
        raise UsageError("'input.' needs a role", hint="for example input.source")

    def load(connection: Connection, ids: Sequence[str]) -> Values:
        given = value_table(connection, ids)
        made, read = derivation_output.c, derivation_input.c
        some = select(derivation_link.c.input_id).where(
            derivation_link.c.output_id == made.object_id
        )
        statement = (
            select(made.object_id, func.coalesce(object_.c.lfn, read.object_id))
            .select_from(derivation_output)
            .join(derivation_input, read.derivation == made.derivation)
            .outerjoin(object_, and_(object_.c.id == read.object_id, sight.objects()))
            .where(
                sight.took_part(derivation_input),
                made.object_id.in_(select(given.c.value)),
                ~sight.linked(made.object_id) | read.object_id.in_(some),
            )
            .order_by(made.object_id, read.role, read.position)
        )
        if role is not None:
            statement = statement.where(read.role == role)
        # an object given for two roles is one source
        rows = dict.fromkeys(tuple(row) for row in connection.execute(statement))
        return _gather(iter(rows))

    return load


_SPECIAL: dict[str, Load] = {
    "algorithm": _made_by(derivation.c.algorithm_name + "@" + derivation.c.algorithm_version),
    "worker": _made_by(derivation.c.worker),
    "se": _by_object(
        select(replica.c.object_id, replica.c.se)
        .distinct()
        .order_by(replica.c.object_id, replica.c.se),
        replica.c.object_id,
    ),
    "se_site": _by_object(
        select(replica.c.object_id, storage_element.c.site)
        .join(storage_element, storage_element.c.name == replica.c.se)
        .distinct()
        .order_by(replica.c.object_id, storage_element.c.site),
        replica.c.object_id,
    ),
}
