"""The door of a key store: secrets leave through it alone, and what leaves is recorded first.

`LocalDoor` is for a SQLite file: it keeps the order for whoever uses medgrid, but whoever holds the
file can read it without. There nothing but the seals protects. On PostgreSQL the same rules are
functions of the server: see `keystore_server`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Row, and_, func, insert, or_, select

from medgrid.crypto.audit_record import Event, Record
from medgrid.crypto.keystore_schema import (
    audit,
    delegation,
    delegation_box,
    delegation_key,
    grant_header,
    header,
    pending,
    protected,
    seal,
    share,
    wrap,
)
from medgrid.crypto.keystore_values import (
    CompartmentId,
    DelegatedKey,
    Released,
    Seal,
    WrapRow,
)
from medgrid.database import Database
from medgrid.database.many import among
from medgrid.database.plans import unindexed
from medgrid.model import DataClass, ObjectId

__all__ = ["Door", "LocalDoor", "chunks", "now_us", "seal_digest"]

_CHUNK = 5000
_OBJECT_ID = re.compile(r"[0-9a-f]{32}")
_T = TypeVar("_T")


class Door(Protocol):
    """What a key store gives out, to whom, after which record."""

    def append(self, connection: Connection, events: Sequence[Event]) -> None:
        """Write records of what is done in this transaction."""

    def headers(self, object_ids: Sequence[ObjectId], purpose: str) -> list[Released]:
        """The header of each object that this identity may open."""

    def wraps(self, keys: Sequence[CompartmentId]) -> list[WrapRow]:
        """Wraps for this identity."""

    def recovery(self, purpose: str) -> tuple[list[WrapRow], list[Released]]:
        """All that is sealed to the recovery key."""

    def seals(self, patients: Sequence[str], purpose: str) -> list[Seal]:
        """Seals of patients whose nominative compartment this identity can open."""

    def delegation(
        self, submission: int, numbers: Sequence[int] | None
    ) -> tuple[bytes | None, list[tuple[DelegatedKey, bytes | None]]]:
        """The submission's key sealed to this identity, and boxes with the objects' manifests."""

    def shares(self, batches: Sequence[bytes]) -> list[tuple[bytes, int, bytes]]:
        """This store's shares of the keys of batches: batch, generation, share."""

    def seal_digests(self) -> dict[str, str]:
        """Digests of the seals that this identity may know of, by patient."""

    def pending(self, write_id: str) -> bytes | None:
        """What an interrupted write of this identity was to change."""

    def leaves(self, start: int) -> Iterator[list[tuple[int, bytes]]]:
        """Numbers and leaf hashes of the log's records from `start` on."""

    def records(self, start: int) -> Iterator[list[Record]]:
        """Records that this identity may see, from `start` on."""

    def found(
        self, names: Collection[str] | None, since_us: int | None, who: str | None
    ) -> list[int]:
        """Numbers of records that this identity may see, in order: by the first that is given.

        They are of one of some verbs, things or patients, from a time on, or of one identity.
        """

    def numbered(self, numbers: Sequence[int]) -> Iterator[list[Record]]:
        """Those of these records that this identity may see, in order."""


def chunks(items: Iterable[_T], size: int = _CHUNK) -> Iterator[list[_T]]:
    """Split into lists that fit into one statement."""
    found = list(items)
    for start in range(0, len(found), size):
        yield found[start : start + size]


def seal_digest(sealed: bytes) -> str:
    """What the audit log says of a seal, so that an earlier one is not taken for it."""
    return sha256(sealed).hexdigest()[:16]


def now_us() -> int:
    """Microseconds since 1970 (UTC)."""
    return time.time_ns() // 1000


