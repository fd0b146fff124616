"""Leases: who alone may do something on this catalog, proven inside each write transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Row, func, insert, select, update

from medgrid.catalog.job_schema import lease as table
from medgrid.catalog.version import SCHEMA
from medgrid.database import Database
from medgrid.database.version import check_not_newer
from medgrid.errors import Busy

__all__ = [
    "BROKER",
    "TTL_S",
    "Lease",
    "LeaseHeld",
    "LeaseHolder",
    "LeaseLost",
    "LeaseStore",
    "is_fresh",
    "open_leases",
]

BROKER = "broker"
"""Name of the lease that the broker holds."""

TTL_S = 30.0
"""A lease whose holder has said nothing for so long is free."""

_HEARTBEAT_S = 2.0


class LeaseHeld(Busy):
    """Somebody else holds the lease, and lives."""


class LeaseLost(Busy):
    """Somebody else took the lease: this process must stop writing."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease held by this process; `token` is the fence."""

    name: str
    token: int


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """Who holds a lease.

    `process` is an identity that a program on the same machine can check; `silent_s` is how long
    ago the holder last said that it lives.
    """

    holder: str
    process: str
    since_s: float
    silent_s: float
    stop_asked: bool


class LeaseStore:
    """All leases."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def acquire(self, name: str, holder: str, process: str, *, gone: str | None = None) -> Lease:
        """Take a lease.

        Parameters
        ----------
        name : str
            Name of the lease.
        holder, process : str
            Who takes it, for people and for programs.
        gone : str, optional
            Process identity of a holder known to be dead: its lease is free at once.

        Raises
        ------
        LeaseHeld
            Somebody else holds it.
        """
        with self._db.write() as connection:
            now = self._now(connection)
            row = self._row(connection, name, lock=True)
            is_held = row is not None and row.holder and row.process not in (gone, process)
            if row is not None and is_held and is_fresh(now - row.heartbeat_s):
                raise LeaseHeld(f"a {name} works on this catalog: {row.holder}")
            token = 1 if row is None else row.token + 1
            values = {
                "token": token,
                "holder": holder,
                "process": process,
                "since_s": now,
                "heartbeat_s": now,
                "stop_asked": False,
            }
            if row is None:
                connection.execute(insert(table).values(name=name, **values))
            else:
                connection.execute(update(table).where(table.c.name == name).values(**values))
        return Lease(name, token)

    @contextmanager
    def writing(self, lease: Lease) -> Iterator[None]:
        """Open a write transaction that happens only while `lease` is held.

        Stores used inside join it. The holder's heartbeat is renewed on the way.

        Raises
        ------
        LeaseLost
            Somebody else holds the lease; nothing is written.
        """
        # a holder that stands still, or whose host is gone, would keep the row locked for ever
        with self._db.write(idle_most_s=TTL_S) as connection:
            row = self._row(connection, lease.name, lock=True)
            if row is None or row.token != lease.token or not row.holder:
                raise LeaseLost(f"another {lease.name} has taken over this catalog")
            now = self._now(connection)
            if abs(now - row.heartbeat_s) > _HEARTBEAT_S:
                connection.execute(
                    update(table).where(table.c.name == lease.name).values(heartbeat_s=now)
                )
            yield

    def release(self, lease: Lease) -> None:
        """Give a lease back; one that was lost is left alone."""
        with self._db.write() as connection:
            connection.execute(
                update(table)
                .where(table.c.name == lease.name, table.c.token == lease.token)
                .values(holder="", process="", stop_asked=False)
            )

    def fence(self, name: str) -> None:
        """Take a lease from whoever has it, for nobody."""
        with self._db.write() as connection:
            connection.execute(
                update(table)
                .where(table.c.name == name)
                .values(token=table.c.token + 1, holder="", process="", stop_asked=False)
            )

    def holder(self, name: str, *, also_silent: bool = False) -> LeaseHolder | None:
        """Who holds a lease, None when it is free; or has it still, though it is free."""
        with self._db.read() as connection:
            row = self._row(connection, name)
            if row is None or not row.holder:
                return None
            silent_s = self._now(connection) - row.heartbeat_s
        if not (also_silent or is_fresh(silent_s)):
            return None
        return LeaseHolder(row.holder, row.process, row.since_s, silent_s, row.stop_asked)

    def silent_s(self, name: str) -> float | None:
        """How long ago a holder, also one that is gone, said that it lives; None if none ever."""
        with self._db.read() as connection:
            row = self._row(connection, name)
            return None if row is None else self._now(connection) - row.heartbeat_s

    def ask_to_stop(self, name: str) -> bool:
        """Ask the holder of a lease to end; False when nobody holds it."""
        with self._db.write() as connection:
            done = connection.execute(
                update(table)
                .where(table.c.name == name, table.c.holder != "")
                .values(stop_asked=True)
            )
            return done.rowcount > 0

    def _now(self, connection: Connection) -> float:
        """Time of the database's host: the one clock that all holders share."""
        if self._db.is_sqlite:
            return time.time()
        epoch = select(func.extract("epoch", func.clock_timestamp()))
        return float(connection.execute(epoch).scalar_one())

    def _row(
        self, connection: Connection, name: str, *, lock: bool = False
    ) -> Row[tuple[object, ...]] | None:
        question = select(table).where(table.c.name == name)
        if lock:
            question = question.with_for_update()
        return connection.execute(question).one_or_none()


@contextmanager
def open_leases(url: str) -> Iterator[LeaseStore]:
    """Open the leases of a catalog, also of an older one: their table stays as it is.

    Raises
    ------
    ConfigError
        There is no catalog, or it is newer than this medgrid.
    """
    with closing(Database(url)) as db:
        check_not_newer(db, SCHEMA)
        yield LeaseStore(db)


def is_fresh(silent_s: float) -> bool:
    """Whether a holder that was heard of so long ago lives; a clock that was set back says no."""
    return abs(silent_s) < TTL_S
