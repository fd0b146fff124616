"""Make a grid home: catalog, secret key, local storage, local worker."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from medgrid.actions.grid import Grid
from medgrid.actions.identity_init import make_grid_identities
from medgrid.actions.keys import open_keystore
from medgrid.catalog import Catalog
from medgrid.config import has_grid, private_dir
from medgrid.crypto import pseudonym
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.private_file import replace_private
from medgrid.crypto.recovery import make_recovery
from medgrid.crypto.recovery_key import publish_recovery, recovery_file, recovery_public
from medgrid.crypto.registration import (
    load_registrar,
    registration_file,
    registration_is_locked,
)
from medgrid.database.connections import address_for_people
from medgrid.errors import UsageError
from medgrid.model import Site, SiteClass, StorageElement, Worker

__all__ = ["LOCAL", "LOCAL_SITE", "Part", "initialise"]

LOCAL_SITE = "here"
LOCAL = "local"
RECOVERY = (2, 3)
"""Shares of the recovery key that are needed, and that are made, when nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a grid home, and whether this run made it.

    `state` is ``made``, ``changed``, ``there`` (it was there before) or ``missing``.
    """

    what: str
    name: str
    detail: str
    state: str


def initialise(
    grid: Grid, slots: int | None = None, recovery: tuple[int, int] = RECOVERY
) -> list[Part]:
    """Make what the grid home lacks; what is there stays as it is.

    Parameters
    ----------
    grid : Grid
        Its settings say where the home and the catalog are.
    slots : int, optional
        Jobs the local worker runs at a time; the default is the number of processors for a new
        worker, and no change for one that is there.
    recovery : (int, int)
        How many shares of a new recovery key are needed, and how many are made.

    Raises
    ------
    UsageError
        `slots` is not positive.
    ConfigError
        The home cannot be made, the catalog there cannot be used, or what was made is lost.
    """
    if slots is not None and slots < 1:
        raise UsageError(f"a worker needs at least 1 slot, not {slots}")
    settings = grid.settings
    private_dir(settings.home)
    private_dir(settings.log_dir)
    is_new_file = not settings.has_catalog
    was_made = not settings.catalog and has_grid(settings.home)
    (Catalog.open if was_made else Catalog.create)(settings.catalog_url).close()
    is_used = bool(grid.catalog.places.sites())
    return [
        Part(
            "catalog",
            grid.catalog.grid_id,
            address_for_people(settings.catalog_url),
            _made(is_new_file),
        ),
        *_keystores(grid),
        _key(grid, is_used),
        *_identities(grid),
        _recovery(grid, *recovery),
        _site(grid),
        _storage(grid),
        _worker(grid, slots),
    ]


def _key(grid: Grid, is_used: bool) -> Part:
    """A grid in use has its key somewhere already: a second one would give second pseudonyms."""
    keys_dir = grid.settings.keys_dir
    file = keys_dir / "pseudonym.key"
    if file.exists():
        pseudonym.load_key(keys_dir)
        return Part("key", "pseudonym", str(file), "there")
    if is_used:
        return Part("key", "pseudonym", str(file), "missing")
    private_dir(keys_dir)
    pseudonym.load_key(keys_dir, create=True)
    return Part("key", "pseudonym", str(file), "made")


def _keystores(grid: Grid) -> list[Part]:
    settings = grid.settings
    urls = settings.keystore_urls
    files = [Path(url.removeprefix("sqlite:///")) for url in urls if url.startswith("sqlite:")]
    new = [file for file in files if not file.exists()]
    if has_grid(settings.home):  # then they were made already
        open_keystore(settings, settings.user).close()
    if len(urls) == 1:
        KeyStore.create(urls[0], settings.user).close()
    else:
        from medgrid.crypto.split_store import SplitKeyStore

        SplitKeyStore.create_all(urls, settings.keystore_threshold, settings.user).close()
    return [
        Part(
            "key store",
            str(number),
            address_for_people(url),
            _made(any(url.endswith(str(one)) for one in new)),
        )
        for number, url in enumerate(urls, 1)
    ]


def _identities(grid: Grid) -> list[Part]:
    """The registration key, and who works in this home."""
    store = open_keystore(grid.settings, grid.settings.user)
    try:
        made = make_grid_identities(grid.settings.keys_dir, grid.settings.user, store)
    finally:
        store.close()
    return [Part(one.what, one.name, str(one.file), one.state) for one in made]


def _recovery(grid: Grid, needed: int, count: int) -> Part:
    """The key that opens everything when enough people bring their shares of it together."""
    keys_dir = grid.settings.keys_dir
    store = open_keystore(grid.settings, grid.settings.user)
    try:
        if recovery_public(keys_dir, store) is not None:
            return Part("recovery", "recovery", str(recovery_file(keys_dir)), "there")
        if not registration_file(keys_dir).exists() or registration_is_locked(keys_dir):
            return Part("recovery", "recovery", "the registrar makes it", "missing")
        public, shares = make_recovery(needed, count)
        folder = private_dir(keys_dir / "recovery")
        for number, share in enumerate(shares, 1):
            replace_private(folder / f"share-{number}.txt", f"{share}\n".encode())
        # the shares are safe: what is sealed from now on can be brought back
        publish_recovery(keys_dir, store, public, load_registrar(keys_dir).sign)
    finally:
        store.close()
    detail = f"{folder}: {count} shares for {count} people, {needed} are needed"
    return Part("recovery", "recovery", detail, "made")


def _site(grid: Grid) -> Part:
    places = grid.catalog.places
    found = {site.name: site for site in places.sites()}.get(LOCAL_SITE)
    site = found or Site(LOCAL_SITE, SiteClass.KEYS)
    if found is None:
        places.put_site(site)
    return Part("site", site.name, site.site_class.value, _made(found is None))


def _storage(grid: Grid) -> Part:
    places = grid.catalog.places
    found = {element.name: element for element in places.ses()}.get(LOCAL)
    directory = grid.settings.home / "storage"
    element = found or StorageElement(LOCAL, directory.as_uri(), LOCAL_SITE)
    if found is None:
        private_dir(directory)
        places.put_se(element)
    return Part("se", element.name, element.url, _made(found is None))


def _worker(grid: Grid, slots: int | None) -> Part:
    places = grid.catalog.places
    found = {worker.name: worker for worker in places.workers()}.get(LOCAL)
    if found is None:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        worker, state = Worker(LOCAL, "local:", LOCAL_SITE, slots=slots or cpus or 1), "made"
    elif slots is not None and slots != found.slots:
        worker, state = replace(found, slots=slots), "changed"
    else:
        worker, state = found, "there"
    if state != "there":
        places.put_worker(worker)
    plural = "s" if worker.slots != 1 else ""
    return Part("worker", worker.name, f"{worker.url} {worker.slots} slot{plural}", state)


def _made(new: bool) -> str:
    return "made" if new else "there"
