"""Entering objects: LFNs that are free, attributes where they belong, visits counted."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    and_,
    bindparam,
    delete,
    exc,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)

from medgrid.catalog.attributes import COLUMNS, AttributeColumn
from medgrid.catalog.names import NameBook, fit_column
from medgrid.catalog.replicas import ReplicaBook
from medgrid.catalog.rows import split, user_rows
from medgrid.catalog.schema import access_grant, attribute, object_, object_version
from medgrid.catalog.sight import Sight
from medgrid.catalog.visits import count_visits, count_visits_of, hold_patients, patients_of
from medgrid.database.many import among, value_table
from medgrid.errors import AlreadyExists, Denied, UsageError
from medgrid.model import LFN, AttributeValue, GridObject, ObjectId, Replica, Review

__all__ = [
    "AFTER_SLASH",
    "Naming",
    "Registrar",
    "Registration",
    "enter_versions",
    "refuse_folders",
    "replace_many",
    "unseen_names",
]

AFTER_SLASH = chr(ord("/") + 1)


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


@dataclass(frozen=True, slots=True)
class Naming:
    """An object that is to get its LFN, and what becomes known of it then."""

    object_id: ObjectId
    lfn: LFN
    attributes: Mapping[str, AttributeValue | list[Any]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


class _Place(NamedTuple):
    """Which version of its LFN an object becomes, whether that waits for a review, and the patient
    of what the LFN names."""

    version: int
    waits: bool = False
    patient: str | None = None


class Registrar(ReplicaBook):
    """Registers objects and their attributes; a part of `ObjectStore`.

    A new version that needs a review waits while somebody is granted what its LFN names: the LFN
    goes on naming that. What waits is a version above the one that is named; see `promote`.
    """

    # -- registering -------------------------------------------------------------------------------

    def register(
        self, new: Sequence[Registration], replace: bool = False, *, uploaded: bool = False
    ) -> None:
        """Enter objects, all or none.

        Parameters
        ----------
        new : sequence of Registration
            Objects with or without an LFN; reservations of their replicas end.
        replace : bool
            Give a taken LFN a new version instead of refusing.
        uploaded : bool
            All replicas were reserved: refuse when a reservation stands no more.

        Raises
        ------
        Busy
            A reservation was taken back meanwhile, and with it the bytes.
        AlreadyExists
            An LFN is taken, or is a folder, or lies below an object. It tells a viewer that the
            name is used, also when they do not see by what: names are one space for the grid.
        Denied
            A viewer brings an object that would belong to somebody else. What belongs to a
            patient need not have an owner; what does not is the viewer's.
        UsageError
            Two of `new` have one LFN, or an attribute has another type elsewhere in the grid.
        """
        if not new:
            return
        with self._db.write() as connection:
            names = NameBook(connection)
            _refuse_twice(item.object.lfn for item in new)
            wanted = {
                item.object.lfn: item.object.review is Review.NEEDED
                for item in new
                if item.object.lfn is not None
            }
            places = self._claim(connection, wanted, replace)
            rows: list[dict[str, Any]] = []
            values: list[dict[str, Any]] = []
            for item in new:
                row, many = _row(item, places, self._sight.owner)
                rows.append(row)
                names.note_document(row["attributes"])
                for name, several in many.items():
                    names.note_list(name)
                    values += user_rows(row["id"], name, COLUMNS[name].type, several)
                values += _given_by_user(names, item, row)
            if self._sight.viewer is not None and any(
                row["owner"] not in ("" if row["patient"] else None, self._sight.viewer)
                for row in rows
            ):
                raise Denied(f"{self._sight.viewer} cannot register what belongs to another")
            patients = _sorted(*(row["patient"] for row in rows), *_replaced(places))
            hold_patients(connection, patients, self._sight)
            with _names_taken_meanwhile():
                connection.execute(insert(object_), rows)
            self._wait(connection, ((item.object.lfn, item.object.id) for item in new), places)
            if values:
                connection.execute(insert(attribute), values)
            replicas = [found for item in new for found in item.replicas]
            self._add_replicas(connection, replicas, uploaded=uploaded)
            count_visits(connection, patients, self._sight)

    def hold_patients(self, pseudonyms: Iterable[str]) -> None:
        """Keep other writers from patients until the end of the transaction."""
        with self._db.write() as connection:
            hold_patients(connection, sorted(set(pseudonyms)), self._sight)

    def _claim(
        self, connection: Connection, wanted: Mapping[LFN, bool], replace: bool
    ) -> dict[str, _Place]:
        """Check that LFNs are free, and return the place each object gets, by LFN.

        `wanted` says of each whether its object needs a review.
        """
        if not wanted:
            return {}
        taken = connection.execute(
            select(
                object_.c.lfn,
                object_.c.id,
                object_.c.version,
                object_.c.patient,
                self._sight.writes().label("may"),
                and_(object_.c.review != str(Review.NEEDED), _is_granted(object_.c.id)).label(
                    "granted"
                ),
            ).where(among(connection, object_.c.lfn, wanted))
        ).all()
        names = {row.lfn for row in taken}
        if self._sight.is_guarded:
            names |= unseen_names(connection, wanted)
        if names and not (replace and len(names) == len(taken) and all(row.may for row in taken)):
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            new_version = "" if replace else ", or ask for a new version with --replace"
            raise AlreadyExists(
                f"{min(names)} already exists{more}", hint=f"choose another LFN{new_version}"
            )
        refuse_folders(connection, list(wanted), self._sight)
        places = dict.fromkeys(map(str, wanted), _Place(1))
        if taken:
            older = object_version.c
            last = connection.execute(
                select(older.lfn, func.max(older.version).label("number"))
                .where(among(connection, older.lfn, names))
                .group_by(older.lfn)
            )
            numbers: dict[str, int] = {row.lfn: row.number for row in last}
            places |= {
                row.lfn: _Place(
                    max(row.version, numbers.get(row.lfn, 0)) + 1,
                    bool(wanted[row.lfn] and row.granted),
                    row.patient,
                )
                for row in taken
            }
            replace_many(
                connection,
                [(row.lfn, row.version, row.id) for row in taken if not places[row.lfn].waits],
            )
        return places

    @staticmethod
    def _wait(
        connection: Connection,
        objects: Iterable[tuple[LFN | None, ObjectId]],
        places: Mapping[str, _Place],
    ) -> None:
        """Enter versions that wait."""
        waiting = [
            (lfn, places[lfn].version, object_id)
            for lfn, object_id in objects
            if lfn is not None and places[lfn].waits
        ]
        if waiting:
            enter_versions(connection, waiting)

    def name(
        self,
        object_id: ObjectId,
        lfn: LFN,
        attributes: Mapping[str, AttributeValue | list[Any]] | None = None,
        *,
        replace: bool = False,
    ) -> None:
        """Give an object without LFN its LFN, and what it inherits or measures; see `name_many`."""
        self.name_many([Naming(object_id, lfn, attributes or {})], replace)

    def name_many(self, namings: Sequence[Naming], replace: bool = False) -> None:
        """Give objects without LFN their LFNs, and what becomes known of them; all or none.

        Raises
        ------
        AlreadyExists
            An LFN is taken and `replace` does not ask for a new version of it, or an object
            already has one.
        NotFound
            There is no such object.
        Denied
            The viewer may not change one.
        UsageError
            Two objects would get one LFN, or an attribute has another type in this grid.
        """
        if not namings:
            return
        ids = [one.object_id for one in namings]
        with self._db.write() as connection:
            self._require_writable(connection, ids)
            rows = connection.execute(
                select(object_.c.id, object_.c.lfn).where(among(connection, object_.c.id, ids))
            )
            for object_id, name in rows:
                if name is not None:
                    raise AlreadyExists(f"object {object_id} is already named {name}")
            older = object_version.c
            versions = select(older.object_id, older.lfn)
            for object_id, name in connection.execute(
                versions.where(among(connection, older.object_id, ids))
            ):
                raise AlreadyExists(f"object {object_id} is already a version of {name}")
            _refuse_twice(one.lfn for one in namings)
            needing = select(object_.c.id).where(
                among(connection, object_.c.id, ids), object_.c.review == str(Review.NEEDED)
            )
            unseen = set(connection.scalars(needing))
            places = self._claim(
                connection, {one.lfn: one.object_id in unseen for one in namings}, replace
            )
            connection.execute(
                update(object_)
                .where(object_.c.id == bindparam("which"))
                .values(lfn=bindparam("to"), version=bindparam("number")),
                [
                    {
                        "which": one.object_id,
                        "to": None if places[one.lfn].waits else one.lfn,
                        "number": places[one.lfn].version,
                    }
                    for one in namings
                ],
            )
            self._wait(connection, ((one.lfn, one.object_id) for one in namings), places)
            _set_many(
                connection,
                [(one.object_id, one.attributes, one.units) for one in namings],
                self._sight,
            )
            named = patients_of(connection, among(connection, object_.c.id, ids))
            count_visits(connection, _sorted(*named, *_replaced(places)), self._sight)

    # -- attributes --------------------------------------------------------------------------------

    def set_attributes(
        self,
        object_id: ObjectId,
        values: Mapping[str, AttributeValue | list[Any]],
        units: Mapping[str, str] | None = None,
        *,
        is_imported: bool = False,
    ) -> None:
        """Set attributes of an object; None takes one away.

        `is_imported` says that an import reads them, no person gives them.

        Raises
        ------
        NotFound
            There is no such object.
        Denied
            The viewer may not change it.
        UsageError
            A name is not allowed, or the attribute has another type in this grid.
        """
        with self._db.write() as connection:
            self._require_writable(connection, [object_id])
            if is_imported:
                NameBook(connection).note_document(values)
            _set_many(connection, [(object_id, values, units or {})], self._sight)
            count_visits_of(connection, [object_id], self._sight)


@contextlib.contextmanager
def _names_taken_meanwhile() -> Iterator[None]:
    """Say that an LFN is taken when another transaction took it since `_claim` looked."""
    try:
        yield
    except exc.IntegrityError as error:
        constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
        if constraint != "uq_object_lfn":
            raise
        raise AlreadyExists("an LFN was taken meanwhile", hint="try again") from error


def _set_many(
    connection: Connection,
    changes: Sequence[tuple[str, Mapping[str, AttributeValue | list[Any]], Mapping[str, str]]],
    sight: Sight,
) -> None:
    """Set attributes: (object id, values by name, units by name), each object once."""
    names = NameBook(connection)
    gone: list[dict[str, Any]] = []
    new: list[dict[str, Any]] = []
    hold_patients(
        connection,
        sorted({str(values["PatientID"]) for _, values, _ in changes if values.get("PatientID")}),
        sight,
    )
    for object_id, values, units in changes:
        columns: dict[str, Any] = {}
        document: dict[str, Any] = {}
        for name, value in values.items():
            spec = COLUMNS.get(name)
            if spec is not None:
                if names.has_lists(name):
                    gone.append({"which": object_id, "called": name})
                columns[spec.column], rows = _column(names, object_id, spec, value)
                new += rows
                continue
            known = names.claim(name, value, units.get(name))
            if known.place == "json":
                document[name] = value
                continue
            gone.append({"which": object_id, "called": name})
            if value is not None and value != []:
                new += user_rows(object_id, name, known.type, value)
        if document:
            before = connection.scalar(
                select(object_.c.attributes).where(object_.c.id == object_id)
            )
            both = {**(before or {}), **document}
            columns["attributes"] = {key: one for key, one in both.items() if one is not None}
        if columns:
            connection.execute(update(object_).where(object_.c.id == object_id).values(columns))
    if gone:
        connection.execute(
            delete(attribute).where(
                attribute.c.object_id == bindparam("which"),
                attribute.c.name == bindparam("called"),
            ),
            gone,
        )
    if new:
        connection.execute(insert(attribute), new)


def _refuse_twice(lfns: Iterable[LFN | None]) -> None:
    """Refuse to give one LFN to two objects."""
    counts = Counter(lfn for lfn in lfns if lfn is not None)
    for lfn, count in counts.items():
        if count > 1:
            raise UsageError(f"{lfn} is given to two objects")


def _is_granted(object_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether somebody has an open grant of an object."""
    is_open = or_(
        access_grant.c.until_s.is_(None), access_grant.c.until_s > literal(time.time(), Double)
    )
    return exists().where(access_grant.c.object_id == object_id, is_open)


