"""``medgrid worker``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.checks import accept_hostkey_option, finish_checks, one_name
from medgrid.cli.output import emit, emit_done, human_bytes, note
from medgrid.cli.params import SIZE, Session, pass_session

if TYPE_CHECKING:
    from medgrid.actions.check import WorkerCheck
    from medgrid.actions.troubles import Trouble
    from medgrid.model import Worker

__all__ = ["worker"]

COLUMNS = ("name", "url", "site", "slots", "memory", "cache", "tags", "state", "trouble")
CHECK_COLUMNS = (
    "name",
    "state",
    "host",
    "cpus",
    "memory",
    "free",
    "cache",
    "python",
    "runtimes",
    "encrypted data",
    "problem",
    "trouble",
)


@click.group()
def worker() -> None:
    """The hosts that run jobs."""


def _row(
    found: Worker, trouble: Trouble | None = None, info: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    cache, limit = (info or {}).get("cache_bytes"), (info or {}).get("cache_limit_bytes")
    return {
        **_trouble(trouble),
        "cache_bytes": cache,
        "cache_limit_bytes": limit,
        "cache": _cache(cache, limit),
        "name": found.name,
        "url": found.url,
        "site": found.site,
        "slots": found.slots,
        "memory_bytes": found.memory_bytes,
        "memory": human_bytes(found.memory_bytes),
        "tags": sorted(found.tags),
        "state": "enabled" if found.enabled else "disabled",
        "options": dict(found.options),
    }


def _cache(size_bytes: int | None, limit_bytes: int | None) -> str | None:
    """How much is kept on a host for other jobs, and how much may be."""
    if size_bytes is None or limit_bytes is None:
        return None
    return f"{human_bytes(size_bytes)} of {human_bytes(limit_bytes)}"


def _trouble(found: Trouble | None) -> dict[str, Any]:
    """Why a worker gets no job, and until when."""
    return {
        "trouble": found and found.text,
        "since_s": found and found.since_s,
        "until_s": found and found.until_s,
        "failures": found.failures if found else 0,
    }


@worker.command()
@click.argument("name")
@click.argument("url")
@click.option("--site", help="Site it stands at; by default one called like the host.")
@click.option("--slots", type=click.IntRange(min=1), default=1, help="Jobs it runs at a time.")
@click.option("--tag", "tags", multiple=True, help="What it offers, for matching; repeatable.")
@click.option("--memory", type=SIZE, metavar="SIZE", help="Memory for jobs, such as 16G.")
@click.option("--jump", metavar="URL", help="Host to go through: ssh://user@host:port.")
@click.option("--root", metavar="DIR", help="Directory of the agent on the host.")
@click.option("--python", metavar="PROGRAM", help="Python of the agent on the host.")
@click.option("--identity", type=click.Path(), metavar="FILE", help="Private key to log in with.")
@click.option("--cache", type=SIZE, metavar="SIZE", help="Most that inputs kept there may take.")
@click.option(
    "--mount",
    "mounts",
    multiple=True,
    metavar="SE=DIR",
    help="Storage element that the host has mounted; repeatable.",
)
@click.option(
    "--se-key",
    metavar="FILE",
    help="Key file on the host with which it reads storage elements by SFTP itself.",
)
@click.option("--replace", is_flag=True, help="Put it in the place of one of this name.")
@pass_session
def add(
    session: Session,
    name: str,
    url: str,
    site: str | None,
    slots: int,
    tags: tuple[str, ...],
    memory: int | None,
    jump: str | None,
    root: str | None,
    python: str | None,
    identity: str | None,
    cache: int | None,
    mounts: tuple[str, ...],
    se_key: str | None,
    replace: bool,
) -> None:
    """Add a host that runs jobs.

    URL is ssh://user@host:port, or 'local:' for this machine. An unknown site is made, of class
    'compute'. Nothing is asked of the host yet: 'medgrid worker check NAME' does that.

    Inputs, code and environments stay on the host for later jobs, until they take more than
    --cache, or the disk gets full; what was used longest ago goes first. The default is half of
    what the disk has free.

    Inputs pass through the broker's machine, unless the host has them at hand: on its own disk, in
    a directory that it has mounted (--mount), or on an SFTP server that lets in a key of its site
    (--se-key; it may read only, and the server must be among the host's known hosts). What cannot
    be had that way is sent as ever.

    \b
    medgrid worker add w1 ssh://grid@host1:22 --slots 8 --site hospA --tag python
    """
    from medgrid.actions.places import add_worker
    from medgrid.model import Worker

    made = add_worker(
        session.open_grid(),
        name,
        url,
        site,
        slots=slots,
        tags=frozenset(tags),
        memory_bytes=memory,
        options={
            "jump": jump,
            "root": root,
            "python": python,
            "identity": identity,
            "cache": None if cache is None else str(cache),
            "mounts": ",".join(mounts) or None,
            "se-key": se_key,
        },
        replace_it=replace,
    )
    if made.new_site:
        note(session, f"site {made.new_site.name} is new, of class {made.new_site.site_class}")
    assert isinstance(made.place, Worker)  # noqa: S101 - for the type checker
    emit(session, "worker/1", [_row(made.place)], COLUMNS)


@worker.command()
@pass_session
def ls(session: Session) -> None:
    """List workers, and say which get no jobs for the time being, and why.

    A worker that failed several jobs in a row is out for a while, each time for longer; then it
    gets one job on trial, and others when that has ended well or has run for half a minute.
    'medgrid worker enable' lets it take jobs at once. The size of the cache is that of when a
    broker last reached it.
    """
    from medgrid.actions.troubles import worker_troubles

    catalog = session.open_grid().catalog
    troubles, links = worker_troubles(catalog), catalog.jobs.desk.links()
    rows = (
        _row(one, troubles.get(one.name), links[one.name].info if one.name in links else None)
        for one in catalog.places.workers()
    )
    emit(session, "worker/1", rows, COLUMNS)


@worker.command()
@click.argument("name")
@pass_session
def rm(session: Session, name: str) -> None:
    """Remove a worker that has no job."""
    from medgrid.actions.places import remove_worker

    remove_worker(session.open_grid(), name)
    emit_done(session, "worker/1", {"name": name, "state": "removed"})


@worker.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@pass_session
def enable(session: Session, names: tuple[str, ...]) -> None:
    """Let workers take jobs, also those that are out after failures."""
    _switch(session, names, enabled=True)


@worker.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@pass_session
def disable(session: Session, names: tuple[str, ...]) -> None:
    """Give workers no new job; what runs there goes on."""
    _switch(session, names, enabled=False)


def _switch(session: Session, names: tuple[str, ...], *, enabled: bool) -> None:
    from medgrid.actions.places import set_worker_enabled

    grid = session.open_grid()
    for name in names:
        emit_done(session, "worker/1", _row(set_worker_enabled(grid, name, enabled)))


@worker.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@accept_hostkey_option
@pass_session
def check(session: Session, names: tuple[str, ...], accept_hostkey: str | None) -> None:
    """Log in to workers, put the agent there, and show what it says of its host.

    All workers by default. A host whose key is not known is refused, and its key's fingerprint
    shown: compare it with what the host's administrator says, then repeat with --accept-hostkey.
    A worker that is out after failures is so for some time yet, though it answers.
    """
    from medgrid.actions.check import accept_host_key, check_workers
    from medgrid.actions.troubles import worker_troubles

    grid = session.open_grid()
    if accept_hostkey is not None:
        accept_host_key(grid, grid.catalog.places.worker(one_name(names)), accept_hostkey)
    checks = check_workers(grid, names)
    troubles = worker_troubles(grid.catalog)
    rows = ({**_check_row(one), **_trouble(troubles.get(one.name))} for one in checks)
    emit(session, "worker-check/1", rows, CHECK_COLUMNS)
    finish_checks(session, checks)


def _check_row(found: WorkerCheck) -> Mapping[str, Any]:
    info = found.info
    return {
        "name": found.name,
        "state": "failed" if found.error else "ok",
        "problem": found.error.message if found.error else None,
        "host": info and info.hostname,
        "cpus": info and info.cpus,
        "memory_bytes": info and info.memory_bytes,
        "memory": info and human_bytes(info.memory_bytes),
        "free_bytes": info and info.free_bytes,
        "free": info and human_bytes(info.free_bytes),
        "cache_bytes": info and info.cache_bytes,
        "cache_limit_bytes": info and info.cache_limit_bytes,
        "cache": info and _cache(info.cache_bytes, info.cache_limit_bytes),
        "python": info and info.python,
        "runtimes": list(info.runtimes) if info else [],
        "ciphers": list(info.ciphers) if info else [],
        "private_memory_bytes": info and info.private_memory_bytes,
        "encrypted data": info and _encrypted(info.ciphers, info.private_memory_bytes),
        "agent_id": info and info.agent_id,
        "agent_digest": info and info.agent_digest,
    }


def _encrypted(ciphers: Sequence[str], private_memory_bytes: int) -> str:
    """Where a worker opens the inputs of jobs."""
    if not ciphers:
        return "no"
    if private_memory_bytes:
        return f"in memory, {human_bytes(private_memory_bytes)}"
    return "on its disk"
