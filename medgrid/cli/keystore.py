"""``medgrid keystore``: the databases that keep sealed keys."""

from __future__ import annotations

from dataclasses import asdict

import click

from medgrid.cli.output import emit, emit_json, emit_lines
from medgrid.cli.params import Session, pass_session

__all__ = ["keystore"]


@click.group()
def keystore() -> None:
    """The databases that keep sealed keys.

    One, or several at different sites, of which so many are needed to open anything: fewer know
    nothing, and as many as are left over may be lost. 'medgrid init' makes several when the
    settings 'keystore' and 'keystore_threshold' say so.
    """


@keystore.command("show")
@pass_session
def show(session: Session) -> None:
    """Show where the key stores are, and whether they answer."""
    from medgrid.actions.keystores import list_keystores

    lines = list_keystores(session.settings())
    emit(session, "keystore/1", map(asdict, lines), ("url", "state", "needed"))


@keystore.command("mend")
@pass_session
def mend(session: Session) -> None:
    """Make lost key stores again, from those that are left; prints their addresses.

    All stores get new shares of all keys, so that whoever finds the lost one has nothing. As the
    owner of the stores. The audit log of a lost store is lost, but for its copies.
    """
    from medgrid.actions.keystores import mend_keystores

    made = mend_keystores(session.settings())
    if session.as_json:
        emit_json("keystore-mended/1", {"made": made})
    else:
        emit_lines(made)
