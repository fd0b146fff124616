"""Fields, datasets, provenance, columns, order and explanations of questions."""

from __future__ import annotations

import pytest

from medgrid.catalog import Catalog
from medgrid.catalog.attributes import COLUMNS
from medgrid.catalog.explain import Clause
from medgrid.catalog.provenance import Derivation, new_derivation_id
from medgrid.catalog.query import QuestionError, parse
from medgrid.errors import AlreadyExists, NotFound, UsageError
from medgrid.model import LFN, JobId, ObjectId, Sha256
from tests.catalog.test_objects import grid, registration

__all__ = ["grid"]

DIGEST = Sha256("d" * 64)


@pytest.fixture
def made(grid: Catalog) -> dict[str, ObjectId]:
    """Two images, a registration of each in one job, and a table made from one of these."""
    new = {
        "a": registration("/img/a", patient="P-1", Modality="MR", StudyDate="2020-05-01", Rows=10),
        "b": registration("/img/b", patient="P-2", Modality="CT", StudyDate="2021-05-01", Rows=9),
        "ra": registration("/out/ra", meta={"nmi": 1.5}),
        "rb": registration("/out/rb", meta={"nmi": 1.1}),
        "t": registration("/out/table", EchoTime=[1.5, 2]),
    }
    grid.objects.register(list(new.values()))
    ids = {name: item.object.id for name, item in new.items()}
    grid.provenance.record(
        Derivation(
            id=new_derivation_id(),
            algorithm=DIGEST,
            algorithm_label="register@2.1",
            parameters={"bins": 64},
            job=JobId(42, 7),
            worker="w1",
            started_s=1.0,
            ended_s=2.5,
            exit_code=0,
            inputs={"source": [ids["a"]], "targets": [ids["a"], ids["b"]]},
            outputs={"images": [ids["ra"], ids["rb"]]},
            output_inputs={ids["ra"]: [ids["a"]], ids["rb"]: [ids["b"]]},
        )
    )
    grid.provenance.record(
        Derivation(
            id=new_derivation_id(),
            algorithm=DIGEST,
            algorithm_label="table@1",
            inputs={"image": [ids["rb"]]},
            outputs={"table": [ids["t"]]},
        )
    )
    return ids


def ask(catalog: Catalog, text: str) -> list[str]:
    return list(catalog.objects.lfns(parse(text)))


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("algorithm=register", "/out/ra /out/rb"),
        ("algorithm=register@2.1", "/out/ra /out/rb"),
        ("algorithm=register@2", ""),
        ("algorithm!=register", "/out/table"),
        ("algorithm~'*@1'", "/out/table"),
        ("algorithm in (table, register)", "/out/ra /out/rb /out/table"),
        ("algorithm is unknown", "/img/a /img/b"),
        ("not algorithm=register", "/img/a /img/b /out/table"),
        ("algorithm=register and nmi>1.2", "/out/ra"),
        ("job=42", "/out/ra /out/rb"),
        ("job=42.7 and not nmi>1.2", "/out/rb"),
        ("job=42.8 or job=4", ""),
        ("job is known", "/out/ra /out/rb"),
        ("worker=w1", "/out/ra /out/rb"),
        ("worker is unknown", "/img/a /img/b /out/table"),
        ("derived_from=/img/a", "/out/ra"),
        ("derived_from=/img/b", "/out/rb /out/table"),
        ("derived_from~'/img/*'", "/out/ra /out/rb /out/table"),
        ("derived_from!=/img/a", "/out/rb /out/table"),
        ("derived_from is unknown", "/img/a /img/b"),
        ("modality=MR", "/img/a"),
        ("sub=P-2", "/img/b"),
        ("(0008,0060)=MR", "/img/a"),
        ("(0018,1314)=5 or FlipAngle=5", ""),
        ("tracer=FDG", ""),
        ("EchoTime=2 and EchoTime<1.6", "/out/table"),
        ("EchoTime!=2", ""),
        ("kind=series and size between 1 and 1k and /img/", "/img/a /img/b"),
        ("created>=2020 and version=1 and /img/a", "/img/a"),
        ("created<2020", ""),
        ("StudyDate=2020", "/img/a"),
        ("StudyDate>2020-05", "/img/b"),
        ("lfn~'*/?a'", "/out/ra"),
        ("/img or /out/table", "/img/a /img/b /out/table"),
        ("/im", ""),
    ],
)
def test_answers(grid: Catalog, made: dict[str, ObjectId], question: str, answer: str) -> None:
    assert ask(grid, question) == answer.split()


