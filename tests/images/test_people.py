"""Which columns of a table about people may be known."""

from __future__ import annotations

from typing import Any

import pytest

from medgrid.images.people import PeopleTable, Wrong, level_of, people_table

REPEATED = ("treated", "placebo", "treated", "placebo", "treated")


def judged(column: str, cells: tuple[str, ...], **spec: Any) -> PeopleTable:
    """A table of one column, of as many people as it has cells."""
    rows = [{"id": f"sub-{number:02}", column: cell} for number, cell in enumerate(cells, 1)]
    return people_table(rows, {column: spec} if spec else {}, "id")


def values(table: PeopleTable, name: str) -> list[Any]:
    return [found.get(name) for _, _, found in table.rows]


def test_numbers_and_levels_are_kept() -> None:
    table = judged("edss", ("1.5", "0", "-2e1", "n/a", ""), Units="points")
    assert values(table, "edss") == [1.5, 0, -20, None, None]
    assert table.units == {"edss": "points"}
    assert values(judged("arm", REPEATED), "arm") == list(REPEATED)
    assert values(judged("dx group", ("a", "a", "NaN", "N/A", "na")), "dx_group") == [
        *("a", "a", None, None, None)
    ]
    assert values(judged("9hpt", ("3", "4")), "_9hpt") == [3, 4]


def test_levels_that_are_listed_need_not_repeat() -> None:
    levels = {"1": "the new drug", "2": "the old one"}
    table = judged("arm", ("1", "2", "3"), Levels=levels)
    assert values(table, "arm") == ["1", "2", None]
    assert table.wrong == [Wrong("row 3", "arm", "not one of its Levels")]


def test_a_word_that_one_person_alone_has_is_left_out() -> None:
    cells = (*("Berlin",) * 9, "Jane Smith")
    table = judged("site", cells)
    assert values(table, "site") == [*cells[:9], None]
    assert table.wrong == [Wrong("row 10", "site", "nobody else has this word")]
    assert values(judged("site", cells, Levels=sorted(set(cells))), "site") == list(cells)


def test_words_of_one_person_at_several_visits_are_not_those_of_several() -> None:
    rows = [{"id": one, "ward": "Rose"} for one in ("sub-1", "1", "", "sub-1")]
    assert list(people_table(rows, {}, "id").left_out) == ["ward"]


def test_one_bad_cell_is_left_out_alone() -> None:
    table = judged("edss", ("1", "2", "3", "DOE^JANE", "5"))
    assert values(table, "edss") == [1, 2, 3, None, 5]
    assert table.wrong == [Wrong("row 4", "edss", "not a number")]


@pytest.mark.parametrize(
    ("column", "cells", "reason"),
    [
        ("family_name", REPEATED, "names, ids or remarks, by its name"),
        ("rater", REPEATED, "names, ids or remarks, by its name"),
        ("PatientID", ("1", "2"), "names, ids or remarks, by its name"),
        ("notes", REPEATED, "names, ids or remarks, by its name"),
        ("birthYear", ("1950", "1951"), "dates"),
        ("scan_date", REPEATED, "dates"),
        ("since", ("2020-01-31", "2020-02-01"), "dates"),
        ("since", ("31.1.2020", "31.1.2020"), "dates"),
        ("since", ("20200131", "20200201"), "dates"),
        ("since", ("3 Jan 2020", "3 Jan 2020"), "dates"),
        ("since", ("1999", "2003"), "years, which are dates"),
        ("jahrgang", ("1951.0", "1948.0", "n/a"), "years, which are dates"),
        ("jahrgang", ("0", "1951", "0", "1948", "0"), "years, which are dates"),
        ("jahrgang", ("0", "-9", "1951", "0"), "years, which are dates"),
        ("jahrgang", ("1951.5", "1948.25"), "years, which are dates"),
        ("jahrgang", ("1951", "1951", "none", "none"), "years, which are dates"),
        ("since", ("310151", "10252", "0"), "dates, such as 310151"),
        ("since", ("510131.0", "520229.0"), "dates, such as 310151"),
        ("since", ("013151", "123150"), "dates, such as 310151"),
        ("since", ("20200131.0", "20200201.0", "0"), "dates"),
        ("code", ("1234567", "1234568"), "long numbers, which may be ids"),
        ("code", ("sub-0001x", "y"), "free text"),
        ("code", ("A12345", "A12345"), "free text"),
        ("site", ("Berlin", "Oslo", "Rome"), "free text"),
        ("site", ("Berlin", "Berlin", "Bonn", "Rome", "Oslo"), "free text"),
        ("story", ("she fell down the stairs", "she fell down the stairs"), "free text"),
        ("age", ("34", "35"), "images have it, as PatientAge"),
        ("echo", ("1", "2"), "images have an attribute of this name"),
    ],
)
def test_what_may_name_somebody_is_left_out(
    column: str, cells: tuple[str, ...], reason: str
) -> None:
    table = judged(column, cells)
    assert [found for _, _, found in table.rows] == [{}] * len(cells)
    assert table.left_out[column].startswith(reason)


def test_what_holds_its_own_subject_is_an_id() -> None:
    rows = [{"id": "sub-jane4", "who": "Jane4"}, {"id": "sub-john4", "who": "Jane4"}]
    assert people_table(rows, {}, "id").left_out == {"who": "ids of people"}


def test_one_that_holds_its_own_subject_is_left_out_alone() -> None:
    cells = ("head", "head", "head", "head of sub-0005", "head")
    rows = [
        {"id": f"sub-000{n + 2}", "coil": cell, "v": f"{n}0005"} for n, cell in enumerate(cells)
    ]
    table = people_table(rows, {"coil": {"Levels": list(cells)}}, "id")
    assert table.wrong == [Wrong("row 4", "coil", "an id")]
    assert values(table, "v")[0] == 5


def test_two_columns_of_one_name() -> None:
    table = people_table([{"id": "sub-1", "a b": "1", "a_b": "2"}], {}, "id")
    assert values(table, "a_b") == [1]
    assert table.left_out == {"a_b": "another column is a_b, too"}


def test_numbers_that_are_no_dates_are_kept() -> None:
    for cells in (("1900", "2500", "3100"), ("310151", "993151", "654321"), ("10152", "11160")):
        assert values(judged("lesions", cells), "lesions") == list(map(int, cells))
    assert values(judged("lesions", ("310151", "2000"), Units="mm^3"), "lesions") == [310151, 2000]


def test_units_say_that_a_long_number_is_no_id() -> None:
    table = judged("lesions", ("12345678", "1999"), Units="mm^3")
    assert values(table, "lesions") == [12345678, 1999]


@pytest.mark.parametrize("text", ["treated", "arm 2b", "> 65", "T2/FLAIR", "0-3", "étape 1"])
def test_levels(text: str) -> None:
    assert level_of(text) == (None if text.startswith(">") else text)
