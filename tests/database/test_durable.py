"""What a database says is kept is on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.database.kinds import KINDS, Kind
from tests.lab.durable import broken_rules, calls_of, too_early

_WRITE = """
import sys
from medgrid.database import Database, connections
prepare = connections._prepare_sqlite
def as_elsewhere(connection, record):
    connection.execute("PRAGMA synchronous=OFF")  # Debian's SQLite flushes by itself
    prepare(connection, record)
connections._prepare_sqlite = as_elsewhere
db = Database(sys.argv[1], create=True)
with db.connect() as connection:
    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    connection.exec_driver_sql("CREATE TABLE kept (number)")
for number in range(3):
    with db.write() as connection:
        connection.exec_driver_sql(f"INSERT INTO kept VALUES ({number})")
    open(f"{sys.argv[2]}{number}", "x")
"""

_BACK_UP = """
import sys
from pathlib import Path
from medgrid.database import Database
from medgrid.database.backup import back_up
back_up(Database(f"sqlite:///{sys.argv[1]}"), Path(sys.argv[1]), "0001")
"""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_copy_is_flushed_before_an_upgrade_changes_anything(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "grid" / f"{kind.name}.db"
    path.parent.mkdir()
    kind.older(f"sqlite:///{path}")
    calls = calls_of(tmp_path, _BACK_UP, path)
    assert broken_rules(calls, str(tmp_path)) == []
    assert [call.path for call in calls if call.name == "rename"] == [f"{path}.schema-0001"]


def test_what_is_committed_is_flushed(tmp_path: Path) -> None:
    """Each file says that a change was kept; SQLite flushes at its will when it closes."""
    told = tmp_path / "told"
    calls = calls_of(tmp_path, _WRITE, f"sqlite:///{tmp_path / 'kept.db'}", told)
    found = too_early(
        calls, f"{tmp_path}/kept.db-wal", lambda call: call.path.startswith(str(told))
    )
    assert [is_early for _, is_early in found] == [False] * 3
