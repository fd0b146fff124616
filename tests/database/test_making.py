"""Making a database: interrupted, or by two at once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from medgrid.database import Database
from medgrid.database.making import make
from medgrid.database.version import check
from medgrid.errors import Busy
from tests.database.kinds import CATALOG_KIND, KINDS, Kind


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_was_interrupted_when_its_file_was_empty_gets_its_log(
    kind: Kind, tmp_path: Path
) -> None:
    path = tmp_path / "made.db"
    path.touch(mode=0o600)
    kind.create(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_who_cannot_make_it_leaves_what_another_made_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "made.db"
    url = f"sqlite:///{path}"
    db = Database(url, create=True, busy_timeout_s=0.1)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as other:

        @event.listens_for(db.engine, "connect", once=True)
        def make_it_first(*_: object) -> None:
            CATALOG_KIND.create(url).close()
            other.execute("ATTACH ? AS made", (str(path),))
            other.execute("BEGIN IMMEDIATE")
            other.execute("UPDATE made.grid SET created_s = 0")

        with pytest.raises(Busy):
            make(db, CATALOG_KIND.schema, lambda _: None)
        other.rollback()
    with closing(CATALOG_KIND.open(url)) as made:
        check(made, CATALOG_KIND.schema)


def test_who_is_refused_its_log_because_another_makes_it_waits(tmp_path: Path) -> None:
    path = tmp_path / "made.db"
    db = Database(f"sqlite:///{path}", create=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        @event.listens_for(db.engine, "handle_error", once=True)
        def go_on(_: object) -> None:
            other.rollback()

        make(db, CATALOG_KIND.schema, lambda _: None)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
