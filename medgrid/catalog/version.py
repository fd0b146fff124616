"""Which schema a catalog has, and whether this medgrid can use it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from medgrid.catalog.schema import grid, metadata
from medgrid.database import Database, version

__all__ = ["REVISION", "SCHEMA", "check"]

REVISION = "0008"
"""The schema this medgrid works with: the newest migration."""

SCHEMA = version.Schema(
    tables=metadata,
    revision=REVISION,
    migrations=Path(__file__).with_name("migrations"),
    command="medgrid catalog upgrade",
    lock=0x6D656467,
    version_table="alembic_version",
)


def check(db: Database) -> str:
    """Return the grid's id when the catalog has this medgrid's schema.

    Raises
    ------
    ConfigError
        The database is no catalog, or an older or newer one.
    """
    version.check(db, SCHEMA)
    with db.read() as connection:
        return str(connection.scalar(select(grid.c.grid_id)))
