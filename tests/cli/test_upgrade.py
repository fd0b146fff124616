"""A grid home of an older medgrid at the prompt: what is said, and bringing it up to date."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from medgrid.broker.process import own_process
from medgrid.catalog.leases import BROKER, open_leases
from medgrid.catalog.version import REVISION
from tests.lab.prompt import Prompt
from tests.older.load import load


def make_older(keystore: Path) -> None:
    """Give a key store the schema of the first release, with its rows."""
    older = keystore.with_name("older.db")
    load(f"sqlite:///{older}", "keystore", "0001")
    with closing(sqlite3.connect(older, isolation_level=None)) as file:
        file.execute("ATTACH ? AS newer", (str(keystore),))
        for (table,) in file.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'"):
            names = [row[1] for row in file.execute(f"PRAGMA newer.table_info({table})")]
            columns = ", ".join(names)
            file.execute(f"DELETE FROM main.{table}")
            if table == "store":
                file.execute(
                    f"INSERT INTO main.store (version, {columns}) SELECT 1, * FROM newer.store"
                )
            else:
                file.execute(f"INSERT INTO main.{table} ({columns}) SELECT * FROM newer.{table}")
    older.replace(keystore)


def test_an_older_key_store_is_upgraded_when_asked_for(grid_prompt: Prompt) -> None:
    store = grid_prompt.home / "keystore.db"
    file = grid_prompt.home / "note.txt"
    file.write_text("text")
    grid_prompt.ok("register", file, "--to", "/note")
    make_older(store)
    for words in (["fetch", "/note", "--dir", grid_prompt.home], ["keystore", "show"], ["init"]):
        ran = grid_prompt(*words)
        assert (ran.code, ran.err.splitlines()) == (
            9,
            [
                f"medgrid: error: the key store {store} has schema 0001, this medgrid needs 0002",
                "medgrid: hint: run 'medgrid keystore upgrade'",
            ],
        )

    with open_leases(f"sqlite:///{grid_prompt.home / 'catalog.db'}") as leases:
        lease = leases.acquire(BROKER, *own_process())
        ran = grid_prompt("keystore", "upgrade")
        assert (ran.code, ran.err.splitlines()) == (
            7,
            [
                f"medgrid: error: no upgrade while a broker works: {own_process()[0]}",
                "medgrid: hint: end it with 'medgrid broker stop', then say the same again",
            ],
        )
        leases.release(lease)

    assert grid_prompt.ok("keystore", "upgrade").lines == [
        f"the key store {store} had schema 0001, now it has 0002",
        f"a copy of it as it was before is kept in {store}.schema-0001",
    ]
    grid_prompt.ok("fetch", "/note", "--dir", grid_prompt.home / "out")
    assert (grid_prompt.home / "out" / "note.txt").read_text() == "text"
    again = grid_prompt.ok("keystore", "upgrade", "--json").documents
    (document,) = again
    assert {name: document[name] for name in ("url", "before", "after", "copies")} == {
        "url": str(store),
        "before": "0002",
        "after": "0002",
        "copies": [f"{store}.schema-0001"],
    }
    assert grid_prompt.ok("keystore", "upgrade").lines == [
        f"the key store {store} has schema 0002 already",
        f"a copy of it as it was before is kept in {store}.schema-0001",
    ]
    shown = grid_prompt("keystore", "show")
    assert (shown.code, shown.rows) == (0, [[str(store), "there", "1"]])
    assert shown.err.splitlines() == [
        f"medgrid: warning: a copy from before an upgrade is kept in {store}.schema-0001, with "
        "keys that are destroyed later",
        "medgrid: hint: delete it ('shred -u') as soon as this medgrid reads your data",
    ]

    # back to the older medgrid, as the manual says
    (store.with_name("keystore.db.schema-0001")).replace(store)
    with closing(sqlite3.connect(store)) as old:
        assert old.execute("SELECT version FROM store").fetchall() == [(1,)]


@pytest.fixture
def split(prompt: Prompt, tmp_path: Path) -> list[Path]:
    """Files of three key stores of which two are needed; the grid has one file."""
    files = [tmp_path / f"keys-{number}.db" for number in (1, 2, 3)]
    prompt.env["MEDGRID_KEYSTORE"] = " ".join(f"sqlite:///{file}" for file in files)
    prompt.env["MEDGRID_KEYSTORE_THRESHOLD"] = "2"
    prompt.ok("init")
    note = tmp_path / "note.txt"
    note.write_text("text")
    prompt.ok("register", note, "--to", "/note")
    return files


def test_each_of_several_key_stores_is_upgraded(
    prompt: Prompt, split: list[Path], tmp_path: Path
) -> None:
    files = split
    make_older(files[1])
    prompt.ok("fetch", "/note", "--dir", tmp_path / "out")
    assert [row[1:] for row in prompt.ok("keystore", "show").rows] == [
        ["there", "2"],
        ["older", "2"],
        ["there", "2"],
    ]
    for words in (["keystore", "mend"], ["init"]):
        ran = prompt(*words)
        assert (ran.code, ran.err.splitlines()[-1]) == (
            9,
            "medgrid: hint: run 'medgrid keystore upgrade'",
        )
    assert [line for line in prompt.ok("keystore", "upgrade").lines if "schema 000" in line] == [
        f"the key store {files[0]} has schema 0002 already",
        f"the key store {files[1]} had schema 0001, now it has 0002",
        f"the key store {files[2]} has schema 0002 already",
    ]
    assert [row[1] for row in prompt.ok("keystore", "show").rows] == ["there"] * 3


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "unreachable"])
def test_a_key_store_that_is_not_there_keeps_no_other_from_its_upgrade(
    prompt: Prompt, split: list[Path], place: int, is_lost: bool, tmp_path: Path
) -> None:
    gone = split[place]
    left = [file for file in split if file != gone]
    for file in left:
        make_older(file)
    for part in gone.parent.glob(f"{gone.name}*"):
        part.unlink()
    message = f"there is no key store at {gone}"
    if not is_lost:
        address = f"postgresql+psycopg://medgrid@/keys?host={tmp_path}"
        urls = prompt.env["MEDGRID_KEYSTORE"]
        prompt.env["MEDGRID_KEYSTORE"] = urls.replace(f"sqlite:///{gone}", address)
        message = f"the key store {make_url(address)}: the server does not answer"
    assert sorted(row[1] for row in prompt.ok("keystore", "show").rows) == [
        "missing",
        "older",
        "older",
    ]
    for words in (["fetch", "/note", "--dir", tmp_path], ["keystore", "mend"]):
        ran = prompt(*words)
        assert (ran.code, ran.err.splitlines()) == (
            9,
            [
                f"medgrid: error: the key store {left[0]} has schema 0001, this medgrid needs 0002",
                "medgrid: hint: run 'medgrid keystore upgrade'",
            ],
        )

    ran = prompt("keystore", "upgrade")
    assert [line for line in ran.lines if "schema 000" in line] == [
        f"the key store {file} had schema 0001, now it has 0002" for file in left
    ]
    assert (ran.code, ran.err.splitlines()) == (
        3,
        [
            f"medgrid: warning: {message}",
            "medgrid: error: 1 of 3 failed",
            "medgrid: hint: say the same again when it is back; 'medgrid keystore mend' makes a "
            "lost one again",
        ],
    )
    prompt.ok("fetch", "/note", "--dir", tmp_path / "out")
    assert (tmp_path / "out" / "note.txt").read_text() == "text"
    if is_lost:
        assert prompt.ok("keystore", "mend").lines == [str(gone)]
        assert [row[1] for row in prompt.ok("keystore", "show").rows] == ["there"] * 3


def test_an_older_catalog_is_upgraded_when_asked_for(grid_prompt: Prompt) -> None:
    catalog = grid_prompt.home / "catalog.db"
    catalog.unlink()
    load(f"sqlite:///{catalog}", "catalog", "0001")
    for words in (["query", "Modality=MR"], ["worker", "ls"], ["ls"]):
        ran = grid_prompt(*words)
        assert (ran.code, ran.err.splitlines()) == (
            9,
            [
                f"medgrid: error: the catalog {catalog} has schema 0001, "
                f"this medgrid needs {REVISION}",
                "medgrid: hint: run 'medgrid catalog upgrade'",
            ],
        )
    shown = {row[0]: row[1:] for row in grid_prompt.ok("catalog", "show").rows}
    assert shown["schema_revision"] == ["0001"]
    assert "objects" not in shown

    with closing(sqlite3.connect(catalog)) as file:
        file.execute("CREATE TABLE mine (id REFERENCES object (id))")
        file.execute("INSERT INTO mine VALUES ('nobody')")
        file.commit()
    ran = grid_prompt("catalog", "upgrade", "--json")
    assert (ran.code, json.loads(ran.err)["message"]) == (
        0,
        "the catalog: 1 rows of mine name no row of object, as before the upgrade",
    )
    (document,) = ran.documents
    assert {name: document[name] for name in ("before", "after", "copies")} == {
        "before": "0001",
        "after": REVISION,
        "copies": [f"{catalog}.schema-0001"],
    }
    shown = {row[0]: row[1:] for row in grid_prompt.ok("catalog", "show").rows}
    assert shown["schema_revision"] == [REVISION]
    assert [row[0] for row in grid_prompt.ok("worker", "ls").rows] != []
    assert grid_prompt.ok("catalog", "upgrade").lines == [
        f"the catalog has schema {REVISION} already",
        f"a copy of it as it was before is kept in {catalog}.schema-0001",
    ]
