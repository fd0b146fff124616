"""What the one for whom the catalog is open may see, as SQL: policy's `Verb.SEE`, for many rows.

Every store asks its `Sight`. Without a viewer, as the grid's own processes work, all is seen. With
one, what is not seen is as if it did not exist: the same answers, the same errors. The rule is
`medgrid.crypto.policy.may`; ``tests/catalog/test_sight_agrees.py`` compares.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Double,
    FromClause,
    Select,
    and_,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
)

from medgrid.catalog.job_schema import submission
from medgrid.catalog.schema import (
    Text,
    access_grant,
    care,
    derivation,
    derivation_link,
    derivation_output,
    object_,
    patient_attribute,
)
from medgrid.crypto.policy import Care
from medgrid.model import DataClass, Review

__all__ = ["Sight", "speaks_of"]

# tables of the conditions' own, made once: an alias copies every column of its table
_CARE = care.alias()
_GRANT = access_grant.alias()
_SEEN, _SPOKEN_OF = object_.alias(), object_.alias()
_SUBMISSION = submission.alias()
_DERIVATION = derivation.alias()
_OUTPUT = derivation_output.alias()
_LINK = derivation_link.alias()


def speaks_of(said: FromClause, one: FromClause) -> ColumnElement[bool]:
    """Whether a row of ``patient_attribute`` says something of an object's patient or visit."""
    visits = (literal("", Text), one.c.session, one.c.study_date)
    return and_(said.c.patient == one.c.patient, said.c.visit.in_(visits))


