"""What a name of a question stands for: a column, rows of another table, a part of the document.

A field may have no value for an object, one, or several. It says of the values an object has
whether there is one for which something holds (`some`), and the exact opposite of it (`none`).
`coerce` reads a value of a question; `globs` and `ordered` say whether ``~`` and ``<`` make sense.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    FromClause,
    Select,
    and_,
    any_,
    case,
    cast,
    exists,
    func,
    literal,
    literal_column,
    not_,
    null,
    or_,
    select,
)

from medgrid.catalog import query_values as values
from medgrid.catalog.attributes import AttributeColumn
from medgrid.catalog.query_values import Coerce
from medgrid.catalog.schema import (
    Text,
    attribute,
    derivation,
    derivation_output,
    object_,
    patient,
    patient_attribute,
    released_code,
    replica,
    storage_element,
)
from medgrid.catalog.sight import Sight, speaks_of
from medgrid.database.plans import unindexed
from medgrid.model import AttributeType

__all__ = [
    "VIRTUAL",
    "ColumnField",
    "DocumentField",
    "Field",
    "Matches",
    "RowsField",
    "column_field",
    "patient_field",
    "user_field",
    "visits_field",
    "visits_seen",
]

Matches = Callable[[ColumnElement[Any]], ColumnElement[bool]]

_COERCE: dict[AttributeType, Coerce] = {
    AttributeType.TEXT: values.text,
    AttributeType.NUMBER: values.number,
    AttributeType.DATE: values.day,
}


@dataclass(frozen=True, slots=True)
class ColumnField:
    """A column of ``object``; it has the first of several values, `lists` all of them, as rows."""

    name: str
    column: ColumnElement[Any]
    coerce: Coerce
    globs: bool
    ordered: bool = True
    lists: RowsField | None = None

    def some(self, matches: Matches) -> ColumnElement[bool]:
        """Whether some value of the object matches; may be NULL for false."""
        alone = matches(self.column)
        return alone if self.lists is None else or_(alone, self.lists.some(matches))

    def none(self, matches: Matches) -> ColumnElement[bool]:
        """Whether no value of the object matches."""
        alone = or_(self.column.is_(None), not_(matches(self.column)))
        return alone if self.lists is None else and_(alone, self.lists.none(matches))

    def sort_key(self) -> ColumnElement[Any]:
        """Expression to sort by; the least value where there are several."""
        if self.lists is None:
            return self.column
        return func.coalesce(self.column, self.lists.sort_key())


@dataclass(frozen=True, slots=True)
class RowsField:
    """Rows of other tables: `owners` selects object ids, `value` is the column compared.

    `rows` selects the same for one owner, by its index. With `each` they are looked up for each
    object that is left by other conditions, else all that match are found first; `in_array` puts
    these into an array, for which PostgreSQL uses an index also beside an ``or``. `beside` selects
    the rows of the object itself, where that is not by its `key`.
    """

    name: str
    owners: Select[Any]
    value: ColumnElement[Any]
    coerce: Coerce
    globs: bool = True
    ordered: bool = True
    key: ColumnElement[Any] = object_.c.id
    rows: Select[Any] | None = None
    each: bool = False
    in_array: bool = False
    beside: Select[Any] | None = None

    def some(self, matches: Matches) -> ColumnElement[bool]:
        if self.each:
            return exists(self._of_each().where(matches(self.value)))
        owners = self.owners.where(matches(self.value))
        if self.in_array:
            return self.key == any_(func.array(owners.scalar_subquery()))
        return self.key.in_(owners)

    def none(self, matches: Matches) -> ColumnElement[bool]:
        if self.each:
            return not_(exists(self._of_each().where(matches(self.value))))
        return or_(self.key.is_(None), self.key.not_in(self.owners.where(matches(self.value))))

    def sort_key(self) -> ColumnElement[Any]:
        return self._of_each().with_only_columns(func.min(self.value)).scalar_subquery()

    def _of_each(self) -> Select[Any]:
        if self.beside is not None:
            return self.beside.correlate(object_)
        rows = self.owners if self.rows is None else self.rows
        (owner,) = rows.selected_columns
        return rows.where(owner == self.key).correlate(object_)


@dataclass(frozen=True, slots=True)
class DocumentField:
    """A name in the JSON column: a text, number, truth value, a list of these, or of such lists."""

    name: str
    type: AttributeType
    dialect: str

    @property
    def coerce(self) -> Coerce:
        """How values of a question are read."""
        return values.age if self.name.endswith("Age") else _COERCE[self.type]

    @property
    def globs(self) -> bool:
        """Whether it is text."""
        return self.type is not AttributeType.NUMBER

    ordered = True

    def some(self, matches: Matches) -> ColumnElement[bool]:
        return exists(self._matching(matches))

    def none(self, matches: Matches) -> ColumnElement[bool]:
        return not_(exists(self._matching(matches)))

    def _matching(self, matches: Matches) -> Select[Any]:
        value: ColumnElement[Any]
        path = f'$."{self.name}"'  # a name has letters, digits, '_' and '.' only
        if self.dialect == "sqlite":
            rows: Any = func.json_tree(object_.c.attributes, literal(path, Text)).table_valued(
                "value", "type"
            )
            if self.type is AttributeType.NUMBER:
                value = case((rows.c.type.in_(("integer", "real")), rows.c.value))
            else:
                value = case(
                    (rows.c.type.in_(("true", "false")), rows.c.type),
                    (rows.c.type.in_(("text", "integer", "real")), cast(rows.c.value, Text)),
                )
        else:
            every = cast(literal(path + "[*][*]", Text), _jsonpath())
            found = func.jsonb_path_query(object_.c.attributes, every)
            rows = found.table_valued("value").render_derived()
            kind: Any = func.jsonb_typeof(rows.c.value)
            text = rows.c.value.op("#>>")(literal_column("'{}'"))
            if self.type is AttributeType.NUMBER:
                value = case((kind == "number", cast(text, Double)))
            else:
                value = case((kind.in_(("string", "boolean", "number")), cast(text, Text)))
        return select(literal(1)).select_from(rows).where(matches(value))

    def sort_key(self) -> ColumnElement[Any]:
        """Expression to sort by; the first of several values."""
        path = f'$."{self.name}"'
        if self.dialect == "sqlite":
            first = (literal(path + place, Text) for place in ("[0][0]", "[0]", ""))
            return func.coalesce(*(func.json_extract(object_.c.attributes, one) for one in first))
        first_one = cast(literal(path + "[0][0]", Text), _jsonpath())
        return func.jsonb_path_query_first(object_.c.attributes, first_one)


def _jsonpath() -> Any:
    """PostgreSQL's type of paths, which take a value that is no list for a list of one."""
    from sqlalchemy.dialects.postgresql import JSONPATH

    return JSONPATH


