"""What all parts of a key store share: its database, its door, and for whom it acts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Table, exc, insert

from medgrid.crypto.audit_record import Event
from medgrid.crypto.keystore_door import Door
from medgrid.database import Database
from medgrid.errors import AlreadyExists

__all__ = ["StoreBase"]


class StoreBase:
    """A key store's database `db`, opened for the identity `who`."""

    def __init__(self, db: Database, store_id: str, who: str, door: Door) -> None:
        self.db = db
        self.store_id = store_id
        self.who = who
        self._door = door

    @contextmanager
    def _recorded(self, *events: Event) -> Iterator[Connection]:
        """A transaction in which `events` are recorded first."""
        with self.db.write() as connection:
            self._door.append(connection, events)
            yield connection

    def _check_alone(self) -> None:
        """Nothing is given out in a transaction that may yet be undone, its record with it."""
        if self.db.in_write:
            raise RuntimeError("the key store gives nothing out inside a transaction")

    def _enter(
        self, connection: Connection, table: Table, rows: Sequence[dict[str, Any]], what: str
    ) -> None:
        """Insert rows; none of them may be there.

        Raises
        ------
        AlreadyExists
            One is; nothing was entered.
        """
        if not rows:
            return
        try:
            with connection.begin_nested():
                connection.execute(insert(table), rows)
        except exc.IntegrityError as error:
            raise AlreadyExists(f"the key store has {what} already") from error
