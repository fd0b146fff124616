"""Opening a key store's database, and which schema it has."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import event, select, text

from medgrid.crypto.keystore_schema import metadata, store
from medgrid.database import Database, version

__all__ = ["SCHEMA", "check", "open_database"]

SCHEMA = version.Schema(
    tables=metadata,
    revision="0002",
    migrations=Path(__file__).with_name("migrations"),
    command="medgrid keystore upgrade",
    lock=0x6D676B73,
    version_table="keystore_version",
    earlier=text("SELECT '0001' FROM store WHERE version = 1"),
    earlier_table="store",
)
"""What this medgrid works with."""


def open_database(url: str, *, create: bool = False) -> Database:
    """Open a key store's database, so that nothing that is deleted stays in its file."""
    db = Database(url, create=create, what="key store")
    if db.is_sqlite:
        event.listen(db.engine, "connect", _prepare_sqlite)
    return db


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # a key that was destroyed must not stay in the file's free pages
    connection.execute("PRAGMA secure_delete=ON")
    # bytes where text should be are damage: they are refused where they are used
    connection.text_factory = lambda data: data.decode("utf-8", "replace")


def check(db: Database) -> str:
    """Return the store's id when it has this medgrid's schema.

    Raises
    ------
    ConfigError
        The database is no key store, or an older or newer one.
    """
    version.check(db, SCHEMA)
    with db.read() as connection:
        return str(connection.scalar(select(store.c.store_id)))
