"""Making a catalog's tables, and bringing older ones up to date."""

from __future__ import annotations

import contextlib
import secrets
import time
from pathlib import Path

from sqlalchemy import Connection, insert, text

from medgrid.catalog import job_schema as _job_schema  # noqa: F401 - its tables are ours too
from medgrid.catalog import schema
from medgrid.catalog.version import REVISION, check_not_newer, revision
from medgrid.database import Database
from medgrid.errors import ConfigError

__all__ = ["make", "migrate", "upgrade"]

_CREATION_LOCK = 0x6D656467  # PostgreSQL advisory lock: one process makes the tables


def make(url: str) -> None:
    """Make the tables of a catalog where there are none, and draw the grid's id.

    Raises
    ------
    ConfigError
        The place cannot be written.
    """
    db = Database(url, create=True)
    is_new_file = db.path is not None and not db.path.exists()
    try:
        if is_new_file:
            _make_file(db)
        with db.write() as connection:
            if not db.is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_CREATION_LOCK})"))
            if revision(db) is not None:
                return
            schema.metadata.create_all(connection)
            _stamp(connection)
            connection.execute(
                insert(schema.grid).values(grid_id=secrets.token_hex(8), created_s=time.time())
            )
    except BaseException:
        db.close()
        if is_new_file and db.path is not None:
            _remove_file(db.path)
        raise
    finally:
        db.close()


def upgrade(url: str) -> tuple[str, str]:
    """Bring an older catalog to this medgrid's schema, in one transaction.

    Returns
    -------
    (str, str)
        Schema revision before and after.

    Raises
    ------
    ConfigError
        There is no catalog, or it is newer than this medgrid.
    """
    db = Database(url)
    try:
        before = revision(db)
        if before is None:
            raise ConfigError(
                f"{db.name} holds no catalog", hint="make a grid home with 'medgrid init'"
            )
        check_not_newer(db, before)
        if before != REVISION:
            migrate(db)
            db.optimize()
        return before, REVISION
    finally:
        db.close()


def migrate(db: Database) -> None:
    """Run the migrations that a database has not seen, in one transaction."""
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", "medgrid.catalog:migrations")
    config.set_main_option("version_locations", str(_versions()))
    config.set_main_option("path_separator", "newline")
    with db.write() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise ConfigError(
                f"the catalog {db.name} cannot be upgraded from schema {revision(db)}"
            ) from error


def _versions() -> Path:
    return Path(__file__).parent / "migrations" / "versions"


def _stamp(connection: Connection) -> None:
    """Say that the tables are those of the newest migration."""
    from medgrid.catalog.version import VERSION_TABLE

    VERSION_TABLE.create(connection)
    connection.execute(insert(VERSION_TABLE).values(version_num=REVISION))


def _make_file(db: Database) -> None:
    """Make an empty SQLite file that this user alone may read, with a write-ahead log."""
    if db.path is None:
        return
    try:
        db.path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the catalog {db.name} cannot be made: {error.strerror}",
            hint="check the directory and its permissions",
        ) from error
    with db.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def _remove_file(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            path.with_name(path.name + suffix).unlink()
