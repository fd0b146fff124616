"""Syntax tree to SQL: names from an allow-list, values always bound.

A comparison holds when the attribute has a value for which it holds. The negative ones (``!=``,
``!~``, ``not in``, ``not between``) hold when the attribute is known and none of its values is what
it must not be. ``not`` is the exact opposite of what follows it. So every condition is true or
false, never unknown: ``not`` is pushed down to the conditions, and each field knows its opposite.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    and_,
    exists,
    false,
    literal,
    not_,
    or_,
    select,
    true,
)

from medgrid.catalog import query_values as values
from medgrid.catalog.attributes import ALIASES, COLUMNS, GEOMETRY_COMPLETE, TAGS, nearest
from medgrid.catalog.names import OF_PATIENTS, UNBLINDED, KnownName, known_names, seen_names
from medgrid.catalog.nominative import is_nominative
from medgrid.catalog.query import Question, QuestionError, parse
from medgrid.catalog.query_ast import (
    And,
    Between,
    Compare,
    Known,
    Node,
    Not,
    OneOf,
    Or,
    Path,
    Patients,
    Value,
    leaves,
)
from medgrid.catalog.query_fields import (
    VIRTUAL,
    ColumnField,
    DocumentField,
    Field,
    Matches,
    RowsField,
    column_field,
    patient_field,
    user_field,
    visits_field,
)
from medgrid.catalog.query_links import algorithm_is, derived_from, job_is, made_at_all, made_where
from medgrid.catalog.query_match import below, compare, contains_glob, glob, path_glob
from medgrid.catalog.query_values import BadValue, Span
from medgrid.catalog.schema import Text, dataset, dataset_member, object_
from medgrid.catalog.sight import Sight
from medgrid.database.many import among
from medgrid.database.plans import unindexed
from medgrid.errors import NotFound, UsageError
from medgrid.model import LFN, AttributeType, DataClass, ObjectKind, Review

__all__ = ["Compiler"]

_NEGATIVE = {"!=": "=", "!~": "~"}
_GIVEN = {"user", *OF_PATIENTS}  # places of what people gave: who sees no such object knows no name
_LINKS = ("algorithm", "dataset", "derived_from", "job", "lfn")
_MAX_DATASETS = 20
_RANGES = ("created", "StudyDate", "PatientAge")
_NARROW = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "lfn", "id")
_SOUGHT = (*_NARROW, "StudyDate", "session")  # the last stand beside the patient in indexes
_WORDS: dict[str, list[str]] = {
    "kind": list(ObjectKind),
    "class": list(DataClass),
    "review": [word for word in Review if word],
}
_NOT_ORIGINAL = object_.c.data_class != literal(str(DataClass.NOMINATIVE), Text)


class Compiler:
    """Turns questions into conditions on table ``object``, for one connection."""

    def __init__(self, connection: Connection, sight: Sight) -> None:
        self.connection = connection
        self.sight = sight
        self._dialect = connection.dialect.name
        self._text = ""
        self._open_datasets: tuple[str, ...] = ()
        self._is_narrow = False  # whether other conditions leave few objects

    def where(self, question: Question) -> ColumnElement[bool]:
        """Condition that holds for the objects asked for.

        Only named objects that are seen are asked for; originals only when the question speaks of
        ``class``, or names one by its whole LFN, or a dataset has it.

        Raises
        ------
        QuestionError
            A name is unknown, or a value does not go with it.
        NotFound
            A dataset does not exist.
        """
        if question.root is None:
            return self.base(question)
        # the question first: its indexes are what narrows
        return and_(self.condition(question.root, question.text), self.base(question))

    def base(self, question: Question) -> ColumnElement[bool]:
        """Condition for what a question may find whatever it asks for; see `where`."""
        usual = _NOT_ORIGINAL
        if question.root is not None:
            before, self._text = self._text, question.text
            try:
                with self._narrowed(_narrows(question.root)):
                    usual = self._usual(question.root)
            finally:
                self._text = before
        return and_(object_.c.lfn.is_not(None), usual, self.sight.objects())

    def condition(self, node: Node, text: str) -> ColumnElement[bool]:
        """Condition for a part of the question `text`."""
        before, self._text = self._text, text
        try:
            return self._node(node, True)
        finally:
            self._text = before

    def field(self, name: str, at: int = 0) -> Field:
        """Resolve a name.

        Raises
        ------
        QuestionError
            Nothing is called so; the hint has the nearest names.
        """
        found = self._resolve(TAGS.get(name, name))
        if found is not None:
            return found
        lower = name.lower()
        folded = [known for known in self.names() if known.lower() == lower]
        if len(folded) == 1 and (found := self._resolve(folded[0])) is not None:
            return found
        return self._from_dictionary(name, at)

    def sort_key(self, name: str) -> ColumnElement[Any]:
        """Expression to sort by `name`.

        Raises
        ------
        UsageError
            Nothing is called so, or it gives no order.
        """
        if name in ("algorithm", "dataset", "derived_from", "job") or name.startswith("input."):
            raise UsageError(f"cannot sort by {name}")
        with self._narrowed(True):
            return self.field(name).sort_key()

    def names(self) -> list[str]:
        """All names a question may use in this grid, beside DICOM keywords no object has.

        Of those that people gave, a viewer knows the ones of objects that they see.
        """
        given = [known for known in self._known.values() if known.place in _GIVEN]
        unseen = {known.name for known in given} - seen_names(self.connection, self.sight, given)
        others = [name for name in self._known if name not in unseen]
        return [*COLUMNS, *ALIASES, *VIRTUAL, *_LINKS, *others]

    def has_range(self, question: Question) -> bool:
        """Whether a range of an indexed column bounds what a question finds, and no path does."""
        root = question.root
        parts = root.parts if isinstance(root, And) else (root,)
        if any(
            isinstance(leaf, Path) for part in parts if part is not None for leaf in leaves(part)
        ):
            return False
        return any(
            ALIASES.get(TAGS.get(part.name, part.name), part.name) in _RANGES
            for part in parts
            if isinstance(part, Compare | Between)
        )

    @property
    def _each(self) -> bool:
        """Whether rows of other tables are looked up for each object.

        PostgreSQL turns this round where that is better; a list of all that match it reads again
        and again when it is too long for its memory.
        """
        return self._is_narrow or self._dialect != "sqlite"

    @contextmanager
    def _narrowed(self, is_narrow: bool) -> Iterator[None]:
        before = self._is_narrow
        self._is_narrow = before or is_narrow
        try:
            yield
        finally:
            self._is_narrow = before

    @cached_property
    def _known(self) -> dict[str, KnownName]:
        return known_names(self.connection)

    def _resolve(self, name: str) -> Field | None:
        name = ALIASES.get(name, name)
        if name in COLUMNS:
            known = self._known.get(name)
            if known is None or known.place != "list":
                return column_field(COLUMNS[name], None)
            lists = self._user_field(name, known.type)
            if not self._is_narrow and self._dialect != "sqlite":
                lists = replace(lists, each=False, in_array=True)
            return column_field(COLUMNS[name], lists)
        if name == "visits" and self.sight.viewer is not None:
            return visits_field(self.sight, self._is_narrow)
        if name in VIRTUAL:
            field = VIRTUAL[name]
            return replace(field, each=self._each) if isinstance(field, RowsField) else field
        if name == "lfn":
            return ColumnField("lfn", object_.c.lfn, values.text, globs=True)
        known = self._known.get(name)
        if known is None:
            return None
        if known.place in _GIVEN:
            if not seen_names(self.connection, self.sight, [known]):
                return None
            if known.place in OF_PATIENTS:
                is_coded = known.place == UNBLINDED
                return patient_field(self.connection, name, known.type, self._each, is_coded)
            return self._user_field(name, known.type)
        return DocumentField(name, known.type, self._dialect)

    def _user_field(self, name: str, type_: AttributeType) -> RowsField:
        return user_field(self.connection, name, type_, self._each)

    def _from_dictionary(self, name: str, at: int) -> Field:
        """Field of a known name that no object has: asking for it is no error."""
        from medgrid.catalog.dictionary import dicom, keywords

        if name == GEOMETRY_COMPLETE or ALIASES.get(name, name) in ALIASES.values():
            return DocumentField(ALIASES.get(name, name), AttributeType.TEXT, self._dialect)

        found = dicom(name)
        if found is not None and found.vr == "PN":
            raise QuestionError(
                f"{found.keyword} names people: the catalog does not hold it",
                self._text,
                at,
                hint="patients are known by pseudonym: PatientID=P-...",
            )
        if found is not None:
            known = self._resolve(found.keyword)
            return known or DocumentField(found.keyword, found.type, self._dialect)
        if name.startswith("("):
            raise QuestionError(f"there is no public DICOM attribute {name}", self._text, at)
        hint = nearest(name, self.names()) or nearest(name, keywords())
        raise QuestionError(
            f"unknown attribute {name!r}",
            self._text,
            at,
            hint=hint or "see medgrid-query(7) for the names",
        )

    def _usual(self, root: Node) -> ColumnElement[bool]:
        """Leave originals out, but those that the question means."""
        meant: list[ColumnElement[bool]] = [_NOT_ORIGINAL]
        for leaf in leaves(root):
            if isinstance(leaf, Path):
                pattern = unicodedata.normalize("NFC", leaf.pattern.text)
                if not contains_glob(pattern):
                    meant.append(object_.c.lfn == literal(pattern, Text))
            elif isinstance(leaf, Patients):
                continue
            elif leaf.name == "class":
                return true()
            elif leaf.name == "dataset":
                given, _ = self._given(leaf, globs=False)
                meant += [self._dataset(value, True) for value in given]
        return or_(*meant)

    # -- nodes -------------------------------------------------------------------------------------

    def _node(self, node: Node, positive: bool) -> ColumnElement[bool]:
        if isinstance(node, Not):
            return self._node(node.part, not positive)
        if isinstance(node, And | Or):
            with self._narrowed(positive and _narrows(node)):
                parts = [self._node(part, positive) for part in node.parts]
            return and_(*parts) if isinstance(node, And) == positive else or_(*parts)
        if isinstance(node, Path):
            found = self._path(object_.c.lfn, node.pattern.text)
            return found if positive else not_(found)
        if isinstance(node, Patients):
            return self._patients(node.pseudonyms, positive)
        if node.name == "dataset":
            return self._datasets(node, positive)
        if is_nominative(node.name):
            return self._patients((), positive)  # nobody opened the seals: it is known of nobody
        if node.name in ("algorithm", "derived_from", "job"):
            found = self._link(node)
            return found if positive else not_(found)
        field = self.field(node.name, node.at)
        if self._is_narrow and isinstance(field, ColumnField):
            field = self._beside(field)
        if isinstance(node, Known):
            matches: Matches = lambda value: value.is_not(None)  # noqa: E731
            return field.some(matches) if node.known == positive else field.none(matches)
        negative = self._is_negative(node)
        matches = self._matches(node, field)
        if not negative:
            return field.some(matches) if positive else field.none(matches)
        known: Matches = lambda value: value.is_not(None)  # noqa: E731
        if positive:
            return and_(field.some(known), field.none(matches))
        return or_(field.none(known), field.some(matches))

    def _beside(self, field: ColumnField) -> ColumnField:
        """A field that is compared where few objects are left: no index of its own finds fewer."""
        if field.name in _SOUGHT or not isinstance(field.column, Column):
            return field
        return replace(field, column=unindexed(self.connection, field.column))

    def _patients(self, pseudonyms: Collection[str], positive: bool) -> ColumnElement[bool]:
        if not pseudonyms:
            return false() if positive else true()
        patient = object_.c.patient
        chosen = among(self.connection, patient, sorted(pseudonyms))
        if positive:
            return and_(patient.is_not(None), chosen)
        return or_(patient.is_(None), not_(chosen))

    @staticmethod
    def _is_negative(node: Compare | Between | OneOf) -> bool:
        return node.op in _NEGATIVE if isinstance(node, Compare) else node.negated

    def _matches(self, node: Compare | Between | OneOf, field: Field) -> Matches:
        """What the positive form of a comparison asks of one value."""
        if isinstance(node, Between):
            self._must(field.ordered, node, "between")
            low, high = self._span(field, node.low), self._span(field, node.high)
            return lambda value: and_(compare(value, ">=", low), compare(value, "<=", high))
        if isinstance(node, OneOf):
            spans = [self._span(field, value) for value in node.values]
            return lambda value: _one_of(value, spans)
        operator = _NEGATIVE.get(node.op, node.op)
        if operator == "~":
            self._must(field.globs, node, node.op)
            pattern = node.value.text
            if field.name == "lfn":
                pattern = unicodedata.normalize("NFC", pattern)
                return lambda value: path_glob(value, pattern, self._dialect)
            return lambda value: glob(value, pattern, self._dialect)
        if operator != "=":
            self._must(field.ordered, node, node.op)
        span = self._span(field, node.value)
        return lambda value: compare(value, operator, span)

    def _span(self, field: Field, value: Value) -> Span:
        words = _WORDS.get(field.name)
        if words is not None and value.text not in words:
            raise self._wrong(
                f"{field.name} is one of {', '.join(words)}, found {value.text!r}",
                value.at,
            )
        try:
            return field.coerce(value.text)
        except BadValue as error:
            raise self._wrong(
                f"{field.name} is compared with {error}, found {value.text!r}", value.at
            ) from error

    def _must(self, fine: bool, node: Compare | Between, operator: str) -> None:
        if not fine:
            raise self._wrong(f"{operator!r} does not go with {node.name}", node.at)

    def _wrong(self, problem: str, at: int) -> QuestionError:
        return QuestionError(problem, self._text, at)

    # -- LFNs, datasets, provenance ----------------------------------------------------------------

    def _path(self, column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
        """A bare path: an LFN, all below a folder, or a glob."""
        pattern = unicodedata.normalize("NFC", pattern)
        if pattern == "/":
            return true()
        if contains_glob(pattern):
            return path_glob(
                column, pattern + "*" if pattern.endswith("/") else pattern, self._dialect
            )
        if pattern.endswith("/"):
            return below(column, pattern)
        return or_(column == literal(pattern, Text), below(column, pattern + "/"))

    def _link(self, node: Compare | Between | OneOf | Known) -> ColumnElement[bool]:
        """Conditions on how an object was made; they are true or false, never NULL."""
        name = node.name
        made = (
            made_where(job_is(None, self.sight), each=self._each)
            if name == "job"
            else made_at_all(each=self._each)
        )
        if isinstance(node, Known):
            return made if node.known else not_(made)
        given, operator = self._given(node, globs=name != "job")
        found = or_(false(), *(self._linked(name, value, operator == "~") for value in given))
        return and_(made, not_(found)) if self._is_negative(node) else found

    def _given(
        self, node: Compare | Between | OneOf | Known, globs: bool
    ) -> tuple[Sequence[Value], str]:
        """Values and positive operator of a comparison with a thing, not with a quantity."""
        if isinstance(node, OneOf):
            return node.values, "="
        if isinstance(node, Compare):
            operator = _NEGATIVE.get(node.op, node.op)
            if operator == "=" or (operator == "~" and globs):
                return (node.value,), operator
        shown = (
            node.op
            if isinstance(node, Compare)
            else "between"
            if isinstance(node, Between)
            else "is"
        )
        raise self._wrong(f"{shown!r} does not go with {node.name}", node.at)

    def _linked(self, name: str, value: Value, is_glob: bool) -> ColumnElement[bool]:
        if name == "algorithm":
            matches = (lambda column: glob(column, value.text, self._dialect)) if is_glob else None
            return made_where(algorithm_is(matches, value.text), each=self._each)
        if name == "job":
            try:
                return made_where(job_is(value.text, self.sight), each=self._each)
            except UsageError as error:
                raise self._wrong(error.message, value.at) from error
        if not value.text.startswith("/"):
            raise self._wrong(
                f"derived_from is compared with an LFN, found {value.text!r}", value.at
            )
        if is_glob:
            return derived_from(path_glob(object_.c.lfn, value.text, self._dialect), self.sight)
        lfn = LFN(value.text)
        return derived_from(object_.c.lfn == literal(str(lfn), Text), self.sight, lfn)

    def _datasets(
        self, node: Compare | Between | OneOf | Known, positive: bool
    ) -> ColumnElement[bool]:
        given, _ = self._given(node, globs=False)
        if not isinstance(node, Known) and self._is_negative(node):
            positive = not positive
        parts = [self._dataset(value, positive) for value in given]
        return or_(false(), *parts) if positive else and_(true(), *parts)

    def _dataset(self, value: Value, positive: bool) -> ColumnElement[bool]:
        name = value.text
        row = self.connection.execute(
            select(dataset.c.question, dataset.c.frozen).where(
                dataset.c.owner == self.sight.owner, dataset.c.name == name
            )
        ).first()
        if row is None:
            names = self.connection.scalars(
                select(dataset.c.name).where(dataset.c.owner == self.sight.owner)
            ).all()
            raise NotFound(
                f"no dataset {name!r}", hint=nearest(name, names) or "see 'medgrid dataset ls'"
            )
        if row.frozen:
            members = select(dataset_member.c.lfn).where(
                dataset_member.c.owner == literal(self.sight.owner, Text),
                dataset_member.c.dataset == literal(name, Text),
            )
            if self._each:
                is_member = exists(members.where(dataset_member.c.lfn == object_.c.lfn))
                return is_member if positive else not_(is_member)
            return object_.c.lfn.in_(members) if positive else object_.c.lfn.not_in(members)
        if name in self._open_datasets or len(self._open_datasets) >= _MAX_DATASETS:
            chain = " -> ".join((*self._open_datasets, name))
            raise self._wrong(f"dataset {name!r} asks for itself: {chain}", value.at)
        question = parse(row.question)
        if question.root is None:
            return _NOT_ORIGINAL if positive else not_(_NOT_ORIGINAL)
        datasets_before, text_before = self._open_datasets, self._text
        self._open_datasets, self._text = (*datasets_before, name), question.text
        try:
            usual = self._usual(question.root)
            found = self._node(question.root, positive)
            return and_(found, usual) if positive else or_(found, not_(usual))
        finally:
            self._open_datasets, self._text = datasets_before, text_before


def _narrows(node: Node) -> bool:
    """Whether a question leaves a few objects, whatever else it asks, that an index finds."""
    if isinstance(node, And):
        return any(map(_narrows, node.parts))
    if isinstance(node, Patients):
        return True
    if not isinstance(node, Compare | OneOf):
        return False
    is_equal = not node.negated if isinstance(node, OneOf) else node.op == "="
    name = TAGS.get(node.name, node.name)
    return is_equal and ALIASES.get(name, name) in _NARROW


def _one_of(value: ColumnElement[object], spans: Sequence[Span]) -> ColumnElement[bool]:
    if all(span.end is None for span in spans):
        lows = [span.low for span in spans]
        if all(isinstance(low, str) for low in lows):
            return value.in_([literal(low, Text) for low in lows])
    return or_(*(compare(value, "=", span) for span in spans))
