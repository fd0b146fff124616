"""What questions find, compared with a plain reading of them, on SQLite and PostgreSQL."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from medgrid.catalog import Catalog
from medgrid.catalog.objects import Registration
from medgrid.catalog.query import Question, parse
from medgrid.catalog.query_ast import Node
from medgrid.model import LFN, GridObject, ObjectKind, Sha256, new_object_id
from tests.catalog.questions import LFNS, conditions, holds, random_attributes, trees
from tests.lab.statements import noted_statements
from tests.lanes import examples

USER = ("volume", "note", "scanned")
Filled = tuple[Catalog, dict[str, dict[str, object]]]


@pytest.fixture
def filled(catalog: Catalog) -> Filled:
    """A catalog with random objects, and their attributes by LFN."""
    rng = random.Random(7)
    known = {lfn: random_attributes(rng) for lfn in LFNS}
    for number in range(60):
        known[f"/more/{number:02d}"] = random_attributes(rng)
    catalog.objects.register(
        [
            Registration(
                GridObject(
                    id=new_object_id(),
                    lfn=LFN(lfn),
                    kind=ObjectKind.SERIES,
                    filename="series.tar",
                    size_bytes=1,
                    sha256=Sha256("0" * 64),
                    attributes={name: v for name, v in attributes.items() if name not in USER},
                ),
                user_attributes={name: v for name, v in attributes.items() if name in USER},
            )
            for lfn, attributes in known.items()
        ]
    )
    return catalog, known


@settings(max_examples=examples(150))
@given(root=trees(conditions()))
def test_the_catalog_reads_questions_as_the_manual_says(filled: Filled, root: Node) -> None:
    catalog, known = filled
    question = Question(root, str(root))
    expected = sorted(lfn for lfn, attributes in known.items() if holds(root, lfn, attributes))
    assert list(catalog.objects.lfns(question)) == expected
    assert catalog.objects.count(question) == len(expected)
    assert catalog.objects.count(parse(f"not ({root})")) == len(known) - len(expected)


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """SQL texts the catalog sends, as they come."""
    with noted_statements() as found:
        yield found


@pytest.mark.parametrize(
    "text",
    [
        "Modality=zq1x",
        "Modality~'*zq1x*'",
        "Modality in (zq1x, 'zq1x''')",
        "Modality between zq1x and zq1x",
        "ImageType=zq1x and note!=zq1x",
        "/zq1x/*",
        "/zq1x",
        "lfn~zq1x*",
        "algorithm=zq1x@zq1x or algorithm~zq1x",
        "derived_from=/zq1x or derived_from~/zq1x*",
        "dataset!=zq1x or dataset=zq1x",
        "se=zq1x and se_site!=zq1x and worker=zq1x and id=zq1x",
        "PatientAge=99173 and volume>99173 and FlipAngle<99173 and size=99173 and visits=99173",
        "StudyDate=9917-03-01 and scanned>9917-03-01 and created<9917-03-01 and job=99173",
    ],
)
def test_a_value_is_never_in_the_sql(filled: Filled, statements: list[str], text: str) -> None:
    catalog, _ = filled
    catalog.datasets.save("zq1x", parse("/"))
    statements.clear()
    text = text.replace("'zq1x'''", "'zq1x\\''")
    list(catalog.objects.lfns(parse(text)))
    assert statements
    for statement in statements:
        assert "zq1x" not in statement
        assert "9917" not in statement
