"""Words that name jobs: ``42``, ``42.7``, ``42.1-42.5`` (or ``42.1-5``)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, cast, func, select

from medgrid.catalog.job_schema import job, submission
from medgrid.catalog.sight import Sight
from medgrid.database.many import among, pair_among, value_table
from medgrid.database.plans import rare
from medgrid.errors import NotFound, UsageError

__all__ = ["Span", "check_spans", "conditions", "parse_spans"]

_WORD = re.compile(
    r"(?P<submission>[1-9]\d{0,17})"
    r"(?:\.(?P<first>[1-9]\d{0,17})(?:-(?:(?P<again>[1-9]\d{0,17})\.)?(?P<last>[1-9]\d{0,17}))?)?"
)
_FEW = 1000  # jobs of a range that are looked up one by one


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
    given = value_table(connection, map(str, wanted))
    one = cast(given.c.value, BigInteger)
    mine = select(submission.c.id).where(submission.c.id == one, sight.submissions())
    last = select(func.max(job.c.number)).where(job.c.submission == one)
    # one look-up for each submission, also where the database takes the tables to be small
    question = select(mine.scalar_subquery(), last.scalar_subquery()).select_from(given)
    rows = connection.execute(question)
    sizes = {found: size for found, size in rows if found is not None and size}
    for number in sorted(wanted):
        if number not in sizes:
            raise NotFound(
                f"there is no submission {number}", hint="'medgrid status' lists your recent jobs"
            )
        if wanted[number] > sizes[number]:
            raise NotFound(
                f"there is no job {number}.{wanted[number]}: "
                f"submission {number} has jobs 1 to {sizes[number]}"
            )


def conditions(
    connection: Connection, spans: Iterable[Span], *, alone: bool = False
) -> list[ColumnElement[bool]]:
    """Conditions on the table ``job``: each job of the spans meets one of them, and no other job.

    Many of them in one would make the database read all jobs. They are for statements that read
    other tables, too, or this one `alone`.
    """
    whole: set[int] = set()
    parts: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for span in spans:
        if span.first is None or span.last is None:
            whole.add(span.submission)
        else:
            parts[span.submission].append((span.first, span.last))
    found = []
    if whole:
        of_these = among(connection, job.c.submission, whole)
        found.append(rare(connection, of_these) if alone else of_these)
    alone_of_theirs: list[tuple[int, int]] = []
    for number in parts.keys() - whole:
        of_it = job.c.submission == number
        singles: list[int] = []
        for first, last in _joined(parts[number]):
            if last - first < _FEW:
                singles += range(first, last + 1)
            else:
                found.append(and_(of_it, job.c.number.between(first, last)))
        if len(singles) > 1:
            found.append(and_(of_it, among(connection, job.c.number, singles)))
        else:
            alone_of_theirs += [(number, one) for one in singles]
    if alone_of_theirs:
        found.append(pair_among(connection, (job.c.submission, job.c.number), alone_of_theirs))
    return found


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges without what they share.

    Examples
    --------
    >>> _joined([(7, 9), (1, 2), (2, 5), (6, 6)])
    [(1, 9)]
    """
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found
