"""What the broker's main thread has before it: stations, and what it needs of the catalog."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from queue import Queue

from medgrid.broker.breaker import Breaker
from medgrid.broker.collecting import Collector
from medgrid.broker.driver import Driver
from medgrid.broker.matching import Candidate, Need, need_of, objection
from medgrid.broker.messages import BundleSource, Collected, Report, Work, split_attempt
from medgrid.broker.ownership import Owners, drop_ended
from medgrid.broker.shares import Shares
from medgrid.broker.staging import Stager, Wheels
from medgrid.broker.station import Station
from medgrid.broker.storages import Storages
from medgrid.catalog import Catalog
from medgrid.catalog.job_desk import SubmissionHead, WorkerLinkState
from medgrid.catalog.job_moves import AttemptEnd
from medgrid.catalog.provenance import Derivation
from medgrid.catalog.worker_health import WorkerHealth
from medgrid.config import Settings
from medgrid.crypto.manifest import Manifest
from medgrid.crypto.vault import InputKey, Vault
from medgrid.errors import Denied, IntegrityError, NotFound
from medgrid.model import (
    Algorithm,
    GridObject,
    JobId,
    ObjectId,
    Replica,
    Sha256,
    SiteClass,
    StorageElement,
    Worker,
)
from medgrid.workers import open_link
from medgrid.workers.base import AttemptId, Bundle

__all__ = ["Board", "Keys"]

Keys = Mapping[ObjectId, InputKey]


class Board:
    """Stations by worker name, and the catalog with what is asked of it again and again.

    Parameters
    ----------
    catalog : Catalog
    settings : Settings
    vault : Vault
        What the broker's identity was given.
    reports : Queue
        Where drivers put what they have to say.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings,
        vault: Vault,
        reports: Queue[tuple[Driver, Report]],
    ) -> None:
        self.catalog = catalog
        self.settings = settings
        self._vault = vault
        self._owners = Owners(vault, catalog.objects)
        self.desk = catalog.jobs.desk
        self.grid_id = catalog.grid_id
        self.stations: dict[str, Station] = {}
        self.shares = Shares(catalog.quotas.usage(), time.time())
        self.se_sites: dict[str, str] = {}
        self._elements: dict[str, StorageElement] = {}
        self._reports = reports
        self._storages = Storages(settings)
        self._wheels = Wheels(settings)
        self._links = self.desk.links()
        self._health: Mapping[str, WorkerHealth] = {}
        self._heads: dict[int, SubmissionHead] = {}
        self._algorithms: dict[Sha256, Algorithm] = {}
        self._needs: dict[Sha256, Need] = {}
        self._bundles: dict[Sha256, BundleSource | None] = {}

    # -- places ------------------------------------------------------------------------------------

    def refresh(self) -> list[str]:
        """Read the grid's places again; start drivers for new workers.

        Returns
        -------
        list of str
            Workers that are gone from the grid.
        """
        places = self.catalog.places
        classes = {site.name: site.site_class for site in places.sites()}
        self._elements = {element.name: element for element in places.ses()}
        self.se_sites = {name: element.site for name, element in self._elements.items()}
        self._storages.replace(self._elements)
        self._bundles.clear()
        workers = {worker.name: worker for worker in places.workers()}
        self._health = self.catalog.health.all()
        self.shares.quotas = self.catalog.quotas.all()
        for worker in workers.values():
            station = self.stations.get(worker.name)
            site_class = classes.get(worker.site, SiteClass.COMPUTE)
            if station is None:
                self._open(worker, site_class)
                continue
            health = self._health.get(worker.name, WorkerHealth())
            if health != station.saved:  # somebody wants it trusted
                station.saved = health
                station.breaker = Breaker(health)
            known = station.candidate.worker
            station.candidate.worker = worker
            station.candidate.site_class = site_class
            changed = (known.url, known.options) != (worker.url, worker.options)
            if changed or (worker.enabled and station.driver is None):
                self.drive(station)
        return [name for name in self.stations if name not in workers]

    def _open(self, worker: Worker, site_class: SiteClass) -> None:
        link = self._links.get(worker.name, WorkerLinkState(worker.name))
        runtimes, ciphers = link.info.get("runtimes"), link.info.get("ciphers")
        candidate = Candidate(
            worker,
            site_class,
            runtimes=None if runtimes is None else tuple(runtimes),
            ciphers=None if ciphers is None else tuple(ciphers),
            memory_bytes=link.info.get("memory_bytes"),
        )
        health = self._health.get(worker.name, WorkerHealth())
        station = Station(
            candidate,
            self.shares,
            agent_id=link.agent_id,
            offset=link.journal_offset,
            breaker=Breaker(health),
            saved=health,
        )
        self.stations[worker.name] = station
        if worker.enabled:
            self.drive(station)
        else:
            station.tried = True

    def drive(self, station: Station) -> None:
        """Start a driver for a worker, in the place of the one it has."""
        if station.driver is not None:
            station.driver.stop()
        station.inbox = None
        worker = station.candidate.worker
        station.driver = Driver(
            worker,
            partial(open_link, worker, self.settings, self.grid_id),
            Stager(worker, self._storages, self._wheels),
            Collector(self._storages, self.grid_id),
            self._reports,
        )
        station.driver.start()

    def is_current(self, driver: Driver) -> bool:
        """Whether a driver has not been replaced: what an earlier one still says is void.

        Its successor starts from what the catalog holds, and finds all of it again.
        """
        return any(station.driver is driver for station in self.stations.values())

    def close(self, patience_s: float) -> None:
        """Stop all drivers."""
        for station in self.stations.values():
            if station.driver is not None:
                station.driver.stop()
        until_s = time.monotonic() + patience_s
        for station in self.stations.values():
            if station.driver is not None:
                station.driver.join(max(0.0, until_s - time.monotonic()))
        self._storages.close()

    # -- what is asked again and again -------------------------------------------------------------

    def head(self, submission: int) -> SubmissionHead:
        """What the jobs of a submission share."""
        found = self._heads.get(submission)
        if found is None:
            found = self._heads[submission] = self.desk.head(submission)
        return found

    def algorithm(self, digest: Sha256) -> Algorithm:
        """An algorithm by digest."""
        found = self._algorithms.get(digest)
        if found is None:
            found = self._algorithms[digest] = self.catalog.algorithms.get(digest)
        return found

    def need(self, digest: Sha256) -> Need:
        """What the jobs of an algorithm ask of a worker."""
        found = self._needs.get(digest)
        if found is None:
            found = self._needs[digest] = need_of(self.algorithm(digest).descriptor)
        return found

    def fit(self, digest: Sha256) -> list[Station]:
        """Stations that could run an algorithm, now or later."""
        need = self.need(digest)
        return [
            station
            for station in self.stations.values()
            if objection(need, digest, station.candidate) is None
        ]

    def element(self, name: str | None) -> StorageElement:
        """Where outputs go: a storage element by name, or the grid's default.

        Raises
        ------
        NotFound
            There is none.
        """
        name = name or self.settings.default_se
        if name:
            if name not in self._elements:
                raise NotFound(f"there is no storage element {name}")
            return self._elements[name]
        for element in self._elements.values():
            if element.enabled:
                return element
        raise NotFound("the grid has no storage element")

    def work(
        self,
        attempt: AttemptId,
        head: SubmissionHead,
        items: tuple[ObjectId, ...],
        objects: Mapping[ObjectId, GridObject],
        replicas: Mapping[ObjectId, Sequence[Replica]],
        lent: Keys | None = None,
    ) -> Work:
        """All a driver needs for one attempt; `lent` is what `borrow` gave for its job.

        Raises
        ------
        NotFound
            An input, the code bundle or the storage element for outputs is gone from the grid.
        """
        inputs: dict[str, tuple[GridObject, ...]] = {}
        for role, ids in head.inputs_of(items).items():
            gone = [one for one in ids if one not in objects]
            if gone:
                raise NotFound(f"an object given as {role} is no longer in the grid")
            inputs[role] = tuple(objects[one] for one in ids)
        protected = [one for many in inputs.values() for one in many if one.is_protected]
        return Work(
            attempt,
            self.algorithm(head.algorithm),
            self._bundle(head.algorithm),
            inputs,
            {one.id: tuple(replicas.get(one.id, ())) for many in inputs.values() for one in many},
            head.parameters,
            self.element(head.se),
            head.priority,
            self._keys(split_attempt(attempt)[0], protected, lent) if protected else {},
            self._vault.public if protected else None,
        )

    def borrow(self, submission: int, jobs: Iterable[JobId]) -> Mapping[int, Keys]:
        """Keys that were lent for jobs of a submission, by the number of the job.

        Those of many jobs are asked for at once. When one of them is damaged, none is given: each
        job then asks for its own.
        """
        with suppress(IntegrityError, Denied, NotFound):
            return self._vault.delegated(submission, [job.number for job in jobs])
        return {}

    def _keys(self, job: JobId, protected: Sequence[GridObject], lent: Keys | None) -> Keys:
        """Keys of a job's protected inputs, of these bytes and by somebody who may.

        Raises
        ------
        NotFound
            One was taken back, damaged or exchanged.
        """
        try:
            if lent is None:
                lent = self._vault.delegated(job.submission, [job.number])[job.number]
            if any(one.key_id not in lent for one in protected):
                raise NotFound("the key of an input is not lent to this job any more")
            for one in protected:
                self._check(one, lent[one.key_id].manifest)
        except (IntegrityError, Denied) as exc:
            raise NotFound(exc.message) from exc
        return {one.id: lent[one.key_id] for one in protected}

    def _check(self, item: GridObject, manifest: Manifest) -> None:
        """Refuse a key of other bytes than the catalog's, and one that a stranger wrote."""
        if manifest.body_sha256 != item.sha256:
            raise NotFound("the key of an input is that of other bytes than the catalog's")
        if not self._vault.trust.vouches(manifest.signer, item.owner):
            raise NotFound(f"{manifest.signer} vouches for an input, and may not")

    def _bundle(self, digest: Sha256) -> BundleSource | None:
        if digest not in self._bundles:
            object_id = self.catalog.algorithms.bundle_object(digest)
            source = None
            if object_id is not None:
                found = self.catalog.objects.by_ids([object_id]).get(object_id)
                if found is None:
                    raise NotFound(f"the code of {self.algorithm(digest)} is not in the grid")
                replicas = self.catalog.objects.replicas([object_id])[object_id]
                source = BundleSource(Bundle(found.sha256, found.size_bytes), tuple(replicas))
            self._bundles[digest] = source
        return self._bundles[digest]

    # -- writing -----------------------------------------------------------------------------------

    def keep(self, made: Sequence[tuple[Derivation, Sequence[Collected]]]) -> None:
        """Enter outputs and how they were made; their keys first."""
        if not made:
            return
        owners = {
            one.object_id: self.head(derivation.job.submission).owner if derivation.job else ""
            for derivation, outputs in made
            for one in outputs
        }
        found = self._owners.keep(made, owners, self.catalog.access)
        self.catalog.objects.register(found)
        self.catalog.provenance.record_many([derivation for derivation, _ in made])

    def tails(self, job: JobId, end: AttemptEnd, sealed: bytes) -> AttemptEnd:
        """How an attempt ended, with its last words for its owner alone."""
        return self._owners.tails(end, sealed, self.head(job.submission).owner) if sealed else end

    def drop_delegations(self) -> None:
        """Forget the keys that were lent to jobs which have ended."""
        drop_ended(self.desk, self._vault)

    def save_health(self) -> None:
        """Remember which workers fail."""
        for station in self.stations.values():
            health = station.breaker.health
            if health != station.saved:
                self.catalog.health.save(station.name, health)
                station.saved = health

    def save_usage(self) -> None:
        """Remember what users have used."""
        self.shares.pass_time(time.time())
        self.catalog.quotas.save_usage(self.shares.usage())

    def save_link(self, station: Station, down_since_s: float | None = None) -> None:
        """Remember how far a worker's journal was read, and whether it answers."""
        info = self._links.get(station.name, WorkerLinkState(station.name)).info
        if station.info is not None:
            info = {
                "python_tags": list(station.info.python_tags),
                "runtimes": list(station.info.runtimes),
                "ciphers": list(station.info.ciphers),
                "memory_bytes": station.info.memory_bytes,
                "hostname": station.info.hostname,
                "cache_bytes": station.info.cache_bytes,
                "cache_limit_bytes": station.info.cache_limit_bytes,
            }
        if station.down_since_s is not None and down_since_s is None:
            down_since_s = self._links[station.name].down_since_s
        state = WorkerLinkState(
            station.name,
            station.agent_id,
            station.offset,
            info,
            down_since_s,
            station.trouble_text if down_since_s is not None else "",
            down_since_s + self.settings.host_lost_after_s if down_since_s is not None else None,
        )
        self._links[station.name] = state
        self.desk.save_link(state)
