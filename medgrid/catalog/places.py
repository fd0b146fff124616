"""Sites, storage elements and workers in the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, delete, func, insert, select, update

from medgrid.catalog.attributes import nearest
from medgrid.catalog.schema import replica, site, storage_element, upload, worker
from medgrid.database import Database
from medgrid.errors import NotFound, UsageError
from medgrid.model import Site, SiteClass, StorageElement, Worker

__all__ = ["PlaceStore"]

_NOUN = {"site": "site", "storage_element": "storage element", "worker": "worker"}


class PlaceStore:
    """Who administers machines, where bytes are kept, where jobs run. Names are unique by kind."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def sites(self) -> list[Site]:
        """All sites, by name."""
        return [_site(row) for row in self._all(site)]

    def site(self, name: str) -> Site:
        """One site.

        Raises
        ------
        NotFound
            There is none of this name; the hint has the nearest ones.
        """
        return _site(self._one(site, name))

    def put_site(self, value: Site) -> None:
        """Add a site, or change the one of this name."""
        self._put(site, {"name": value.name, "site_class": str(value.site_class)})

    def remove_site(self, name: str) -> None:
        """Remove a site.

        Raises
        ------
        NotFound
            There is none of this name.
        UsageError
            A storage element or a worker belongs to it.
        """
        with self._db.write() as connection:
            self._one(site, name)
            for table in (storage_element, worker):
                users = connection.scalars(
                    select(table.c.name).where(table.c.site == name).order_by(table.c.name)
                ).all()
                if users:
                    raise UsageError(
                        f"site {name!r} is in use by {_NOUN[table.name]} {', '.join(users)}",
                        hint=f"remove the {_NOUN[table.name]} first",
                    )
            connection.execute(delete(site).where(site.c.name == name))

    def ses(self) -> list[StorageElement]:
        """All storage elements, by name."""
        return [_se(row) for row in self._all(storage_element)]

    def se(self, name: str) -> StorageElement:
        """One storage element; raises `NotFound`."""
        return _se(self._one(storage_element, name))

    def put_se(self, value: StorageElement) -> None:
        """Add a storage element, or change the one of this name.

        Raises
        ------
        NotFound
            Its site is unknown.
        """
        with self._db.write():
            self._one(site, value.site)
            self._put(
                storage_element,
                {
                    "name": value.name,
                    "url": value.url,
                    "site": value.site,
                    "enabled": value.enabled,
                    "options": dict(value.options),
                },
            )

    def remove_se(self, name: str) -> None:
        """Remove a storage element.

        Raises
        ------
        NotFound
            There is none of this name.
        UsageError
            It still holds replicas, or bytes are being written to it.
        """
        with self._db.write() as connection:
            self._one(storage_element, name)
            for table, what in ((replica, "replicas"), (upload, "uploads under way")):
                count = connection.scalar(
                    select(func.count()).select_from(table).where(table.c.se == name)
                )
                if count:
                    raise UsageError(
                        f"storage element {name!r} is in use by {count} {what}",
                        hint="move them with 'medgrid replica', or clean up with 'medgrid fsck'",
                    )
            connection.execute(delete(storage_element).where(storage_element.c.name == name))

    def workers(self) -> list[Worker]:
        """All workers, by name."""
        return [_worker(row) for row in self._all(worker)]

    def worker(self, name: str) -> Worker:
        """One worker; raises `NotFound`."""
        return _worker(self._one(worker, name))

    def put_worker(self, value: Worker) -> None:
        """Add a worker, or change the one of this name.

        Raises
        ------
        NotFound
            Its site is unknown.
        """
        with self._db.write():
            self._one(site, value.site)
            self._put(
                worker,
                {
                    "name": value.name,
                    "url": value.url,
                    "site": value.site,
                    "slots": value.slots,
                    "tags": sorted(value.tags),
                    "memory_bytes": value.memory_bytes,
                    "enabled": value.enabled,
                    "options": dict(value.options),
                },
            )

    def remove_worker(self, name: str) -> None:
        """Remove a worker; jobs it holds are the broker's matter. Raises `NotFound`."""
        with self._db.write() as connection:
            self._one(worker, name)
            connection.execute(delete(worker).where(worker.c.name == name))

    def _all(self, table: Table) -> list[RowMapping]:
        with self._db.read() as connection:
            return list(connection.execute(select(table).order_by(table.c.name)).mappings())

    def _one(self, table: Table, name: str) -> RowMapping:
        with self._db.read() as connection:
            row = connection.execute(select(table).where(table.c.name == name)).mappings().first()
            if row is None:
                raise NotFound(
                    f"no {_NOUN[table.name]} {name!r}", hint=_near(connection, table, name)
                )
            return row

    def _put(self, table: Table, values: Mapping[str, Any]) -> None:
        with self._db.write() as connection:
            # without the name: what refers to it would be looked for
            rest = {name: value for name, value in values.items() if name != "name"}
            changed = connection.execute(
                update(table).where(table.c.name == values["name"]).values(**rest)
            )
            if changed.rowcount == 0:
                connection.execute(insert(table).values(**values))


def _near(connection: Connection, table: Table, name: str) -> str:
    names = connection.scalars(select(table.c.name).order_by(table.c.name)).all()
    if not names:
        return f"the grid has no {_NOUN[table.name]} yet"
    return nearest(name, names) or f"there is {', '.join(names[:10])}"


def _site(row: RowMapping) -> Site:
    return Site(row["name"], SiteClass(row["site_class"]))


def _se(row: RowMapping) -> StorageElement:
    return StorageElement(
        name=row["name"],
        url=row["url"],
        site=row["site"],
        enabled=row["enabled"],
        options=row["options"],
    )


def _worker(row: RowMapping) -> Worker:
    return Worker(
        name=row["name"],
        url=row["url"],
        site=row["site"],
        slots=row["slots"],
        tags=frozenset(row["tags"]),
        memory_bytes=row["memory_bytes"],
        enabled=row["enabled"],
        options=row["options"],
    )
