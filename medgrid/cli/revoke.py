"""``medgrid revoke``: take grants back."""

from __future__ import annotations

import click

from medgrid.cli.failures import finish
from medgrid.cli.output import emit_done, note, warn
from medgrid.cli.params import Session, input_option, pass_session, read_words
from medgrid.errors import UsageError

__all__ = ["revoke"]


@click.command()
@click.argument("identity")
@click.argument("lfns", nargs=-1, metavar="[LFN]...")
@input_option("LFNs")
@click.option("--dataset", metavar="NAME", help="What you granted with this dataset.")
@click.option("--all", "everything", is_flag=True, help="All grants that are yours to take back.")
@pass_session
def revoke(
    session: Session,
    identity: str,
    lfns: tuple[str, ...],
    input_files: tuple[str, ...],
    dataset: str | None,
    everything: bool,
) -> None:
    """Take back what was granted to somebody: no key of it is given out any more.

    All versions of an LFN are meant. Keys that were lent to their open jobs are taken back, too; a
    job that runs has them already ('medgrid status' shows it). What they have fetched stays
    fetched, and so do results made from it. If they may have kept keys, 'medgrid rekey' encrypts
    the objects anew.
    """
    from medgrid.actions.revoke import STAYS_FETCHED
    from medgrid.actions.revoke import revoke as take_back

    named = bool(lfns or input_files)
    if named + (dataset is not None) + everything != 1:
        raise UsageError("say LFNs, or --dataset NAME, or --all")
    words = read_words(lfns, input_files, "LFN", required=False)
    if named and not words:
        return
    done = take_back(session.open_grid(), identity, words, dataset=dataset)
    for item in done.items:
        emit_done(session, "revoked/1", {"lfn": item.lfn, "object": item.id, "identity": identity})
    note(session, f"took back {len(done.items)} from {identity}")
    for job in done.jobs:
        warn(session, f"job {job} of {identity} gets no more keys; if it runs, it has them already")
    if done.items:
        warn(session, STAYS_FETCHED.format(name=identity))
    finish(session, done.failures, len(done.items))
