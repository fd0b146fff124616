"""``medgrid se``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.checks import accept_hostkey_option, finish_checks, one_name
from medgrid.cli.output import emit, emit_done, human_bytes, note
from medgrid.cli.params import Session, pass_session

if TYPE_CHECKING:
    from medgrid.actions.check import SeCheck
    from medgrid.model import StorageElement

__all__ = ["se"]

COLUMNS = ("name", "url", "site", "state")


@click.group()
def se() -> None:
    """The places that keep replicas: storage elements (SE)."""


def _row(element: StorageElement) -> Mapping[str, Any]:
    return {
        "name": element.name,
        "url": element.url,
        "site": element.site,
        "state": "enabled" if element.enabled else "disabled",
        "options": dict(element.options),
    }


@se.command()
@click.argument("name")
@click.argument("url")
@click.option("--site", help="Site it stands at; by default one called like the host.")
@click.option("--jump", metavar="URL", help="Host to go through: ssh://user@host:port.")
@click.option("--identity", type=click.Path(), metavar="FILE", help="Private key to log in with.")
@click.option("--replace", is_flag=True, help="Put it in the place of one of this name.")
@pass_session
def add(
    session: Session,
    name: str,
    url: str,
    site: str | None,
    jump: str | None,
    identity: str | None,
    replace: bool,
) -> None:
    """Add a storage element.

    URL is file:///directory or sftp://user@host:port/directory. An unknown site is made, of class
    'compute'. 'medgrid se check NAME' shows whether it works.

    \b
    medgrid se add store1 sftp://grid@host1/data/medgrid --site hospA
    """
    from medgrid.actions.places import add_se
    from medgrid.model import StorageElement

    made = add_se(
        session.open_grid(),
        name,
        url,
        site,
        {"jump": jump, "identity": identity},
        replace_it=replace,
    )
    if made.new_site:
        note(session, f"site {made.new_site.name} is new, of class {made.new_site.site_class}")
    assert isinstance(made.place, StorageElement)  # noqa: S101 - for the type checker
    emit(session, "se/1", [_row(made.place)], COLUMNS)


@se.command()
@pass_session
def ls(session: Session) -> None:
    """List storage elements."""
    emit(session, "se/1", map(_row, session.open_grid().catalog.places.ses()), COLUMNS)


@se.command()
@click.argument("name")
@pass_session
def rm(session: Session, name: str) -> None:
    """Remove a storage element that keeps no replica."""
    from medgrid.actions.places import remove_se

    remove_se(session.open_grid(), name)
    emit_done(session, "se/1", {"name": name, "state": "removed"})


@se.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@accept_hostkey_option
@click.option("--create", is_flag=True, help="Make the directory where it is missing.")
@pass_session
def check(
    session: Session, names: tuple[str, ...], accept_hostkey: str | None, create: bool
) -> None:
    """Write, read and delete a small file on storage elements, all by default.

    A host whose key is not known is refused, and its key's fingerprint shown: compare it with what
    the host's administrator says, then repeat with --accept-hostkey.
    """
    from medgrid.actions.check import accept_host_key, check_ses

    grid = session.open_grid()
    if accept_hostkey is not None:
        accept_host_key(grid, grid.catalog.places.se(one_name(names)), accept_hostkey)
    checks = check_ses(grid, names, create=create)
    emit(session, "se-check/1", map(_check_row, checks), ("name", "state", "free", "problem"))
    finish_checks(session, checks)


def _check_row(found: SeCheck) -> Mapping[str, Any]:
    return {
        "name": found.name,
        "state": "failed" if found.error else "ok",
        "free_bytes": found.free_bytes,
        "free": human_bytes(found.free_bytes),
        "problem": found.error.message if found.error else None,
    }
