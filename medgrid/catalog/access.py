"""Care teams and grants: who is what to which patient, and who was let see which objects."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, insert, or_, select, text

from medgrid.catalog.schema import access_grant, care, object_
from medgrid.catalog.sight import Sight
from medgrid.catalog.visits import hold_patients
from medgrid.crypto.policy import Care, Kind, Thing
from medgrid.database import Database
from medgrid.database.many import among, value_table
from medgrid.database.plans import rare, unindexed
from medgrid.errors import Denied, NotFound
from medgrid.model import DataClass, GridObject, ObjectId

__all__ = ["AccessStore", "Grant", "Member"]


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """What an identity is to a patient."""

    patient: str
    identity: str
    role: Care


@dataclass(frozen=True, slots=True)
class Grant:
    """One object that `identity` may see and read, until `until_s` unless that is None.

    `dataset` is the giver's dataset it was granted with, None when it was given by itself.
    """

    object_id: ObjectId
    identity: str
    granted_by: str
    until_s: float | None = None
    dataset: str | None = None
    created_s: float = 0.0

    def is_open(self, now_s: float) -> bool:
        """Whether it has not expired."""
        return self.until_s is None or self.until_s > now_s


_INHERIT = """
INSERT INTO access_grant (object_id, identity, granted_by, dataset, until_s, created_s)
SELECT n.id, g.identity, g.granted_by, g.dataset, g.until_s, g.created_s
FROM object n JOIN access_grant g ON g.object_id = (
    SELECT o.id FROM object o WHERE o.id = (
        SELECT b.id FROM object_version v JOIN object b ON b.id = v.object_id
        WHERE v.lfn = n.lfn AND v.version < n.version AND b.review <> 'needed'
        ORDER BY v.version DESC LIMIT 1)
    AND o.data_class = 'image' AND o.owner = n.owner
    AND coalesce(o.patient, '') = coalesce(n.patient, ''))
WHERE n.id = :object_id AND n.data_class = 'image' AND n.review <> 'needed'
    AND (g.until_s IS NULL OR g.until_s > :now_s)
