"""Making the tables of a database where there are none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, insert, text

from medgrid.database.connections import Database
from medgrid.database.version import Schema, revision
from medgrid.errors import ConfigError

__all__ = ["hold", "make", "stamp"]


def make(db: Database, schema: Schema, fill: Callable[[Connection], None]) -> None:
    """Make the tables of `schema` where there are none, and close the database.

    Parameters
    ----------
    db : Database
        Opened with ``create=True``.
    schema : Schema
        What it is to have.
    fill : callable
        Adds what belongs to new tables.

    Raises
    ------
    ConfigError
        The place cannot be written.
    """
    is_new_file = db.path is not None and not db.path.exists()
    try:
        if is_new_file:
            _make_file(db)
        with db.write() as connection:
            hold(connection, schema)
            if revision(db, schema) is not None:
                return
            schema.tables.create_all(connection)
            stamp(connection, schema, schema.revision)
            fill(connection)
    except BaseException:
        db.close()
        if is_new_file and db.path is not None:
            _remove_file(db.path)
        raise
    finally:
        db.close()


def hold(connection: Connection, schema: Schema) -> None:
    """Let nobody else make or upgrade such a database until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({schema.lock})"))


def stamp(connection: Connection, schema: Schema, revision: str) -> None:
    """Say, where nothing says it yet, which revision of the schema the tables have."""
    versions = schema.versions()
    versions.create(connection)
    connection.execute(insert(versions).values(version_num=revision))


def _make_file(db: Database) -> None:
    """Make an empty SQLite file that this user alone may read, with a write-ahead log."""
    if db.path is None:
        return
    try:
        db.path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the {db.what} {db.name} cannot be made: {error.strerror}",
            hint="check the directory and its permissions",
        ) from error
    with db.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def _remove_file(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            path.with_name(path.name + suffix).unlink()
