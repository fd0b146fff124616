"""Which schema a catalog has, and whether this medgrid can use it."""

from __future__ import annotations

from sqlalchemy import exc, text

from medgrid.catalog.engine import Database
from medgrid.errors import ConfigError

__all__ = ["REVISION", "check", "revision"]

REVISION = "0001"
"""The schema this medgrid works with; revisions are numbers, so that their order shows."""


def revision(db: Database) -> str | None:
    """Schema revision of a catalog, None when the database holds no catalog."""
    with db.read() as connection:
        try:
            found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        except (exc.OperationalError, exc.ProgrammingError) as error:
            message = str(error.orig)
            if "no such table" in message or "UndefinedTable" in type(error.orig).__name__:
                return None
            raise
        return found


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
    if found < REVISION:
        raise ConfigError(
            f"the catalog {db.name} has schema {found}, this medgrid needs {REVISION}",
            hint="run 'medgrid catalog upgrade'",
        )
    if found > REVISION:
        raise ConfigError(
            f"the catalog {db.name} has schema {found}, newer than this medgrid's {REVISION}",
            hint="install the newer medgrid that made it",
        )
    with db.read() as connection:
        return str(connection.scalar(text("SELECT grid_id FROM grid")))