Field = ColumnField | RowsField | DocumentField


def column_field(spec: AttributeColumn, lists: RowsField | None) -> ColumnField:
    """Field of an attribute with a column of its own; `lists` has what has several values."""
    coerce = values.age if spec.name == "PatientAge" else _COERCE[spec.type]
    return ColumnField(
        spec.name,
        object_.c[spec.column],
        coerce,
        globs=spec.type is not AttributeType.NUMBER,
        lists=lists,
    )


def user_field(connection: Connection, name: str, type_: AttributeType, each: bool) -> RowsField:
    """Field of an attribute kept as rows."""
    is_number = type_ is AttributeType.NUMBER
    owners, called = select(attribute.c.object_id), literal(name, Text)
    return RowsField(
        name,
        owners.where(attribute.c.name == called),
        attribute.c.num if is_number else attribute.c.text,
        _COERCE[type_],
        globs=not is_number,
        rows=owners.where(unindexed(connection, attribute.c.name) == called),
        each=each,
    )


def patient_field(
    connection: Connection, name: str, type_: AttributeType, each: bool, is_coded: bool
) -> RowsField:
    """Field of an attribute of patients and visits; what is said of a visit goes first there.

    One that `is_coded` is compared by what its codes mean; so is a code in a question.
    """
    is_number = type_ is AttributeType.NUMBER
    said, called = patient_attribute.c, literal(name, Text)
    value: ColumnElement[Any] = said.num if is_number else said.text
    coerce = _COERCE[type_]
    if is_coded:
        coerce = _decoding(connection, name)
        value = func.coalesce(released_code.c.meaning, said.text)

    def rows_of(
        one: FromClause, selected: ColumnElement[Any], its_name: ColumnElement[Any]
    ) -> Select[Any]:
        tables: FromClause = patient_attribute
        if is_coded:
            is_its = and_(released_code.c.name == called, released_code.c.code == said.text)
            tables = tables.outerjoin(released_code, is_its)
        return (
            select(selected)
            .select_from(tables)
            .where(
                speaks_of(patient_attribute, one),
                said.is_current,
                its_name == called,
                or_(said.visit != literal("", Text), not_(_said_of_visit(one, called))),
            )
        )

    one, unsought = object_.alias(), unindexed(connection, said.name)
    return RowsField(
        name,
        rows_of(one, one.c.id, said.name),
        value,
        coerce,
        globs=not is_number,
        rows=rows_of(one, one.c.id, unsought),
        each=each,
        beside=rows_of(object_, said.patient, unsought),
    )