def _replaced(places: Mapping[str, _Place]) -> Iterator[str | None]:
    """Patients of what LFNs named until now."""
    return (place.patient for place in places.values())


def _sorted(*patients: str | None) -> list[str]:
    """Patients, each once, in the order in which they are locked."""
    return sorted(set(filter(None, patients)))


def replace_many(connection: Connection, named: Collection[tuple[str, int, str]]) -> None:
    """Let LFNs name these objects no more: (LFN, version, object id) become older versions."""
    if not named:
        return
    connection.execute(
        update(object_)
        .where(among(connection, object_.c.id, [object_id for _, _, object_id in named]))
        .values(lfn=None)
    )
    enter_versions(connection, named)


def enter_versions(connection: Connection, versions: Iterable[tuple[str, int, str]]) -> None:
    """Enter versions of LFNs that these do not name: (LFN, version, object id)."""
    now = time.time()
    connection.execute(
        insert(object_version),
        [
            {"lfn": lfn, "version": version, "object_id": object_id, "replaced_s": now}
            for lfn, version, object_id in versions
        ],
    )


def _row(
    item: Registration, places: Mapping[str, _Place], owner: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns of an object's row, and its column attributes that have several values."""
    found = item.object
    parts = split(found.attributes)
    for column, value in (
        ("patient", item.patient or found.patient),
        ("study_uid", item.study_uid),
        ("series_uid", item.series_uid),
    ):
        if value is not None:
            parts.columns[column] = value
    place = places.get(found.lfn or "", _Place(1))
    row = {
        "id": found.id,
        "lfn": None if place.waits else found.lfn,
        "version": place.version,
        "kind": str(found.kind),
        "filename": found.filename,
        "size_bytes": found.size_bytes,
        "sha256": found.sha256,
        "created_s": found.created_s or time.time(),
        "data_class": str(found.data_class),
        "owner": found.owner,
        "digest": found.digest,
        "review": str(found.review),
        "original": found.original,
        "rekeyed_as": found.rekeyed_as,
        "attributes": parts.document,
        **parts.columns,
    }
    if not row["patient"]:
        row["owner"] = found.owner or owner
    return row, parts.lists


def _given_by_user(
    names: NameBook, item: Registration, row: dict[str, Any]
) -> list[dict[str, Any]]:
    """Rows of what a person said of a new object; columns and documents are changed in `row`."""
    found: list[dict[str, Any]] = []
    for name, value in item.user_attributes.items():
        spec = COLUMNS.get(name)
        if spec is not None:
            row[spec.column], rows = _column(names, row["id"], spec, value)
            found += rows
            continue
        known = names.claim(name, value, item.units.get(name))
        if known.place == "json":
            row["attributes"][name] = value
        elif value is not None and value != []:
            found += user_rows(row["id"], name, known.type, value)
    return found


def _column(
    names: NameBook, object_id: str, spec: AttributeColumn, value: AttributeValue | list[Any]
) -> tuple[Any, list[dict[str, Any]]]:
    """What a column gets, the first of several values, and rows of all when there are several."""
    many = value if isinstance(value, list) else [value]
    fitting = [fit_column(spec, one) for one in many]
    if len(fitting) < 2:
        return fitting[0] if fitting else None, []
    names.note_list(spec.name)
    return fitting[0], user_rows(object_id, spec.name, spec.type, fitting)


def unseen_names(connection: Connection, lfns: Collection[str]) -> set[str]:
    """Those of `lfns` that are taken, as a guarded database tells them, seen or not."""
    taken = text("SELECT * FROM medgrid.names_taken(:lfns)")
    return set(connection.scalars(taken, {"lfns": list(lfns)}))


def refuse_folders(connection: Connection, lfns: Sequence[str], sight: Sight) -> None:
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
        above = connection.scalar(
            select(object_.c.lfn).where(among(connection, object_.c.lfn, parents)).limit(1)
        )
        if above is None and sight.is_guarded:
            above = min(unseen_names(connection, sorted(parents)), default=None)
        if above is not None:
            raise AlreadyExists(
                f"{above} is an object, nothing can lie below it", hint="choose another LFN"
            )
    given = value_table(connection, lfns)
    first_after = (
        select(object_.c.lfn)
        .where(object_.c.lfn > given.c.value + "/")
        .order_by(object_.c.lfn)
        .limit(1)
        .correlate(given)
        .scalar_subquery()
    )
    folder = connection.scalar(
        select(given.c.value).where(first_after < given.c.value + AFTER_SLASH).limit(1)
    )
    if folder is None and sight.is_guarded:
        full = text("SELECT * FROM medgrid.folders_of(:lfns)")
        folder = connection.scalar(full, {"lfns": list(lfns)})
    if folder is not None:
        raise AlreadyExists(f"{folder} is a folder", hint="choose another LFN")
