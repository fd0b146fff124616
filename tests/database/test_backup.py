"""The copy of an SQLite file that an upgrade leaves."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from medgrid.database import Database
from medgrid.database.backup import back_up, copies_of
from medgrid.errors import ConfigError


def make(path: Path) -> Database:
    """A database with a write-ahead log and one row."""
    path.touch(mode=0o644)
    with closing(sqlite3.connect(path)) as file:
        file.executescript(
            "PRAGMA journal_mode=WAL; CREATE TABLE kept (n); INSERT INTO kept VALUES (1);"
        )
    return Database(f"sqlite:///{path}")


def numbers(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as file:
        return [n for (n,) in file.execute("SELECT n FROM kept ORDER BY n")]


def test_it_has_what_is_in_the_log_alone(tmp_path: Path) -> None:
    path = tmp_path / "made.db"
    with closing(make(path)) as db, closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_autocheckpoint=0")
        other.execute("INSERT INTO kept VALUES (2)")
        other.commit()
        size_bytes = path.stat().st_size
        other.execute("INSERT INTO kept VALUES (3)")  # and is not committed
        copy = back_up(db, path, "0001")
        assert path.stat().st_size == size_bytes
        assert copy == tmp_path / "made.db.schema-0001"
        assert numbers(copy) == [1, 2]
        other.rollback()


def test_it_replaces_an_older_one_and_what_was_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "made.db"
    with closing(make(path)) as db:
        for name in ("made.db.schema-0001", "made.db.schema-0001.part"):
            (tmp_path / name).write_bytes(b"older")
        copy = back_up(db, path, "0001")
    assert numbers(copy) == [1]
    assert {one.name for one in tmp_path.iterdir()} == {"made.db", "made.db.schema-0001"}


def test_it_lies_beside_the_file_that_a_link_leads_to(tmp_path: Path) -> None:
    data, home = tmp_path / "data", tmp_path / "home"
    data.mkdir()
    home.mkdir()
    make(data / "made.db").close()
    link = home / "catalog.db"
    link.symlink_to("../data/made.db")
    with closing(Database(f"sqlite:///{link}")) as db:
        copy = back_up(db, link, "0001")
        assert copies_of(db) == (copy,) == (data / "made.db.schema-0001",)
    assert numbers(copy) == [1]
    assert list(home.iterdir()) == [link]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_it_is_for_those_that_the_file_is_for(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "made.db"
    with closing(make(path)) as db:
        path.chmod(mode | 0o4000)  # of programs alone
        copy = back_up(db, path, "0001")
    assert stat.S_IMODE(copy.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file somebody else's")
@pytest.mark.parametrize("dropped", ["", "-chown"])
def test_it_belongs_to_whom_the_file_belongs(dropped: str, tmp_path: Path) -> None:
    path = tmp_path / "made.db"
    make(path).close()
    path.chmod(0o660)
    os.chown(path, 4711, 4712)
    program = (
        "import sys; from pathlib import Path; from medgrid.database.backup import back_up; "
        "from medgrid.database import Database; path = Path(sys.argv[1]); "
        "print(back_up(Database(f'sqlite:///{path}'), path, '0001'))"
    )
    limits = ["setpriv", f"--bounding-set={dropped}"] if dropped else []
    subprocess.run([*limits, sys.executable, "-c", program, path], check=True)
    found = path.with_name("made.db.schema-0001").stat()
    theirs = (4711, 4712, 0o660) if not dropped else (0, 0, 0o600)
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == theirs


def test_where_no_copy_can_be_made_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "made.db"
    (tmp_path / "made.db.schema-0001").mkdir()
    with closing(make(path)) as db, pytest.raises(ConfigError) as caught:
        back_up(db, path, "0001")
    assert caught.value.message == f"the catalog {path} cannot be copied: Is a directory"
    assert caught.value.hint == "check the directory and its permissions; nothing was changed"
    assert not list(tmp_path.glob("*.part"))
