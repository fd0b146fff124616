"""Sites, storage elements and workers: add, list, remove, switch on and off."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from medgrid.actions.grid import Grid
from medgrid.actions.init import LOCAL_SITE
from medgrid.errors import AlreadyExists, UsageError
from medgrid.model import Site, SiteClass, StorageElement, Worker
from medgrid.workers.mounts import read_mounts

__all__ = [
    "Added",
    "SiteUse",
    "add_se",
    "add_site",
    "add_worker",
    "check_options",
    "check_name",
    "check_se_url",
    "check_worker_url",
    "list_sites",
    "remove_se",
    "remove_site",
    "remove_worker",
    "set_worker_enabled",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9:._%-]+")


@dataclass(frozen=True, slots=True)
class Added:
    """What was put into the catalog, and the site that was made for it, if one was."""

    place: StorageElement | Worker
    new_site: Site | None


@dataclass(frozen=True, slots=True)
class SiteUse:
    """A site, and the names of what stands there."""

    site: Site
    workers: tuple[str, ...]
    ses: tuple[str, ...]


def check_name(kind: str, name: str) -> str:
    """Return `name` when a site, storage element or worker may be called so.

    Raises
    ------
    UsageError
        It is empty, too long or holds other characters.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a {kind}",
            hint="a name is up to 63 letters, digits, '.', '_' and '-', and starts with no sign",
        )
    return name


def check_worker_url(url: str) -> str:
    """Site that a worker with this URL stands at when nobody says; checks the URL.

    Raises
    ------
    UsageError
        The URL is neither ``local:`` nor ``ssh://[user@]host[:port]``.
    """
    if url == "local:":
        return LOCAL_SITE
    example = "a worker's URL is 'local:' or 'ssh://user@host:22'"
    parts = _split(url, example)
    if parts.scheme != "ssh":
        raise UsageError(f"{url!r} is no worker's URL", hint=example)
    host = _host(url, parts, example)
    if parts.path not in ("", "/"):
        raise UsageError(
            f"{url!r} names a directory after the host",
            hint="say --root DIR for the agent's directory on the host",
        )
    return host


def check_se_url(url: str) -> str:
    """Site that a storage element with this URL stands at when nobody says; checks the URL.

    Raises
    ------
    UsageError
        The URL is neither ``file:///directory`` nor ``sftp://[user@]host[:port]/directory``.
    """
    example = "a storage element's URL is 'file:///directory' or 'sftp://user@host:22/directory'"
    parts = _split(url, example)
    path = unquote(parts.path)
    if not path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise UsageError(f"{url!r} names no absolute directory", hint=example)
    if parts.scheme == "file" and not parts.netloc:
        return LOCAL_SITE
    if parts.scheme != "sftp":
        raise UsageError(f"{url!r} is no storage element's URL", hint=example)
    return _host(url, parts, example)