class LocalDoor:
    """Door of a SQLite file, for the identity `who`."""

    def __init__(self, db: Database, who: str) -> None:
        self._db = db
        self._who = who

    def append(self, connection: Connection, events: Sequence[Event]) -> None:
        if not events:
            return
        first = (connection.scalar(select(func.max(audit.c.seq))) or 0) + 1
        if first == 1 and connection.scalar(select(audit.c.seq).limit(1)) is None:
            first = 0
        time_us = now_us()
        rows = []
        for seq, event in enumerate(events, first):
            record = Record(seq, time_us, self._who, *event)
            rows.append((*_columns(record), record.leaf()))
        names = ("seq", "time_us", "who", "verb", "thing", "patient", "detail", "leaf")
        connection.execute(insert(audit), [dict(zip(names, row, strict=True)) for row in rows])

    def headers(self, object_ids: Sequence[ObjectId], purpose: str) -> list[Released]:
        with self._db.write() as connection:
            found: dict[ObjectId, Released] = {}
            for give in (self._granted, self._own):
                for released in give(connection, object_ids):
                    found[released.object_id] = released
            self.append(connection, [_event(found.get(id_), id_, purpose) for id_ in object_ids])
        return list(found.values())

    def _own(self, connection: Connection, ids: Sequence[ObjectId]) -> Iterator[Released]:
        mine = and_(
            wrap.c.patient == protected.c.patient,
            wrap.c.data_class == protected.c.data_class,
            wrap.c.revision == header.c.revision,
            wrap.c.recipient == self._who,
        )
        recipient = unindexed(connection, header.c.recipient)
        question = (
            select(protected, header.c.revision, header.c.recipient, header.c.sealed)
            .join(header, header.c.object_id == protected.c.object_id)
            .outerjoin(wrap, mine)
            .where(
                among(connection, header.c.object_id, ids),
                or_(
                    recipient == self._who,
                    and_(recipient == "", wrap.c.recipient.is_not(None)),
                ),
            )
            .order_by(header.c.recipient)
        )
        for row in connection.execute(question):
            yield _released(row)

    def _granted(self, connection: Connection, ids: Sequence[ObjectId]) -> Iterator[Released]:
        question = (
            select(protected, grant_header)
            .join(grant_header, grant_header.c.object_id == protected.c.object_id)
            .where(
                among(connection, grant_header.c.object_id, ids),
                unindexed(connection, grant_header.c.recipient) == self._who,
                grant_header.c.until_us > now_us(),
                protected.c.data_class == DataClass.IMAGE.value,
            )
        )
        for row in connection.execute(question):
            yield _released(row, row.until_us / 1e6)

    def wraps(self, keys: Sequence[CompartmentId]) -> list[WrapRow]:
        wanted = set(keys)
        patients = sorted({key.patient for key in keys})
        with self._db.write() as connection:
            theirs = among(connection, wrap.c.patient, patients)
            rows = connection.execute(select(wrap).where(wrap.c.recipient == self._who, theirs))
            found = [row for row in map(_wrap, rows) if row.id in wanted]
            self.append(connection, [_many("unwrap", patients, "")] if keys else [])
        return found

    def recovery(self, purpose: str) -> tuple[list[WrapRow], list[Released]]:
        from medgrid.crypto.keystore_schema import RECOVERY

        with self._db.write() as connection:
            wraps = connection.execute(select(wrap).where(wrap.c.recipient == RECOVERY))
            headers = connection.execute(
                select(protected, header.c.revision, header.c.recipient, header.c.sealed)
                .join(header, header.c.object_id == protected.c.object_id)
                .where(header.c.recipient == RECOVERY)
            )
            found = list(map(_wrap, wraps)), list(map(_released, headers))
            self.append(connection, [Event("recovery", detail=purpose)])
        return found

    def seals(self, patients: Sequence[str], purpose: str) -> list[Seal]:
        mine = and_(
            wrap.c.patient == seal.c.patient,
            wrap.c.data_class == DataClass.NOMINATIVE.value,
            wrap.c.revision == seal.c.revision,
            wrap.c.recipient == self._who,
        )
        with self._db.write() as connection:
            theirs = among(connection, seal.c.patient, patients)
            rows = connection.execute(select(seal).join(wrap, mine).where(theirs))
            found = [Seal(row.patient, row.revision, row.sealed) for row in rows]
            self.append(connection, [_many("name", patients, purpose)] if patients else [])
        return found

    def delegation(
        self, submission: int, numbers: Sequence[int] | None
    ) -> tuple[bytes | None, list[tuple[DelegatedKey, bytes | None]]]:
        key, box = delegation_key.c, delegation_box.c
        with self._db.write() as connection:
            sealed: bytes | None = connection.scalar(
                select(key.sealed).where(key.submission == submission, key.recipient == self._who)
            )
            owner = connection.scalar(
                select(delegation.c.owner).where(delegation.c.submission == submission)
            )
            rows: list[Row[Any]] = []
            if sealed is not None or owner == self._who:
                question = (
                    select(delegation_box, protected.c.manifest)
                    .outerjoin(protected, protected.c.object_id == box.object_id)
                    .where(box.submission == submission)
                    .order_by(box.number, box.object_id)
                )
                if numbers is not None:
                    question = question.where(among(connection, box.number, numbers))
                rows += connection.execute(question)
            verb = "borrow" if rows else "refuse"
            self.append(connection, [Event(verb, str(submission), detail=f"{len(rows)} keys")])
        return sealed, [
            (DelegatedKey(row.number, ObjectId(row.object_id), row.box), row.manifest)
            for row in rows
        ]

    def shares(self, batches: Sequence[bytes]) -> list[tuple[bytes, int, bytes]]:
        found: list[tuple[bytes, int, bytes]] = []
        with self._db.read() as connection:
            for some in chunks(batches):
                rows = connection.execute(select(share).where(share.c.batch.in_(some)))
                found += [(row.batch, row.generation, row.share) for row in rows]
        return found

    def seal_digests(self) -> dict[str, str]:
        with self._db.read() as connection:
            rows = connection.execute(select(seal.c.patient, seal.c.sealed))
            return {row.patient: seal_digest(row.sealed) for row in rows}

    def pending(self, write_id: str) -> bytes | None:
        with self._db.read() as connection:
            change: bytes | None = connection.scalar(
                select(pending.c.change).where(pending.c.write_id == write_id)
            )
            return change

    def leaves(self, start: int) -> Iterator[list[tuple[int, bytes]]]:
        columns = select(audit.c.seq, audit.c.leaf)
        with self._db.read() as connection:
            question = columns.where(audit.c.seq >= start).order_by(audit.c.seq)
            for rows in connection.execute(question).partitions(_CHUNK):
                yield [(row.seq, row.leaf) for row in rows]

    def records(self, start: int) -> Iterator[list[Record]]:
        with self._db.read() as connection:
            question = select(audit).where(audit.c.seq >= start).order_by(audit.c.seq)
            for rows in connection.execute(question).partitions(_CHUNK):
                yield [Record(*row[:7]) for row in rows]

    def found(
        self, names: Collection[str] | None, since_us: int | None, who: str | None
    ) -> list[int]:
        at, numbers = audit.c, select(audit.c.seq)
        found: set[int] = set()
        with self._db.read() as connection:
            if names is None:
                wanted = [at.who == who if since_us is None else at.time_us >= since_us]
            else:
                columns = (at.verb, at.thing, at.patient)
                wanted = [among(connection, column, names) for column in columns]
            for one in wanted:
                found.update(connection.scalars(numbers.where(one)))
        return sorted(found)

    def numbered(self, numbers: Sequence[int]) -> Iterator[list[Record]]:
        for some in chunks(numbers):
            with self._db.read() as connection:
                question = select(audit).where(audit.c.seq.in_(some)).order_by(audit.c.seq)
                found = [Record(*row[:7]) for row in connection.execute(question)]
            yield found


