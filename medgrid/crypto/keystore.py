"""The key store: who can open what.

It keeps certificates, the public keys of compartments, and secrets: wraps, headers, seals,
delegations, each of them sealed to somebody. Bodies are elsewhere, and without the key store they
are noise. It writes a record before it gives anything out (`KeyStore.audit`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Self

from sqlalchemy import select

from medgrid.crypto.keystore_compartments import CompartmentStore
from medgrid.crypto.keystore_delegations import DelegationStore
from medgrid.crypto.keystore_door import Door, LocalDoor
from medgrid.crypto.keystore_headers import HeaderStore
from medgrid.crypto.keystore_people import PeopleStore
from medgrid.crypto.keystore_schema import store as store_table
from medgrid.crypto.keystore_users import UserStore
from medgrid.database import Database
from medgrid.errors import ConfigError

if TYPE_CHECKING:
    from medgrid.crypto.audit import AuditLog

__all__ = ["KeyStore"]


class KeyStore(PeopleStore, UserStore, CompartmentStore, HeaderStore, DelegationStore):
    """An open key store that acts for one identity. Make one with `create` or `open`.

    What it gives out is for that identity. Where each user has a role of the database, the server
    knows who asks and `who` says nothing; elsewhere it is believed.
    """

    @classmethod
    def create(cls, url: str, who: str = "") -> Self:
        """Make the key store at `url` when there is none, and open it.

        Raises
        ------
        ConfigError
            The place cannot be written, or holds an older or newer medgrid's store.
        """
        from medgrid.crypto.keystore_upgrade import make

        make(url)
        return cls._open(url, who)

    @classmethod
    def open(cls, url: str, who: str = "") -> Self:
        """Open an existing key store for the identity `who`.

        Raises
        ------
        ConfigError
            There is none, it is an older or newer medgrid's, or it is one of several.
        Unreachable
            The database server does not answer.
        """
        found = cls._open(url, who)
        if found.is_part:
            found.close()
            raise ConfigError(
                f"the key store {found.db.name} is one of several that together are one",
                hint="name all of them",
            )
        return found

    @classmethod
    def _open(cls, url: str, who: str) -> Self:
        from medgrid.crypto.keystore_server import identity_of_session
        from medgrid.crypto.keystore_version import check, open_database

        db = open_database(url)
        try:
            store_id = check(db)
            who = who if db.is_sqlite else identity_of_session(db, who)
            return cls(db, store_id, who, cls._door_of(db, who))
        except BaseException:
            db.close()
            raise

    def acting(self, who: str) -> Self:
        """The same open store, acting for another identity.

        Raises
        ------
        Denied
            The database knows its user by name, and it is another one.
        """
        if not self.db.is_sqlite:
            from medgrid.crypto.keystore_server import identity_of_session

            identity_of_session(self.db, who)
        return type(self)(self.db, self.store_id, who, self._door_of(self.db, who))

    @staticmethod
    def _door_of(db: Database, who: str) -> Door:
        from medgrid.crypto.keystore_server import ServerDoor

        return LocalDoor(db, who) if db.is_sqlite else ServerDoor(db, who)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is written inside this ``with`` one transaction.

        Nothing is given out inside of it: see `release`.
        """
        with self.db.write():
            yield

    @cached_property
    def audit(self) -> AuditLog:
        """The record of who did what."""
        from medgrid.crypto.audit import AuditLog

        return AuditLog(self.db, self.store_id, self._door)

    @property
    def is_part(self) -> bool:
        """Whether this is one of several stores that together are one."""
        with self.db.read() as connection:
            return connection.scalar(select(store_table.c.split_id)) is not None

    def pending(self, write_id: str) -> bytes | None:
        """What an interrupted write to several stores was to change in this one."""
        return self._door.pending(write_id)

    def shares(self, batches: Sequence[bytes]) -> list[tuple[bytes, int, bytes]]:
        """Shares that this one of several stores has of batches' keys: batch, generation, share."""
        return self._door.shares(batches)

    def close(self) -> None:
        """Give back all connections; what was destroyed is on the disk no more."""
        self.db.empty_log()
        self.db.close()
