"""Objects, their LFNs, attributes and replicas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, literal, select, update

from medgrid.catalog import questions
from medgrid.catalog.custody import Custody
from medgrid.catalog.query import Question
from medgrid.catalog.registering import (
    AFTER_SLASH,
    Naming,
    Registrar,
    Registration,
    count_visits,
    refuse_folders,
    unseen_names,
)
from medgrid.catalog.rows import objects, select_objects, value_table
from medgrid.catalog.schema import (
    Text,
    dataset_member,
    object_,
    object_version,
)
from medgrid.errors import AlreadyExists, NotFound
from medgrid.model import LFN, DataClass, GridObject, ObjectId, Replica

if TYPE_CHECKING:
    from medgrid.catalog.explain import Clause

__all__ = ["Naming", "ObjectStore", "Registration"]


# the class below has a method called list
_Replicas = list[Replica]
_Entries = list[str]
_Versions = list[tuple[int, ObjectId]]
_Clauses = list["Clause"]
_Ids = list[str]
_Objects = list[GridObject]


class ObjectStore(Registrar, Custody):
    """What the grid holds. Each method is one transaction."""

    # -- reading -----------------------------------------------------------------------------------

    def get(self, lfn: LFN, version: int | None = None) -> GridObject:
        """Object an LFN names now, or named as `version`.

        Raises
        ------
        NotFound
            The LFN, or this version of it, does not exist.
        """
        with self._db.read() as connection:
            seen = self._sight.objects()
            row = connection.execute(select_objects().where(object_.c.lfn == lfn, seen)).first()
            if version is not None and (row is None or row.version != version):
                row = connection.execute(
                    select_objects()
                    .join(object_version, object_version.c.object_id == object_.c.id)
                    .where(object_version.c.lfn == lfn, object_version.c.version == version, seen)
                ).first()
            if row is None:
                raise self._not_found(connection, lfn, version)
            return objects(connection, [row])[0]

    def get_many(self, lfns: Iterable[LFN]) -> dict[LFN, GridObject]:
        """Objects by LFN; those that do not exist are absent."""
        with self._db.read() as connection:
            given = value_table(connection, lfns)
            rows = connection.execute(
                select_objects()
                .join(given, given.c.value == object_.c.lfn)
                .where(self._sight.objects())
            ).all()
            return {item.lfn: item for item in objects(connection, rows) if item.lfn is not None}

    def by_ids(self, ids: Iterable[ObjectId]) -> dict[ObjectId, GridObject]:
        """Objects by id; those that do not exist are absent."""
        with self._db.read() as connection:
            given = value_table(connection, ids)
            rows = connection.execute(
                select_objects()
                .join(given, given.c.value == object_.c.id)
                .where(self._sight.objects())
            ).all()
            return {item.id: item for item in objects(connection, rows)}

    def twins(self, ids: Iterable[ObjectId]) -> _Objects:
        """De-identified twins of originals by id; what is no original stands for itself."""
        with self._db.read() as connection:
            given = value_table(connection, set(ids))
            rows = [
                row
                for column in (object_.c.original, object_.c.id)
                for row in connection.execute(
                    select_objects()
                    .join(given, given.c.value == column)
                    .where(
                        self._sight.objects(),
                        object_.c.data_class != literal(str(DataClass.NOMINATIVE), Text),
                    )
                )
            ]
            return list({item.id: item for item in objects(connection, rows)}.values())

    def versions(self, lfn: LFN) -> _Versions:
        """Older versions of an LFN and the objects they named, oldest first."""
        with self._db.read() as connection:
            rows = connection.execute(
                select(object_version.c.version, object_version.c.object_id)
                .where(
                    object_version.c.lfn == lfn, self._sight.object_id(object_version.c.object_id)
                )
                .order_by(object_version.c.version)
            )
            return [(version, ObjectId(object_id)) for version, object_id in rows]

    def exists(self, lfn: LFN) -> bool:
        """Whether `lfn` names an object."""
        with self._db.read() as connection:
            return self._names_seen(connection, lfn)

    def list(self, prefix: str = "/") -> _Entries:
        """What lies directly below a folder of the catalog.

        Returns
        -------
        list of str
            Absolute, sorted; folders end with ``/``, the others are LFNs.

        Raises
        ------
        NotFound
            Nothing lies there.
        """
        folder = prefix.rstrip("/") + "/"
        end = folder[:-1] + AFTER_SLASH
        found: _Entries = []
        with self._db.read() as connection:
            rest = object_.c.lfn > folder
            while True:
                # one index look-up an entry, however much lies below it
                first = connection.scalar(
                    select(object_.c.lfn)
                    .where(rest, object_.c.lfn < end, self._sight.objects())
                    .order_by(object_.c.lfn)
                    .limit(1)
                )
                if first is None:
                    break
                head, slash, _ = first[len(folder) :].partition("/")
                found.append(folder + head + slash)
                rest = (
                    object_.c.lfn >= folder + head + AFTER_SLASH if slash else object_.c.lfn > first
                )
            if not found and prefix != "/":
                raise NotFound(f"nothing lies below {prefix}")
        return found

    # -- asking ------------------------------------------------------------------------------------

    def select(
        self,
        question: Question,
        columns: Sequence[str] = ("lfn",),
        sort: Sequence[str] = (),
        limit: int | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """Columns of the named objects that answer a question.

        Parameters
        ----------
        question : Question
            What `medgrid.catalog.query.parse` made.
        columns : sequence of str
            Attributes and fields, see medgrid-query(7).
        sort : sequence of str
            Names, descending when ``-`` stands before; what is unknown comes last, then by LFN.
        limit : int, optional
            At most so many rows.

        Raises
        ------
        UsageError
            A name is unknown, or a value does not go with it.
        NotFound
            A dataset does not exist.
        """
        return questions.select_columns(self._db, self._sight, question, columns, sort, limit)

    def count(self, question: Question) -> int:
        """How many named objects answer a question; raises as `select`."""
        return questions.count(self._db, self._sight, question)

    def lfns(self, question: Question, limit: int | None = None) -> Iterator[LFN]:
        """LFNs that answer a question, sorted; raises as `select`."""
        return questions.lfns(self._db, self._sight, question, limit)

    def explain(self, question: Question) -> _Clauses:
        """Count what each part of a question finds, the whole first; raises as `select`."""
        from medgrid.catalog.explain import explain

        return explain(self._db, self._sight, question)

    # -- renaming and removing ---------------------------------------------------------------------

    def rename(self, lfn: LFN, to: LFN) -> None:
        """Give an LFN, with its versions, another name.

        Raises
        ------
        NotFound
            There is no `lfn`.
        AlreadyExists
            `to` is taken.
        Denied
            The viewer may not change it.
        """
        with self._db.write() as connection:
            self._require_writable(connection, self._ids_of(connection, lfn))
            if lfn == to:
                return
            if self._taken(connection, to):
                raise AlreadyExists(f"{to} already exists", hint="choose another LFN")
            refuse_folders(connection, [to], self._sight)
            for table in (object_, object_version, dataset_member):
                connection.execute(update(table).where(table.c.lfn == lfn).values(lfn=to))

    def remove(self, lfn: LFN) -> _Replicas:
        """Remove an LFN with all its versions and return the replicas whose bytes are to go.

        The rows go first, the bytes later: what is left over is found by ``fsck``, while bytes
        that vanish under a catalogued object would be lost. The bytes are condemned: say
        `end_condemned` when they are deleted.

        Raises
        ------
        NotFound
            There is no such LFN.
        Denied
            The viewer may not change it.
        """
        with self._db.write() as connection:
            ids = self._ids_of(connection, lfn)
            self._require_writable(connection, ids)
            return self._drop(connection, ids)

    def discard(self, ids: Iterable[ObjectId]) -> _Replicas:
        """Remove objects that have no LFN, as the unregistered outputs of jobs; see `remove`.

        Those that were given an LFN, or are an older version of one, stay; so do those that the
        viewer may not change.
        """
        with self._db.write() as connection:
            given = value_table(connection, ids)
            unnamed = connection.scalars(
                select(object_.c.id)
                .join(given, given.c.value == object_.c.id)
                .outerjoin(object_version, object_version.c.object_id == object_.c.id)
                .where(
                    object_.c.lfn.is_(None),
                    object_version.c.lfn.is_(None),
                    self._sight.writes(),
                )
            ).all()
            return self._drop(connection, list(unnamed))

    def _drop(self, connection: Connection, ids: Sequence[str]) -> _Replicas:
        gone = [found for many in self.replicas(ids).values() for found in many]
        given = value_table(connection, ids)
        chosen = select(given.c.value)
        patients = connection.scalars(
            select(object_.c.patient).where(object_.c.id.in_(chosen)).distinct()
        ).all()
        connection.execute(delete(object_).where(object_.c.id.in_(chosen)))
        count_visits(connection, sorted(filter(None, patients)), self._sight)
        going = self.condemn((one.se, one.pfn) for one in gone)
        return [one for one in gone if (one.se, one.pfn) in going]

    # -- helpers -----------------------------------------------------------------------------------

    def _taken(self, connection: Connection, lfn: str) -> bool:
        if self._sight.is_guarded:
            return bool(unseen_names(connection, [lfn]))
        return connection.scalar(select(object_.c.id).where(object_.c.lfn == lfn)) is not None

    def _names_seen(self, connection: Connection, lfn: str) -> bool:
        seen = select(object_.c.id).where(object_.c.lfn == lfn, self._sight.objects())
        return connection.scalar(seen) is not None

    def _ids_of(self, connection: Connection, lfn: LFN) -> _Ids:
        """Objects of an LFN and of all its versions.

        Raises
        ------
        NotFound
            There is no such LFN.
        """
        if not self._names_seen(connection, lfn):
            raise self._not_found(connection, lfn, None)
        current = select(object_.c.id).where(object_.c.lfn == lfn)
        older = select(object_version.c.object_id).where(object_version.c.lfn == lfn)
        return [*connection.scalars(current), *connection.scalars(older)]

    def _not_found(self, connection: Connection, lfn: LFN, version: int | None) -> NotFound:
        if version is not None:
            return NotFound(f"{lfn} has no version {version}")
        below = connection.scalar(
            select(object_.c.lfn).where(
                object_.c.lfn > lfn + "/", object_.c.lfn < lfn + AFTER_SLASH, self._sight.objects()
            )
        )
        if below is not None:
            return NotFound(f"{lfn} is a folder", hint=f"see 'medgrid ls {lfn}'")
        return NotFound(f"no LFN {lfn}", hint="see 'medgrid ls' and 'medgrid query'")