class Sight:
    """What `viewer`, an identity's name, may see; all of it when None.

    When the catalog is guarded, the database shows the viewer's rows alone: to ask for them again
    would take twice as long.
    """

    def __init__(self, viewer: str | None = None, *, is_guarded: bool = False) -> None:
        self.viewer = viewer
        self.is_guarded = is_guarded
        self._sees_all = viewer is None or is_guarded  # of what the database shows

    @property
    def owner(self) -> str:
        """Whose datasets are meant."""
        return self.viewer or ""

    @property
    def _name(self) -> ColumnElement[str]:
        return literal(self.viewer, Text)

    def objects(self, table: FromClause = object_) -> ColumnElement[bool]:
        """Whether the object of a row of `table` (``object``, or an alias of it) is seen."""
        if self._sees_all:
            return true()
        return or_(
            table.c.data_class == literal(str(DataClass.PUBLIC), Text),
            table.c.owner == self._name,
            self.cares(table.c.patient),
            and_(
                table.c.data_class == literal(str(DataClass.IMAGE), Text),
                table.c.review != literal(str(Review.NEEDED), Text),
                self._granted(table.c.id),
            ),
        )

    def cares(self, patient: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether the viewer is of the patient's team, or the patient."""
        if self.viewer is None:
            return true()
        return exists(
            select(literal_column("1"))
            .where(_CARE.c.patient == patient, _CARE.c.identity == self._name)
            .correlate_except(_CARE)
        )

    def is_physician(self, patient: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether the viewer is a physician of the patient's team."""
        if self.viewer is None:
            return true()
        return exists(
            select(literal_column("1"))
            .where(
                _CARE.c.patient == patient,
                _CARE.c.identity == self._name,
                _CARE.c.role == literal(str(Care.PHYSICIAN), Text),
            )
            .correlate_except(_CARE)
        )

    def writes(self, table: FromClause = object_) -> ColumnElement[bool]:
        """Whether the viewer may change the object: its owner, and the patient's physicians."""
        if self.viewer is None:
            return true()
        return or_(table.c.owner == self._name, self.is_physician(table.c.patient))

    def controls(self, table: FromClause = object_) -> ColumnElement[bool]:
        """Whether the viewer may grant the object, apart from its class and review.

        What belongs to no single patient is its owner's to decide, if a physician; that they are
        one their certificate says, not the catalog.
        """
        if self.viewer is None:
            return true()
        own = and_(table.c.patient.is_(None), table.c.owner == self._name)
        return or_(own, self.is_physician(table.c.patient))

    def _granted(self, object_id: ColumnElement[Any]) -> ColumnElement[bool]:
        return exists(
            select(literal_column("1"))
            .where(
                _GRANT.c.object_id == object_id,
                _GRANT.c.identity == self._name,
                or_(_GRANT.c.until_s.is_(None), _GRANT.c.until_s > literal(time.time(), Double)),
            )
            .correlate_except(_GRANT)
        )

    def object_id(self, object_id: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether an id is that of an object that is there and is seen."""
        if self._sees_all:
            return true()
        return exists(
            select(literal_column("1"))
            .where(_SEEN.c.id == object_id, self.objects(_SEEN))
            .correlate_except(_SEEN)
        )

    def said(self, table: FromClause = patient_attribute) -> ColumnElement[bool]:
        """Whether a row of ``patient_attribute`` is seen: with any object that it speaks of."""
        if self._sees_all:
            return true()
        some: Select[Any] = select(literal_column("1"))
        some = some.where(speaks_of(table, _SPOKEN_OF), self.objects(_SPOKEN_OF))
        return or_(self.cares(table.c.patient), exists(some.correlate_except(_SPOKEN_OF)))

    def submissions(self, table: FromClause = submission) -> ColumnElement[bool]:
        """Whether a submission is seen: its owner's alone."""
        return self.owned(table)

    def owned(self, table: FromClause) -> ColumnElement[bool]:
        """Whether a row that says something of its owner is seen: by them alone."""
        if self._sees_all:
            return true()
        return table.c.owner == self._name

    def submission_id(self, number: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether a number is that of a submission of the viewer."""
        if self._sees_all:
            return true()
        return exists(
            select(literal_column("1"))
            .where(_SUBMISSION.c.id == number, _SUBMISSION.c.owner == self._name)
            .correlate_except(_SUBMISSION)
        )

    def asked_for(self, table: FromClause = derivation) -> ColumnElement[bool]:
        """Whether the viewer asked for a derivation, by a job or an import."""
        if self.viewer is None:
            return true()
        return table.c.owner == self._name

    def linked(self, output: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether an output was made from some inputs of its derivation only, seen or not."""
        if self.is_guarded:
            return func.medgrid.is_linked(output, type_=Boolean)
        some: Select[Any] = select(literal_column("1")).where(_LINK.c.output_id == output)
        return exists(some.correlate_except(_LINK))

    def derivations(self, table: FromClause = derivation) -> ColumnElement[bool]:
        """Whether a derivation is seen: the viewer asked for it, or sees what it made."""
        return or_(self.asked_for(table), self.made_something(table.c.id))

    def made_something(self, key: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether anything that derivation `key` made is seen."""
        if self._sees_all:
            return true()
        return exists(
            select(literal_column("1"))
            .where(_OUTPUT.c.derivation == key, self.took_part(_OUTPUT))
            .correlate_except(_OUTPUT)
        )

    def took_part(self, table: FromClause) -> ColumnElement[bool]:
        """Whether a row of ``derivation_input`` or ``derivation_output`` is seen.

        It is when its object is, or when the viewer asked for the derivation: what was given to
        one's own job, and is gone or not seen any more, one knows.
        """
        if self._sees_all:
            return true()
        return or_(self.object_id(table.c.object_id), self._asked_for_run(table))

    def made_of(self, source: ColumnElement[Any], table: FromClause) -> ColumnElement[bool]:
        """Whether it is seen that a row of ``derivation_output`` was made from object `source`."""
        if self._sees_all:
            return true()
        both = and_(self.object_id(source), self.object_id(table.c.object_id))
        return or_(both, self._asked_for_run(table))

    def _asked_for_run(self, table: FromClause) -> ColumnElement[bool]:
        return exists(
            select(literal_column("1"))
            .where(_DERIVATION.c.id == table.c.derivation, self.asked_for(_DERIVATION))
            .correlate_except(_DERIVATION)
        )