@pytest.mark.parametrize(
    ("question", "message", "hint"),
    [
        ("Modalty=MR", "unknown attribute 'Modalty'", "did you mean Modality?"),
        ("nim>1", "unknown attribute 'nim'", "did you mean nmi?"),
        ("FlipAngel=1", "unknown attribute 'FlipAngel'", "did you mean FlipAngle"),
        ("qqqq=1", "unknown attribute 'qqqq'", "see medgrid-query(7) for the names"),
        (
            "OperatorsName=x",
            "OperatorsName names people: the catalog does not hold it",
            "patients are known by pseudonym: PatientID=P-...",
        ),
        ("(0008,0090)=x", "ReferringPhysicianName names people: the catalog does not hold it", ""),
        ("(0099,0010)=x", "there is no public DICOM attribute (0099,0010)", ""),
        ("Rows=many", "Rows is compared with a number, found 'many'", ""),
        ("Rows=1_0", "Rows is compared with a number, found '1_0'", ""),
        ("Rows=nan", "Rows is compared with a number, found 'nan'", ""),
        (
            "StudyDate=2020-13-01",
            "StudyDate is compared with a date such as 2020-01-31 or 20200131, found '2020-13-01'",
            "",
        ),
        (
            "PatientAge=old",
            "PatientAge is compared with years, or an age such as 045Y or 018M, found 'old'",
            "",
        ),
        ("kind=dog", "kind is one of series, volume, table, file, found 'dog'", ""),
        ("size>big", "size is compared with bytes, such as 1500, 20MB or 4GiB, found 'big'", ""),
        ("Rows~1*", "'~' does not go with Rows", ""),
        ("algorithm>a", "'>' does not go with algorithm", ""),
        ("algorithm between a and b", "'between' does not go with algorithm", ""),
        ("dataset is known", "'is' does not go with dataset", ""),
        ("job=x", "'x' is not a job id; job ids look like 42.7; 42 means all of 42", ""),
        ("derived_from=x", "derived_from is compared with an LFN, found 'x'", ""),
    ],
)
def test_what_makes_no_sense(
    grid: Catalog, made: dict[str, ObjectId], question: str, message: str, hint: str
) -> None:
    with pytest.raises(QuestionError) as caught:
        grid.objects.count(parse(question))
    assert caught.value.message == message
    assert (caught.value.hint or "").startswith(hint)


def test_columns(grid: Catalog, made: dict[str, ObjectId]) -> None:
    columns = ["lfn", "nmi", "algorithm", "job", "worker", "derived_from", "input.source"]
    assert list(grid.objects.select(parse("job=42"), columns)) == [
        ("/out/ra", 1.5, "register@2.1", "42.7", "w1", "/img/a", "/img/a"),
        ("/out/rb", 1.1, "register@2.1", "42.7", "w1", "/img/b", None),
    ]
    columns = ["kind", "size", "EchoTime", "visits", "se", "se_site", "FlipAngle", "replicas"]
    assert list(grid.objects.select(parse("/out/table or /img/a"), columns)) == [
        ("series", 10, None, 1, "s1", "here", None, 1),
        ("series", 10, [1.5, 2], None, "s1", "here", None, 1),
    ]
    with pytest.raises(UsageError, match=r"^'input.' needs a role$"):
        list(grid.objects.select(parse("/"), ["input."]))
    with pytest.raises(UsageError, match=r"^unknown attribute 'nothing'$"):
        list(grid.objects.select(parse("/"), ["nothing"]))


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        (["nmi"], "rb ra a b table"),
        (["-nmi"], "ra rb a b table"),
        (["-Rows"], "a b ra rb table"),
        (["-lfn"], "table rb ra b a"),
        (["Modality", "-nmi"], "b a ra rb table"),
        (["EchoTime", "-lfn"], "table rb ra b a"),
        (["visits", "size"], "a b ra rb table"),
        (["FlipAngle"], "a b ra rb table"),
    ],
)
def test_order_puts_the_unknown_last(
    grid: Catalog, made: dict[str, ObjectId], sort: list[str], order: str
) -> None:
    rows = grid.objects.select(parse("/"), ["lfn"], sort)
    assert [lfn.rpartition("/")[2] for (lfn,) in rows] == order.split()


