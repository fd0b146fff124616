"""Marks of what was imported and then removed: imports leave it out, until they are told not to.

Like what was imported (`imported.py`) a content is one of a patient, or of an owner where it is no
patient's, at its place. A series is known by its UIDs.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, and_, case, delete, or_, select, true
from sqlalchemy.dialects import postgresql, sqlite

from medgrid.catalog.imported import Content, Spot
from medgrid.catalog.scanned import SeriesName
from medgrid.catalog.schema import imported, object_, removed
from medgrid.catalog.sight import Sight
from medgrid.database import Database
from medgrid.database.many import among
from medgrid.database.plans import unindexed
from medgrid.model import LFN, DataClass, ObjectId, ObjectKind

__all__ = ["Mark", "RemovedStore"]


class Mark(NamedTuple):
    """What something was called that was removed, where its reader may know that, and when."""

    lfn: LFN | None
    removed_s: float


class RemovedStore:
    """What was removed. Each method is one transaction."""

    def __init__(self, db: Database, sight: Sight) -> None:
        self._db = db
        self._sight = sight

    def note(self, lfns: Mapping[ObjectId, LFN]) -> None:
        """Mark those of these originals that an import brought; they are still there.

        Parameters
        ----------
        lfns : mapping of ObjectId to LFN
            What objects, and their other versions, are called.
        """
        with self._db.write() as connection:
            kind = unindexed(connection, object_.c.kind)
            chosen = and_(
                among(connection, object_.c.id, lfns),
                object_.c.data_class == str(DataClass.NOMINATIVE),
            )
            series = connection.execute(
                select(
                    *(object_.c[name] for name in ("patient", "study_uid", "series_uid", "id"))
                ).where(chosen, kind == str(ObjectKind.SERIES))
            )
            rows = [
                {**_series(SeriesName(*row[:3])), "lfn": lfns[ObjectId(row.id)]}
                for row in series
                if row.series_uid is not None
            ]
            contents = connection.execute(
                select(*imported.c)
                .join(object_, object_.c.id == imported.c.object_id)
                .where(chosen)
            )
            rows += [
                {
                    "patient": row.patient,
                    "owner": row.owner,
                    "spot": row.lfn,
                    "content": row.digest,
                    "lfn": lfns[ObjectId(row.object_id)],
                }
                for row in contents
            ]
            if not rows:
                return
            now_s = time.time()
            dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
            connection.execute(
                dialect.insert(removed).on_conflict_do_nothing(),
                [{**row, "removed_s": now_s} for row in rows],
            )

    def series(self, names: Collection[SeriesName], reader: str) -> dict[SeriesName, Mark]:
        """Marks of series, for a reader; those without one are absent."""
        keys = {_key(_series(one)): one for one in names}
        found: dict[SeriesName, Mark] = {}
        with self._db.read() as connection:
            patients = {one.patient for one in names if one.patient}
            chosen = among(connection, removed.c.patient, patients)
            for row in connection.execute(
                _marks(reader).where(
                    chosen, removed.c.owner == "", removed.c.spot == "", self._seen()
                )
            ):
                if (key := tuple(row[:4])) in keys:
                    found[keys[key]] = _mark(row)
        return found

    def contents(self, patient: str | None, owner: str) -> dict[Content, Mark]:
        """All marks of volumes of a patient, or of an owner where they are no patient's."""
        with self._db.read() as connection:
            rows = connection.execute(
                _marks(owner).where(
                    removed.c.patient == (patient or ""),
                    removed.c.owner == ("" if patient else owner),
                    removed.c.spot != "",
                    self._seen(),
                )
            )
            return {
                Content(Spot(LFN(row.spot), row.patient, row.owner), row.content): _mark(row)
                for row in rows
            }

    def pass_on(self, old: str, new: str) -> None:
        """Let marks of what is of one patient be of another, whom they became."""
        with self._db.write() as connection:
            theirs = removed.c.patient == old
            rows = connection.execute(select(removed).where(theirs, self._seen())).mappings()
            if moved := [{**row, "patient": new} for row in rows]:
                dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
                connection.execute(dialect.insert(removed).on_conflict_do_nothing(), moved)
                connection.execute(delete(removed).where(theirs, self._seen()))

    def _seen(self) -> ColumnElement[bool]:
        """Whether a viewer may know of a mark: its owner, and the patient's physicians."""
        if self._sight.viewer is None or self._sight.is_guarded:
            return true()
        mine = removed.c.owner == self._sight.viewer
        return or_(mine, self._sight.is_physician(removed.c.patient))

    def forget(self, series: Iterable[SeriesName], contents: Iterable[Content]) -> None:
        """End marks of what has come again."""
        rows = [*map(_series, series), *map(_content, contents)]
        if not rows:
            return
        with self._db.write() as connection:
            for row in rows:
                connection.execute(delete(removed).where(_is(row)))


def _marks(reader: str) -> Select[Any]:
    """Marks with the LFNs that a reader may know of: their owner, and a patient's physicians."""
    mine = or_(removed.c.owner == reader, Sight(reader).is_physician(removed.c.patient))
    columns = (*removed.primary_key.columns, removed.c.removed_s)
    return select(*columns, case((mine, removed.c.lfn)).label("lfn"))


def _mark(row: Row[Any]) -> Mark:
    return Mark(LFN(row.lfn) if row.lfn else None, row.removed_s)


def _series(name: SeriesName) -> dict[str, str]:
    return {
        "patient": name.patient or "",
        "owner": "",
        "spot": "",
        "content": f"{name.study_uid} {name.series_uid}",
    }


def _content(one: Content) -> dict[str, str]:
    spot = one.spot
    return {
        "patient": spot.patient,
        "owner": spot.owner,
        "spot": spot.lfn,
        "content": one.digest,
    }


def _key(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in ("patient", "owner", "spot", "content"))


def _is(row: dict[str, str]) -> ColumnElement[bool]:
    return and_(*(removed.c[name] == value for name, value in row.items()))
