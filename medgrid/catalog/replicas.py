"""The copies of objects, and the uploads under way that will become copies."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence

from sqlalchemy import Connection, and_, delete, insert, select, text

from medgrid.catalog.rows import value_table
from medgrid.catalog.schema import object_, replica, upload
from medgrid.catalog.sight import Sight
from medgrid.database import Database
from medgrid.errors import Denied, NotFound
from medgrid.model import LFN, ObjectId, Replica

__all__ = ["ReplicaBook"]


class ReplicaBook:
    """Which storage elements hold an object's bytes; a part of `ObjectStore`."""

    def __init__(self, db: Database, sight: Sight) -> None:
        self._db = db
        self._sight = sight

    # -- replicas ----------------------------------------------------------------------------------

    def replicas(self, ids: Iterable[str]) -> dict[ObjectId, list[Replica]]:
        """Replicas of objects; every id asked for is a key."""
        wanted = list(ids)
        found: dict[ObjectId, list[Replica]] = {ObjectId(object_id): [] for object_id in wanted}
        with self._db.read() as connection:
            given = value_table(connection, wanted)
            for row in connection.execute(
                select(replica)
                .join(given, given.c.value == replica.c.object_id)
                .where(self._sight.object_id(replica.c.object_id))
                .order_by(replica.c.created_s, replica.c.se)
            ):
                found[row[0]].append(Replica(*row))
        return found

    def locate(self, lfns: Iterable[LFN]) -> dict[LFN, list[Replica]]:
        """Replicas by LFN, without reading the objects; LFNs that do not exist are absent."""
        found: dict[LFN, list[Replica]] = {}
        with self._db.read() as connection:
            given = value_table(connection, lfns)
            for lfn, *row in connection.execute(
                select(given.c.value, replica)
                .join(object_, object_.c.lfn == given.c.value)
                .outerjoin(replica, replica.c.object_id == object_.c.id)
                .where(self._sight.objects())
                .order_by(replica.c.created_s, replica.c.se)
            ):
                # what is in the catalog has been checked
                copies = found.setdefault(str.__new__(LFN, lfn), [])
                if row[0] is not None:
                    copies.append(Replica(*row))
        return found

    def add_replica(self, new: Replica) -> None:
        """Enter one more copy of an object; its reservation ends.

        Raises
        ------
        NotFound
            There is no such object.
        Denied
            The viewer may not change it.
        """
        with self._db.write() as connection:
            self._require_writable(connection, [new.object_id])
            self.remove_replica(new.object_id, new.se, new.pfn)
            self._add_replicas(connection, [new])

    def remove_replica(self, object_id: ObjectId, se: str, pfn: str) -> None:
        """Forget one copy of an object; nothing happens when it is not known.

        Raises
        ------
        Denied
            The viewer may not change the object.
        """
        with self._db.write() as connection:
            chosen = and_(
                replica.c.object_id == object_id, replica.c.se == se, replica.c.pfn == pfn
            )
            seen = self._sight.object_id(replica.c.object_id)
            if connection.scalar(select(replica.c.se).where(chosen, seen)) is None:
                return
            self._require_writable(connection, [object_id])
            connection.execute(delete(replica).where(chosen))

    def replicas_on(self, se: str) -> Iterator[Replica]:
        """All replicas a storage element holds, by PFN."""
        with self._db.read() as connection:
            for row in connection.execute(
                select(replica)
                .where(replica.c.se == se, self._sight.object_id(replica.c.object_id))
                .order_by(replica.c.pfn)
            ):
                yield Replica(*row)

    def without_replica(self) -> list[ObjectId]:
        """Objects whose bytes no storage element holds."""
        question = (
            select(object_.c.id)
            .outerjoin(replica, replica.c.object_id == object_.c.id)
            .where(replica.c.object_id.is_(None), self._sight.objects())
            .order_by(object_.c.id)
        )
        with self._db.read() as connection:
            return [ObjectId(object_id) for object_id in connection.scalars(question)]

    @staticmethod
    def _add_replicas(connection: Connection, new: Sequence[Replica]) -> None:
        if not new:
            return
        now = time.time()
        connection.execute(
            insert(replica),
            [
                {
                    "object_id": item.object_id,
                    "se": item.se,
                    "pfn": item.pfn,
                    "size_bytes": item.size_bytes,
                    "sha256": item.sha256,
                    "created_s": item.created_s or now,
                }
                for item in new
            ],
        )
        connection.execute(
            text("DELETE FROM upload WHERE se = :se AND pfn = :pfn"),
            [{"se": item.se, "pfn": item.pfn} for item in new],
        )

    # -- uploads under way -------------------------------------------------------------------------

    def reserve(self, object_id: ObjectId, se: str, pfn: str) -> None:
        """Say that bytes are about to be written; `register` or `release` ends it."""
        self.reserve_many([(object_id, se, pfn)])

    def reserve_many(self, uploads: Sequence[tuple[ObjectId, str, str]]) -> None:
        """Say that bytes are about to be written: object, storage element, PFN."""
        if not uploads:
            return
        now = time.time()
        with self._db.write() as connection:
            connection.execute(
                text(
                    "INSERT INTO upload (owner, se, pfn, object_id, reserved_s)"
                    " VALUES (:owner, :se, :pfn, :object_id, :now)"
                    " ON CONFLICT (se, pfn) DO UPDATE SET reserved_s = excluded.reserved_s"
                ),
                [
                    {
                        "owner": self._sight.owner,
                        "se": se,
                        "pfn": pfn,
                        "object_id": object_id,
                        "now": now,
                    }
                    for object_id, se, pfn in uploads
                ],
            )

    def release(self, *ids: ObjectId) -> None:
        """End the reservations of objects that will not be registered."""
        with self._db.write() as connection:
            given = value_table(connection, ids)
            connection.execute(delete(upload).where(upload.c.object_id.in_(select(given.c.value))))

    def reserved(self, ids: Iterable[ObjectId]) -> set[tuple[ObjectId, str, str]]:
        """Reservations of objects that stand: object, storage element, PFN."""
        with self._db.read() as connection:
            given = value_table(connection, ids)
            rows = connection.execute(
                select(upload.c.object_id, upload.c.se, upload.c.pfn).join(
                    given, given.c.value == upload.c.object_id
                )
            )
            return {(ObjectId(object_id), se, pfn) for object_id, se, pfn in rows}

    def reservations(self, se: str) -> dict[str, tuple[ObjectId, float]]:
        """Uploads under way to a storage element: PFN -> (object, epoch seconds of the start)."""
        with self._db.read() as connection:
            rows = connection.execute(
                select(upload.c.pfn, upload.c.object_id, upload.c.reserved_s).where(
                    upload.c.se == se
                )
            )
            return {pfn: (ObjectId(object_id), since) for pfn, object_id, since in rows}

    def _require_writable(self, connection: Connection, ids: Collection[str]) -> None:
        """Let nothing be changed by whom policy does not let; all changes of objects ask here.

        Raises
        ------
        NotFound
            There is no such object, or the viewer does not see it.
        Denied
            The viewer sees it, and may not change it.
        """
        given = value_table(connection, set(ids))
        rows = connection.execute(
            select(object_.c.id, object_.c.lfn, self._sight.writes().label("may"))
            .join(given, given.c.value == object_.c.id)
            .where(self._sight.objects())
        ).all()
        found = {row.id for row in rows}
        for object_id in ids:
            if object_id not in found:
                raise NotFound(f"no object {object_id}")
        for row in rows:
            if not row.may:
                raise Denied(
                    f"{row.lfn or f'object {row.id}'} is not yours to change",
                    hint="its owner and the physicians of the patient may",
                )
