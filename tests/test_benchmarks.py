"""The table of what was measured, and who claims its rows. The programs themselves are not run."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.benchmarks.__main__ import PAGE, all_figures, names
from tests.benchmarks.figures import Figure, Row
from tests.benchmarks.table import Table, updated

FAST = Figure("a query", " ms", at_most=20)
MANY = Figure("jobs", "/s", at_least=400)
NEW = Figure("bytes")
PAGE_OF_TWO = """\
# Measured

<!-- measured: written by python -m tests.benchmarks --write -->
Last run: 2026-11-01, commit abc.

| what | bar | measured |
|---|---|---|
| a query | <= 20 ms | 3.5 ms |
| jobs | >= 400/s | 500/s |
| what nobody measures any more | | 7 |
<!-- measured: end -->

# More
"""


def test_the_table_is_what_its_writer_makes_of_its_own_rows() -> None:
    page = PAGE.read_text("utf-8")
    assert Table.within(page).put_into(page) == page


def test_each_row_of_the_table_is_claimed_by_a_benchmark_and_each_claim_has_a_row() -> None:
    rows = Table.within(PAGE.read_text("utf-8")).rows
    figures = all_figures()
    assert [(row.what, row.bar) for row in rows] == [(one.what, one.bar) for one in figures]
    assert [what for what, count in Counter(row.what for row in rows).items() if count > 1] == []


@pytest.mark.parametrize("name", names())
def test_each_benchmark_says_what_it_measures_and_takes_its_small_sizes(name: str) -> None:
    import importlib
    import inspect

    module = importlib.import_module(f"tests.benchmarks.bench_{name}")
    assert module.FIGURES
    assert module.QUICK.keys() <= inspect.signature(module.measure).parameters.keys()


def test_what_was_measured_replaces_and_what_was_not_says_its_day() -> None:
    old = Table.within(PAGE_OF_TWO)
    found = updated(
        old,
        "Last run: 2026-11-30, commit def.",
        [FAST, MANY, NEW],
        {FAST.what: FAST.row(25.2, "of 7")},
    )
    assert found.rows == (
        Row("a query", "<= 20 ms", "25.2 ms (of 7), **missed**", is_met=False),
        Row("jobs", ">= 400/s", "500/s, on 2026-11-01"),
        Row("bytes", "", "not yet"),
    )
    page = found.put_into(PAGE_OF_TWO)
    assert "Last run: 2026-11-30, commit def.\n\n| what | bar | measured |" in page
    assert page.endswith("<!-- measured: end -->\n\n# More\n")


def test_a_row_that_is_kept_again_keeps_its_day() -> None:
    once = updated(Table.within(PAGE_OF_TWO), "Last run: 2026-11-30, def.", [MANY, NEW], {})
    twice = updated(once, "Last run: 2026-12-24, fed.", [MANY, NEW], {})
    assert [row.measured for row in twice.rows] == ["500/s, on 2026-11-01", "not yet"]


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="has no marks"):
        Table.within("# Measured\n")


@pytest.mark.parametrize(
    ("figure", "value", "is_met"),
    [
        (FAST, 20, True),
        (FAST, 20.001, False),
        (MANY, 400, True),
        (MANY, 399.9, False),
        (NEW, 1, True),
    ],
)
def test_a_bar_is_met_or_missed(figure: Figure, value: float, is_met: bool) -> None:
    row = figure.row(value)
    assert row.is_met == is_met
    assert row.measured.endswith("**missed**") != is_met
