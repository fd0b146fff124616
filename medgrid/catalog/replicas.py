"""The copies of objects."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence

from sqlalchemy import Connection, and_, delete, func, insert, select

from medgrid.catalog.schema import object_, replica
from medgrid.catalog.uploads import UploadBook
from medgrid.database.many import among
from medgrid.errors import Denied, NotFound
from medgrid.model import LFN, ObjectId, Replica

__all__ = ["ReplicaBook"]


class ReplicaBook(UploadBook):
    """Which storage elements hold an object's bytes; a part of `ObjectStore`."""

    def replicas(self, ids: Iterable[str]) -> dict[ObjectId, list[Replica]]:
        """Replicas of objects; every id asked for is a key."""
        wanted = list(ids)
        found: dict[ObjectId, list[Replica]] = {ObjectId(object_id): [] for object_id in wanted}
        with self._db.read() as connection:
            for row in connection.execute(
                select(replica)
                .where(
                    among(connection, replica.c.object_id, wanted),
                    self._sight.object_id(replica.c.object_id),
                )
                .order_by(replica.c.created_s, replica.c.se)
            ):
                found[row[0]].append(Replica(*row))
        return found

    def locate(self, lfns: Iterable[LFN]) -> dict[LFN, list[Replica]]:
        """Replicas by LFN, without reading the objects; LFNs that do not exist are absent."""
        found: dict[LFN, list[Replica]] = {}
        with self._db.read() as connection:
            for lfn, *row in connection.execute(
                select(object_.c.lfn, replica)
                .select_from(object_)
                .outerjoin(replica, replica.c.object_id == object_.c.id)
                .where(among(connection, object_.c.lfn, lfns), self._sight.objects())
                .order_by(replica.c.created_s, replica.c.se)
            ):
                # what is in the catalog has been checked
                copies = found.setdefault(str.__new__(LFN, lfn), [])
                if row[0] is not None:
                    copies.append(Replica(*row))
        return found

    def add_replica(self, new: Replica, *, uploaded: bool = False) -> None:
        """Enter one more copy of an object; its reservation ends.

        Raises
        ------
        Busy
            It was reserved (`uploaded`), and the reservation stands no more.
        NotFound
            There is no such object.
        Denied
            The viewer may not change it.
        """
        with self._db.write() as connection:
            self._require_writable(connection, [new.object_id])
            self.remove_replica(new.object_id, new.se, new.pfn)
            self._add_replicas(connection, [new], uploaded=uploaded)

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

    def count_on(self, ses: Iterable[str]) -> int:
        """How many replicas storage elements hold."""
        with self._db.read() as connection:
            question = select(func.count()).select_from(replica).where(replica.c.se.in_(list(ses)))
            return connection.scalar(question) or 0

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

    def _add_replicas(
        self, connection: Connection, new: Sequence[Replica], *, uploaded: bool
    ) -> None:
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
        self._end_reservations(connection, new, must_stand=uploaded)

    def _require_writable(self, connection: Connection, ids: Collection[str]) -> None:
        """Let nothing be changed by whom policy does not let; all changes of objects ask here.

        Raises
        ------
        NotFound
            There is no such object, or the viewer does not see it.
        Denied
            The viewer sees it, and may not change it.
        """
        rows = connection.execute(
            select(object_.c.id, object_.c.lfn, self._sight.writes().label("may")).where(
                among(connection, object_.c.id, set(ids)), self._sight.objects()
            )
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
