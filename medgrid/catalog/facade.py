"""The catalog's only door: opens the database and hands out one store per noun."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Self

from medgrid.database import Database
from medgrid.errors import Denied

if TYPE_CHECKING:
    from medgrid.catalog.access import AccessStore
    from medgrid.catalog.algorithms import AlgorithmStore
    from medgrid.catalog.datasets import DatasetStore
    from medgrid.catalog.imported import ImportedStore
    from medgrid.catalog.jobs import JobStore
    from medgrid.catalog.leases import LeaseStore
    from medgrid.catalog.merged import MergedStore
    from medgrid.catalog.objects import ObjectStore
    from medgrid.catalog.patient_attributes import PatientAttributeStore
    from medgrid.catalog.places import PlaceStore
    from medgrid.catalog.provenance import ProvenanceStore
    from medgrid.catalog.quotas import QuotaStore
    from medgrid.catalog.removed import RemovedStore
    from medgrid.catalog.scanned import ScannedStore
    from medgrid.catalog.sight import Sight
    from medgrid.catalog.words import WordStore
    from medgrid.catalog.worker_health import HealthStore

__all__ = ["Catalog"]


class Catalog:
    """An open catalog. Make one with `create` or `open`.

    Parameters
    ----------
    viewer : str, optional
        Identity it is open for: its stores answer as if nothing else existed than what policy
        lets this one see. None are the grid's own processes, which see all.
    is_guarded : bool
        Whether the database itself shows no more than that: it is PostgreSQL, and connected is
        the viewer's own role (see `medgrid.catalog.row_security`).
    """

    def __init__(
        self, db: Database, grid_id: str, viewer: str | None = None, *, is_guarded: bool = False
    ) -> None:
        self.db = db
        self.grid_id = grid_id
        self.viewer = viewer
        self._is_guarded = is_guarded

    @classmethod
    def create(cls, url: str) -> Self:
        """Make the catalog at `url` when there is none, and open it.

        Raises
        ------
        ConfigError
            The place cannot be written, or holds another version's catalog.
        """
        from medgrid.catalog.upgrade import make

        make(url)
        return cls.open(url)

    @classmethod
    def open(cls, url: str, viewer: str | None = None) -> Self:
        """Open an existing catalog, for one identity or for the grid's own processes.

        Raises
        ------
        ConfigError
            There is none, or its schema is older or newer than this medgrid's.
        Denied
            The server knows this user as somebody else than `viewer`.
        Unreachable
            The database server does not answer.
        """
        from medgrid.catalog.version import check

        db = Database(url)
        try:
            grid_id = check(db)
            guarded = _guarded_as(db)
            if guarded is not None and viewer not in (None, guarded):
                raise Denied(
                    f"the catalog {db.name} is open for {guarded}, not for {viewer}",
                    hint="connect as the role that is called like your identity",
                )
            return cls(db, grid_id, guarded or viewer, is_guarded=guarded is not None)
        except BaseException:
            db.close()
            raise

    def transaction(self) -> AbstractContextManager[object]:
        """Make what several stores do inside this ``with`` one transaction."""
        return self.db.write()

    def close(self) -> None:
        """Give back all connections."""
        self.db.close()

    @cached_property
    def _sight(self) -> Sight:
        from medgrid.catalog.sight import Sight

        return Sight(self.viewer, is_guarded=self._is_guarded)

    @cached_property
    def access(self) -> AccessStore:
        """Care teams and grants."""
        from medgrid.catalog.access import AccessStore

        return AccessStore(self.db, self._sight)

    @cached_property
    def places(self) -> PlaceStore:
        """Sites, storage elements, workers."""
        from medgrid.catalog.places import PlaceStore

        return PlaceStore(self.db)

    @cached_property
    def objects(self) -> ObjectStore:
        """Objects, LFNs, metadata, replicas, questions."""
        from medgrid.catalog.objects import ObjectStore

        return ObjectStore(self.db, self._sight)

    @cached_property
    def patient_attributes(self) -> PatientAttributeStore:
        """What is known of patients and visits, and was before."""
        from medgrid.catalog.patient_attributes import PatientAttributeStore

        return PatientAttributeStore(self.db, self._sight)

    @cached_property
    def datasets(self) -> DatasetStore:
        """Saved queries."""
        from medgrid.catalog.datasets import DatasetStore

        return DatasetStore(self.db, self._sight)

    @cached_property
    def provenance(self) -> ProvenanceStore:
        """What was made from what, by which algorithm."""
        from medgrid.catalog.provenance import ProvenanceStore

        return ProvenanceStore(self.db, self._sight)

    @cached_property
    def algorithms(self) -> AlgorithmStore:
        """Programs the grid knows."""
        from medgrid.catalog.algorithms import AlgorithmStore

        return AlgorithmStore(self.db)

    @cached_property
    def jobs(self) -> JobStore:
        """Submissions, jobs, their states."""
        from medgrid.catalog.jobs import JobStore

        return JobStore(self.db, self._sight)

    @cached_property
    def quotas(self) -> QuotaStore:
        """What users may have at once, and what they have used lately."""
        from medgrid.catalog.quotas import QuotaStore

        return QuotaStore(self.db, self._sight)

    @cached_property
    def health(self) -> HealthStore:
        """Which workers fail, and until when they get no jobs."""
        from medgrid.catalog.worker_health import HealthStore

        return HealthStore(self.db)

    @cached_property
    def leases(self) -> LeaseStore:
        """Who may act as the broker."""
        from medgrid.catalog.leases import LeaseStore

        return LeaseStore(self.db)

    @cached_property
    def scanned(self) -> ScannedStore:
        """Files the importer has seen."""
        from medgrid.catalog.scanned import ScannedStore

        return ScannedStore(self.db, self._sight)

    @cached_property
    def imported(self) -> ImportedStore:
        """Contents that imports have brought."""
        from medgrid.catalog.imported import ImportedStore

        return ImportedStore(self.db, self._sight)

    @cached_property
    def merged(self) -> MergedStore:
        """Patients who turned out to be others."""
        from medgrid.catalog.merged import MergedStore

        return MergedStore(self.db, self._sight)

    @cached_property
    def removed(self) -> RemovedStore:
        """What was imported, and removed by somebody."""
        from medgrid.catalog.removed import RemovedStore

        return RemovedStore(self.db, self._sight)

    @cached_property
    def words(self) -> WordStore:
        """Words that the grid released, and those that were held back."""
        from medgrid.catalog.words import WordStore

        return WordStore(self.db, self._sight)


def _guarded_as(db: Database) -> str | None:
    """Whose rows alone the database shows, None when it shows all."""
    if db.is_sqlite:
        return None
    with db.read() as connection:
        if not connection.exec_driver_sql("SELECT row_security_active('object')").scalar():
            return None
        found = connection.exec_driver_sql("SELECT medgrid.viewer()").scalar()
        return None if found is None else str(found)