ON CONFLICT DO NOTHING
"""
"""Copies the open grants of what an LFN named before to what it names; as `row_policies` does."""

_TAKE_OVER = """
INSERT INTO access_grant (object_id, identity, granted_by, dataset, until_s, created_s)
SELECT :new, g.identity, g.granted_by, g.dataset, g.until_s, g.created_s
FROM access_grant g
WHERE g.object_id = :old AND (g.until_s IS NULL OR g.until_s > :now_s)
ON CONFLICT DO NOTHING
"""


class AccessStore:
    """Care teams and grants. Each method is one transaction.

    A viewer sees the teams of the patients they care for, and the grants they gave, got, or that
    are on data of a patient they are a physician of; and changes only what policy lets them.
    """

    def __init__(self, db: Database, sight: Sight) -> None:
        self._db = db
        self._sight = sight

    # -- teams -------------------------------------------------------------------------------------

    def add_care(self, *members: Member) -> int:
        """Enter what identities are to patients; return how many of it was new.

        Raises
        ------
        Denied
            The viewer is no physician of a patient that has a team; nothing is entered.
        """
        if not members:
            return 0
        patients = sorted({one.patient for one in members})
        with self._db.write() as connection:
            self._require_physician(connection, patients, unless_alone=True)
            hold_patients(connection, patients, self._sight)
            rows = connection.execute(
                select(care).where(among(connection, care.c.patient, patients))
            )
            known = {Member(row.patient, row.identity, Care(row.role)) for row in rows}
            new = sorted({*members} - known, key=self._own_first)
            if new:
                connection.execute(
                    insert(care),
                    [
                        {"patient": one.patient, "identity": one.identity, "role": str(one.role)}
                        for one in new
                    ],
                )
            return len(new)

    def _own_first(self, member: Member) -> tuple[bool, Member]:
        """Who begins a team is of it first, and lets others in then."""
        begins = member.identity == self._sight.viewer and member.role is Care.PHYSICIAN
        return not begins, member

    def drop_care(self, patient: str, identity: str, role: Care | None = None) -> int:
        """Forget what an identity is to a patient, in all roles or one; return how many it was.

        Raises
        ------
        Denied
            The viewer is no physician of the patient.
        """
        with self._db.write() as connection:
            self._require_physician(connection, [patient])
            chosen = [care.c.patient == patient, care.c.identity == identity]
            if role is not None:
                chosen.append(care.c.role == str(role))
            return connection.execute(delete(care).where(*chosen)).rowcount

    def team(self, patient: str) -> list[Member]:
        """Who is what to a patient, by name."""
        return self.teams([patient]).get(patient, [])

    def teams(self, patients: Iterable[str]) -> dict[str, list[Member]]:
        """Teams by patient; patients without one, or whose team is not seen, are absent."""
        found: dict[str, list[Member]] = {}
        with self._db.read() as connection:
            rows = connection.execute(
                select(care)
                .where(
                    among(connection, care.c.patient, set(patients)),
                    self._sight.cares(care.c.patient),
                )
                .order_by(care.c.patient, care.c.identity, care.c.role)
            )
            for patient, identity, role in rows:
                found.setdefault(patient, []).append(Member(patient, identity, Care(role)))
        return found

    def patients_of(self, identity: str, role: Care | None = None) -> list[str]:
        """Patients that an identity cares for, or is, sorted."""
        question = select(care.c.patient).where(care.c.identity == identity)
        if role is not None:
            question = question.where(care.c.role == str(role))
        question = question.where(self._sight.cares(care.c.patient)).distinct()
        with self._db.read() as connection:
            return list(connection.scalars(question.order_by(care.c.patient)))

    def cares_for(self, patients: Iterable[str], identity: str) -> dict[str, frozenset[Care]]:
        """What an identity is to patients; those it is nothing to are absent."""
        found: dict[str, set[Care]] = {}
        with self._db.read() as connection:
            rows = connection.execute(
                select(care.c.patient, care.c.role).where(
                    among(connection, care.c.patient, set(patients)),
                    unindexed(connection, care.c.identity) == identity,
                    self._sight.cares(care.c.patient),
                )
            )
            for patient, role in rows:
                found.setdefault(patient, set()).add(Care(role))
        return {patient: frozenset(roles) for patient, roles in found.items()}

    def without_team(self, patients: Iterable[str]) -> set[str]:
        """Those of `patients` for whom nobody cares yet."""
        wanted = set(patients)
        with self._db.read() as connection:
            return wanted - self._with_team(connection, wanted)

    # -- grants ------------------------------------------------------------------------------------

    def grant(self, *grants: Grant) -> None:
        """Enter grants, all or none; one that is there already gets the new end.

        Raises
        ------
        Denied
            The viewer gives in another's name, or is no physician of the patient.
        NotFound
            There is no such object.
        """
        if not grants:
            return
        now = time.time()
        with self._db.write() as connection:
            self._require_grantable(connection, grants)
            connection.execute(
                text(
                    "INSERT INTO access_grant"
                    " (object_id, identity, granted_by, dataset, until_s, created_s) VALUES"
                    " (:object_id, :identity, :granted_by, :dataset, :until_s, :created_s)"
                    " ON CONFLICT (object_id, identity, granted_by, dataset)"
                    " DO UPDATE SET until_s = excluded.until_s"
                ),
                [
                    {
                        "object_id": one.object_id,
                        "identity": one.identity,
                        "granted_by": one.granted_by,
                        "dataset": one.dataset or "",
                        "until_s": one.until_s,
                        "created_s": one.created_s or now,
                    }
                    for one in grants
                ],
            )

    def inherit(self, ids: Collection[ObjectId]) -> None:
        """Grant new versions of LFNs as what these named before is granted, to the same ends.

        The grants stay those of who gave them. What has ended, and what is of another patient or
        owner, is not handed on.

        Raises
        ------
        Denied
            The viewer may not grant one.
        NotFound
            There is no such object.
        """
        if not ids:
            return
        with self._db.write() as connection:
            if self._sight.is_guarded:
                handed = text("SELECT medgrid.inherit_grants(:ids)")
                connection.execute(handed, {"ids": list(ids)})
                return
            self._require_grantable(connection, [Grant(one, "", self._sight.owner) for one in ids])
            now_s = time.time()
            connection.execute(text(_INHERIT), [{"object_id": one, "now_s": now_s} for one in ids])

    def take_over(self, old: ObjectId, new: ObjectId) -> None:
        """Grant an object also to whom another is granted, to the same ends.

        The grants stay those of who gave them; what has ended is not handed on.

        Raises
        ------
        Denied
            The viewer may not grant one of the two.
        NotFound
            There is no such object.
        """
        with self._db.write() as connection:
            if self._sight.is_guarded:
                taken = text("SELECT medgrid.take_over_grants(:old, :new)")
                connection.execute(taken, {"old": old, "new": new})
                return
            mine = [Grant(one, "", self._sight.owner) for one in (old, new)]
            self._require_grantable(connection, mine)
            connection.execute(text(_TAKE_OVER), {"old": old, "new": new, "now_s": time.time()})

    def revoke(
        self,
        identity: str,
        *,
        granted_by: str | None = None,
        dataset: str | None = None,
        ids: Iterable[ObjectId] | None = None,
    ) -> list[Grant]:
        """Take grants of an identity back, of those the viewer may; return what was taken back.

        Parameters
        ----------
        identity : str
            Who had them.
        granted_by : str, optional
            Only those this identity gave.
        dataset : str, optional
            Only those given with this dataset.
        ids : iterable of ObjectId, optional
            Only those on these objects.
        """
        chosen = {"identity": identity, "granted_by": granted_by, "dataset": dataset}
        with self._db.write() as connection:
            gone = self._grants(connection, chosen, ids, self._gives())
            if gone:
                connection.execute(
                    text(
                        "DELETE FROM access_grant WHERE object_id = :object_id AND"
                        " identity = :identity AND granted_by = :granted_by AND dataset = :dataset"
                    ),
                    [
                        {
                            "object_id": one.object_id,
                            "identity": one.identity,
                            "granted_by": one.granted_by,
                            "dataset": one.dataset or "",
                        }
                        for one in gone
                    ],
                )
            return gone

    def grants(
        self,
        identity: str | None = None,
        *,
        granted_by: str | None = None,
        dataset: str | None = None,
        ids: Iterable[ObjectId] | None = None,
    ) -> list[Grant]:
        """Grants that the viewer may know of, expired ones too; by object, identity and giver."""
        chosen = {"identity": identity, "granted_by": granted_by, "dataset": dataset}
        with self._db.read() as connection:
            return self._grants(connection, chosen, ids, self._knows())

    # -- what policy needs to know -----------------------------------------------------------------

    def things(self, objects: Iterable[GridObject], identity: str) -> dict[ObjectId, Thing]:
        """Objects as `medgrid.crypto.policy.may` wants them, seen by `identity`."""
        items = list(objects)
        cares = self.cares_for({one.patient for one in items if one.patient}, identity)
        given: dict[ObjectId, list[float | None]] = {}
        for one in self.grants(identity, ids=[item.id for item in items]):
            given.setdefault(one.object_id, []).append(one.until_s)
        found = {}
        for item in items:
            ends = given.get(item.id, [])
            found[item.id] = Thing(
                kind=_kind(item),
                data_class=item.data_class,
                owner=item.owner,
                patient=item.patient,
                review=item.review,
                care=cares.get(item.patient or "", frozenset()),
                granted=bool(ends),
                grant_until_s=None if None in ends else max(filter(None, ends), default=None),
            )
        return found

    def patient_things(self, patients: Iterable[str], identity: str) -> dict[str, Thing]:
        """Patients as `medgrid.crypto.policy.may` wants them, seen by `identity`."""
        wanted = set(patients)
        cares = self.cares_for(wanted, identity)
        alone = self.without_team(wanted)
        return {
            patient: Thing(
                Kind.PATIENT,
                DataClass.NOMINATIVE,
                patient=patient,
                care=cares.get(patient, frozenset()),
                has_team=patient not in alone,
            )
            for patient in wanted
        }

    # -- helpers -----------------------------------------------------------------------------------

    def _gives(self) -> ColumnElement[bool]:
        """Whether the viewer may give or take back the grant of a row."""
        return or_(
            access_grant.c.granted_by == self._sight.owner,
            self._sight.is_physician(object_.c.patient),
        )

    def _knows(self) -> ColumnElement[bool]:
        return or_(access_grant.c.identity == self._sight.owner, self._gives())

    @staticmethod
    def _grants(
        connection: Connection,
        chosen: Mapping[str, str | None],
        ids: Iterable[ObjectId] | None,
        allowed: ColumnElement[bool],
    ) -> list[Grant]:
        columns = access_grant.c
        values = {columns[name]: value for name, value in chosen.items() if value is not None}
        if ids is None:
            conditions = [rare(connection, column == value) for column, value in values.items()]
        else:
            conditions = [
                among(connection, columns.object_id, set(ids)),
                *(unindexed(connection, column) == value for column, value in values.items()),
            ]
        question: Select[Any] = (
            select(
                columns.object_id,
                columns.identity,
                columns.granted_by,
                columns.until_s,
                columns.dataset,
                columns.created_s,
            )
            .join(object_, object_.c.id == columns.object_id)
            .where(*conditions, allowed)
            .order_by(columns.object_id, columns.identity, columns.granted_by, columns.dataset)
        )
        return [
            Grant(ObjectId(row[0]), row[1], row[2], row[3], row[4] or None, row[5])
            for row in connection.execute(question)
        ]

    def _with_team(self, connection: Connection, patients: Collection[str]) -> set[str]:
        if self._sight.is_guarded:
            alone = text(
                "SELECT p FROM unnest(CAST(:given AS text[])) AS g(p) WHERE medgrid.begins(p)"
            )
            return set(patients) - set(connection.scalars(alone, {"given": list(patients)}))
        known = select(care.c.patient).where(among(connection, care.c.patient, patients))
        return set(connection.scalars(known.distinct()))

    def _require_physician(
        self, connection: Connection, patients: Collection[str], *, unless_alone: bool = False
    ) -> None:
        """Raise Denied unless the viewer is a physician of all `patients`."""
        if self._sight.viewer is None:
            return
        given = value_table(connection, patients)
        mine = set(
            connection.scalars(select(given.c.value).where(self._sight.is_physician(given.c.value)))
        )
        strange = set(patients) - mine
        if unless_alone and strange:
            strange &= self._with_team(connection, strange)
        if strange:
            raise Denied(
                "only a physician of the patient changes who cares for them",
                hint="ask one of the care team",
            )

    def _require_grantable(self, connection: Connection, grants: Sequence[Grant]) -> None:
        ids = {one.object_id for one in grants}
        rows = connection.execute(
            select(object_.c.id, self._sight.controls().label("may")).where(
                among(connection, object_.c.id, ids), self._sight.objects()
            )
        ).all()
        missing = ids - {row.id for row in rows}
        if missing:
            raise NotFound(f"no object {min(missing)}")
        others = self._sight.viewer is not None and any(
            one.granted_by != self._sight.viewer for one in grants
        )
        if others or not all(row.may for row in rows):
            raise Denied(
                "only a physician of the patient grants data", hint="ask one of the care team"
            )


def _kind(item: GridObject) -> Kind:
    if item.data_class is DataClass.PUBLIC:
        return Kind.PUBLIC
    if item.data_class is DataClass.NOMINATIVE:
        return Kind.ORIGINAL
    if item.original is not None:
        return Kind.DERIVATIVE
    return Kind.SUMMARY if item.patient is None else Kind.RESULT
