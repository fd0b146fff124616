"""What a catalog is: where, which schema, how much it holds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, and_, func, select, true, union

from medgrid.catalog.schema import care, dataset, derivation, grid, object_, patient, replica
from medgrid.catalog.sight import Sight
from medgrid.catalog.version import SCHEMA
from medgrid.database import Database
from medgrid.database.version import revision

__all__ = ["about"]


def about(url: str, viewer: str | None = None) -> dict[str, Any]:
    """Describe the catalog at `url`; no counts when its schema is not this medgrid's.

    What `viewer` does not see is not counted.

    Raises
    ------
    ConfigError
        There is none.
    """
    db = Database(url)
    try:
        found = revision(db, SCHEMA)
        if found is None:
            raise db.absent(f"{db.name} holds no catalog")
        facts: dict[str, Any] = {
            "catalog": db.name,
            "database": "sqlite" if db.is_sqlite else "postgresql",
            "schema_revision": found,
            "schema_needed": SCHEMA.revision,
        }
        if found != SCHEMA.revision:
            return facts
        with db.read() as connection:
            facts["grid"] = connection.scalar(select(grid.c.grid_id))
            sight = Sight(viewer)
            for name, table, seen in (
                ("objects", object_, sight.objects()),
                ("replicas", replica, sight.object_id(replica.c.object_id)),
                ("derivations", derivation, sight.derivations()),
                ("datasets", dataset, dataset.c.owner == viewer if viewer else true()),
                ("lfns", object_, and_(object_.c.lfn.is_not(None), sight.objects())),
            ):
                count = select(func.count()).select_from(table).where(seen)
                facts[name] = connection.scalar(count)
            facts["patients"] = connection.scalar(_patients(sight))
        return facts
    finally:
        db.close()


def _patients(sight: Sight) -> Select[int]:
    if sight.viewer is None:
        return select(func.count()).select_from(patient)
    of_objects = select(object_.c.patient).where(object_.c.patient.is_not(None), sight.objects())
    of_care = select(care.c.patient).where(care.c.identity == sight.viewer)
    return select(func.count()).select_from(union(of_objects, of_care).subquery())
