"""Objects, their LFNs, attributes and replicas."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text, update

from medgrid.catalog import names as attribute_names
from medgrid.catalog import questions
from medgrid.catalog.attributes import COLUMNS
from medgrid.catalog.query import Question
from medgrid.catalog.replicas import ReplicaBook
from medgrid.catalog.rows import objects, select_objects, split, user_rows, value_table
from medgrid.catalog.schema import (
    attribute,
    dataset_member,
    object_,
    object_version,
)
from medgrid.errors import AlreadyExists, NotFound, UsageError
from medgrid.model import LFN, AttributeValue, GridObject, ObjectId, Replica

__all__ = ["ObjectStore", "Registration"]

_AFTER_SLASH = chr(ord("/") + 1)

# the class below has a method called list
_Replicas = list[Replica]
_Entries = list[str]
_Versions = list[tuple[int, ObjectId]]


@dataclass(frozen=True, slots=True)
class Registration:
    """An object to be registered, with the replicas that already hold its bytes.

    `user_attributes` are what a person said of it (``--meta``), with `units` by name; they are
    kept apart from what was read in the file.
    """

    object: GridObject
    replicas: tuple[Replica, ...] = ()
    patient: str | None = None  # pseudonym
    study_uid: str | None = None
    series_uid: str | None = None
    user_attributes: Mapping[str, AttributeValue | list[Any]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


class ObjectStore(ReplicaBook):
    """What the grid holds. Each method is one transaction."""

    # -- registering -------------------------------------------------------------------------------

    def register(self, new: Sequence[Registration], replace: bool = False) -> None:
        """Enter objects, all or none.

        Parameters
        ----------
        new : sequence of Registration
            Objects with or without an LFN; reservations of their replicas end.
        replace : bool
            Give a taken LFN a new version instead of refusing.

        Raises
        ------
        AlreadyExists
            An LFN is taken, or is a folder, or lies below an object.
        UsageError
            Two of `new` have one LFN, or an attribute has another type elsewhere in the grid.
        """
        if not new:
            return
        with self._db.write() as connection:
            rows, lists, extra = [], [], []
            documents: dict[str, Any] = {}
            versions = self._claim(connection, [item.object.lfn for item in new], replace)
            for item in new:
                row, many = _row(item, versions)
                rows.append(row)
                documents.update(row["attributes"])
                lists += [(row["id"], name, values) for name, values in many.items()]
                extra += [
                    (row["id"], name, value, item.units.get(name))
                    for name, value in item.user_attributes.items()
                ]
            patients = sorted({row["patient"] for row in rows if row["patient"]})
            _lock_patients(connection, patients)
            connection.execute(insert(object_), rows)
            attribute_names.note_documents(connection, documents)
            self._add_lists(connection, lists)
            for object_id, name, value, unit in extra:
                self._set(connection, object_id, name, value, unit)
            self._add_replicas(connection, [found for item in new for found in item.replicas])
            _count_visits(connection, patients)

    def _claim(
        self, connection: Connection, lfns: Sequence[LFN | None], replace: bool
    ) -> dict[str, int]:
        """Check that LFNs are free and return the version each object gets, by LFN."""
        wanted = [lfn for lfn in lfns if lfn is not None]
        if len(set(wanted)) != len(wanted):
            twice = next(lfn for lfn in wanted if wanted.count(lfn) > 1)
            raise UsageError(f"{twice} is given to two objects")
        if not wanted:
            return {}
        given = value_table(connection, wanted)
        taken = connection.execute(
            select(object_.c.lfn, object_.c.id, object_.c.version).join(
                given, given.c.value == object_.c.lfn
            )
        ).all()
        if taken and not replace:
            more = f" (and {len(taken) - 1} more)" if len(taken) > 1 else ""
            raise AlreadyExists(
                f"{taken[0].lfn} already exists{more}",
                hint="choose another LFN, or ask for a new version with --replace",
            )
        _refuse_folders(connection, wanted)
        versions: dict[str, int] = dict.fromkeys(wanted, 1)
        now = time.time()
        for lfn, object_id, version in taken:
            versions[lfn] = version + 1
            connection.execute(update(object_).where(object_.c.id == object_id).values(lfn=None))
            connection.execute(
                insert(object_version).values(
                    lfn=lfn, version=version, object_id=object_id, replaced_s=now
                )
            )
        return versions

    def name(
        self,
        object_id: ObjectId,
        lfn: LFN,
        attributes: Mapping[str, AttributeValue | list[Any]] | None = None,
        *,
        replace: bool = False,
    ) -> None:
        """Give an object without LFN its LFN, and what it inherits or measures.

        Raises
        ------
        AlreadyExists
            The LFN is taken and `replace` does not ask for a new version of it, or the object
            already has one.
        NotFound
            There is no such object.
        """
        with self._db.write() as connection:
            row = connection.execute(select(object_.c.lfn).where(object_.c.id == object_id)).first()
            if row is None:
                raise NotFound(f"no object {object_id}")
            if row.lfn is not None:
                raise AlreadyExists(f"object {object_id} is already named {row.lfn}")
            version = self._claim(connection, [lfn], replace)[lfn]
            connection.execute(
                update(object_).where(object_.c.id == object_id).values(lfn=lfn, version=version)
            )
            for name, value in (attributes or {}).items():
                self._set(connection, object_id, name, value, None)
            _count_visits_of(connection, [object_id])

    # -- attributes --------------------------------------------------------------------------------

    def set_attributes(
        self,
        object_id: ObjectId,
        values: Mapping[str, AttributeValue | list[Any]],
        units: Mapping[str, str] | None = None,
    ) -> None:
        """Set attributes of an object; None takes one away.

        Raises
        ------
        NotFound
            There is no such object.
        UsageError
            A name is not allowed, or the attribute has another type in this grid.
        """
        with self._db.write() as connection:
            self._require(connection, object_id)
            for name, value in values.items():
                self._set(connection, object_id, name, value, (units or {}).get(name))
            _count_visits_of(connection, [object_id])

    def _set(
        self, connection: Connection, object_id: str, name: str, value: Any, unit: str | None
    ) -> None:
        spec = COLUMNS.get(name)
        if spec is not None:
            fitting = attribute_names.fit_column(spec, value)
            if name == "PatientID" and fitting is not None:
                _lock_patients(connection, [fitting])
            connection.execute(
                update(object_).where(object_.c.id == object_id).values({spec.column: fitting})
            )
            return
        known = attribute_names.claim(connection, name, value, unit)
        if known.place == "json":
            document = connection.scalar(
                select(object_.c.attributes).where(object_.c.id == object_id)
            )
            document = {**(document or {}), name: value}
            if value is None:
                del document[name]
            connection.execute(
                update(object_).where(object_.c.id == object_id).values(attributes=document)
            )
            return
        connection.execute(
            delete(attribute).where(attribute.c.object_id == object_id, attribute.c.name == name)
        )
        if value is not None and value != []:
            connection.execute(insert(attribute), user_rows(object_id, name, known.type, value))

    @staticmethod
    def _add_lists(connection: Connection, lists: Sequence[tuple[str, str, list[Any]]]) -> None:
        rows = []
        for object_id, name, values in lists:
            attribute_names.note_list(connection, name)
            rows += user_rows(object_id, name, COLUMNS[name].type, values)
        if rows:
            connection.execute(insert(attribute), rows)

    # -- reading -----------------------------------------------------------------------------------

    def get(self, lfn: LFN, version: int | None = None) -> GridObject:
        """Object an LFN names now, or named as `version`.

        Raises
        ------
        NotFound
            The LFN, or this version of it, does not exist.
        """
        with self._db.read() as connection:
            row = connection.execute(select_objects().where(object_.c.lfn == lfn)).first()
            if version is not None and (row is None or row.version != version):
                row = connection.execute(
                    select_objects()
                    .join(object_version, object_version.c.object_id == object_.c.id)
                    .where(object_version.c.lfn == lfn, object_version.c.version == version)
                ).first()
            if row is None:
                raise self._not_found(connection, lfn, version)
            return objects(connection, [row])[0]

    def get_many(self, lfns: Iterable[LFN]) -> dict[LFN, GridObject]:
        """Objects by LFN; those that do not exist are absent."""
        with self._db.read() as connection:
            given = value_table(connection, lfns)
            rows = connection.execute(
                select_objects().join(given, given.c.value == object_.c.lfn)
            ).all()
            return {item.lfn: item for item in objects(connection, rows) if item.lfn is not None}

    def by_ids(self, ids: Iterable[ObjectId]) -> dict[ObjectId, GridObject]:
        """Objects by id; those that do not exist are absent."""
        with self._db.read() as connection:
            given = value_table(connection, ids)
            rows = connection.execute(
                select_objects().join(given, given.c.value == object_.c.id)
            ).all()
            return {item.id: item for item in objects(connection, rows)}

    def versions(self, lfn: LFN) -> _Versions:
        """Older versions of an LFN and the objects they named, oldest first."""
        with self._db.read() as connection:
            rows = connection.execute(
                select(object_version.c.version, object_version.c.object_id)
                .where(object_version.c.lfn == lfn)
                .order_by(object_version.c.version)
            )
            return [(version, ObjectId(object_id)) for version, object_id in rows]

    def exists(self, lfn: LFN) -> bool:
        """Whether `lfn` names an object."""
        with self._db.read() as connection:
            return self._taken(connection, lfn)

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
        end = folder[:-1] + _AFTER_SLASH
        found: _Entries = []
        with self._db.read() as connection:
            after = folder
            while True:
                # one index look-up an entry, however much lies below it
                first = connection.scalar(
                    select(object_.c.lfn)
                    .where(object_.c.lfn > after, object_.c.lfn < end)
                    .order_by(object_.c.lfn)
                    .limit(1)
                )
                if first is None:
                    break
                head, slash, _ = first[len(folder) :].partition("/")
                found.append(folder + head + slash)
                after = folder + head + _AFTER_SLASH if slash else first
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
        return questions.select_columns(self._db, question, columns, sort, limit)

    def count(self, question: Question) -> int:
        """How many named objects answer a question; raises as `select`."""
        return questions.count(self._db, question)

    def lfns(self, question: Question, limit: int | None = None) -> Iterator[LFN]:
        """LFNs that answer a question, sorted; raises as `select`."""
        return questions.lfns(self._db, question, limit)

    # -- renaming and removing ---------------------------------------------------------------------

    def rename(self, lfn: LFN, to: LFN) -> None:
        """Give an LFN, with its versions, another name.

        Raises
        ------
        NotFound
            There is no `lfn`.
        AlreadyExists
            `to` is taken.
        """
        with self._db.write() as connection:
            if not self._taken(connection, lfn):
                raise self._not_found(connection, lfn, None)
            if lfn == to:
                return
            if self._taken(connection, to):
                raise AlreadyExists(f"{to} already exists", hint="choose another LFN")
            _refuse_folders(connection, [to])
            for table in (object_, object_version, dataset_member):
                connection.execute(update(table).where(table.c.lfn == lfn).values(lfn=to))

    def remove(self, lfn: LFN) -> _Replicas:
        """Remove an LFN with all its versions and return the replicas whose bytes can go.

        The rows go first, the bytes later: what is left over is found by ``fsck``, while bytes
        that vanish under a catalogued object would be lost.

        Raises
        ------
        NotFound
            There is no such LFN.
        """
        with self._db.write() as connection:
            ids = list(connection.scalars(select(object_.c.id).where(object_.c.lfn == lfn)))
            if not ids:
                raise self._not_found(connection, lfn, None)
            ids += connection.scalars(
                select(object_version.c.object_id).where(object_version.c.lfn == lfn)
            )
            return self._drop(connection, ids)

    def discard(self, ids: Iterable[ObjectId]) -> _Replicas:
        """Remove objects that have no LFN, as the unregistered outputs of jobs.

        Those that were given an LFN, or are an older version of one, stay.
        """
        with self._db.write() as connection:
            given = value_table(connection, ids)
            unnamed = connection.scalars(
                select(object_.c.id)
                .join(given, given.c.value == object_.c.id)
                .outerjoin(object_version, object_version.c.object_id == object_.c.id)
                .where(object_.c.lfn.is_(None), object_version.c.lfn.is_(None))
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
        _count_visits(connection, sorted(filter(None, patients)))
        return gone

    # -- helpers -----------------------------------------------------------------------------------

    @staticmethod
    def _taken(connection: Connection, lfn: str) -> bool:
        return connection.scalar(select(object_.c.id).where(object_.c.lfn == lfn)) is not None

    @staticmethod
    def _not_found(connection: Connection, lfn: LFN, version: int | None) -> NotFound:
        if version is not None:
            return NotFound(f"{lfn} has no version {version}")
        below = connection.scalar(
            select(object_.c.lfn).where(
                object_.c.lfn > lfn + "/", object_.c.lfn < lfn + _AFTER_SLASH
            )
        )
        if below is not None:
            return NotFound(f"{lfn} is a folder", hint=f"see 'medgrid ls {lfn}'")
        return NotFound(f"no LFN {lfn}", hint="see 'medgrid ls' and 'medgrid query'")


def _row(item: Registration, versions: Mapping[str, int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns of an object's row, and its column attributes that have several values."""
    found = item.object
    parts = split(found.attributes)
    for column, value in (
        ("patient", item.patient),
        ("study_uid", item.study_uid),
        ("series_uid", item.series_uid),
    ):
        if value is not None:
            parts.columns[column] = value
    row = {
        "id": found.id,
        "lfn": found.lfn,
        "version": versions.get(found.lfn or "", 1),
        "kind": str(found.kind),
        "filename": found.filename,
        "size_bytes": found.size_bytes,
        "sha256": found.sha256,
        "created_s": found.created_s or time.time(),
        "attributes": parts.document,
        **parts.columns,
    }
    return row, parts.lists


