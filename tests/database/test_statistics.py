"""What SQLite knows of how values are spread follows what is there, whoever wrote it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from medgrid.database import Database

ENOUGH = 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "some.db"
    with closing(sqlite3.connect(found)) as connection:
        connection.execute("CREATE TABLE seen (id INTEGER PRIMARY KEY, kind TEXT)")
        connection.execute("CREATE INDEX ix_kind ON seen (kind)")
        connection.execute("CREATE TABLE few (id INTEGER PRIMARY KEY, kind TEXT)")
        connection.execute("CREATE INDEX ix_few ON few (kind)")
        connection.execute("INSERT INTO few (kind) VALUES ('a')")
        connection.commit()
    return found


def add(path: Path, rows: int, busy_timeout_s: float = 5.0) -> None:
    """What one command does: it opens, writes, closes."""
    db = Database(f"sqlite:///{path}", busy_timeout_s=busy_timeout_s)
    with db.write() as connection:
        connection.execute(
            text(
                "INSERT INTO seen (kind) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
                " SELECT i + 1 FROM n WHERE i < :rows) SELECT i % 10 FROM n"
            ),
            {"rows": rows},
        )
    db.close()


def known(path: Path) -> dict[str, int]:
    """How many rows SQLite takes tables to have."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            rows = connection.execute("SELECT tbl, stat FROM sqlite_stat1").fetchall()
        except sqlite3.OperationalError:
            return {}
        return {table: int(stat.split()[0]) for table, stat in rows}


def test_many_small_writes_are_looked_at_together(path: Path) -> None:
    for _ in range(9):
        add(path, ENOUGH // 10)
        assert known(path) == {}
    add(path, ENOUGH // 10)
    assert known(path) == {"seen": ENOUGH}
    add(path, ENOUGH - 1)
    assert known(path) == {"seen": ENOUGH}
    add(path, 1)
    assert known(path)["seen"] == pytest.approx(2 * ENOUGH, rel=0.4)


def test_rows_that_are_gone_are_no_growth(path: Path) -> None:
    add(path, 3 * ENOUGH)
    assert known(path)["seen"] == pytest.approx(3 * ENOUGH, rel=0.4)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM seen WHERE id < 2990")
        connection.execute("DELETE FROM sqlite_stat1")
        connection.commit()
    add(path, 1)
    assert known(path) == {}


def test_who_only_reads_looks_at_nothing(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        many = [(str(number),) for number in range(2 * ENOUGH)]
        connection.executemany("INSERT INTO seen (kind) VALUES (?)", many)
        connection.commit()
    db = Database(f"sqlite:///{path}")
    with db.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM seen")) == 2 * ENOUGH
    db.close()
    assert known(path) == {}


def test_a_writer_is_not_waited_for(path: Path) -> None:
    db = Database(f"sqlite:///{path}")
    with db.write() as connection:
        for _ in range(2 * ENOUGH):
            connection.execute(text("INSERT INTO seen (kind) VALUES ('x')"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        db.close()
        other.execute("ROLLBACK")
    assert known(path) == {}
    add(path, 1)
    assert known(path)["seen"] == pytest.approx(2 * ENOUGH, rel=0.4)
