"""Conditions that follow provenance: made by which algorithm or job, and from what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, literal, not_, or_, select, union

from medgrid.catalog.schema import (
    Text,
    derivation,
    derivation_input,
    derivation_link,
    derivation_output,
    object_,
    object_version,
)
from medgrid.catalog.sight import Sight
from medgrid.errors import UsageError
from medgrid.model import LFN, JobId

__all__ = ["algorithm_is", "derived_from", "job_is", "made_at_all", "made_where"]


def made_where(condition: ColumnElement[bool], *, each: bool) -> ColumnElement[bool]:
    """Made by a derivation for which `condition` holds; see `RowsField` of `each`."""
    return _is_among(
        select(derivation_output.c.object_id)
        .join(derivation, derivation.c.id == derivation_output.c.derivation)
        .where(condition),
        each,
    )


def _is_among(outputs: Select[Any], each: bool) -> ColumnElement[bool]:
    if not each:
        return object_.c.id.in_(outputs)
    return exists(outputs.where(derivation_output.c.object_id == object_.c.id).correlate(object_))


def made_at_all(*, each: bool) -> ColumnElement[bool]:
    """Made by an algorithm, not brought from outside."""
    return _is_among(select(derivation_output.c.object_id), each)


def algorithm_is(
    matches: Callable[[ColumnElement[str]], ColumnElement[bool]] | None, exact: str = ""
) -> ColumnElement[bool]:
    """Whether the name of a derivation's algorithm, or ``name@version``, matches or is `exact`."""
    if matches is not None:
        label = derivation.c.algorithm_name + "@" + derivation.c.algorithm_version
        return or_(matches(derivation.c.algorithm_name), matches(label))
    name, at, version = exact.partition("@")
    found = derivation.c.algorithm_name == literal(name, Text)
    if at:
        found = and_(found, derivation.c.algorithm_version == literal(version, Text))
    return found


def job_is(text: str | None, sight: Sight) -> ColumnElement[bool]:
    """Whether a derivation is job ``42.7``, any of submission ``42``, or any job at all when None.

    A viewer's own jobs are meant.

    Raises
    ------
    UsageError
        `text` is neither.
    """
    own = sight.asked_for()
    if text is None:
        return and_(derivation.c.submission.is_not(None), own)
    if text.isascii() and text.isdigit() and len(text) < 19:
        return and_(derivation.c.submission == int(text), own)
    try:
        job = JobId.parse(text)
    except UsageError as error:
        raise UsageError(f"{error.message}; {error.hint}") from error
    return and_(
        derivation.c.submission == job.submission, derivation.c.job_number == job.number, own
    )


def derived_from(
    sources: ColumnElement[bool], sight: Sight, lfn: LFN | None = None
) -> ColumnElement[bool]:
    """Made, directly or through other results, from an object for which `sources` holds.

    With `lfn`, also from its older versions. What a viewer does not see is no source, and no
    result on the way.
    """
    start: Select[Any] = select(object_.c.id.label("id")).where(sources, sight.objects())
    if lfn is not None:
        older = select(object_version.c.object_id).where(
            object_version.c.lfn == literal(lfn, Text),
            sight.object_id(object_version.c.object_id),
        )
        both = union(start, older).subquery()
        start = select(both.c.id)
    made = _outputs(start.subquery().c.id, sight).cte(recursive=True)
    made = made.union(_outputs(made.c.object_id, sight))
    return object_.c.id.in_(select(made.c.object_id))


def _outputs(source: ColumnElement[str], sight: Sight) -> Select[Any]:
    """Select the ids of what was made from `source`, an id of a table of them.

    An output that is linked to some inputs of its derivation was made from these alone.
    """
    inputs, output, link = derivation_input.alias(), derivation_output.alias(), derivation_link
    linked = sight.linked(output.c.object_id)
    to_source = exists().where(link.c.output_id == output.c.object_id, link.c.input_id == source)
    return (
        select(output.c.object_id)
        .select_from(source.table)
        .join(inputs, inputs.c.object_id == source)
        .join(output, output.c.derivation == inputs.c.derivation)
        .where(or_(not_(linked), to_source), sight.made_of(source, output))
    )