def _refuse_folders(connection: Connection, lfns: Sequence[str]) -> None:
    """Refuse an LFN that is a folder of others, or lies below an object."""
    parents: set[str] = set()
    for lfn in lfns:
        parent = lfn.rpartition("/")[0]
        while parent and parent not in parents:
            parents.add(parent)
            parent = parent.rpartition("/")[0]
    clash = parents.intersection(lfns)
    if clash:
        raise AlreadyExists(f"{min(clash)} would be an object and a folder")
    if parents:
        given = value_table(connection, parents)
        above = connection.scalar(
            select(object_.c.lfn).join(given, given.c.value == object_.c.lfn).limit(1)
        )
        if above is not None:
            raise AlreadyExists(
                f"{above} is an object, nothing can lie below it", hint="choose another LFN"
            )
    given = value_table(connection, lfns)
    folder = connection.scalar(
        select(given.c.value)
        .where(
            select(object_.c.id)
            .where(
                object_.c.lfn > given.c.value + "/", object_.c.lfn < given.c.value + _AFTER_SLASH
            )
            .exists()
        )
        .limit(1)
    )
    if folder is not None:
        raise AlreadyExists(f"{folder} is a folder", hint="choose another LFN")


def _lock_patients(connection: Connection, pseudonyms: Sequence[str]) -> None:
    """Make sure the patients are there, and keep other writers from them until the end."""
    if pseudonyms:
        connection.execute(
            text(
                "INSERT INTO patient (pseudonym, visits) VALUES (:pseudonym, 0)"
                " ON CONFLICT (pseudonym) DO UPDATE SET visits = patient.visits"
            ),
            [{"pseudonym": pseudonym} for pseudonym in pseudonyms],
        )


def _count_visits_of(connection: Connection, ids: Iterable[str]) -> None:
    given = value_table(connection, ids)
    patients = connection.scalars(
        select(object_.c.patient).join(given, given.c.value == object_.c.id).distinct()
    ).all()
    _count_visits(connection, sorted(filter(None, patients)))


def _count_visits(connection: Connection, pseudonyms: Sequence[str]) -> None:
    """Count each patient's visits anew: distinct study dates, else BIDS sessions."""
    if pseudonyms:
        connection.execute(
            text(
                "UPDATE patient SET visits = (SELECT count(DISTINCT"
                " coalesce(o.study_date, o.session)) FROM object o"
                " WHERE o.patient = :pseudonym AND o.lfn IS NOT NULL) WHERE pseudonym = :pseudonym"
            ),
            [{"pseudonym": pseudonym} for pseudonym in pseudonyms],
        )
