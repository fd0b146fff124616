"""``medgrid init``."""

from __future__ import annotations

from dataclasses import asdict

import click

from medgrid.cli.output import emit_json, emit_table, warn
from medgrid.cli.params import Session, pass_session

__all__ = ["init"]


@click.command()
@click.option("--slots", type=int, metavar="N", help="Jobs the local worker runs at a time.")
@click.option(
    "--recovery",
    default="2/3",
    show_default=True,
    metavar="T/N",
    help="Shares of the recovery key that are needed, and that are made.",
)
@pass_session
def init(session: Session, slots: int | None, recovery: str) -> None:
    """Make a grid home: catalog, local storage, local worker.

    The home is $MEDGRID_HOME, by default ~/.medgrid; only you can enter it. A second run says what
    is there and changes nothing, but for --slots. A catalog or key store that was lost is not made
    anew.

    The catalog is an SQLite file in the home, or the database that MEDGRID_CATALOG names
    (postgresql+psycopg://user@host/name); so is the key store, and MEDGRID_KEYSTORE.

    Nothing is asked: your identity has no passphrase until 'medgrid passphrase' gives it one, and
    the registration key and the shares of the recovery key lie in keys/ until you take them away.

    \b
    medgrid init
    medgrid --home ~/trial init --slots 4
    """
    from medgrid.actions.init import initialise

    grid = session.open_grid()
    needed, _, count = recovery.partition("/")
    if not (needed.isdigit() and count.isdigit()):
        raise click.BadParameter("expected T/N, as in 2/3", param_hint="--recovery")
    parts = initialise(grid, slots, (int(needed), int(count)))
    if session.as_json:
        emit_json(
            "init/1",
            {
                "home": str(grid.settings.home),
                "grid_id": grid.catalog.grid_id,
                "parts": [asdict(part) for part in parts],
            },
        )
    else:
        emit_table(
            [(part.what, part.name, part.state, part.detail) for part in parts],
            ("what", "name", "state", "detail"),
        )
    for part in parts:
        if part.state == "missing" and part.what == "key":
            warn(
                session,
                "this grid was made elsewhere and its pseudonym key is not here; "
                f"copy it to {part.detail} before you import",
            )
