"""Contents that imports have brought: each is registered once, also by two imports at a time.

A content is one of a patient, or of an owner where it is no patient's: what others have changes no
answer. It is known by its place, too: a patient may have one empty mask in two sessions. Files that
jobs write may be alike, and do not stand here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from medgrid.catalog.schema import imported, imported_series, object_
from medgrid.catalog.sight import Sight
from medgrid.database import Database
from medgrid.database.many import among
from medgrid.model import LFN, ObjectId

__all__ = ["Content", "ImportedStore", "Spot"]


class Spot(NamedTuple):
    """What an import calls something, and whose it is.

    `lfn` is the same for the same file, whatever words may stand in LFNs. One of `patient` (a
    pseudonym) and `owner` is empty.
    """

    lfn: LFN
    patient: str
    owner: str


class Content(NamedTuple):
    """Something that is imported; `digest` is the keyed one of its bytes."""

    spot: Spot
    digest: str


_KEY = ("lfn", "digest", "patient", "owner")

_IS_THERE = and_(
    object_.c.id == imported.c.object_id,
    object_.c.lfn.is_not(None),
    object_.c.digest == imported.c.digest,
    func.coalesce(object_.c.patient, "") == imported.c.patient,
)
"""Whether the object that a row names still holds its content: one that has an LFN."""


class ImportedStore:
    """What was imported. Each method is one transaction."""

    def __init__(self, db: Database, sight: Sight) -> None:
        self._db = db
        self._sight = sight

    def spots(self, object_id: ObjectId) -> set[Spot]:
        """What imports have called an original that the viewer sees."""
        with self._db.read() as connection:
            rows = connection.execute(
                select(imported.c.lfn, imported.c.patient, imported.c.owner)
                .join(object_, object_.c.id == imported.c.object_id)
                .where(imported.c.object_id == object_id, self._sight.objects())
            )
            return {Spot(LFN(lfn), patient, owner) for lfn, patient, owner in rows}

    def recall(self, object_id: ObjectId, digest: str, spots: Mapping[Spot, Spot]) -> None:
        """Call an original otherwise: old spot -> new one."""
        if not spots:
            return
        with self._db.write() as connection:
            self.claim({Content(spot, digest): object_id for spot in spots.values()})
            connection.execute(
                delete(imported).where(
                    imported.c.object_id == object_id,
                    imported.c.lfn.in_([spot.lfn for spot in spots]),
                )
            )

    def held(self, spots: Sequence[Spot], size_bytes: int) -> dict[str, ObjectId]:
        """Originals of this size that came to spots of one, by the digests of their contents."""
        with self._db.read() as connection:
            rows = connection.execute(
                select(imported.c.digest, imported.c.object_id)
                .join(object_, _IS_THERE)
                .where(
                    imported.c.lfn.in_([spot.lfn for spot in spots]),
                    imported.c.patient == spots[0].patient,
                    imported.c.owner == spots[0].owner,
                    object_.c.size_bytes == size_bytes,
                    self._sight.objects(),
                )
            )
            return {digest: ObjectId(object_id) for digest, object_id in rows}

    def claim(self, new: Mapping[Content, ObjectId]) -> dict[Content, ObjectId]:
        """Say which objects are about to hold contents; give those that others hold already.

        Until the end of the transaction nobody else claims any of them: who asks later waits, and
        is told the object that was registered. What a removed object or an older version held is
        free.
        """
        if not new:
            return {}
        with self._db.write() as connection:
            if self._sight.is_guarded:
                return _claim_guarded(connection, new)
            dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
            statement = dialect.insert(imported)
            # sorted, so that two who claim the same ones do not wait for each other
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=_KEY, set_={"object_id": imported.c.object_id}
                ),
                [{**_row(one), "object_id": new[one]} for one in sorted(new)],
            )
            # a statement of its own sees what those whom it waited for have registered
            rows = connection.execute(
                select(*(imported.c[name] for name in _KEY), imported.c.object_id, object_.c.id)
                .join(object_, _IS_THERE, isouter=True)
                .where(among(connection, imported.c.lfn, {one.spot.lfn for one in new}))
            )
            held: dict[Content, ObjectId] = {}
            free: list[Content] = []
            for row in rows:
                one = Content(Spot(LFN(row.lfn), row.patient, row.owner), row.digest)
                if one not in new or row.object_id == new[one]:
                    continue
                if row.id is None:
                    free.append(one)
                else:
                    held[one] = ObjectId(row.id)
            if free:
                connection.execute(
                    update(imported)
                    .where(*(imported.c[name] == bindparam(f"its_{name}") for name in _KEY))
                    .values(object_id=bindparam("new_id")),
                    [
                        {"new_id": new[one]}
                        | {f"its_{name}": value for name, value in _row(one).items()}
                        for one in free
                    ],
                )
            return held

    # -- whether patients are who they seem to be --------------------------------------------------

    def note_series(self, new: Mapping[ObjectId, str]) -> None:
        """Remember what series originals hold, by what each is known by whoever its patient is."""
        if new:
            with self._db.write() as connection:
                connection.execute(
                    insert(imported_series),
                    [{"object_id": one, "series": series} for one, series in new.items()],
                )

    def patients_of_series(self, series: Iterable[str]) -> dict[str, set[str]]:
        """Patients who have some series, as far as the viewer sees them."""
        found: dict[str, set[str]] = {}
        with self._db.read() as connection:
            rows = connection.execute(
                select(imported_series.c.series, object_.c.patient)
                .join(object_, object_.c.id == imported_series.c.object_id)
                .where(
                    among(connection, imported_series.c.series, series),
                    object_.c.patient.is_not(None),
                    self._sight.objects(),
                )
                .distinct()
            )
            for one, patient in rows:
                found.setdefault(one, set()).add(patient)
        return found

    def said_of(self, patients: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """Sexes, ages and days of study that objects of patients say, if the viewer sees them."""
        names = ("PatientSex", "PatientAge", "StudyDate")
        columns = (object_.c.patient_sex, object_.c.patient_age, object_.c.study_date)
        found: dict[str, list[dict[str, Any]]] = {}
        with self._db.read() as connection:
            rows = connection.execute(
                select(object_.c.patient, *columns)
                .where(among(connection, object_.c.patient, patients), self._sight.objects())
                .distinct()
            )
            for patient, *values in rows:
                found.setdefault(patient, []).append(dict(zip(names, values, strict=True)))
        return found


def _row(one: Content) -> dict[str, str]:
    spot = one.spot
    return dict(zip(_KEY, (spot.lfn, one.digest, spot.patient, spot.owner), strict=True))


def _claim_guarded(
    connection: Connection, new: Mapping[Content, ObjectId]
) -> dict[Content, ObjectId]:
    """Claim as somebody who does not see all rows."""
    contents = sorted(new)
    given = {
        "lfns": [one.spot.lfn for one in contents],
        "digests": [one.digest for one in contents],
        "patients": [one.spot.patient for one in contents],
        "objects": [new[one] for one in contents],
    }
    rows = connection.execute(
        text("SELECT * FROM medgrid.claim_contents(:lfns, :digests, :patients, :objects)"), given
    )
    return {contents[place - 1]: ObjectId(object_id) for place, object_id in rows}