def test_limits(grid: Catalog, made: dict[str, ObjectId]) -> None:
    assert list(grid.objects.lfns(parse("/"), 2)) == ["/img/a", "/img/b"]
    assert list(grid.objects.select(parse("/"), ["lfn"], ["-nmi"], 1)) == [("/out/ra",)]
    assert list(grid.objects.lfns(parse("/"), 0)) == []
    with pytest.raises(UsageError, match=r"^cannot sort by algorithm$"):
        list(grid.objects.select(parse("/"), ["lfn"], ["algorithm"]))


def test_datasets(grid: Catalog, made: dict[str, ObjectId]) -> None:
    live = grid.datasets.save("mr", parse("Modality=MR"))
    assert (live.frozen, live.members, live.question) == (False, None, "Modality=MR")
    fixed = grid.datasets.save("fixed", parse("dataset:mr"), freeze=True)
    assert fixed.members == ("/img/a",)
    grid.objects.register([registration("/img/c", Modality="MR")])
    assert ask(grid, "dataset:mr") == ["/img/a", "/img/c"]
    assert ask(grid, "dataset:fixed") == ["/img/a"]
    assert ask(grid, "not dataset:mr and /img") == ["/img/b"]
    assert ask(grid, "dataset!=fixed and /img") == ["/img/b", "/img/c"]
    assert ask(grid, "dataset in (mr, fixed) and not Rows=10") == ["/img/c"]
    assert [one.name for one in grid.datasets.list()] == ["fixed", "mr"]
    grid.objects.register([registration("/img/a", Modality="MR")], replace=True)
    assert grid.datasets.changed("fixed") == (["/img/a"], [])
    grid.objects.remove(LFN("/img/a"))
    assert grid.datasets.changed("fixed") == ([], ["/img/a"])
    grid.datasets.remove("mr")
    with pytest.raises(NotFound) as caught:
        ask(grid, "dataset:mr")
    assert caught.value.message == "no dataset 'mr'"
    with pytest.raises(NotFound) as caught:
        grid.datasets.get("fixt")
    assert caught.value.hint == "did you mean fixed?"


def test_datasets_that_cannot_be(grid: Catalog) -> None:
    grid.datasets.save("d", parse("/"))
    with pytest.raises(AlreadyExists) as caught:
        grid.datasets.save("d", parse("/a"))
    assert caught.value.message == "dataset 'd' already exists"
    grid.datasets.save("d", parse("/a"), replace=True)
    assert grid.datasets.get("d").question == "/a"
    with pytest.raises(UsageError, match=r"^dataset 'e' would ask for itself$"):
        grid.datasets.save("e", parse("/ or dataset in (d, e)"))
    grid.datasets.save("e", parse("dataset:d"))
    grid.datasets.save("d", parse("dataset:e"), replace=True)
    with pytest.raises(UsageError, match=r"^dataset 'd' asks for itself: d -> e -> d$"):
        ask(grid, "dataset:d")
    with pytest.raises(UsageError, match=r"^'a/b' is not a dataset's name$"):
        grid.datasets.save("a/b", parse("/"))
    with pytest.raises(UsageError, match=r"^unknown attribute 'nothing'$"):
        grid.datasets.save("f", parse("nothing=1"))
    assert [one.name for one in grid.datasets.list()] == ["d", "e"]