def _decoding(connection: Connection, name: str) -> Coerce:
    """What a value means to questions, also to those that were saved while it was a code."""
    codes = released_code.c
    rows = connection.execute(select(codes.code, codes.meaning).where(codes.name == name))
    meanings = {row.code: row.meaning for row in rows}
    known = set(meanings.values())
    return lambda word: values.text(word if word in known else meanings.get(word, word))


def _said_of_visit(one: FromClause, called: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the same attribute is known of an object's visit."""
    nearer = patient_attribute.alias()
    rows = select(literal(1)).where(
        nearer.c.patient == patient_attribute.c.patient,
        nearer.c.visit.in_((one.c.session, one.c.study_date)),
        nearer.c.name == called,
        nearer.c.is_current,
        or_(nearer.c.num.is_not(None), nearer.c.text.is_not(None)),
    )
    return exists(rows.correlate_except(nearer))


def visits_field(sight: Sight, each: bool) -> Field:
    """Visits of an object's patient: all for who sees all of the patient, else those seen."""
    every = select(patient.c.visits).where(patient.c.pseudonym == object_.c.patient)
    of_whole = sight.cares(object_.c.patient)
    if each:
        other = object_.alias()
        seen = (
            select(_visits_in(other))
            .where(
                other.c.patient == object_.c.patient,
                other.c.lfn.is_not(None),
                sight.objects(other),
            )
            .correlate(object_)
            .scalar_subquery()
        )
        visits = case(
            (object_.c.patient.is_(None), null()),
            (of_whole, every.correlate(object_).scalar_subquery()),
            else_=seen,
        )
        return ColumnField("visits", visits, values.number, globs=False)
    whole = every.correlate(object_).scalar_subquery()
    found = visits_seen(sight, case((of_whole, whole), else_=_visits_in(object_))).subquery()
    return RowsField(
        "visits",
        select(found.c.patient),
        found.c.visits,
        values.number,
        globs=False,
        key=object_.c.patient,
    )


def visits_seen(sight: Sight, visits: ColumnElement[int] | None = None) -> Select[Any]:
    """Select patients of objects that are seen, and how many visits of each are seen."""
    shown = _visits_in(object_) if visits is None else visits
    return (
        select(object_.c.patient, shown.label("visits"))
        .where(object_.c.patient.is_not(None), object_.c.lfn.is_not(None), sight.objects())
        .group_by(object_.c.patient)
    )


def _visits_in(of: FromClause) -> ColumnElement[int]:
    return func.count(func.coalesce(of.c.study_date, of.c.session).distinct())


def _replica_count() -> ColumnElement[Any]:
    count = select(func.count()).where(replica.c.object_id == object_.c.id)
    return count.correlate(object_).scalar_subquery()


def _review() -> ColumnElement[Any]:
    """Whether a review is needed or done; unknown where none is asked for."""
    return func.nullif(object_.c.review, literal("", Text))


_MADE = select(derivation_output.c.object_id).join(
    derivation, derivation.c.id == derivation_output.c.derivation
)

VIRTUAL: dict[str, Field] = {
    field.name: field
    for field in (
        ColumnField("id", object_.c.id, values.text, globs=True),
        ColumnField("kind", object_.c.kind, values.text, globs=True),
        ColumnField("class", object_.c.data_class, values.text, globs=False),
        ColumnField("owner", object_.c.owner, values.text, globs=True),
        ColumnField("review", _review(), values.text, globs=False),
        ColumnField("original", object_.c.original, values.text, globs=True),
        ColumnField("filename", object_.c.filename, values.text, globs=True),
        ColumnField("sha256", object_.c.sha256, values.text, globs=True),
        ColumnField("size", object_.c.size_bytes, values.size, globs=False),
        ColumnField("version", object_.c.version, values.number, globs=False),
        ColumnField("created", object_.c.created_s, values.moment, globs=False),
        ColumnField("replicas", _replica_count(), values.number, globs=False),
        RowsField(
            "visits",
            select(patient.c.pseudonym),
            patient.c.visits,
            values.number,
            globs=False,
            key=object_.c.patient,
        ),
        RowsField("se", select(replica.c.object_id), replica.c.se, values.text),
        RowsField(
            "se_site",
            select(replica.c.object_id).join(
                storage_element, storage_element.c.name == replica.c.se
            ),
            storage_element.c.site,
            values.text,
        ),
        RowsField("worker", _MADE, derivation.c.worker, values.text),
    )
}
"""Fields that are no attributes and are compared like them."""
