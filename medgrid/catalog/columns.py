"""What ``--columns`` can show: attributes, fields, and how an object was made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, select

from medgrid.catalog.query_fields import ColumnField, DocumentField, RowsField, visits_seen
from medgrid.catalog.query_sql import Compiler
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
from medgrid.database.many import among, pair_among
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
        elif field.name == "visits":
            self._load(place, _visits(self._sight))
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
    rows_of = field.owners if field.rows is None else field.rows
    (owner,) = rows_of.selected_columns

    def load(connection: Connection, ids: Sequence[str]) -> Values:
        rows = connection.execute(
            rows_of.add_columns(field.value)
            .where(among(connection, owner, ids), field.value.is_not(None))
            .order_by(owner, *([attribute.c.position] if owner.table is attribute else []))
        )
        return _gather(
            (key, int(value) if isinstance(value, float) and value == int(value) else value)
            for key, value in rows
        )

    return load


def _by_object(statement: Select[Any], owner: ColumnElement[Any]) -> Load:
    def load(connection: Connection, ids: Sequence[str]) -> Values:
        return _gather(iter(connection.execute(statement.where(among(connection, owner, ids)))))

    return load


def _made_by(value: ColumnElement[Any]) -> Load:
    made = derivation_output.c.object_id
    return _by_object(
        select(made, value).join(derivation, derivation.c.id == derivation_output.c.derivation),
        made,
    )


def _jobs(sight: Sight) -> Load:
    def load(connection: Connection, ids: Sequence[str]) -> Values:
        made = derivation_output.c.object_id
        rows = connection.execute(
            select(made, derivation.c.submission, derivation.c.job_number)
            .join(derivation, derivation.c.id == derivation_output.c.derivation)
            .where(
                among(connection, made, ids),
                derivation.c.submission.is_not(None),
                sight.asked_for(),
            )
        )
        return {key: str(JobId(submission, number)) for key, submission, number in rows}

    return load


def _visits(sight: Sight) -> Load:
    def load(connection: Connection, ids: Sequence[str]) -> Values:
        chosen = among(connection, object_.c.id, ids), object_.c.patient.is_not(None)
        patients = connection.execute(select(object_.c.id, object_.c.patient).where(*chosen)).all()
        given = {one for _, one in patients}
        visits: dict[str, int] = {}
        pseudonym = patient.c.pseudonym
        every = select(pseudonym, patient.c.visits).where(sight.cares(pseudonym))
        for of, statement in ((pseudonym, every), (object_.c.patient, visits_seen(sight))):
            left = among(connection, of, given - visits.keys())
            visits.update((row[0], row[1]) for row in connection.execute(statement.where(left)))
        return {key: visits[one] for key, one in patients}

    return load


def _inputs(role: str | None, sight: Sight) -> Load:
    """LFNs (ids where there is none) an object was made from, of one role or of all."""
    if role == "":
        raise UsageError("'input.' needs a role", hint="for example input.source")

    def load(connection: Connection, ids: Sequence[str]) -> Values:
        made, link = derivation_output.c, derivation_link.c
        is_linked = sight.linked(made.object_id)
        runs = connection.execute(
            select(made.object_id, made.derivation, is_linked.label("is_linked")).where(
                among(connection, made.object_id, ids)
            )
        ).all()
        # those of linked outputs are looked up one by one, not among all of the run
        run_of = {output: run for output, run, some in runs if some}
        pairs: dict[str, list[tuple[str, str]]] = {output: [] for output in run_of}
        for output, source in connection.execute(
            select(link.output_id, link.input_id).where(among(connection, link.output_id, run_of))
        ):
            pairs[output].append((source, run_of[output]))
        every = _sources(connection, sight, role, {run for _, run, some in runs if not some})
        chosen = _chosen(connection, sight, role, {one for many in pairs.values() for one in many})
        found: list[tuple[str, str]] = []
        for output, run, some in runs:
            given = (row for one in pairs[output] for row in chosen[one]) if some else every[run]
            # an object given for two roles is one source
            found += ((output, name) for name in dict.fromkeys(row[-1] for row in sorted(given)))
        return _gather(iter(found))

    return load


_Source = tuple[str, int, str]
"""Role, place in it, and LFN (id where there is none) of what a run read."""


def _sources(
    connection: Connection, sight: Sight, role: str | None, runs: Collection[str]
) -> dict[str, list[_Source]]:
    """What runs read, by run."""
    found: dict[str, list[_Source]] = defaultdict(list)
    condition = among(connection, derivation_input.c.derivation, runs)
    for _, run, *row in connection.execute(_read(sight, role).where(condition)):
        found[run].append((row[0], row[1], row[2]))
    return found


def _chosen(
    connection: Connection, sight: Sight, role: str | None, pairs: Collection[tuple[str, str]]
) -> dict[tuple[str, str], list[_Source]]:
    """What was read, by object and run."""
    found: dict[tuple[str, str], list[_Source]] = defaultdict(list)
    both = derivation_input.c.object_id, derivation_input.c.derivation
    condition = pair_among(connection, both, pairs)
    for source, run, *row in connection.execute(_read(sight, role).where(condition)):
        found[source, run].append((row[0], row[1], row[2]))
    return found


def _read(sight: Sight, role: str | None) -> Select[Any]:
    read = derivation_input.c
    name = func.coalesce(object_.c.lfn, read.object_id)
    statement = (
        select(read.object_id, read.derivation, read.role, read.position, name)
        .select_from(derivation_input)
        .outerjoin(object_, and_(object_.c.id == read.object_id, sight.objects()))
        .where(sight.took_part(derivation_input))
    )
    return statement if role is None else statement.where(read.role == role)


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
