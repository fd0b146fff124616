"""Objects, their LFNs, attributes and replicas."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    not_,
    select,
    update,
)

from medgrid.catalog import questions
from medgrid.catalog.custody import Custody
from medgrid.catalog.query import Question
from medgrid.catalog.registering import (
    AFTER_SLASH,
    Naming,
    Registrar,
    Registration,
    refuse_folders,
    unseen_names,
)
from medgrid.catalog.rows import objects, select_objects
from medgrid.catalog.schema import (
    Text,
    dataset_member,
    object_,
    object_version,
)
from medgrid.catalog.visits import count_visits
from medgrid.database.many import among
from medgrid.database.plans import unindexed
from medgrid.errors import AlreadyExists, NotFound
from medgrid.model import LFN, DataClass, GridObject, ObjectId, ObjectKind, Replica

if TYPE_CHECKING:
    from medgrid.catalog.explain import Clause

__all__ = ["Naming", "ObjectStore", "Registration"]


# the class below has a method called list
_Replicas = list[Replica]
_Entries = list[str]
_Versions = list[tuple[int, ObjectId]]
_Clauses = list["Clause"]
_Ids = list[ObjectId]
_Objects = list[GridObject]
_Lfns = list[LFN]

_FIRST_CHARACTER = "\x01"  # that a text can go on with


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
            rows = connection.execute(
                select_objects().where(
                    among(connection, object_.c.lfn, lfns), self._sight.objects()
                )
            ).all()
            return {item.lfn: item for item in objects(connection, rows) if item.lfn is not None}

    def by_ids(self, ids: Iterable[ObjectId]) -> dict[ObjectId, GridObject]:
        """Objects by id; those that do not exist are absent."""
        with self._db.read() as connection:
            rows = connection.execute(
                select_objects().where(among(connection, object_.c.id, ids), self._sight.objects())
            ).all()
            return {item.id: item for item in objects(connection, rows)}

    def twins(self, ids: Iterable[ObjectId]) -> _Objects:
        """De-identified twins of originals by id; what is no original stands for itself."""
        with self._db.read() as connection:
            chosen = set(ids)
            rows = [
                row
                for column in (object_.c.original, object_.c.id)
                for row in connection.execute(
                    select_objects().where(
                        among(connection, column, chosen),
                        self._sight.objects(),
                        object_.c.data_class != literal(str(DataClass.NOMINATIVE), Text),
                    )
                )
            ]
            return list({item.id: item for item in objects(connection, rows)}.values())

    def versions(self, lfn: LFN) -> _Versions:
        """Other versions of an LFN and their objects, oldest first; one that waits comes last."""
        with self._db.read() as connection:
            rows = connection.execute(
                select(object_version.c.version, object_version.c.object_id)
                .where(
                    object_version.c.lfn == lfn, self._sight.object_id(object_version.c.object_id)
                )
                .order_by(object_version.c.version)
            )
            return [(version, ObjectId(object_id)) for version, object_id in rows]

    def of_series(self, series_uids: Iterable[str]) -> _Lfns:
        """LFNs of series, by the UIDs that these have in the catalog; twins and originals."""
        with self._db.read() as connection:
            lfn, kind = (unindexed(connection, object_.c[name]) for name in ("lfn", "kind"))
            rows = connection.scalars(
                select(object_.c.lfn).where(
                    among(connection, object_.c.series_uid, series_uids),
                    lfn.is_not(None),
                    kind == str(ObjectKind.SERIES),
                    self._sight.objects(),
                )
            )
            return [str.__new__(LFN, lfn) for lfn in sorted(rows)]

    def version_lfns(self, ids: Iterable[ObjectId]) -> dict[ObjectId, LFN]:
        """LFNs that objects are other versions of than the one which is named; else absent."""
        older = object_version.c
        with self._db.read() as connection:
            rows = connection.execute(
                select(older.object_id, older.lfn).where(
                    among(connection, older.object_id, ids), self._sight.object_id(older.object_id)
                )
            )
            return {ObjectId(object_id): LFN(lfn) for object_id, lfn in rows}

    def current(self, ids: Collection[ObjectId]) -> dict[ObjectId, GridObject]:
        """What LFNs name now that name, or have as another version, some objects; by their ids."""
        with self._db.read():
            found = {one.id: one for one in self.by_ids(ids).values() if one.lfn is not None}
            lfns = self.version_lfns(set(ids) - found.keys())
            named = self.get_many(set(lfns.values()))
            return found | {one: named[lfn] for one, lfn in lfns.items() if lfn in named}

    def contents(self, lfns: Collection[LFN]) -> dict[LFN, _Ids]:
        """Objects that LFNs name now, and named before; LFNs without any are absent."""
        found: dict[LFN, _Ids] = {}
        older = object_version.c
        with self._db.read() as connection:
            for statement in (
                select(object_.c.lfn, object_.c.id).where(
                    among(connection, object_.c.lfn, lfns), self._sight.objects()
                ),
                select(older.lfn, older.object_id)
                .where(among(connection, older.lfn, lfns), self._sight.object_id(older.object_id))
                .order_by(older.version),
            ):
                for lfn, object_id in connection.execute(statement):
                    found.setdefault(lfn, []).append(ObjectId(object_id))
        return found

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
        found: _Entries = []
        with self._db.read() as connection:
            for first in connection.scalars(self._first_of_each(connection, folder)):
                head, slash, _ = first[len(folder) :].partition("/")
                found.append(folder + head + slash)
        if not found and prefix != "/":
            raise NotFound(f"nothing lies below {prefix}")
        return found

    def _first_of_each(self, connection: Connection, folder: str) -> Select[Any]:
        """Select the first LFN of each entry of a folder: one look-up, whatever lies below it."""
        place_of = func.instr if connection.dialect.name == "sqlite" else func.strpos

        def first(condition: ColumnElement[bool]) -> ColumnElement[str]:
            rest = select(object_.c.lfn).where(
                condition, object_.c.lfn < _end_of(folder), self._sight.objects()
            )
            return rest.order_by(object_.c.lfn).limit(1).correlate_except(object_).scalar_subquery()

        entry = select(first(object_.c.lfn > folder).label("lfn")).cte("entry", recursive=True)
        slash = place_of(func.substr(entry.c.lfn, len(folder) + 1), "/")
        name_length = len(folder) + slash - 1
        after = case(
            (slash > 0, func.substr(entry.c.lfn, 1, name_length) + literal(AFTER_SLASH, Text)),
            else_=entry.c.lfn + literal(_FIRST_CHARACTER, Text),
        )
        entry = entry.union_all(
            select(first(object_.c.lfn >= after)).where(entry.c.lfn.is_not(None))
        )
        return select(entry.c.lfn).where(entry.c.lfn.is_not(None))

    def is_folder(self, folder: str) -> bool:
        """Whether something lies below `folder`."""
        with self._db.read() as connection:
            return self._below(connection, folder) is not None

    def below(self, folder: str) -> _Lfns:
        """All LFNs below a folder, however deep, sorted.

        Raises
        ------
        NotFound
            Nothing lies there.
        """
        with self._db.read() as connection:
            rows = connection.scalars(self._all_below(folder).order_by(object_.c.lfn))
            found = [str.__new__(LFN, lfn) for lfn in rows]
        if not found:
            raise NotFound(f"nothing lies below {folder}")
        return found

    def _below(self, connection: Connection, folder: str) -> str | None:
        found: str | None = connection.scalar(self._all_below(folder).limit(1))
        return found

    def _all_below(self, folder: str) -> Select[Any]:
        start = folder.rstrip("/") + "/"
        return select(object_.c.lfn).where(
            object_.c.lfn > start, object_.c.lfn < _end_of(start), self._sight.objects()
        )

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
        """Give an LFN, with its versions, another name; see `rename_many`."""
        self.rename_many({lfn: to})

    def rename_many(self, names: Mapping[LFN, LFN]) -> None:
        """Give LFNs, with their versions, other names; all or none. New names are no old ones.

        Raises
        ------
        NotFound
            There is no such LFN.
        AlreadyExists
            A new name is taken.
        Denied
            The viewer may not change one.
        """
        with self._db.write() as connection:
            ids = self._ids_of(connection, names)
            self._require_writable(connection, [one for many in ids.values() for one in many])
            changes = {lfn: to for lfn, to in names.items() if lfn != to}
            if not changes:
                return
            taken = self._taken(connection, changes.values())
            if taken:
                raise AlreadyExists(f"{min(taken)} already exists", hint="choose another LFN")
            refuse_folders(connection, list(changes.values()), self._sight)
            for table in (object_, object_version, dataset_member):
                connection.execute(
                    update(table)
                    .where(table.c.lfn == bindparam("old"))
                    .values(lfn=bindparam("new")),
                    [{"old": lfn, "new": to} for lfn, to in changes.items()],
                )

    def remove(self, lfn: LFN) -> _Replicas:
        """Remove an LFN; see `remove_many`."""
        return self.remove_many([lfn])[lfn]

    def remove_many(self, lfns: Collection[LFN]) -> dict[LFN, _Replicas]:
        """Remove LFNs with all their versions and return the replicas whose bytes are to go.

        The rows go first, the bytes later: what is left over is found by ``fsck``, while bytes
        that vanish under a catalogued object would be lost. The bytes are condemned: say
        `end_condemned` when they are deleted.

        Raises
        ------
        NotFound
            There is no such LFN.
        Denied
            The viewer may not change one.
        """
        with self._db.write() as connection:
            ids = self._ids_of(connection, lfns)
            owners = {one: lfn for lfn, many in ids.items() for one in many}
            self._require_writable(connection, owners)
            gone: dict[LFN, _Replicas] = {lfn: [] for lfn in ids}
            for replica in self._drop(connection, owners):
                gone[owners[replica.object_id]].append(replica)
            return gone

    def discard(self, ids: Iterable[ObjectId]) -> _Replicas:
        """Remove objects that have no LFN, as the unregistered outputs of jobs; see `remove`.

        Those that were given an LFN, or are an older version of one, stay; so do those that the
        viewer may not change.
        """
        with self._db.write() as connection:
            is_older = exists().where(object_version.c.object_id == object_.c.id)
            unnamed = connection.scalars(
                select(object_.c.id).where(
                    among(connection, object_.c.id, ids),
                    func.coalesce(object_.c.lfn, "") == "",  # no index serves it: ids do
                    not_(is_older),
                    self._sight.writes(),
                )
            ).all()
            return self._drop(connection, unnamed)

    def _drop(self, connection: Connection, ids: Collection[str]) -> _Replicas:
        gone = [found for many in self.replicas(ids).values() for found in many]
        chosen = among(connection, object_.c.id, ids)
        patients = connection.scalars(select(object_.c.patient).where(chosen).distinct()).all()
        connection.execute(delete(object_).where(chosen))
        count_visits(connection, sorted(filter(None, patients)), self._sight)
        going = self.condemn((one.se, one.pfn) for one in gone)
        return [one for one in gone if (one.se, one.pfn) in going]

    # -- helpers -----------------------------------------------------------------------------------

    def _taken(self, connection: Connection, lfns: Collection[str]) -> set[str]:
        """Those of `lfns` that are taken, seen or not."""
        if self._sight.is_guarded:
            return unseen_names(connection, lfns)
        taken = select(object_.c.lfn).where(among(connection, object_.c.lfn, lfns))
        return set(connection.scalars(taken))

    def _names_seen(self, connection: Connection, lfn: str) -> bool:
        seen = select(object_.c.id).where(object_.c.lfn == lfn, self._sight.objects())
        return connection.scalar(seen) is not None

    def _ids_of(self, connection: Connection, lfns: Collection[LFN]) -> dict[LFN, _Ids]:
        """Objects of each LFN and of all its versions, the current one first.

        Raises
        ------
        NotFound
            There is no such LFN.
        """
        chosen = among(connection, object_.c.lfn, lfns)
        seen = select(object_.c.lfn, object_.c.id).where(chosen, self._sight.objects())
        current = {row.lfn: row.id for row in connection.execute(seen)}
        for lfn in lfns:
            if lfn not in current:
                raise self._not_found(connection, lfn, None)
        found: dict[LFN, _Ids] = {lfn: [current[lfn]] for lfn in lfns}
        older = select(object_version.c.lfn, object_version.c.object_id).where(
            among(connection, object_version.c.lfn, lfns)
        )
        for lfn, object_id in connection.execute(older):
            found[lfn].append(object_id)
        return found

    def _not_found(self, connection: Connection, lfn: LFN, version: int | None) -> NotFound:
        if version is not None:
            return NotFound(f"{lfn} has no version {version}")
        if self._below(connection, lfn) is not None:
            return NotFound(f"{lfn} is a folder", hint=f"see 'medgrid ls {lfn}'")
        return NotFound(f"no LFN {lfn}", hint="see 'medgrid ls' and 'medgrid query'")


def _end_of(folder: str) -> str:
    """Return the first text after all that lies below a folder, which ends with ``/``."""
    return folder.removesuffix("/") + AFTER_SLASH
