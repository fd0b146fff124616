"""Changes to objects that are there: their review, their key, and that a patient's leave."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    exists,
    not_,
    select,
    update,
)

from medgrid.catalog.attributes import COLUMNS
from medgrid.catalog.registering import replace_many
from medgrid.catalog.replicas import ReplicaBook
from medgrid.catalog.rows import objects, select_objects
from medgrid.catalog.schema import (
    access_grant,
    attribute,
    care,
    dataset_member,
    held_words,
    imported,
    imported_series,
    merged,
    object_,
    object_version,
    patient,
    patient_attribute,
    removed,
    replica,
    scanned_file,
    upload,
)
from medgrid.catalog.visits import count_visits_of
from medgrid.database.many import among
from medgrid.errors import Busy, Denied, NotFound
from medgrid.model import LFN, GridObject, ObjectId, ObjectKind, Replica, Review, Sha256

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

    def waiting(self, lfns: Iterable[LFN] | None = None) -> dict[LFN, GridObject]:
        """The newest version that waits for a review beside what an LFN names, by LFN.

        Parameters
        ----------
        lfns : iterable of LFN, optional
            Only these; else all that the viewer sees.
        """
        named = object_.alias()
        with self._db.read() as connection:
            conditions = [
                object_.c.review == str(Review.NEEDED),
                object_version.c.version > named.c.version,
                self._sight.objects(),
            ]
            if lfns is not None:
                conditions.append(among(connection, object_version.c.lfn, lfns))
            versions = connection.execute(
                select(object_version.c.lfn, object_.c.id)
                .select_from(object_version)
                .join(object_, object_.c.id == object_version.c.object_id)
                .join(named, named.c.lfn == object_version.c.lfn)
                .where(*conditions)
                .order_by(object_version.c.version)
            ).all()
            newest = {LFN(lfn): object_id for lfn, object_id in versions}
            rows = connection.execute(
                select_objects().where(among(connection, object_.c.id, newest.values()))
            ).all()
            found = {item.id: item for item in objects(connection, rows)}
        return {lfn: replace(found[one], lfn=lfn) for lfn, one in newest.items() if one in found}

    def promote(self, lfns: Collection[LFN]) -> None:
        """Let LFNs name the versions of them that waited, and were released.

        Raises
        ------
        Denied
            The viewer may not change one.
        """
        waits, named = object_.alias(), object_.alias()
        with self._db.write() as connection:
            rows = connection.execute(
                select(
                    object_version.c.lfn,
                    waits.c.id,
                    named.c.version.label("before"),
                    named.c.id.label("named"),
                )
                .select_from(object_version)
                .join(waits, waits.c.id == object_version.c.object_id)
                .join(named, named.c.lfn == object_version.c.lfn)
                .where(
                    among(connection, object_version.c.lfn, lfns),
                    waits.c.review == str(Review.RELEASED),
                    object_version.c.version > named.c.version,
                )
                .order_by(object_version.c.version)
            ).all()
            newest = {row.lfn: row for row in rows}
            if not newest:
                return
            ids = [one for row in newest.values() for one in (row.id, row.named)]
            self._require_writable(connection, ids)
            replace_many(connection, [(row.lfn, row.before, row.named) for row in newest.values()])
            connection.execute(
                delete(object_version).where(
                    among(connection, object_version.c.object_id, [r.id for r in newest.values()])
                )
            )
            connection.execute(
                update(object_)
                .where(object_.c.id == bindparam("which"))
                .values(lfn=bindparam("to")),
                [{"which": row.id, "to": row.lfn} for row in newest.values()],
            )
            count_visits_of(connection, ids, self._sight)

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

        Names, older versions, metadata, grants, the places of datasets, the memory of imports,
        marks of what was removed before, what is known of the patient and who became them go; the
        objects become nameless ones of this patient, until `forget` ends them.
        """
        wanted = set(ids)
        with self._db.write() as connection:

            def chosen(column: ColumnElement[Any]) -> ColumnElement[bool]:
                return among(connection, column, wanted)

            current = select(object_.c.lfn).where(chosen(object_.c.id))
            older = select(object_version.c.lfn).where(chosen(object_version.c.object_id))
            of_patient = patient_attribute.c.patient == pseudonym
            connection.execute(delete(patient_attribute).where(of_patient))
            lfns = {*connection.scalars(current), *connection.scalars(older)} - {None}
            for table in (
                object_version,
                attribute,
                access_grant,
                scanned_file,
                imported,
                imported_series,
                held_words,
                dataset_member,
            ):
                connection.execute(delete(table).where(chosen(table.c.object_id)))
            connection.execute(delete(removed).where(removed.c.patient == pseudonym))
            connection.execute(delete(merged).where(merged.c.became == pseudonym))
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
            for table in (patient_attribute, care):  # the team's right to take away goes last
                connection.execute(delete(table).where(table.c.patient == pseudonym))
            if self._sight.viewer is None:  # a user's own role may not take patients away
                connection.execute(delete(patient).where(patient.c.pseudonym == pseudonym))
            return True

    @staticmethod
    def _has_objects(connection: Connection, pseudonym: str) -> bool:
        one = exists().where(object_.c.patient == pseudonym)
        return bool(connection.scalar(select(one)))
