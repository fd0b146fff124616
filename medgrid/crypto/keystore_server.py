"""The door of a key store on PostgreSQL: functions of the server, in `keystore_server.sql`.

There each user has a role of their own, and the server knows who asks. The owner of the tables acts
for whom it says: that is a grid of one person, and whoever may read everything anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from importlib.resources import files
from typing import Any

from sqlalchemy import Connection, Row, text

from medgrid.crypto.audit_record import Event, Record
from medgrid.crypto.keystore_door import chunks
from medgrid.crypto.keystore_values import (
    CompartmentId,
    DelegatedKey,
    Released,
    Seal,
    WrapRow,
)
from medgrid.database import Database
from medgrid.errors import Denied
from medgrid.model import DataClass, ObjectId

__all__ = ["ServerDoor", "identity_of_session", "install"]

_PAGE = 5000


def install(connection: Connection) -> None:
    """Make the functions and policies, beside the tables."""
    schema = connection.scalar(text("SELECT quote_ident(current_schema())"))
    script = files(__package__).joinpath("keystore_server.sql").read_text("utf-8")
    script = script.replace("{schema}", str(schema))
    plain = connection.execution_options(no_parameters=True)
    plain.exec_driver_sql(script)
    functions = connection.scalars(
        text(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE starts_with(proname, 'keystore_') "
            "AND pronamespace = current_schema()::regnamespace"
        )
    )
    plain.exec_driver_sql(f"REVOKE ALL ON FUNCTION {', '.join(functions)} FROM PUBLIC")


def identity_of_session(db: Database, who: str) -> str:
    """For whom a store acts: the identity of the database's user, `who` when that is the owner.

    Raises
    ------
    Denied
        The user is no identity of the grid, or another one than `who`.
    """
    with db.read() as connection:
        _say_who(connection, who)
        found: str | None = connection.scalar(text("SELECT keystore_me()"))
    if found is None:
        raise Denied(f"the key store {db.name} does not know this user of the database")
    if who and found != who:
        raise Denied(
            f"the key store {db.name} knows this user of the database as {found}, not {who}"
        )
    return found


class ServerDoor:
    """Door of a store on a server, for the identity `who`."""

    def __init__(self, db: Database, who: str) -> None:
        self._db = db
        self._who = who

    def append(self, connection: Connection, events: Sequence[Event]) -> None:
        if not events:
            return
        _say_who(connection, self._who)
        columns = zip(*events, strict=True)
        connection.execute(
            text("SELECT keystore_append(:verbs, :things, :patients, :details)"),
            dict(zip(("verbs", "things", "patients", "details"), map(list, columns), strict=True)),
        )

    def headers(self, object_ids: Sequence[ObjectId], purpose: str) -> list[Released]:
        rows = self._give("headers", list(object_ids), purpose, "keystore_take_headers")
        return [_released(row, row.until_us) for row in rows]

    def wraps(self, keys: Sequence[CompartmentId]) -> list[WrapRow]:
        wanted = set(keys)
        patients = sorted({key.patient for key in keys})
        rows = map(_wrap, self._give("wraps", patients, "", "keystore_take_wraps"))
        return [row for row in rows if row.id in wanted]

    def recovery(self, purpose: str) -> tuple[list[WrapRow], list[Released]]:
        ticket = self._ask("recovery", [], purpose)
        wraps = self._rows("SELECT * FROM keystore_take_recovery_wraps(:ticket)", ticket=ticket)
        headers = self._rows("SELECT * FROM keystore_take_recovery_headers(:ticket)", ticket=ticket)
        return list(map(_wrap, wraps)), list(map(_released, headers))

    def seals(self, patients: Sequence[str], purpose: str) -> list[Seal]:
        rows = self._give("seals", list(patients), purpose, "keystore_take_seals")
        return [Seal(row.patient, row.revision, row.sealed) for row in rows]

    def delegation(
        self, submission: int, numbers: Sequence[int] | None
    ) -> tuple[bytes | None, list[tuple[DelegatedKey, bytes | None]]]:
        if numbers is not None and not numbers:
            numbers = [-1]
        things = [str(submission), *map(str, numbers or ())]
        ticket = self._ask("delegation", things, "")
        key = self._rows(
            "SELECT keystore_take_key(:ticket, :things) AS sealed", ticket=ticket, things=things
        )
        boxes = self._rows(
            "SELECT * FROM keystore_take_boxes(:ticket, :things)", ticket=ticket, things=things
        )
        return key[0].sealed, [
            (DelegatedKey(row.number, ObjectId(row.object_id), row.box), row.manifest)
            for row in boxes
        ]

    def shares(self, batches: Sequence[bytes]) -> list[tuple[bytes, int, bytes]]:
        rows = self._rows("SELECT * FROM keystore_shares(:batches)", batches=list(batches))
        return [(row.batch, row.generation, row.share) for row in rows]

    def seal_digests(self) -> dict[str, str]:
        rows = self._rows("SELECT * FROM keystore_seal_digests()")
        return {row.patient: row.digest for row in rows}

    def pending(self, write_id: str) -> bytes | None:
        rows = self._rows("SELECT keystore_pending(:id) AS change", id=write_id)
        change: bytes | None = rows[0].change
        return change

    def leaves(self, start: int) -> Iterator[list[tuple[int, bytes]]]:
        for rows in self._pages("keystore_leaves", start):
            yield [(row.seq, row.leaf) for row in rows]

    def records(self, start: int) -> Iterator[list[Record]]:
        for rows in self._pages("keystore_records", start):
            yield [Record(*tuple(row)) for row in rows]

    def found(
        self, names: Collection[str] | None, since_us: int | None, who: str | None
    ) -> list[int]:
        question = "SELECT keystore_found(CAST(:names AS text[]), :since_us, :who) AS seq"
        given = None if names is None else sorted(names)
        rows = self._rows(question, names=given, since_us=since_us, who=who)
        return [row.seq for row in rows]

    def numbered(self, numbers: Sequence[int]) -> Iterator[list[Record]]:
        question = "SELECT * FROM keystore_numbered(CAST(:numbers AS bigint[]))"
        for some in chunks(numbers):
            yield [Record(*tuple(row)) for row in self._rows(question, numbers=some)]

    def _pages(self, function: str, start: int) -> Iterator[list[Row[Any]]]:
        question = f"SELECT * FROM {function}(:start, :count)"  # noqa: S608 - ours
        while rows := self._rows(question, start=start, count=_PAGE):
            yield rows
            start = rows[-1].seq + 1

    def _give(self, kind: str, things: list[str], purpose: str, take: str) -> list[Row[Any]]:
        if not things:
            return []
        ticket = self._ask(kind, things, purpose)
        return self._rows(
            f"SELECT * FROM {take}(:ticket, :things)",  # noqa: S608 - ours
            ticket=ticket,
            things=things,
        )

    def _ask(self, kind: str, things: list[str], purpose: str) -> int:
        """Have it recorded, for good, that this is asked for."""
        with self._db.write() as connection:
            _say_who(connection, self._who)
            ticket: int = connection.execute(
                text("SELECT keystore_ask(:kind, CAST(:things AS text[]), :purpose)"),
                {"kind": kind, "things": things, "purpose": purpose},
            ).scalar_one()
        return ticket

    def _rows(self, question: str, **values: object) -> list[Row[Any]]:
        with self._db.read() as connection:
            _say_who(connection, self._who)
            return list(connection.execute(text(question), values))


def _say_who(connection: Connection, who: str) -> None:
    connection.execute(text("SELECT set_config('medgrid.who', :who, true)"), {"who": who})


def _wrap(row: Row[Any]) -> WrapRow:
    id_ = CompartmentId(row.patient, DataClass(row.data_class), row.revision)
    return WrapRow(id_, row.recipient, row.sealed)


def _released(row: Row[Any], until_us: int | None = None) -> Released:
    return Released(
        ObjectId(row.object_id),
        row.patient,
        DataClass(row.data_class),
        row.revision,
        row.recipient,
        row.sealed,
        row.manifest,
        None if until_us is None else until_us / 1e6,
    )