def test_explain_says_which_part_leaves_nothing(grid: Catalog, made: dict[str, ObjectId]) -> None:
    question = parse("/img and Modality=mr and (Rows=10 or not (Rows=9 and Rows=10))")
    assert grid.objects.explain(question) == [
        Clause(str(question), 0, 0),
        Clause("/img", 1, 2, 2),
        Clause("Modality=mr", 1, 0, 0, "there is CT (1), MR (1)"),
        Clause("Rows=10 or not (Rows=9 and Rows=10)", 1, 5, 0),
        Clause("Rows=10", 2, 1),
        Clause("not (Rows=9 and Rows=10)", 2, 5),
        Clause("Rows=9 and Rows=10", 3, 0),
        Clause("Rows=9", 4, 1, 1),
        Clause("Rows=10", 4, 1, 0),
    ]
    assert grid.objects.explain(parse("/")) == [Clause("/", 0, 5)]
    assert grid.objects.explain(parse("suffix=T1w"))[0].note == "no object has suffix"


@pytest.mark.parametrize(
    "question",
    [
        *("algorithm=register", "algorithm~'*@1'", "job=42.7", "worker=w1", "worker~'w*'"),
        *("nmi>1.2", "nmi!=1.5", "EchoTime=2", "dataset=d", "se=s1", "se_site=here", "visits=1"),
        *("job is known", "algorithm is known", "nmi is known"),
    ],
)
def test_few_objects_are_asked_the_same_as_all(
    grid: Catalog, made: dict[str, ObjectId], question: str
) -> None:
    grid.datasets.save("d", parse("/out and nmi>1.2"), freeze=True)
    few = "lfn in (/img/a, /img/b, /out/ra, /out/rb, /out/table)"
    for text in (question, f"not {question}"):
        assert ask(grid, f"{few} and {text}") == ask(grid, text)


def test_provenance(grid: Catalog, made: dict[str, ObjectId]) -> None:
    found = grid.provenance.made_by(made["rb"])
    assert found is not None
    assert found.algorithm_label == "register@2.1"
    assert found.parameters == {"bins": 64}
    assert found.job == JobId(42, 7)
    assert found.inputs == {"source": [made["a"]], "targets": [made["a"], made["b"]]}
    assert found.inputs_of(made["rb"]) == {"targets": [made["b"]]}
    assert found.inputs_of(made["ra"]) == {"source": [made["a"]], "targets": [made["a"]]}
    assert grid.provenance.made_by(made["a"]) is None
    assert [one.algorithm_label for one in grid.provenance.made_from(made["rb"])] == ["table@1"]
    by_input = grid.provenance.made_from_many([made["a"], made["b"], made["t"]])
    assert by_input == {made["a"]: [found], made["b"]: [found]}
    assert found.outputs_from([made["b"], made["t"]]) == {made["b"]: {"images": [made["rb"]]}}
    assert grid.provenance.made_out_of([made["a"]]) == {made["ra"]}
    assert grid.provenance.made_out_of([made["b"]]) == {made["rb"], made["t"]}
    grid.objects.remove(LFN("/out/rb"))
    assert grid.provenance.made_by(made["rb"]) == found
    assert grid.provenance.made_out_of([made["b"]]) == {made["rb"], made["t"]}


def test_every_column_can_be_asked_for(grid: Catalog) -> None:
    for name, spec in COLUMNS.items():
        value = {"text": "x", "number": "1", "date": "2020-01-01"}[spec.type]
        assert grid.objects.count(parse(f"{name}={value}")) == 0
        assert grid.objects.count(parse(f"{spec.tag or name} is known")) == 0
