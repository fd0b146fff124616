"""Headers of protected objects, and those sealed again for whom they were granted to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select

from medgrid.crypto.audit_record import Event
from medgrid.crypto.keystore_base import StoreBase
from medgrid.crypto.keystore_door import now_us
from medgrid.crypto.keystore_schema import RECOVERY, grant_header, header, protected
from medgrid.crypto.keystore_values import GrantRow, HeaderRow, Released
from medgrid.database.many import among
from medgrid.database.plans import rare
from medgrid.errors import AlreadyExists
from medgrid.model import DataClass, ObjectId

__all__ = ["GrantKey", "HeaderStore"]


@dataclass(frozen=True, slots=True)
class GrantKey:
    """That `recipient` has a header of an object, until when and from whom."""

    object_id: ObjectId
    recipient: str
    until_s: float
    granted_by: str


class HeaderStore(StoreBase):
    """Keys of objects."""

    def put_headers(self, rows: Sequence[HeaderRow], *, replace: bool = False) -> None:
        """Keep headers of objects; one object may have several, with different recipients.

        Parameters
        ----------
        rows : sequence of HeaderRow
        replace : bool
            Destroy all that was kept of these objects before, grants included: their keys changed.

        Raises
        ------
        AlreadyExists
            One of the headers is there, or the object has another manifest; nothing was kept.
        """
        rows = [HeaderRow(*row) for row in rows]
        objects = self._objects(rows)
        event = Event("replace" if replace else "keep", detail=f"{len(objects)} objects")
        if len(objects) == 1:
            event = event._replace(thing=rows[0].object_id, patient=rows[0].patient or "")
        with self._recorded(*([event] if rows else [])) as connection:
            if replace:
                self._destroy(list(objects))
            theirs = among(connection, protected.c.object_id, objects)
            for row in connection.execute(select(protected).where(theirs)):
                if objects.pop(ObjectId(row.object_id))["manifest"] != row.manifest:
                    raise AlreadyExists(
                        f"the key store has another manifest of object {row.object_id}"
                    )
            self._enter(connection, protected, list(objects.values()), "one of these objects")
            self._enter(connection, header, _values(rows), "a header of one of these objects")

    def _objects(self, rows: Sequence[HeaderRow]) -> dict[ObjectId, dict[str, Any]]:
        """What is kept of each object; its owner is the first person sealed to, or who acts."""
        found: dict[ObjectId, dict[str, Any]] = {}
        for row in rows:
            if row.object_id not in found:
                found[row.object_id] = {
                    "object_id": row.object_id,
                    "patient": row.patient,
                    "data_class": DataClass(row.data_class).value,
                    "owner": "",
                    "manifest": row.manifest,
                }
            if row.recipient and row.recipient != RECOVERY:
                found[row.object_id]["owner"] = found[row.object_id]["owner"] or row.recipient
        for one in found.values():
            one["owner"] = one["owner"] or self.who
        return found

    def release(self, object_ids: Sequence[ObjectId], purpose: str) -> dict[ObjectId, Released]:
        """Give this identity a header of each object that it may open.

        Each release is recorded before, and so is each refusal; objects that are refused or not
        known are absent. A header sealed to the identity itself is preferred, then the
        compartment's, then that of a grant which has not ended.

        Raises
        ------
        RuntimeError
            Asked inside a transaction: the records would not be kept before the answer.
        """
        self._check_alone()
        wanted = list(dict.fromkeys(object_ids))
        return {one.object_id: one for one in self._door.headers(wanted, purpose)}

    def drop(self, object_ids: Iterable[ObjectId]) -> None:
        """Destroy all keys of objects; what is not there is no matter."""
        wanted = list(object_ids)
        events = [Event("destroy", object_id) for object_id in wanted]
        with self._recorded(*events):
            self._destroy(wanted)

    def _destroy(self, object_ids: list[ObjectId]) -> None:
        with self.db.write() as connection:
            for table in (grant_header, header, protected):
                theirs = among(connection, table.c.object_id, object_ids)
                connection.execute(delete(table).where(theirs))

    def readers(self, object_ids: Iterable[ObjectId]) -> dict[ObjectId, list[str]]:
        """Who has a header of an object of their own, besides grants, by object."""
        found: dict[ObjectId, list[str]] = {}
        with self.db.read() as connection:
            theirs = among(connection, header.c.object_id, object_ids)
            question = (
                select(header.c.object_id, header.c.recipient)
                .where(theirs, header.c.recipient != "")
                .order_by(header.c.object_id, header.c.recipient)
            )
            for object_id, recipient in connection.execute(question):
                found.setdefault(ObjectId(object_id), []).append(recipient)
        return found

    def objects_of(self, patient: str) -> list[ObjectId]:
        """Objects of a patient that have keys here."""
        question = select(protected.c.object_id).where(protected.c.patient == patient)
        with self.db.read() as connection:
            return [ObjectId(found) for found in connection.scalars(question)]

    def reseal(self, rows: Sequence[HeaderRow]) -> None:
        """Exchange headers for the same objects and recipients; their manifests stay."""
        event = Event("reseal", detail=f"{len(rows)} headers")
        with self._recorded(*([event] if rows else [])) as connection:
            for recipient in {row.recipient for row in rows}:
                ids = [row.object_id for row in rows if row.recipient == recipient]
                theirs = among(connection, header.c.object_id, ids)
                connection.execute(
                    delete(header).where(header.c.recipient == (recipient or ""), theirs)
                )
            self._enter(connection, header, _values(rows), "a header of one of these objects")

    def owned(self, owner: str) -> list[ObjectId]:
        """Objects with a header that is sealed to `owner`."""
        with self.db.read() as connection:
            theirs = rare(connection, header.c.recipient == owner)
            question = select(header.c.object_id).where(theirs)
            return [ObjectId(found) for found in connection.scalars(question)]

    # -- grants ------------------------------------------------------------------------------------

    def put_grant_headers(self, rows: Sequence[GrantRow]) -> None:
        """Keep headers sealed to whom objects are granted, in place of those of earlier grants."""
        rows = [GrantRow(*row) for row in rows]
        with self.db.write() as connection:
            patients = self._patients(connection, [row.object_id for row in rows])
            self._door.append(
                connection,
                [
                    Event(
                        "grant",
                        row.object_id,
                        patients.get(row.object_id, ""),
                        f"{row.recipient} until {row.until_s:.0f}",
                    )
                    for row in rows
                ],
            )
            for recipient in {row.recipient for row in rows}:
                ids = [row.object_id for row in rows if row.recipient == recipient]
                theirs = among(connection, grant_header.c.object_id, ids)
                connection.execute(
                    delete(grant_header).where(grant_header.c.recipient == recipient, theirs)
                )
            self._enter(
                connection,
                grant_header,
                [
                    {
                        "object_id": row.object_id,
                        "recipient": row.recipient,
                        "until_us": round(row.until_s * 1e6),
                        "granted_by": row.granted_by,
                        "sealed": row.header,
                    }
                    for row in rows
                ],
                "one of these grants",
            )

    def drop_grants(
        self, recipient: str | None = None, object_ids: Iterable[ObjectId] | None = None
    ) -> int:
        """Destroy headers of grants, to one recipient and on these objects or on all.

        Returns
        -------
        int
            How many.
        """
        wanted = [] if recipient is None else [grant_header.c.recipient == recipient]
        with self.db.write() as connection:
            if object_ids is not None:
                wanted.append(among(connection, grant_header.c.object_id, object_ids))
            question = select(grant_header.c.object_id, grant_header.c.recipient)
            gone = connection.execute(question.where(*wanted)).all()
            patients = self._patients(connection, [row.object_id for row in gone])
            self._door.append(
                connection,
                [
                    Event("revoke", row.object_id, patients.get(row.object_id, ""), row.recipient)
                    for row in gone
                ],
            )
            connection.execute(delete(grant_header).where(*wanted))
        return len(gone)

    @staticmethod
    def _patients(connection: Connection, ids: Iterable[ObjectId]) -> dict[ObjectId, str]:
        """Patients of objects, for the record; of those that are of none, nothing."""
        question = select(protected.c.object_id, protected.c.patient).where(
            among(connection, protected.c.object_id, ids), protected.c.patient.is_not(None)
        )
        return {ObjectId(id_): patient for id_, patient in connection.execute(question)}

    def drop_ended_grants(self, now_s: float | None = None) -> int:
        """Destroy headers of grants that have ended, by now or a time; return how many."""
        at_us = now_us() if now_s is None else round(now_s * 1e6)
        with self.db.write() as connection:
            done = connection.execute(delete(grant_header).where(grant_header.c.until_us <= at_us))
            if done.rowcount:
                self._door.append(connection, [Event("expire", detail=f"{done.rowcount} grants")])
            return done.rowcount

    def grants(self, recipient: str | None = None) -> list[GrantKey]:
        """Headers of grants that are kept, without the headers; ended ones too."""
        question = select(
            grant_header.c.object_id,
            grant_header.c.recipient,
            grant_header.c.until_us,
            grant_header.c.granted_by,
        ).order_by(grant_header.c.object_id, grant_header.c.recipient)
        with self.db.read() as connection:
            if recipient is not None:
                question = question.where(rare(connection, grant_header.c.recipient == recipient))
            return [
                GrantKey(ObjectId(row.object_id), row.recipient, row.until_us / 1e6, row.granted_by)
                for row in connection.execute(question)
            ]


def _values(rows: Sequence[HeaderRow]) -> list[dict[str, Any]]:
    return [
        {
            "object_id": row.object_id,
            "recipient": row.recipient or "",
            "revision": None if row.recipient else row.revision,
            "sealed": row.header,
        }
        for row in rows
    ]
