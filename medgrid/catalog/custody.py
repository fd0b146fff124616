"""Changes to objects that are there: their review, their key, and that a patient's leave."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, not_, select, update

from medgrid.catalog.attributes import COLUMNS
from medgrid.catalog.replicas import ReplicaBook
from medgrid.catalog.rows import objects, select_objects
from medgrid.catalog.schema import (
    access_grant,
    attribute,
    care,
    dataset_member,
    imported,
    imported_series,
    object_,
    object_version,
    patient,
    replica,
    scanned_file,
    upload,
)
from medgrid.database.many import among
from medgrid.errors import Busy, Denied, NotFound
from medgrid.model import GridObject, ObjectId, ObjectKind, Replica, Review, Sha256

__all__ = ["Custody"]


class Custody(ReplicaBook):
    """What physicians do with their patients' objects; a part of `ObjectStore`."""

    def of_patient(self, pseudonym: str) -> list[GridObject]:
        """All objects of a patient, also older versions and those without an LFN."""
        with self._db.read() as connection:
            rows = connection.execute(
                select_objects()
                .where(object_.c.patient == pseudonym, self._sight.objects())
                .order_by(object_.c.lfn, object_.c.id)
            ).all()
            return objects(connection, rows)

    # -- review ------------------------------------------------------------------------------------

    def set_review(self, ids: Collection[ObjectId], review: Review) -> None:
        """Say whether objects must be, or were, looked at.

        Raises
        ------
        NotFound
            There is no such object.
        Denied
            The viewer is no physician of the patient.
        """
        with self._db.write() as connection:
            chosen = among(connection, object_.c.id, set(ids))
            rows = connection.execute(
                select(object_.c.id, self._sight.controls().label("may")).where(
                    chosen, self._sight.objects()
                )
            ).all()
            missing = set(ids) - {row.id for row in rows}
            if missing:
                raise NotFound(f"no object {min(missing)}")
            if not all(row.may for row in rows):
                raise Denied("only a physician of the patient reviews data")
            connection.execute(update(object_).where(chosen).values(review=str(review)))

    # -- keys --------------------------------------------------------------------------------------

    def rekey(
        self, item: GridObject, rekeyed_as: ObjectId, sha256: Sha256, replicas: Sequence[Replica]
    ) -> None:
        """Let an object be stored under another key: new replicas in the place of the old ones.

        The reservations of the new replicas end. The old replicas become reservations of the
        object, since their bytes are still to be deleted: see `left_behind`.

        Raises
        ------
        NotFound
            There is no such object.
        Denied
            The viewer may not change it.
        Busy
            Its key is another than `item` says, or a reservation stands no more.
        """
        with self._db.write() as connection:
            self._require_writable(connection, [item.id])
            changed = connection.execute(
                update(object_)
                .where(
                    object_.c.id == item.id,
                    object_.c.rekeyed_as.is_not_distinct_from(item.rekeyed_as),
                )
                .values(rekeyed_as=rekeyed_as, sha256=sha256)
            )
            if changed.rowcount != 1:
                raise Busy(
                    f"{item.lfn or f'object {item.id}'} was encrypted anew by somebody else",
                    hint="try again",
                )
            old = self.replicas([item.id])[item.id]
            self.reserve_many([(item.id, one.se, one.pfn) for one in old])
            connection.execute(delete(replica).where(replica.c.object_id == item.id))
            self._add_replicas(connection, replicas, uploaded=True)

    def left_behind(self, items: Iterable[GridObject]) -> list[Replica]:
        """Where bytes still lie that `items` had under earlier keys; their PFNs name these keys.

        Copies that are being made lie under the current key, and are not among them.
        """
        current = {one.id: one.key_id for one in items}
        with self._db.read() as connection:
            rows = connection.execute(
                select(upload.c.object_id, upload.c.se, upload.c.pfn, upload.c.reserved_s)
                .where(among(connection, upload.c.object_id, current))
                .order_by(upload.c.se, upload.c.pfn)
            ).all()
        return [
            Replica(ObjectId(row[0]), row[1], row[2], 0, Sha256(""), row[3])
            for row in rows
            if not row[2].endswith(current[row[0]])
        ]

    def end_left_behind(self, gone: Sequence[Replica]) -> None:
        """Forget bytes that `left_behind` told of: they are deleted."""
        with self._db.write() as connection:
            for one in gone:
                connection.execute(
                    delete(upload).where(upload.c.se == one.se, upload.c.pfn == one.pfn)
                )

    # -- leaving -----------------------------------------------------------------------------------

    def withdraw(self, ids: Iterable[ObjectId], pseudonym: str) -> None:
        """Forget all that is known of objects, but where bytes of them lie, for a patient who goes.

        Names, older versions, metadata, grants, the places of datasets and the memory of imports
        go; the objects become nameless ones of this patient, until `forget` ends them.
        """
        wanted = set(ids)
        with self._db.write() as connection:

            def chosen(column: ColumnElement[Any]) -> ColumnElement[bool]:
                return among(connection, column, wanted)

            current = select(object_.c.lfn).where(chosen(object_.c.id))
            older = select(object_version.c.lfn).where(chosen(object_version.c.object_id))
            lfns = {*connection.scalars(current), *connection.scalars(older)} - {None}
            for table in (
                object_version,
                attribute,
                access_grant,
                scanned_file,
                imported,
                imported_series,
                dataset_member,
            ):
                connection.execute(delete(table).where(chosen(table.c.object_id)))
            named = among(connection, dataset_member.c.lfn, lfns)
            connection.execute(delete(dataset_member).where(named))
            blank = dict.fromkeys((spec.column for spec in COLUMNS.values()), None)
            connection.execute(
                update(object_)
                .where(chosen(object_.c.id))
                .values(
                    {
                        **blank,
                        "lfn": None,
                        "kind": str(ObjectKind.FILE),
                        "filename": "withdrawn",
                        "digest": None,
                        "patient": pseudonym,
                        "attributes": {},
                    }
                )
            )

    def forget(self, ids: Iterable[ObjectId]) -> None:
        """End objects that have no bytes any more; those that have a replica stay."""
        with self._db.write() as connection:
            is_stored = exists().where(replica.c.object_id == object_.c.id)
            connection.execute(
                delete(object_).where(among(connection, object_.c.id, set(ids)), not_(is_stored))
            )

    def forget_patient(self, pseudonym: str) -> bool:
        """End a patient of whom no object is left, and the care team; False when one is."""
        with self._db.write() as connection:
            if self._has_objects(connection, pseudonym):
                return False
            connection.execute(delete(care).where(care.c.patient == pseudonym))
            if self._sight.viewer is None:  # a user's own role may not take patients away
                connection.execute(delete(patient).where(patient.c.pseudonym == pseudonym))
            return True

    @staticmethod
    def _has_objects(connection: Connection, pseudonym: str) -> bool:
        one = exists().where(object_.c.patient == pseudonym)
        return bool(connection.scalar(select(one)))
