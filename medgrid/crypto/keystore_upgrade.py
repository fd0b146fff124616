"""Making a key store, and opening one that is of this version, older or newer."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, exc, insert, select, text, update

from medgrid.crypto.keystore_schema import VERSION, metadata, store
from medgrid.crypto.keystore_server import install
from medgrid.database import Database
from medgrid.errors import ConfigError

__all__ = ["check", "make"]

_CREATION_LOCK = 0x6D676B73  # PostgreSQL advisory lock: one process makes the tables

_STEPS: dict[int, Callable[[Connection], None]] = {}
"""What brings a store of version n to n + 1."""


def make(url: str) -> None:
    """Make a key store at `url` where there is none.

    Raises
    ------
    ConfigError
        The place cannot be written.
    """
    db = Database(url, create=True, what="key store")
    is_new_file = db.path is not None and not db.path.exists()
    try:
        if is_new_file:
            _make_file(db)
        with db.write() as connection:
            if not db.is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_CREATION_LOCK})"))
            if _version(db) is not None:
                return
            metadata.create_all(connection)
            if not db.is_sqlite:
                install(connection)
            _fill(connection)
    except BaseException:
        db.close()
        if is_new_file and db.path is not None:
            _remove_file(db.path)
        raise
    finally:
        db.close()


def check(db: Database) -> str:
    """Return the store's id; an older store is brought up to date.

    Raises
    ------
    ConfigError
        The database is no key store, or was made by a newer medgrid.
    """
    found = _version(db)
    if found is None:
        raise ConfigError(
            f"{db.name} holds no key store", hint="make a grid home with 'medgrid init'"
        )
    if found > VERSION:
        raise ConfigError(
            f"the key store {db.name} has schema {found}, newer than this medgrid's {VERSION}",
            hint="install the newer medgrid that made it",
        )
    if found < VERSION:
        _upgrade(db)
    with db.read() as connection:
        return str(connection.scalar(select(store.c.store_id)))


def _upgrade(db: Database) -> None:
    with db.write() as connection:
        for version in range(connection.scalar(select(store.c.version)) or 0, VERSION):
            if version not in _STEPS:
                raise ConfigError(f"the key store {db.name} has schema {version}: too old")
            _STEPS[version](connection)
        connection.execute(update(store).values(version=VERSION))


def _version(db: Database) -> int | None:
    try:
        with db.read() as connection, connection.begin_nested():
            return connection.scalar(select(store.c.version))
    except (exc.OperationalError, exc.ProgrammingError) as error:
        if "no such" in str(error.orig) or "Undefined" in type(error.orig).__name__:
            return None
        raise


def _fill(connection: Connection) -> None:
    connection.execute(
        insert(store).values(
            store_id=secrets.token_hex(16), version=VERSION, created_us=time.time_ns() // 1000
        )
    )


def _make_file(db: Database) -> None:
    """Make an empty SQLite file that this user alone may read, with a write-ahead log."""
    if db.path is None:
        return
    try:
        db.path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the key store {db.name} cannot be made: {error.strerror}",
            hint="check the directory and its permissions",
        ) from error
    with db.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def _remove_file(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            path.with_name(path.name + suffix).unlink()