def _split(url: str, example: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise UsageError(f"{url!r} is no URL", hint=example) from None
    if parts.query or parts.fragment:
        raise UsageError(f"{url!r} has a part after '?' or '#'", hint=example)
    return parts


def _host(url: str, parts: SplitResult, example: str) -> str:
    host = parts.hostname
    if not host or not _HOST.fullmatch(host) or host.startswith("-"):
        raise UsageError(f"{url!r} names no host", hint=example)
    if parts.password is not None:
        raise UsageError(
            "a URL of a place must not hold a password",
            hint="log in by key: say --identity FILE, or let ssh-agent hold it",
        )
    if parts.username is not None and parts.username.startswith("-"):
        raise UsageError(f"{url!r} names a user that starts with '-'", hint=example)
    return host.replace(":", "-").replace("%", "-")


def add_site(grid: Grid, name: str, site_class: SiteClass, *, replace_it: bool = False) -> Site:
    """Put a site into the catalog."""
    places = grid.catalog.places
    check_name("site", name)
    _check_free("site", name, {site.name for site in places.sites()}, replace_it)
    site = Site(name, site_class)
    places.put_site(site)
    return site


def add_se(
    grid: Grid,
    name: str,
    url: str,
    site: str | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    replace_it: bool = False,
) -> Added:
    """Put a storage element into the catalog; an unknown site is made, of class ``compute``."""
    places = grid.catalog.places
    check_name("storage element", name)
    site = site or check_se_url(url)
    check_se_url(url)
    options = _given(options)
    check_options(options)
    _check_free("storage element", name, {se.name for se in places.ses()}, replace_it)
    new_site = _ensure_site(grid, site)
    element = StorageElement(name, url, site, options=options)
    places.put_se(element)
    return Added(element, new_site)


def add_worker(
    grid: Grid,
    name: str,
    url: str,
    site: str | None = None,
    *,
    slots: int = 1,
    tags: frozenset[str] = frozenset(),
    memory_bytes: int | None = None,
    options: Mapping[str, Any] | None = None,
    replace_it: bool = False,
) -> Added:
    """Put a worker into the catalog; an unknown site is made, of class ``compute``."""
    places = grid.catalog.places
    check_name("worker", name)
    own_site = check_worker_url(url)
    options = _given(options)
    check_options(options)
    if slots < 1:
        raise UsageError(f"a worker needs at least 1 slot, not {slots}")
    for tag in tags:
        check_name("tag", tag)
    _check_free("worker", name, {worker.name for worker in places.workers()}, replace_it)
    new_site = _ensure_site(grid, site or own_site)
    worker = Worker(
        name,
        url,
        site or own_site,
        slots=slots,
        tags=tags,
        memory_bytes=memory_bytes,
        options=options,
    )
    places.put_worker(worker)
    grid.catalog.health.forget(name)
    return Added(worker, new_site)


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse options of a storage element or worker that cannot be understood.

    Raises
    ------
    UsageError
    """
    read_mounts(str(options.get("mounts", "")))
    for jump in str(options.get("jump", "")).split(",") if "jump" in options else ():
        check_worker_url(jump if "://" in jump else f"ssh://{jump}")


def _given(options: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (options or {}).items() if value is not None}


def _check_free(kind: str, name: str, taken: set[str], replace_it: bool) -> None:
    if name in taken and not replace_it:
        raise AlreadyExists(
            f"there is a {kind} {name!r} already", hint="say --replace to put this one in its place"
        )


def _ensure_site(grid: Grid, name: str) -> Site | None:
    check_name("site", name)
    places = grid.catalog.places
    if any(site.name == name for site in places.sites()):
        return None
    site = Site(name, SiteClass.COMPUTE)
    places.put_site(site)
    return site


def list_sites(grid: Grid) -> list[SiteUse]:
    """All sites with what stands there, by name."""
    places = grid.catalog.places
    workers, ses = places.workers(), places.ses()
    return [
        SiteUse(
            site,
            tuple(worker.name for worker in workers if worker.site == site.name),
            tuple(element.name for element in ses if element.site == site.name),
        )
        for site in places.sites()
    ]


def remove_site(grid: Grid, name: str) -> None:
    """Take a site out of the catalog; refused while anything stands there."""
    grid.catalog.places.remove_site(name)


def remove_se(grid: Grid, name: str) -> None:
    """Take a storage element out of the catalog; refused while it keeps replicas."""
    grid.catalog.places.remove_se(name)


def remove_worker(grid: Grid, name: str) -> None:
    """Take a worker out of the catalog.

    Raises
    ------
    NotFound
        There is none of this name.
    UsageError
        It has jobs.
    """
    catalog = grid.catalog
    with catalog.transaction():
        live = catalog.jobs.desk.live_on(name)
        if live:
            plural = "s" if len(live) != 1 else ""
            raise UsageError(
                f"worker {name!r} has {len(live)} job{plural}",
                hint=f"let it end them with 'medgrid worker disable {name}', or cancel them",
            )
        catalog.places.remove_worker(name)
        catalog.health.forget(name)


def set_worker_enabled(grid: Grid, name: str, enabled: bool) -> Worker:
    """Let a worker take new jobs, or none; one that is enabled is trusted, whatever failed."""
    catalog = grid.catalog
    with catalog.transaction():
        worker = replace(catalog.places.worker(name), enabled=enabled)
        catalog.places.put_worker(worker)
        if enabled:
            catalog.health.forget(name)
    return worker
