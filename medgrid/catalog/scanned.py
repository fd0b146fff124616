"""Files the importer has seen: an unchanged one is not read again.

A file is known by a keyed digest of its path; the path itself, which may name a patient, is never
kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from sqlalchemy import Boolean, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from medgrid.catalog.attributes import TWIN_MISSING
from medgrid.catalog.schema import attribute, object_, scanned_file
from medgrid.catalog.sight import Sight
from medgrid.database import Database
from medgrid.database.many import among
from medgrid.database.plans import unindexed
from medgrid.model import DataClass, ObjectId, ObjectKind

__all__ = ["ScannedFile", "ScannedStore", "SeriesName"]


class SeriesName(NamedTuple):
    """What tells one series from all others; `patient` is a pseudonym."""

    patient: str | None
    study_uid: str | None
    series_uid: str | None


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """One file as it was when it was read.

    `object_id` is the object that holds its content, None when it was not imported; `outcome` then
    says why not, in words that name nobody.
    """

    key: str
    size_bytes: int
    mtime_ns: int
    inode: int
    object_id: ObjectId | None
    outcome: str

    @property
    def stamp(self) -> tuple[int, int, int]:
        """What says that the file is still the one that was read."""
        return self.size_bytes, self.mtime_ns, self.inode


_NAMES = tuple(field.name for field in fields(ScannedFile))


class ScannedStore:
    """What the importer remembers of files. Each method is one transaction.

    A key is a digest that only the importer's home can make: it is found by who has the file.
    """

    def __init__(self, db: Database, sight: Sight) -> None:
        self._db = db
        self._sight = sight

    def known(self, keys: Iterable[str], reader: str = "") -> dict[str, ScannedFile]:
        """Files by key; those never seen, or whose object is gone since, are absent.

        Each `reader` (without one, the viewer) has a memory of their own. What was noted without
        one they share, but what is of no patient and belongs to somebody else. A registrar knows
        what they brought for others, and do not see.
        """
        wanted = list(keys)
        found: dict[str, ScannedFile] = {}
        with self._db.read() as connection:
            for owner in dict.fromkeys((self._sight.owner, reader or self._sight.owner)):
                is_theirs = (
                    or_(object_.c.patient.is_not(None), object_.c.owner == reader)
                    if reader and owner != reader
                    else object_.c.id.is_not(None)
                )
                if self._sight.is_guarded:
                    is_brought = func.medgrid.brought(scanned_file.c.object_id, type_=Boolean)
                    is_theirs = or_(is_theirs, is_brought)
                rows = connection.execute(
                    select(*(scanned_file.c[name] for name in _NAMES))
                    .join(object_, object_.c.id == scanned_file.c.object_id, isouter=True)
                    .where(among(connection, scanned_file.c.key, wanted))
                    .where(scanned_file.c.owner == owner)
                    .where(or_(scanned_file.c.object_id.is_(None), is_theirs))
                )
                found.update((row.key, ScannedFile(*row)) for row in rows)
        return found

    def note(self, files: Sequence[ScannedFile], reader: str = "") -> None:
        """Remember files, over what was known of them before; for a reader, or the viewer."""
        if not files:
            return
        with self._db.write() as connection:
            dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
            statement = dialect.insert(scanned_file)
            statement = statement.on_conflict_do_update(
                index_elements=["owner", "key"],
                set_={
                    column.name: statement.excluded[column.name]
                    for column in scanned_file.c
                    if column.name not in ("owner", "key")
                },
            )
            connection.execute(
                statement,
                [
                    {
                        "owner": reader or self._sight.owner,
                        **{name: getattr(file, name) for name in _NAMES},
                    }
                    for file in files
                ],
            )

    def move(self, old: ObjectId, new: ObjectId) -> None:
        """Say that the content of files is in another object, as far as the viewer remembers."""
        with self._db.write() as connection:
            held = update(scanned_file).where(scanned_file.c.object_id == old)
            connection.execute(held.values(object_id=new))

    def lacking(self, ids: Iterable[ObjectId]) -> dict[ObjectId, str]:
        """Those of these originals that an LFN names and that have no twin, and why."""
        with self._db.read() as connection:
            rows = connection.execute(
                select(attribute.c.object_id, attribute.c.text)
                .join(object_, object_.c.id == attribute.c.object_id)
                .where(
                    among(connection, attribute.c.object_id, ids),
                    unindexed(connection, attribute.c.name) == TWIN_MISSING,
                    object_.c.lfn.is_not(None),
                )
            )
            return {ObjectId(object_id): text or "" for object_id, text in rows}

    def series(self, series_uids: Iterable[str]) -> dict[SeriesName, ObjectId]:
        """Series that are in the grid, and the original of each, as it came, that is now named.

        Series that the viewer does not see are absent: one who imports for others opens the
        catalog without a viewer for this.
        """
        with self._db.read() as connection:
            kind, original = (
                unindexed(connection, object_.c[name]) for name in ("kind", "original")
            )
            rows = connection.execute(
                select(object_.c.patient, object_.c.study_uid, object_.c.series_uid, object_.c.id)
                .where(
                    among(connection, object_.c.series_uid, series_uids),
                    object_.c.lfn.is_not(None),
                    kind == str(ObjectKind.SERIES),
                    original.is_(None),
                    self._sight.objects(),
                )
                .order_by(object_.c.data_class == str(DataClass.NOMINATIVE), object_.c.created_s)
            )
            return {SeriesName(*row[:3]): ObjectId(row[3]) for row in rows}
