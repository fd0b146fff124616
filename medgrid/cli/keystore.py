"""``medgrid keystore``: the databases that keep sealed keys."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from medgrid.cli.failures import finish
from medgrid.cli.output import emit, emit_json, emit_lines, warn
from medgrid.cli.params import Session, pass_session
from medgrid.cli.upgrading import say_upgraded

if TYPE_CHECKING:
    from medgrid.actions.outcome import Failure

__all__ = ["keystore"]

_AFTER = "say the same again when it is back; 'medgrid keystore mend' makes a lost one again"


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
    """Show where the key stores are, and whether they answer; warns of copies from upgrades.

    Each is 'there', 'missing', or 'older': that one waits for 'medgrid keystore upgrade'.
    """
    from medgrid.actions.keystores import list_keystores

    lines = list_keystores(session.settings())
    emit(session, "keystore/1", map(asdict, lines), ("url", "state", "needed"))
    for copy in (copy for line in lines for copy in line.copies):
        warn(
            session,
            f"a copy from before an upgrade is kept in {copy}, with keys that are destroyed later",
            hint="delete it ('shred -u') as soon as this medgrid reads your data",
        )


@keystore.command("upgrade")
@pass_session
def upgrade(session: Session) -> None:
    """Bring older key stores to the schema of this medgrid.

    All of a store or nothing, whatever happens meanwhile; as the owner of the stores, all of them
    where there are several. One that is missing or does not answer is passed over and named: when
    it is back, say this again; when it is lost, let 'medgrid keystore mend' follow. While the
    grid's broker works it is refused: end it ('medgrid broker stop'). An SQLite key store is copied
    before: the copy, which is printed, also when this is said again and by 'medgrid keystore show',
    lies beside the file itself, not a link to it, and is called FILE.schema- and the old schema. It
    is worth as much as the key store, and keys that are destroyed later are still in it: delete it
    ('shred -u') as soon as this medgrid reads your data, and keep it out of backups. To go back
    before that, end all that uses the key store, delete FILE-wal and FILE-shm, and move the copy to
    FILE; what was written meanwhile is lost. On PostgreSQL make a copy with pg_dump before.
    """
    from medgrid.actions.upgrade import StoreUpgraded, upgrade_keystores

    failures: list[Failure] = []
    done = 0
    for store in upgrade_keystores(session.settings()):
        if not isinstance(store, StoreUpgraded):
            failures.append(store)
            continue
        done += 1
        what = f"the key store {store.url}"
        say_upgraded(session, what, store.done, "keystore-upgrade/1", url=store.url)
    finish(session, failures, done, hint=_AFTER if done else None)


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
