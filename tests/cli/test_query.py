"""``medgrid query``, ``dataset`` and ``catalog`` as a user runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from medgrid.catalog import Catalog
from medgrid.catalog.objects import Registration
from medgrid.catalog.version import REVISION
from medgrid.model import LFN, GridObject, ObjectKind, Sha256, new_object_id
from tests.lab.prompt import ROOT, Prompt


def _fill(home: Path) -> None:
    catalog = Catalog.open(f"sqlite:///{home / 'catalog.db'}")
    catalog.objects.register(
        [
            Registration(
                GridObject(
                    id=new_object_id(),
                    lfn=LFN(f"/trial/{patient}/{label}"),
                    kind=ObjectKind.SERIES,
                    filename="series.tar",
                    size_bytes=1,
                    sha256=Sha256("0" * 64),
                    attributes={
                        "Modality": modality,
                        "Rows": rows,
                        "StudyDate": date,
                        "ImageType": ["ORIGINAL", "PRIMARY"],
                    },
                ),
                patient=patient,
                user_attributes={} if nmi is None else {"nmi": nmi},
            )
            for patient, label, modality, rows, date, nmi in (
                ("P-1", "T1w", "MR", 256, "2020-03-04", 1.25),
                ("P-1", "a b", "MR", 128, "2021-03-04", None),
                ("P-2", "CT", "CT", 512, "2020-07-01", 1.5),
            )
        ]
    )
    catalog.close()


@pytest.fixture
def ask(grid_prompt: Prompt) -> Prompt:
    """The prompt, on a grid with three series."""
    _fill(grid_prompt.home)
    return grid_prompt


def test_lfns_one_a_line(ask: Prompt) -> None:
    ran = ask("query", "Modality=MR and StudyDate>=2020-01-01")
    assert (ran.code, ran.out, ran.err) == (0, "/trial/P-1/T1w\n/trial/P-1/a b\n", "")
    assert ask.ok("query", "Modality=MR", "-0").out == "/trial/P-1/T1w\0/trial/P-1/a b\0"
    assert ask.ok("query", "/", "--limit", "1", "--sort", "-Rows").out == "/trial/P-2/CT\n"
    assert ask.ok("query", "visits>1", "--count").out == "2\n"


def test_columns_and_json(ask: Prompt) -> None:
    words = ["query", "/", "-c", "nmi,ImageType,Rows", "-s", "-nmi"]
    assert ask.ok(*words).rows == [
        ["/trial/P-2/CT", "1.5", "ORIGINAL,PRIMARY", "512"],
        ["/trial/P-1/T1w", "1.25", "ORIGINAL,PRIMARY", "256"],
        ["/trial/P-1/a b", "", "ORIGINAL,PRIMARY", "128"],
    ]
    assert ask.ok(*words, "-n", "1", "--json").documents == [
        {
            "schema": "medgrid.object/1",
            "lfn": "/trial/P-2/CT",
            "nmi": 1.5,
            "ImageType": ["ORIGINAL", "PRIMARY"],
            "Rows": 512,
        }
    ]
    assert ask.ok("query", "Rows>9000", "--count", "--json").documents == [
        {"schema": "medgrid.count/1", "question": "Rows>9000", "count": 0}
    ]


def test_what_says_when_finds_it_again(ask: Prompt) -> None:
    for _, moment in ask.ok("query", "/", "-c", "created").rows:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moment)
        assert ask.ok("query", f"created={moment}").lines
    for one in ask.ok("query", "/", "-c", "created", "--json").documents:
        assert one["created"].endswith("Z")


def test_keys_as_findscu_has_them(ask: Prompt) -> None:
    ran = ask.ok("query", "-k", "Modality=MR", "-k", "StudyDate=20200101-20201231", "-k", "Rows")
    assert ran.rows == [["/trial/P-1/T1w", "256"]]
    assert ask.ok("query", "nmi>1", "-k", "Modality=CT").lines == ["/trial/P-2/CT"]


def test_nothing_found_is_no_error_unless_asked(ask: Prompt) -> None:
    ran = ask("query", "Modality=US")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    for more in ([], ["--count"]):
        ran = ask("query", "Modality=US", "--fail-empty", *more)
        assert ran.code == 4
        assert ran.err == (
            "medgrid: error: nothing found\n"
            "medgrid: hint: '--explain' says which part leaves nothing\n"
        )


def test_explain(ask: Prompt) -> None:
    assert ask.ok("query", "--explain", "Modality=MR and Modality=mr").rows == [
        ["0", "", "Modality=MR and Modality=mr", ""],
        ["2", "2", "  Modality=MR", ""],
        ["0", "0", "  Modality=mr", "there is MR (2), CT (1)"],
    ]
    (_, first, _) = ask.ok("query", "--explain", "Modality=MR and Rows=1", "--json").documents
    assert first == {
        "schema": "medgrid.clause/1",
        "clause": "Modality=MR",
        "depth": 1,
        "alone": 2,
        "together": 2,
        "note": "",
    }


def test_a_mistake_gets_a_caret(ask: Prompt) -> None:
    ran = ask("query", "Modality=MR and Modalty=CT")
    assert ran.code == 2
    assert ran.err == (
        "medgrid: error: unknown attribute 'Modalty'\n"
        "    Modality=MR and Modalty=CT\n"
        "                    ^\n"
        "medgrid: hint: did you mean Modality?\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["query"], "no question given"),
        (["query", ""], "the question is empty"),
        (["query", "/", "--freeze"], "--freeze and --replace go with --save NAME"),
        (["query", "-k", "=x"], "'=x' is not a key"),
        (["query", "/", "-c", "nothing"], "unknown attribute 'nothing'"),
    ],
)
def test_what_is_refused(ask: Prompt, words: list[str], message: str) -> None:
    ran = ask(*words)
    assert ran.code == 2
    assert ran.err.splitlines()[0] == f"medgrid: error: {message}"
    assert ran.out == ""


def test_datasets(ask: Prompt) -> None:
    ask.ok("query", "Modality=MR", "--save", "mr")
    ask.ok("query", "dataset:mr", "--save", "fixed", "--freeze")
    assert ask.ok("dataset", "ls").rows == [
        ["fixed", "yes", "dataset=mr"],
        ["mr", "no", "Modality=MR"],
    ]
    assert ask.ok("dataset", "show", "mr").out == "Modality=MR\n"
    assert ask.ok("dataset", "show", "fixed").lines == ["/trial/P-1/T1w", "/trial/P-1/a b"]
    ran = ask("query", "/", "--save", "mr")
    assert ran.code == 2
    assert ran.err == (
        "medgrid: error: dataset 'mr' already exists\n"
        "medgrid: hint: choose another name, or say --replace\n"
    )
    ask.ok("query", "/", "--save", "mr", "--replace")
    assert ask.ok("query", "dataset:mr", "--count").out == "3\n"
    ask.ok("dataset", "rm", "mr", "fixed")
    assert ask("dataset", "show", "mr").code == 4


def test_the_catalog_shown_and_upgraded(ask: Prompt) -> None:
    facts = dict(ask.ok("catalog", "show").rows)
    assert facts["database"] == "sqlite"
    assert (facts["objects"], facts["lfns"], facts["patients"]) == ("3", "3", "2")
    assert ask.ok("catalog", "upgrade").out == f"the catalog has schema {REVISION} already\n"


def test_no_grid_here(prompt: Prompt) -> None:
    ran = prompt("query", "/")
    assert ran.code == 9
    assert ran.err == (
        f"medgrid: error: no grid at {prompt.home}\n"
        "medgrid: hint: make one with 'medgrid init', or set MEDGRID_HOME\n"
    )


def test_a_plain_query_imports_little(ask: Prompt) -> None:
    code = (
        "import sys\n"
        "from medgrid.cli.main import run\n"
        f"run(['--home', {str(ask.home)!r}, 'query', 'Modality=MR', '-n', '1'])\n"
        "heavy = {'yaml', 'rich', 'tabulate', 'alembic', 'psycopg', 'paramiko', 'pydicom',"
        " 'nibabel', 'numpy', 'cryptography', 'jsonschema'}\n"
        "found = heavy & {name.partition('.')[0] for name in sys.modules}\n"
        "found |= {name for name in sys.modules if name in"
        " ('sqlalchemy.orm', 'sqlalchemy.dialects.postgresql', 'medgrid.catalog.dictionary')}\n"
        "sys.exit(' '.join(sorted(found)) or 0)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
