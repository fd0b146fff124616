"""Making a key store, and bringing older ones up to date."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import closing

from sqlalchemy import Connection, insert

from medgrid.crypto.keystore_schema import store
from medgrid.crypto.keystore_server import install
from medgrid.crypto.keystore_version import SCHEMA, open_database
from medgrid.database import making
from medgrid.database.upgrade import Upgraded
from medgrid.database.upgrade import upgrade as upgrade_database

__all__ = ["make", "upgrade"]


def make(url: str) -> None:
    """Make a key store at `url` where there is none.

    Raises
    ------
    ConfigError
        The place cannot be written.
    """
    making.make(open_database(url, create=True), SCHEMA, _fill)


def upgrade(url: str, first: Callable[[], None]) -> Upgraded:
    """Bring an older key store to this medgrid's schema; as `medgrid.database.upgrade`."""
    with closing(open_database(url)) as db:
        return upgrade_database(db, SCHEMA, first)


def _fill(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        install(connection)
    connection.execute(
        insert(store).values(store_id=secrets.token_hex(16), created_us=time.time_ns() // 1000)
    )
