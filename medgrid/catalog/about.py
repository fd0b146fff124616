"""What a catalog is: where, which schema, how much it holds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from medgrid.catalog.schema import dataset, derivation, grid, object_, patient, replica
from medgrid.catalog.version import REVISION, revision
from medgrid.database import Database
from medgrid.errors import ConfigError

__all__ = ["about"]


def about(url: str) -> dict[str, Any]:
    """Describe the catalog at `url`; no counts when its schema is not this medgrid's.

    Raises
    ------
    ConfigError
        There is none.
    """
    db = Database(url)
    try:
        found = revision(db)
        if found is None:
            raise ConfigError(
                f"{db.name} holds no catalog", hint="make a grid home with 'medgrid init'"
            )
        facts: dict[str, Any] = {
            "catalog": db.name,
            "database": "sqlite" if db.is_sqlite else "postgresql",
            "schema_revision": found,
            "schema_needed": REVISION,
        }
        if found != REVISION:
            return facts
        with db.read() as connection:
            facts["grid"] = connection.scalar(select(grid.c.grid_id))
            for name, table in (
                ("patients", patient),
                ("objects", object_),
                ("replicas", replica),
                ("derivations", derivation),
                ("datasets", dataset),
            ):
                facts[name] = connection.scalar(select(func.count()).select_from(table))
            facts["lfns"] = connection.scalar(
                select(func.count()).select_from(object_).where(object_.c.lfn.is_not(None))
            )
        return facts
    finally:
        db.close()
