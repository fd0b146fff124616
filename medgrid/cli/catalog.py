"""``medgrid catalog``: look after the catalog's database."""

from __future__ import annotations

import click

from medgrid.cli.output import emit_json, emit_lines, emit_table
from medgrid.cli.params import Session, pass_session
from medgrid.cli.upgrading import say_upgraded

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
    """Bring an older catalog to the schema of this medgrid.

    All of it or nothing, whatever happens meanwhile. While a broker works it is refused: end it
    ('medgrid broker stop'), and upgrade all machines that use the catalog. An SQLite catalog is
    copied before: the copy, which is printed, also when this is said again, lies beside the file
    itself, not a link to it, and is called FILE.schema- and the old schema. To go back to the older
    medgrid, end all that uses the catalog, delete FILE-wal and FILE-shm, and move the copy to FILE;
    what was written meanwhile is lost. Delete the copy when you will not go back. On PostgreSQL
    make a copy with pg_dump before, and do this as the owner of the tables.
    """
    from medgrid.actions.upgrade import upgrade_catalog

    done = upgrade_catalog(session.open_grid().settings)
    say_upgraded(session, "the catalog", done, "upgrade/1")


@catalog.command("users")
@click.option("--dry-run", is_flag=True, help="Print the SQL, and change nothing.")
@pass_session
def users(session: Session, dry_run: bool) -> None:
    """Give each identity a role of the database that sees its own rows.

    Only on PostgreSQL, and as a role that owns the catalog's tables and may make roles. Each
    identity whose certificate counts gets a role called like it; all others are put out. Whatever
    such a role sends, it sees what policy lets the identity see: its own objects and jobs, those of
    the patients in its care, and what it was granted. Identities in the role of a broker see all
    rows. How a role proves itself (pg_hba.conf, passwords) stays the server's matter. Say it again
    when identities came or went, and after 'medgrid catalog upgrade'.
    """
    from medgrid.actions.catalog_users import guard_catalog, plan_guard

    settings = session.open_grid().settings
    if dry_run:
        planned = plan_guard(settings)
        if session.as_json:
            emit_json("catalog-users-plan/1", {"statements": planned})
        else:
            emit_lines(f"{statement.strip()};" for statement in planned)
        return
    found = guard_catalog(settings).users
    if session.as_json:
        emit_json(
            "catalog-users/1", {"users": [{"name": name, "roles": roles} for name, roles in found]}
        )
    else:
        emit_table([(name, ", ".join(roles)) for name, roles in found], ["identity", "roles"])
