"""The table of ARCHITECTURE.md that says what was measured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.benchmarks.figures import Figure, Row

__all__ = ["Table", "of_day", "updated"]

_BEGIN = "<!-- measured: written by python -m tests.benchmarks --write -->\n"
_END = "<!-- measured: end -->\n"
_HEAD = ("| what | bar | measured |", "|---|---|---|")
_NEVER = "not yet"
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_KEPT = re.compile(r", on \d{4}-\d\d-\d\d$")


@dataclass(frozen=True, slots=True)
class Table:
    """All that stands between the two marks: when, where and by what was measured, and the rows."""

    about: str
    rows: tuple[Row, ...]

    @classmethod
    def within(cls, page: str) -> Table:
        """Read the table of a page."""
        _, text, _ = _cut(page)
        about, _, table = text.partition("\n\n")
        rows = []
        for line in table.splitlines()[len(_HEAD) :]:
            what, bar, measured = (cell.strip() for cell in line.strip("|").split("|"))
            rows.append(Row(what, bar, measured))
        return cls(about, tuple(rows))

    def put_into(self, page: str) -> str:
        """The page with this table in place of its own."""
        before, _, after = _cut(page)
        lines = [*_HEAD, *(f"| {one.what} | {one.bar} | {one.measured} |" for one in self.rows)]
        lines = [re.sub(" {2,}", " ", line) for line in lines]
        return f"{before}{self.about}\n\n" + "\n".join(lines) + f"\n{after}"


def updated(old: Table, about: str, figures: Sequence[Figure], fresh: Mapping[str, Row]) -> Table:
    """A table with what was measured now.

    Parameters
    ----------
    old : Table
        What stands there.
    about : str
        Says when (a day like 2026-11-30), where and by what was measured.
    figures : sequence of Figure
        All that can be measured, in the order of the rows.
    fresh : mapping
        What was measured now, by `Row.what`. The other rows say of which day they are (`of_day`).
    """
    before = {row.what: row for row in old.rows}
    day = _DAY.search(old.about)
    rows = []
    for figure in figures:
        row = fresh.get(figure.what)
        if row is None:
            row = before.get(figure.what, Row(figure.what, "", _NEVER))
            row = replace(of_day(row, day[0] if day else "an unknown day"), bar=figure.bar)
        rows.append(row)
    return Table(about, tuple(rows))


def of_day(row: Row, day: str) -> Row:
    """A row that says of which day it is, unless it does."""
    if row.measured == _NEVER or _KEPT.search(row.measured):
        return row
    return replace(row, measured=f"{row.measured}, on {day}")


def _cut(page: str) -> tuple[str, str, str]:
    """What stands before, in and after the table, the marks with what is around."""
    before, begin, rest = page.partition(_BEGIN)
    text, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"the page has no marks {_BEGIN.strip()} and {_END.strip()}")
    return before + begin, text, end + after
