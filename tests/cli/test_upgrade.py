"""A grid home of an older medgrid at the prompt: what is said, and bringing it up to date."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

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


def test_each_of_several_key_stores_is_upgraded(prompt: Prompt, tmp_path: Path) -> None:
    files = [tmp_path / f"keys-{number}.db" for number in (1, 2, 3)]
    prompt.env["MEDGRID_KEYSTORE"] = " ".join(f"sqlite:///{file}" for file in files)
    prompt.env["MEDGRID_KEYSTORE_THRESHOLD"] = "2"
    prompt.ok("init")
    make_older(files[1])
    ran = prompt("keystore", "show")
    assert (ran.code, ran.err.splitlines()[1]) == (
        9,
        "medgrid: hint: run 'medgrid keystore upgrade'",
    )
    assert [line for line in prompt.ok("keystore", "upgrade").lines if "schema 000" in line] == [
        f"the key store {files[0]} has schema 0002 already",
        f"the key store {files[1]} had schema 0001, now it has 0002",
        f"the key store {files[2]} has schema 0002 already",
    ]
    prompt.ok("keystore", "show")


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

    (document,) = grid_prompt.ok("catalog", "upgrade", "--json").documents
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
