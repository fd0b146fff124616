"""Programs the catalog knows, by name, version and digest."""

from __future__ import annotations

import time

from sqlalchemy import RowMapping, delete, func, insert, select

from medgrid.catalog.attributes import nearest
from medgrid.catalog.job_schema import submission
from medgrid.catalog.schema import algorithm, derivation
from medgrid.database import Database
from medgrid.errors import AlreadyExists, NotFound, UsageError
from medgrid.model import Algorithm, ObjectId, Sha256

__all__ = ["AlgorithmStore"]

_NEWEST_FIRST = (algorithm.c.created_s.desc(), algorithm.c.version.desc())


class AlgorithmStore:
    """Algorithms. A name and version, once taken, mean the same bytes for ever."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, value: Algorithm, bundle_object: ObjectId | None = None) -> bool:
        """Enter an algorithm; False when this very one is there already.

        Parameters
        ----------
        value : Algorithm
            Its `created_s` is set here when it is zero.
        bundle_object : ObjectId, optional
            The object that holds the tar of its code bundle.

        Raises
        ------
        AlreadyExists
            Its name and version belong to another descriptor or other code.
        """
        with self._db.write() as connection:
            known = connection.scalar(
                select(algorithm.c.digest).where(
                    algorithm.c.name == value.name, algorithm.c.version == value.version
                )
            )
            if known == value.digest:
                return False
            if known is not None:
                raise AlreadyExists(
                    f"{value} exists already with another descriptor or other code",
                    hint="raise its tool-version, so that older results keep their meaning",
                )
            connection.execute(
                insert(algorithm).values(
                    digest=value.digest,
                    name=value.name,
                    version=value.version,
                    descriptor=dict(value.descriptor),
                    bundle_object=bundle_object,
                    bundle_sha256=value.bundle_sha256,
                    created_s=value.created_s or time.time(),
                )
            )
            return True

    def get(self, digest: Sha256) -> Algorithm:
        """One algorithm by digest; raises `NotFound`."""
        with self._db.read() as connection:
            row = connection.execute(select(algorithm).where(algorithm.c.digest == digest)).first()
        if row is None:
            raise NotFound(f"no algorithm of digest {digest}")
        return _algorithm(row._mapping)

    def find(self, label: str) -> Algorithm:
        """One algorithm by ``NAME@VERSION``, or the one that was added last of ``NAME``.

        Raises
        ------
        NotFound
            There is none; the hint has the nearest names, or the versions there are.
        """
        name, _, version = label.partition("@")
        with self._db.read() as connection:
            rows = connection.execute(
                select(algorithm).where(algorithm.c.name == name).order_by(*_NEWEST_FIRST)
            ).all()
            if not rows:
                names = connection.scalars(select(algorithm.c.name).distinct()).all()
                raise NotFound(
                    f"no algorithm {name!r}",
                    hint=nearest(name, names) or "see 'medgrid algorithm ls'",
                )
        for row in rows:
            if not version or row.version == version:
                return _algorithm(row._mapping)
        raise NotFound(
            f"no algorithm {label!r}",
            hint=f"versions are {', '.join(sorted(row.version for row in rows))}",
        )

    def all(self) -> list[Algorithm]:
        """All algorithms, by name, the newest of each first."""
        with self._db.read() as connection:
            rows = connection.execute(
                select(algorithm).order_by(algorithm.c.name, *_NEWEST_FIRST)
            ).all()
        return [_algorithm(row._mapping) for row in rows]

    def bundle_object(self, digest: Sha256) -> ObjectId | None:
        """Object that holds the tar of an algorithm's code; None when it has no code."""
        with self._db.read() as connection:
            found = connection.scalar(
                select(algorithm.c.bundle_object).where(algorithm.c.digest == digest)
            )
        return None if found is None else ObjectId(found)

    def remove(self, digest: Sha256) -> ObjectId | None:
        """Forget an algorithm that never ran; returns the object of its bundle, if it had one.

        Raises
        ------
        NotFound
            There is none of this digest.
        UsageError
            A submission or a derivation names it.
        """
        with self._db.write() as connection:
            value = self.get(digest)
            for table, what in ((submission, "submission"), (derivation, "derivation")):
                count = connection.scalar(
                    select(func.count()).select_from(table).where(table.c.algorithm == digest)
                )
                if count:
                    raise UsageError(
                        f"{value} is named by {count} {what}{'s' if count > 1 else ''}",
                        hint="it stays, so that what it made can be explained",
                    )
            bundle = self.bundle_object(digest)
            connection.execute(delete(algorithm).where(algorithm.c.digest == digest))
        return bundle


def _algorithm(row: RowMapping) -> Algorithm:
    return Algorithm(
        name=row["name"],
        version=row["version"],
        digest=Sha256(row["digest"]),
        descriptor=row["descriptor"],
        bundle_sha256=None if row["bundle_sha256"] is None else Sha256(row["bundle_sha256"]),
        created_s=row["created_s"],
    )
