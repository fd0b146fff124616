"""Which schema a catalog has, and whether this medgrid can use it."""

from __future__ import annotations

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, String, Table, exc, select

from medgrid.catalog.schema import grid
from medgrid.database import Database
from medgrid.errors import ConfigError

__all__ = ["REVISION", "VERSION_TABLE", "check", "check_not_newer", "revision"]

REVISION = "0001"
"""The schema this medgrid works with; revisions are numbers, so that their order shows."""

VERSION_TABLE = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's own; kept apart from the catalog's tables, as alembic does."""


def revision(db: Database) -> str | None:
    """Schema revision of a catalog, None when the database holds no catalog."""
    try:
        with db.read() as connection, connection.begin_nested():
            found: str | None = connection.scalar(select(VERSION_TABLE.c.version_num))
            return found
    except (exc.OperationalError, exc.ProgrammingError) as error:
        if "no such table" in str(error.orig) or "UndefinedTable" in type(error.orig).__name__:
            return None
        raise


def check_not_newer(db: Database, found: str) -> None:
    """Raise `ConfigError` when a catalog was made by a newer medgrid."""
    if found > REVISION:
        raise ConfigError(
            f"the catalog {db.name} has schema {found}, newer than this medgrid's {REVISION}",
            hint="install the newer medgrid that made it",
        )


def check(db: Database) -> str:
    """Return the grid's id when the catalog has this medgrid's schema.

    Raises
    ------
    ConfigError
        The database is no catalog, or an older or newer one.
    """
    found = revision(db)
    if found is None:
        raise ConfigError(
            f"{db.name} holds no catalog", hint="make a grid home with 'medgrid init'"
        )
    check_not_newer(db, found)
    if found < REVISION:
        raise ConfigError(
            f"the catalog {db.name} has schema {found}, this medgrid needs {REVISION}",
            hint="run 'medgrid catalog upgrade'",
        )
    with db.read() as connection:
        return str(connection.scalar(select(grid.c.grid_id)))
