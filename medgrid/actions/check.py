"""Try workers and storage elements for real, and say what is wrong with each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from medgrid.actions.grid import Grid
from medgrid.errors import MedgridError, PartlyDone, UsageError
from medgrid.model import StorageElement, Worker
from medgrid.workers.base import WorkerInfo

__all__ = [
    "SeCheck",
    "WorkerCheck",
    "accept_host_key",
    "check_ses",
    "check_workers",
    "failure",
]

_AT_ONCE = 8
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class WorkerCheck:
    """What the agent of a worker says, or why nobody answers."""

    name: str
    info: WorkerInfo | None
    error: MedgridError | None


@dataclass(frozen=True, slots=True)
class SeCheck:
    """Whether a storage element can be written and read, and the space left on it."""

    name: str
    free_bytes: int | None
    error: MedgridError | None


def check_workers(grid: Grid, names: Sequence[str] = ()) -> list[WorkerCheck]:
    """Open each worker's link, which puts the agent there when it lacks it; all by default.

    Raises
    ------
    NotFound
        No worker has one of `names`.
    """
    from medgrid.workers import open_link

    places = grid.catalog.places
    workers = [places.worker(name) for name in names] if names else places.workers()
    grid_id = grid.catalog.grid_id

    def check(worker: Worker) -> WorkerCheck:
        try:
            link = open_link(worker, grid.settings, grid_id)
            link.close()
        except MedgridError as exc:
            return WorkerCheck(worker.name, None, exc)
        return WorkerCheck(worker.name, link.info, None)

    return _side_by_side(check, workers)


def check_ses(grid: Grid, names: Sequence[str] = (), *, create: bool = False) -> list[SeCheck]:
    """Write, read and delete a small file on each storage element; all by default.

    Where a root directory is missing, `create` makes it first.

    Raises
    ------
    NotFound
        No storage element has one of `names`.
    """
    from medgrid.storage import open_storage

    places = grid.catalog.places
    elements = [places.se(name) for name in names] if names else places.ses()

    def check(element: StorageElement) -> SeCheck:
        try:
            storage = open_storage(element, grid.settings)
            try:
                if create:
                    storage.create()
                storage.check()
                free_bytes = storage.free_bytes()
            finally:
                storage.close()
        except MedgridError as exc:
            return SeCheck(element.name, None, exc)
        return SeCheck(element.name, free_bytes, None)

    return _side_by_side(check, elements)


def accept_host_key(grid: Grid, place: Worker | StorageElement, fingerprint: str) -> None:
    """Trust the host key with this fingerprint for the host of `place`.

    Where a jump host on the way there is not known yet, it is that host's key.

    Raises
    ------
    UsageError
        `place` is on this machine.
    Denied
        The host shows another key, or one that contradicts the key already known.
    Unreachable
        It does not answer.
    """
    from medgrid.transport import ssh
    from medgrid.transport.address import resolve
    from medgrid.transport.hostkeys import KnownHosts

    settings = grid.settings
    if not place.url.startswith(("ssh:", "sftp:")):
        raise UsageError(f"{place.name} is on this machine and has no host key")
    known = KnownHosts(settings)
    jumps = resolve(place.url, settings, place.options).jumps
    for passed, jump in enumerate(jumps):
        options = {"jump": ",".join(jumps[:passed])} if passed else None
        if not known.keys_of(resolve(jump, settings, options)):
            ssh.accept_host_key(jump, settings, options, fingerprint)
            return
    ssh.accept_host_key(place.url, settings, place.options, fingerprint)


def _side_by_side(check: Callable[[T], R], places: Sequence[T]) -> list[R]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(check, places))


def failure(checks: Sequence[WorkerCheck] | Sequence[SeCheck]) -> MedgridError | None:
    """What to raise after `checks` were shown: the one's own error, or the count of many."""
    failed = [check.error for check in checks if check.error]
    if not failed:
        return None
    if len(checks) == 1:
        return failed[0]
    return PartlyDone(f"{len(failed)} of {len(checks)} checks failed")
