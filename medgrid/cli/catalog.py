"""``medgrid catalog``: look after the catalog's database."""

from __future__ import annotations

import click

from medgrid.cli.output import emit_json, emit_lines, emit_table
from medgrid.cli.params import Session, pass_session

__all__ = ["catalog"]


@click.group()
def catalog() -> None:
    """Look after the catalog's database."""


@catalog.command("show")
@pass_session
def show(session: Session) -> None:
    """Show where the catalog is, its schema, and how much it holds."""
    from medgrid.actions.upgrade import describe

    facts = describe(session.open_grid().settings)
    if session.as_json:
        emit_json("catalog/1", facts)
    else:
        emit_table(list(facts.items()), ["", ""])


@catalog.command("upgrade")
@pass_session
def upgrade(session: Session) -> None:
    """Bring an older catalog to the schema of this medgrid."""
    from medgrid.actions.upgrade import upgrade_catalog

    before, after = upgrade_catalog(session.open_grid().settings)
    if session.as_json:
        emit_json("upgrade/1", {"before": before, "after": after})
    elif before == after:
        emit_lines([f"the catalog has schema {after} already"])
    else:
        emit_lines([f"the catalog had schema {before}, now it has {after}"])
