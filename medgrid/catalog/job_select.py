"""Words that name jobs: ``42``, ``42.7``, ``42.1-42.5`` (or ``42.1-5``)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, true

from medgrid.catalog.job_schema import job, submission
from medgrid.catalog.sight import Sight
from medgrid.errors import NotFound, UsageError

__all__ = ["Span", "check_spans", "condition", "parse_spans"]

_WORD = re.compile(
    r"(?P<submission>[1-9]\d{0,17})"
    r"(?:\.(?P<first>[1-9]\d{0,17})(?:-(?:(?P<again>[1-9]\d{0,17})\.)?(?P<last>[1-9]\d{0,17}))?)?"
)
_SPANS_PER_SELECT = 300


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Jobs `first` to `last` of a submission, both included; all of it when they are None."""

    submission: int
    first: int | None = None
    last: int | None = None

    def __str__(self) -> str:
        if self.first is None:
            return str(self.submission)
        text = f"{self.submission}.{self.first}"
        return text if self.last == self.first else f"{text}-{self.last}"


def parse_spans(words: Iterable[str]) -> list[Span]:
    """Read words that name jobs; neighbours are joined into one span.

    Raises
    ------
    UsageError
        A word names no job.

    Examples
    --------
    >>> [str(span) for span in parse_spans(["42.1", "42.2", "42.3", "7"])]
    ['42.1-3', '7']
    """
    spans: list[Span] = []
    for word in words:
        match = _WORD.fullmatch(word.strip())
        if match is None or (match["again"] or match["submission"]) != match["submission"]:
            raise UsageError(
                f"{word!r} is not a job id",
                hint="42.7 is a job, 42.1-42.5 some jobs, 42 all jobs of a submission",
            )
        number = int(match["submission"])
        if match["first"] is None:
            spans.append(Span(number))
            continue
        first = int(match["first"])
        last = int(match["last"] or first)
        if last < first:
            raise UsageError(f"{word!r} ends before it begins")
        previous = spans[-1] if spans else None
        if previous and previous.submission == number and previous.last == first - 1:
            spans[-1] = Span(number, previous.first, last)
        else:
            spans.append(Span(number, first, last))
    return spans


def check_spans(connection: Connection, spans: Iterable[Span], sight: Sight) -> None:
    """Raise NotFound when a span names a job that does not exist, or is not the viewer's."""
    wanted: dict[int, int] = {}
    for span in spans:
        wanted[span.submission] = max(wanted.get(span.submission, 0), span.last or 0)
    sizes: dict[int, int] = {}
    numbers = sorted(wanted)
    for start in range(0, len(numbers), _SPANS_PER_SELECT):
        some = numbers[start : start + _SPANS_PER_SELECT]
        question = (
            select(submission.c.id, func.max(job.c.number))
            .join(job, job.c.submission == submission.c.id)
            .where(submission.c.id.in_(some), sight.submissions())
            .group_by(submission.c.id)
        )
        sizes.update({row[0]: row[1] for row in connection.execute(question)})
    for number in numbers:
        if number not in sizes:
            raise NotFound(
                f"there is no submission {number}", hint="'medgrid status' lists your recent jobs"
            )
        if wanted[number] > sizes[number]:
            raise NotFound(
                f"there is no job {number}.{wanted[number]}: "
                f"submission {number} has jobs 1 to {sizes[number]}"
            )


def condition(spans: Sequence[Span]) -> ColumnElement[bool]:
    """SQL condition on the table ``job`` for some spans."""
    parts: list[Any] = []
    for span in spans:
        same = job.c.submission == span.submission
        if span.first is None:
            parts.append(same)
        elif span.first == span.last:
            parts.append(and_(same, job.c.number == span.first))
        else:
            parts.append(and_(same, job.c.number.between(span.first, span.last)))
    return or_(*parts) if parts else true()


def in_pieces(spans: Sequence[Span]) -> list[Sequence[Span]]:
    """Cut a long list so that one statement stays of a size that databases accept."""
    return [
        spans[start : start + _SPANS_PER_SELECT]
        for start in range(0, len(spans), _SPANS_PER_SELECT)
    ]
