from __future__ import annotations

import pytest
from sqlalchemy import BigInteger, insert, literal, select

from medgrid.catalog import Catalog
from medgrid.catalog.schema import patient
from medgrid.database.many import among, pair_among
from medgrid.database.plans import rare, unindexed

NAMES = ["a", "b", "Ä'\"\\"]
ANY_DATABASE_TAKES_FEWER_PARAMETERS = 70_000


@pytest.fixture(autouse=True)
def patients(catalog: Catalog) -> None:
    with catalog.db.write() as connection:
        connection.execute(
            insert(patient),
            [{"pseudonym": name, "visits": number} for number, name in enumerate(NAMES)],
        )


def found(catalog: Catalog, column: str, values: list[str] | list[int] | set[str]) -> list[str]:
    with catalog.db.read() as connection:
        names = select(patient.c.pseudonym).where(among(connection, patient.c[column], values))
        return list(connection.scalars(names.order_by(patient.c.visits)))


@pytest.mark.parametrize("values", [[], ["a"], ["x", "b", "b"], {*NAMES}])
def test_rows_with_one_of_these_texts_are_found_once(
    catalog: Catalog, values: list[str] | set[str]
) -> None:
    assert found(catalog, "pseudonym", values) == [name for name in NAMES if name in values]


def test_rows_with_one_of_these_numbers_are_found(catalog: Catalog) -> None:
    assert found(catalog, "visits", [2, 0, 7]) == [NAMES[0], NAMES[2]]


def test_there_may_be_more_values_than_a_statement_takes_parameters(catalog: Catalog) -> None:
    numbers = list(range(1, ANY_DATABASE_TAKES_FEWER_PARAMETERS))
    assert found(catalog, "visits", numbers) == NAMES[1:]
    assert found(catalog, "pseudonym", [f"{number}" for number in numbers] + ["b"]) == ["b"]


def test_all_other_rows_can_be_asked_for(catalog: Catalog) -> None:
    with catalog.db.read() as connection:
        others = select(patient.c.pseudonym).where(
            ~among(connection, patient.c.pseudonym, ["a", "b"])
        )
        assert list(connection.scalars(others)) == NAMES[2:]


def test_a_condition_means_the_same_when_no_index_serves_it(catalog: Catalog) -> None:
    with catalog.db.read() as connection:
        name, number = (unindexed(connection, column) for column in patient.c)
        question = select(patient.c.visits).where(name == "b", number == 1, number.is_not(None))
        assert list(connection.scalars(question)) == [1]


@pytest.mark.parametrize("pairs", [[], [(1, 2)], [(2, 1), (1, 1), (2, 1), (9, 9)]])
def test_rows_with_one_of_these_pairs_are_found_once(
    catalog: Catalog, pairs: list[tuple[int, int]]
) -> None:
    places = [(first, second) for first in (1, 2) for second in (1, 2)]
    with catalog.db.read() as connection:
        found = []
        for place in places:
            first, second = (literal(number, BigInteger) for number in place)
            question = select(first).where(pair_among(connection, (first, second), pairs))
            found += [place] * len(connection.execute(question).all())
    assert found == sorted({*pairs} - {(9, 9)})


def test_a_condition_means_the_same_when_it_is_to_be_searched_by(catalog: Catalog) -> None:
    with catalog.db.read() as connection:
        number = rare(connection, patient.c.visits >= 1)
        assert list(connection.scalars(select(patient.c.pseudonym).where(number))) == NAMES[1:]
