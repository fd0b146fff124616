"""What a database says is kept is on the disk."""

from __future__ import annotations

from pathlib import Path

from tests.lab.durable import calls_of, too_early

_WRITE = """
import sys
from medgrid.database import Database
db = Database(sys.argv[1], create=True)
with db.connect() as connection:
    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    connection.exec_driver_sql("CREATE TABLE kept (number)")
for number in range(3):
    with db.write() as connection:
        connection.exec_driver_sql(f"INSERT INTO kept VALUES ({number})")
    open(f"{sys.argv[2]}{number}", "x")
"""


def test_what_is_committed_is_flushed(tmp_path: Path) -> None:
    """Each file says that a change was kept; SQLite flushes at its will when it closes."""
    told = tmp_path / "told"
    calls = calls_of(tmp_path, _WRITE, f"sqlite:///{tmp_path / 'kept.db'}", told)
    found = too_early(
        calls, f"{tmp_path}/kept.db-wal", lambda call: call.path.startswith(str(told))
    )
    assert [is_early for _, is_early in found] == [False] * 3
