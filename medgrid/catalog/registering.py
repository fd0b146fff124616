"""Entering objects: LFNs that are free, attributes where they belong, visits counted."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exc, insert, select, text, update

from medgrid.catalog.attributes import COLUMNS, AttributeColumn
from medgrid.catalog.names import NameBook, fit_column
from medgrid.catalog.replicas import ReplicaBook
from medgrid.catalog.rows import split, user_rows
from medgrid.catalog.schema import attribute, object_, object_version
from medgrid.catalog.sight import Sight
from medgrid.catalog.visits import count_visits, count_visits_of, hold_patients
from medgrid.database.many import among, value_table
from medgrid.errors import AlreadyExists, Denied, UsageError
from medgrid.model import LFN, AttributeValue, GridObject, ObjectId, Replica

__all__ = [
    "AFTER_SLASH",
    "Naming",
    "Registrar",
    "Registration",
    "refuse_folders",
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


class Registrar(ReplicaBook):
    """Registers objects and their attributes; a part of `ObjectStore`."""

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
            versions = self._claim(connection, [item.object.lfn for item in new], replace)
            rows: list[dict[str, Any]] = []
            values: list[dict[str, Any]] = []
            for item in new:
                row, many = _row(item, versions, self._sight.owner)
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
            patients = sorted({row["patient"] for row in rows if row["patient"]})
            hold_patients(connection, patients, self._sight)
            with _names_taken_meanwhile():
                connection.execute(insert(object_), rows)
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
        self, connection: Connection, lfns: Sequence[LFN | None], replace: bool
    ) -> dict[str, int]:
        """Check that LFNs are free and return the version each object gets, by LFN."""
        wanted = [lfn for lfn in lfns if lfn is not None]
        counts = Counter(wanted)
        if len(counts) != len(wanted):
            twice = next(lfn for lfn in wanted if counts[lfn] > 1)
            raise UsageError(f"{twice} is given to two objects")
        if not wanted:
            return {}
        taken = connection.execute(
            select(
                object_.c.lfn, object_.c.id, object_.c.version, self._sight.writes().label("may")
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
        refuse_folders(connection, wanted, self._sight)
        versions: dict[str, int] = dict.fromkeys(wanted, 1)
        now = time.time()
        if taken:
            versions.update((row.lfn, row.version + 1) for row in taken)
            connection.execute(
                update(object_)
                .where(among(connection, object_.c.id, [row.id for row in taken]))
                .values(lfn=None)
            )
            connection.execute(
                insert(object_version),
                [
                    {
                        "lfn": row.lfn,
                        "version": row.version,
                        "object_id": row.id,
                        "replaced_s": now,
                    }
                    for row in taken
                ],
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
            versions = self._claim(connection, [one.lfn for one in namings], replace)
            connection.execute(
                update(object_)
                .where(object_.c.id == bindparam("which"))
                .values(lfn=bindparam("to"), version=bindparam("number")),
                [
                    {"which": one.object_id, "to": one.lfn, "number": versions[one.lfn]}
                    for one in namings
                ],
            )
            _set_many(
                connection,
                [(one.object_id, one.attributes, one.units) for one in namings],
                self._sight,
            )
            count_visits_of(connection, ids, self._sight)

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
        Denied
            The viewer may not change it.
        UsageError
            A name is not allowed, or the attribute has another type in this grid.
        """
        with self._db.write() as connection:
            self._require_writable(connection, [object_id])
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


def _row(
    item: Registration, versions: Mapping[str, int], owner: str
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
    row = {
        "id": found.id,
        "lfn": found.lfn,
        "version": versions.get(found.lfn or "", 1),
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
