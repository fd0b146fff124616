"""Making the tables of a database where there are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, insert, text

from medgrid.database.connections import Database
from medgrid.database.version import Schema, revision
from medgrid.errors import Busy, ConfigError

__all__ = ["hold", "make", "stamp"]

_TRIES = 10


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
    try:
        if db.path is not None:
            _prepare_file(db, db.path)
        with db.write() as connection:
            hold(connection, schema)
            if revision(db, schema) is not None:
                return
            schema.tables.create_all(connection)
            stamp(connection, schema, schema.revision)
            fill(connection)
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


def _prepare_file(db: Database, path: Path) -> None:
    """Let there be an SQLite file that its maker alone may read, with a write-ahead log.

    One that stays empty stays there: who is second may be about to fill it.
    """
    try:
        if not path.exists():
            path.touch(mode=0o600)
    except OSError as error:
        raise ConfigError(
            f"the {db.what} {db.name} cannot be made: {error.strerror}",
            hint="check the directory and its permissions",
        ) from error
    for tries_left in reversed(range(_TRIES)):
        try:
            with db.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            return
        except Busy:
            if not tries_left:
                raise
        with db.write():  # of two that say it at once one is refused at once: here they wait
            pass