def _columns(record: Record) -> tuple[int, int, str, str, str, str, str]:
    return (
        record.seq,
        record.time_us,
        record.who,
        record.verb,
        record.thing,
        record.patient,
        record.detail,
    )


def _event(released: Released | None, object_id: str, purpose: str) -> Event:
    """What is recorded of one object that was asked for; a refusal says nothing of the object."""
    if released is None:
        thing = object_id if _OBJECT_ID.fullmatch(object_id) else ""
        return Event("refuse", thing, "", purpose)
    return Event("release", object_id, released.patient or "", purpose)


def _many(verb: str, patients: Sequence[str], purpose: str) -> Event:
    """One patient is recorded by pseudonym; of many, how many they were."""
    if len(patients) == 1:
        return Event(verb, "", patients[0], purpose)
    return Event(verb, "", "", f"{purpose} ({len(patients)} patients)".strip())


def _wrap(row: Row[Any]) -> WrapRow:
    id_ = CompartmentId(row.patient, DataClass(row.data_class), row.revision)
    return WrapRow(id_, row.recipient, row.sealed)


def _released(row: Row[Any], until_s: float | None = None) -> Released:
    return Released(
        ObjectId(row.object_id),
        row.patient,
        DataClass(row.data_class),
        None if until_s is not None else row.revision,
        row.recipient,
        row.sealed,
        row.manifest,
        until_s,
    )
