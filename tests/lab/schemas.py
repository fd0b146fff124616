"""What a database has: its schema, as it tells it itself, and its rows."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, inspect, make_url, text
from sqlalchemy.exc import SAWarning

from medgrid.database import Database
from tests.lab.postgres import binaries

__all__ = ["rows_of", "schema_of"]

Rows = dict[str, list[dict[str, Any]]]


def schema_of(url: str) -> list[str]:
    """One line for each thing: columns with types, keys, constraints, indexes, functions, ..."""
    if not url.startswith("sqlite"):
        return _server_schema(url)
    db = Database(url)
    try:
        with (
            warnings.catch_warnings(action="ignore", category=SAWarning),  # of indexes; see there
            db.read() as connection,
        ):
            return sorted(_file_schema(connection))
    finally:
        db.close()


def _server_schema(url: str) -> list[str]:
    bin_dir = binaries()
    assert bin_dir is not None
    address = make_url(url)
    dump = subprocess.run(
        [
            *(str(bin_dir / "pg_dump"), "--schema-only", "-h", str(address.query["host"])),
            *("-U", str(address.username), str(address.database)),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found, statement = [], ""
    for line in dump.splitlines():
        words = " ".join(line.split()).rstrip(",")
        if words and not words.startswith(("--", "\\")):
            found.append(f"{statement} {words}")
            statement = "" if words.endswith(";") else statement or words
    return sorted(found)


def _file_schema(connection: Connection) -> list[str]:
    # SQLite keeps the words of who made a table; tables that were changed differ in them alone
    asked = inspect(connection)
    found = [
        f"{kind} {name}: {' '.join(sql.split())}"
        for kind, name, sql in connection.execute(
            text("SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'view')")
        )
    ]
    for name in [*asked.get_table_names(), *asked.get_view_names()]:
        facts: Mapping[str, Any] = {
            "options": asked.get_table_options(name),
            "primary key": asked.get_pk_constraint(name),
        }
        found += [f"{name} {what}: {fact}" for what, fact in facts.items()]
        for what, many in (
            ("column", asked.get_columns(name)),
            ("unique", asked.get_unique_constraints(name)),
            ("check", asked.get_check_constraints(name)),
            ("refers", asked.get_foreign_keys(name)),
        ):
            found += [f"{name} {what}: {sorted(map(str, one.items()))}" for one in many]
        indexes = connection.exec_driver_sql(f'PRAGMA index_list("{name}")').all()
        for _, index, is_unique, origin, is_partial in indexes:
            parts = connection.exec_driver_sql(f'PRAGMA index_xinfo("{index}")').all()
            words = [part[2:] for part in parts if part[5]]
            label = index if origin == "c" else origin
            found.append(f"{name} index {label}: {is_unique} {is_partial} {words}")
    return found


def rows_of(url: str) -> Rows:
    """All rows of all tables but those of the revision, in an order that does not matter."""
    db = Database(url)
    try:
        with db.read() as connection:
            names = inspect(connection).get_table_names()
            return {
                name: sorted(
                    (
                        dict(row._mapping)
                        for row in connection.execute(text(f'SELECT * FROM "{name}"'))
                    ),
                    key=lambda row: repr(sorted(row.items())),
                )
                for name in names
                if name not in ("alembic_version", "keystore_version")
            }
    finally:
        db.close()
