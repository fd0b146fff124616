"""Bytes in storage that belong to no replica: those being written, and those being deleted.

Each physical file has one row, so that who writes and who deletes never work on the same one: what
is *reserved* is being written and will be registered, what is *condemned* is being deleted. A
reservation that was condemned cannot be registered any more.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, func, select, text, update

from medgrid.catalog.schema import replica, upload
from medgrid.catalog.sight import Sight
from medgrid.database import Database
from medgrid.database.many import among
from medgrid.errors import Busy
from medgrid.model import ObjectId, Replica

__all__ = ["CONDEMNED", "Place", "UploadBook"]

CONDEMNED = ObjectId("")
"""Stands in the place of an object where bytes are being deleted."""

# said so that no index serves it: places are looked up, however many others are condemned
_IS_CONDEMNED = func.length(upload.c.object_id) == 0

Place = tuple[str, str]
"""Storage element and PFN."""


class UploadBook:
    """Reservations of physical files; a part of `ObjectStore`."""

    def __init__(self, db: Database, sight: Sight) -> None:
        self._db = db
        self._sight = sight

    # -- writing -----------------------------------------------------------------------------------

    def reserve(self, object_id: ObjectId, se: str, pfn: str) -> None:
        """Say that bytes are about to be written; `register` or `condemn_uploads` ends it."""
        self.reserve_many([(object_id, se, pfn)])

    def reserve_many(self, uploads: Sequence[tuple[ObjectId, str, str]]) -> None:
        """Say that bytes are about to be written: object, storage element, PFN.

        Raises
        ------
        Busy
            Somebody deletes bytes there.
        """
        if not uploads:
            return
        now = time.time()
        with self._db.write() as connection:
            connection.execute(
                text(
                    "INSERT INTO upload (owner, se, pfn, object_id, reserved_s)"
                    " VALUES (:owner, :se, :pfn, :object_id, :now)"
                    " ON CONFLICT (se, pfn) DO UPDATE SET reserved_s = excluded.reserved_s"
                    " WHERE upload.object_id <> ''"
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
            for se, pfns in _by_se((se, pfn) for _, se, pfn in uploads).items():
                going = connection.scalar(
                    select(upload.c.pfn)
                    .where(
                        upload.c.se == se,
                        among(connection, upload.c.pfn, pfns),
                        _IS_CONDEMNED,
                    )
                    .limit(1)
                )
                if going is not None:
                    raise Busy(
                        f"{going} at {se} is being deleted",
                        hint="try again; what a killed command left is ended by 'medgrid fsck "
                        "--repair'",
                    )

    def reserved(self, ids: Iterable[ObjectId]) -> set[tuple[ObjectId, str, str]]:
        """Reservations of objects that stand: object, storage element, PFN."""
        with self._db.read() as connection:
            rows = connection.execute(
                select(upload.c.object_id, upload.c.se, upload.c.pfn).where(
                    among(connection, upload.c.object_id, ids)
                )
            )
            return {(ObjectId(object_id), se, pfn) for object_id, se, pfn in rows}

    def reservations(self, se: str) -> dict[str, tuple[ObjectId, float]]:
        """What is written to and deleted from a storage element now, by PFN.

        Returns
        -------
        dict
            PFN -> (object, or `CONDEMNED`; epoch seconds of the start).
        """
        with self._db.read() as connection:
            rows = connection.execute(
                select(upload.c.pfn, upload.c.object_id, upload.c.reserved_s).where(
                    upload.c.se == se
                )
            )
            return {pfn: (ObjectId(object_id), since) for pfn, object_id, since in rows}

    def known_at(self, se: str, pfns: Iterable[str]) -> set[str]:
        """Those of `pfns` that are replicas, or are being written or deleted."""
        with self._db.read() as connection:
            wanted = list(pfns)
            # reservations first: what is registered meanwhile is found as a replica
            found: set[str] = set()
            for table in (upload, replica):
                there = table.c.se == se, among(connection, table.c.pfn, wanted)
                found.update(connection.scalars(select(table.c.pfn).where(*there)))
            return found

    @staticmethod
    def _end_reservations(
        connection: Connection, new: Iterable[Replica], *, must_stand: bool
    ) -> None:
        """End the reservations of what has become replicas.

        Raises
        ------
        Busy
            One stands no more, and `must_stand` is set: its bytes may be gone.
        """
        for se, pfns in _by_se((one.se, one.pfn) for one in new).items():
            ended = connection.execute(
                delete(upload).where(
                    upload.c.se == se,
                    among(connection, upload.c.pfn, pfns),
                    upload.c.object_id != CONDEMNED,
                )
            ).rowcount
            if must_stand and ended < len(pfns):
                raise Busy(
                    f"an upload to {se} was given up meanwhile: its reservation is gone",
                    hint="try again",
                )

    # -- deleting ----------------------------------------------------------------------------------

    def condemn(self, places: Iterable[Place]) -> set[Place]:
        """Say that bytes are about to be deleted which belong to nobody; `end_condemned` ends it.

        Returns
        -------
        set
            Those of `places` that are no replica and where nobody else writes or deletes.
        """
        now = time.time()
        with self._db.write() as connection:
            found: set[Place] = set()
            for se, pfns in _by_se(places).items():
                before = self._condemned_at(connection, se, pfns, now)
                connection.execute(
                    text(
                        "INSERT INTO upload (owner, se, pfn, object_id, reserved_s)"
                        " VALUES (:owner, :se, :pfn, '', :now) ON CONFLICT (se, pfn) DO NOTHING"
                    ),
                    [
                        {"owner": self._sight.owner, "se": se, "pfn": pfn, "now": now}
                        for pfn in sorted(pfns)
                    ],
                )
                taken = self._condemned_at(connection, se, pfns, now) - before
                taken -= self._spare_replicas(connection, se, taken)
                found.update((se, pfn) for pfn in taken)
            return found

    def condemn_uploads(
        self, places: Iterable[Place], reserved_s: float | None = None
    ) -> set[Place]:
        """Turn reservations into deletions; `end_condemned` ends them.

        With `reserved_s` only what was reserved then and not since, be it for a deletion.

        Returns
        -------
        set
            Those of `places` whose reservation stood and that are no replica.
        """
        now = time.time()
        with self._db.write() as connection:
            found: set[Place] = set()
            for se, pfns in _by_se(places).items():
                same = (
                    upload.c.object_id != CONDEMNED
                    if reserved_s is None
                    else upload.c.reserved_s == reserved_s
                )
                taken = set(
                    connection.scalars(
                        update(upload)
                        .where(upload.c.se == se, among(connection, upload.c.pfn, pfns), same)
                        .values(object_id=CONDEMNED, reserved_s=now)
                        .returning(upload.c.pfn)
                    )
                )
                taken -= self._spare_replicas(connection, se, taken)
                found.update((se, pfn) for pfn in taken)
            return found

    def end_condemned(self, places: Iterable[Place]) -> None:
        """Say that bytes were deleted, or could not be."""
        with self._db.write() as connection:
            for se, pfns in _by_se(places).items():
                self._end(connection, se, pfns)

    def _spare_replicas(self, connection: Connection, se: str, pfns: set[str]) -> set[str]:
        """End the condemnation of those that are replicas, and return them."""
        known = set(
            connection.scalars(
                select(replica.c.pfn).where(
                    replica.c.se == se, among(connection, replica.c.pfn, pfns)
                )
            )
        )
        self._end(connection, se, known)
        return known

    @staticmethod
    def _end(connection: Connection, se: str, pfns: Iterable[str]) -> None:
        connection.execute(
            delete(upload).where(
                upload.c.se == se,
                among(connection, upload.c.pfn, pfns),
                _IS_CONDEMNED,
            )
        )

    @staticmethod
    def _condemned_at(
        connection: Connection, se: str, pfns: Iterable[str], time_s: float
    ) -> set[str]:
        return set(
            connection.scalars(
                select(upload.c.pfn).where(
                    upload.c.se == se,
                    among(connection, upload.c.pfn, pfns),
                    _IS_CONDEMNED,
                    upload.c.reserved_s == time_s,
                )
            )
        )


def _by_se(places: Iterable[Place]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for se, pfn in places:
        found[se].add(pfn)
    return dict(sorted(found.items()))
