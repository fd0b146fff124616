"""Questions about names: answered by who can open the seals, for nobody else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from medgrid.catalog import Catalog
from medgrid.catalog.explain import Clause
from medgrid.catalog.nominative import NAMES, asked, is_nominative, matches
from medgrid.catalog.query import Question, QuestionError, parse
from medgrid.catalog.query_ast import Leaf
from medgrid.errors import UsageError
from tests.catalog.worlds import World, make_world

SEALS: dict[str, Mapping[str, Any]] = {
    "P-1": {
        "PatientName": "Doe^Jane^^Dr.",
        "PatientBirthDate": "19700131",
        "OtherPatientNames": ["Smith^Jane", "Doe-Smith^Jane"],
        "OtherPatientIDs": "4711",
    },
    "P-2": {"PatientName": "Müller^Jörg=山田^太郎", "PatientBirthDate": "1980-05-01"},
    "P-3": {"PatientName": "", "OtherPatientIDs": []},
}


def opened_by(*patients: str) -> Any:
    """Resolver of who holds the keys of some patients."""

    def resolve(leaf: Leaf) -> Collection[str]:
        return [one for one in patients if matches(leaf, SEALS[one])]

    return resolve


@pytest.fixture
def world(catalog: Catalog) -> World:
    return make_world(catalog)


def lfns(catalog: Catalog, question: Question) -> str:
    return " ".join(lfn.name for lfn in catalog.objects.lfns(question))


@pytest.mark.parametrize(
    ("condition", "patients"),
    [
        ("PatientName='DOE^JANE^^DR.'", "P-1"),
        ("PatientName='doe^jane'", ""),
        ("PatientName~'doe^jane*'", "P-1"),
        ("patientname~'*JANE*'", "P-1"),
        ("(0010,0010)~'d?e^*'", "P-1"),
        ("PatientName='müller^jörg'", "P-2"),
        ("PatientName='MÜLLER^JÖRG'", "P-2"),
        ("PatientName='山田^太郎'", "P-2"),
        ("PatientName in ('x', 'Müller^Jörg^^', 'y')", "P-2"),
        ("PatientName not in ('Müller^Jörg')", "P-1"),
        ("PatientName!='Müller^Jörg'", "P-1"),
        ("PatientName!~'*ö*'", "P-1"),
        ("PatientName is known", "P-1 P-2"),
        ("PatientName is unknown", "P-3"),
        ("PatientName~'\\*'", ""),
        ("PatientName~'.*'", ""),
        ("OtherPatientNames='smith^jane'", "P-1"),
        ("OtherPatientNames!='smith^jane'", ""),
        ("OtherPatientIDs=4711", "P-1"),
        ("OtherPatientIDs~47*", "P-1"),
        ("OtherPatientIDs is known", "P-1"),
        ("PatientBirthDate=1970-01-31", "P-1"),
        ("PatientBirthDate=19800501", "P-2"),
        ("PatientBirthDate=1970", "P-1"),
        ("PatientBirthDate=1980-05", "P-2"),
        ("PatientBirthDate!=1970", "P-2"),
        ("PatientBirthDate<1980", "P-1"),
        ("PatientBirthDate<=1980-05", "P-1 P-2"),
        ("PatientBirthDate<=19800430", "P-1"),
        ("PatientBirthDate>1970-01", "P-2"),
        ("PatientBirthDate>1970-01-30", "P-1 P-2"),
        ("PatientBirthDate>=1980", "P-2"),
        ("PatientBirthDate between 1975 and 1985", "P-2"),
        ("PatientBirthDate not between 1975 and 1985", "P-1"),
        ("PatientBirthDate in (1970, 1980)", "P-1 P-2"),
        ("PatientBirthDate~'1980*'", "P-2"),
        ("PatientBirthDate~'19700131'", "P-1"),
    ],
)
def test_what_matches(condition: str, patients: str) -> None:
    (leaf,) = asked(parse(condition))
    assert " ".join(one for one in SEALS if matches(leaf, SEALS[one])) == patients


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("PatientName<x", "'<' does not go with PatientName"),
        ("PatientName between a and b", "'between' does not go with PatientName"),
        (
            "PatientBirthDate=soon",
            "PatientBirthDate is compared with a date such as 2020-01-31 or 20200131, found 'soon'",
        ),
    ],
)
def test_what_makes_no_sense(condition: str, message: str) -> None:
    (leaf,) = asked(parse(condition))
    with pytest.raises(UsageError) as caught:
        matches(leaf, {})
    assert caught.value.message == message


def test_names_are_found_in_questions() -> None:
    question = parse(
        "PatientName~D* and not (PatientBirthDate>1970 or Modality=MR) and /a"
        " and (0010,0010) is known"
    )
    assert [str(leaf) for leaf in asked(question)] == [
        "PatientName~D*",
        "PatientBirthDate>1970",
        "(0010,0010) is known",
    ]
    assert asked(parse("/")) == []
    assert all(is_nominative(name) for name in (*NAMES, *NAMES.values()))
    assert not is_nominative("PatientID")


def test_who_opens_the_seals_finds(catalog: Catalog, world: World) -> None:
    question = parse("PatientName~'*jane*' and Modality=MR")
    assert lfns(catalog, question) == ""
    answered = question.with_patients(opened_by("P-1", "P-2"))
    assert lfns(catalog, answered) == "one-gated one-image one-later one-old"
    assert lfns(catalog, question.with_patients(opened_by("P-2"))) == ""
    assert str(answered) == str(question)
    both = parse("PatientName~'*j*' and class=image").with_patients(opened_by("P-1", "P-2"))
    assert catalog.objects.count(both) == 5
    without = parse("not PatientName~'*jane*'").with_patients(opened_by("P-1", "P-2"))
    assert lfns(catalog, without) == "code table two-image"
    assert lfns(catalog, parse("not PatientName~'*jane*'")) == (
        "code one-gated one-image one-later one-old table two-image"
    )


def test_nothing_tells_why_nothing_was_found(catalog: Catalog, world: World) -> None:
    for resolve in (opened_by("P-1"), opened_by("P-2"), opened_by()):
        asked_for = parse("PatientName='no^one' and Modality=MR").with_patients(resolve)
        assert catalog.objects.explain(asked_for) == [
            Clause("PatientName='no^one' and Modality=MR", 0, 0),
            Clause("PatientName='no^one'", 1, 0, 0),
            Clause("Modality=MR", 1, 5, 0),
        ]
    unanswered = parse("PatientName='doe^jane^^dr.' and Modality=MR")
    assert [clause.alone for clause in catalog.objects.explain(unanswered)] == [0, 0, 5]
    found = catalog.objects.explain(unanswered.with_patients(opened_by("P-1")))
    assert [clause.alone for clause in found] == [4, 4, 5]


def test_a_dataset_keeps_pseudonyms(catalog: Catalog, world: World) -> None:
    resolve = opened_by("P-1", "P-2")
    question = parse("PatientName~'*j*' and not PatientName='no^one'").with_patients(resolve)
    saved = catalog.datasets.save("js", question)
    assert saved.question == "PatientID in (P-1, P-2) and not PatientID in ('')"
    assert catalog.objects.count(parse("dataset:js")) == 5
    frozen = catalog.datasets.save("fixed", question, freeze=True)
    assert frozen.question == saved.question
    assert len(frozen.members or ()) == 5
    for text in ("PatientName=secret", "PatientBirthDate>1970"):
        unanswered = catalog.datasets.save("nobody", parse(text), replace=True)
        assert unanswered.question == "PatientID in ('')"
        assert catalog.objects.count(parse("dataset:nobody")) == 0


def test_other_names_of_people_are_refused(catalog: Catalog) -> None:
    with pytest.raises(QuestionError, match=r"^OperatorsName names people: the catalog does not"):
        catalog.objects.count(parse("OperatorsName=x"))
    with pytest.raises(UsageError, match=r"^PatientName names people"):
        list(catalog.objects.select(parse("/"), ["PatientName"]))


def test_a_name_in_many_patients(catalog: Catalog, world: World) -> None:
    many = frozenset(f"P-{number}" for number in range(50_000))
    question = parse("PatientName=x").with_patients(lambda _: many)
    assert catalog.objects.count(question) == 5
