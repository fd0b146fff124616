"""Making a catalog's tables, and bringing older ones up to date."""

from __future__ import annotations

import importlib.util
import secrets
import time

from sqlalchemy import insert, text

from medgrid.catalog.engine import Database
from medgrid.catalog.schema import grid, metadata
from medgrid.catalog.version import REVISION, revision

__all__ = ["make"]


def make(url: str) -> None:
    """Make the tables of a catalog where there are none, and draw the grid's id."""
    if importlib.util.find_spec("medgrid.catalog.job_schema"):
        importlib.import_module("medgrid.catalog.job_schema")
    db = Database(url, create=True)
    try:
        if revision(db) is not None:
            return
        if db.is_sqlite:
            with db.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        with db.write() as connection:
            metadata.create_all(connection)
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
            connection.execute(text("INSERT INTO alembic_version VALUES (:r)"), {"r": REVISION})
            connection.execute(
                insert(grid).values(grid_id=secrets.token_hex(8), created_s=time.time())
            )
    finally:
        db.close()
