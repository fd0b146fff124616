"""``medgrid site``."""

from __future__ import annotations

import click

from medgrid.cli.output import emit, emit_done
from medgrid.cli.params import Session, pass_session

__all__ = ["site"]


@click.group()
def site() -> None:
    """Who administers machines.

    A site's class says how far it is trusted with data: 'keys' (trusted, keeps keys), 'compute'
    (may see images while a job runs), 'store' (never sees them).
    """


@site.command()
@click.argument("name")
@click.option(
    "--class",
    "site_class",
    type=click.Choice(["keys", "compute", "store"]),
    default="compute",
    show_default=True,
    help="How far the site is trusted.",
)
@click.option("--replace", is_flag=True, help="Put it in the place of one of this name.")
@pass_session
def add(session: Session, name: str, site_class: str, replace: bool) -> None:
    """Add a site."""
    from medgrid.actions.places import add_site
    from medgrid.model import SiteClass

    made = add_site(session.open_grid(), name, SiteClass(site_class), replace_it=replace)
    emit(session, "site/1", [{"name": made.name, "class": made.site_class}], ("name", "class"))


@site.command()
@pass_session
def ls(session: Session) -> None:
    """List sites with what stands there."""
    from medgrid.actions.places import list_sites

    rows = [
        {"name": use.site.name, "class": use.site.site_class, "workers": use.workers, "se": use.ses}
        for use in list_sites(session.open_grid())
    ]
    emit(session, "site/1", rows, ("name", "class", "workers", "se"))


@site.command()
@click.argument("name")
@pass_session
def rm(session: Session, name: str) -> None:
    """Remove a site where nothing stands."""
    from medgrid.actions.places import remove_site

    remove_site(session.open_grid(), name)
    emit_done(session, "site/1", {"name": name, "state": "removed"})
