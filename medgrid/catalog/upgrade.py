"""Making a catalog's tables, and bringing older ones up to date."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import closing

from sqlalchemy import Connection, insert

from medgrid.catalog import job_schema as _job_schema  # noqa: F401 - its tables are ours too
from medgrid.catalog import schema
from medgrid.catalog.leases import BROKER, LeaseStore
from medgrid.catalog.version import SCHEMA
from medgrid.database import Database, making
from medgrid.database.upgrade import Upgraded
from medgrid.database.upgrade import upgrade as upgrade_database

__all__ = ["make", "upgrade"]


def make(url: str) -> None:
    """Make the tables of a catalog where there are none, and draw the grid's id.

    Raises
    ------
    ConfigError
        The place cannot be written.
    """
    making.make(Database(url, create=True), SCHEMA, _fill)


def upgrade(url: str, check: Callable[[LeaseStore], None]) -> Upgraded:
    """Bring an older catalog to this medgrid's schema; raises as `medgrid.database.upgrade`.

    Parameters
    ----------
    check : callable
        Raises when a broker works. One that it passes over can write no more.
    """
    with closing(Database(url)) as db:
        leases = LeaseStore(db)

        def first() -> None:
            check(leases)
            leases.fence(BROKER)

        done = upgrade_database(db, SCHEMA, first)
        if done.before != done.after:
            db.optimize()
        return done


def _fill(connection: Connection) -> None:
    connection.execute(
        insert(schema.grid).values(grid_id=secrets.token_hex(8), created_s=time.time())
    )
