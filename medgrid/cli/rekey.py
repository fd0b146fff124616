"""``medgrid rekey``: new keys, new bodies."""

from __future__ import annotations

import click

from medgrid.cli.failures import finish
from medgrid.cli.output import emit_done, note, progress, warn
from medgrid.cli.params import Session, input_option, pass_session, read_words
from medgrid.errors import UsageError

__all__ = ["rekey"]


@click.command()
@click.argument("lfns", nargs=-1, metavar="[LFN]...")
@input_option("LFNs")
@click.option("--dataset", metavar="NAME", help="What this dataset of yours has now.")
@click.option("--patient", metavar="PATIENT", help="All of this patient, and the team's own keys.")
@click.option("--force", is_flag=True, help="Also what open jobs need: these jobs will fail.")
@pass_session
def rekey(
    session: Session,
    lfns: tuple[str, ...],
    input_files: tuple[str, ...],
    dataset: str | None,
    patient: str | None,
    force: bool,
) -> None:
    """Encrypt objects anew: keys that somebody may have kept open nothing any more.

    Each object gets a new key and a new body on the same storage elements, its older versions too;
    then the old keys are destroyed and the old bodies deleted. Grants that hold are sealed to the
    new keys. Names, ids and metadata stay. The object can be read all the time; when this is
    interrupted, say it again.

    It does not protect copies: bodies that were copied before together with their keys, and files
    that were fetched.

    Old bodies that could not be reached are listed, and the exit code is 3: without their keys
    they are noise; the next 'rekey' of the object or 'medgrid fsck --repair' deletes them.
    """
    from medgrid.actions.rekey import rekey as encrypt_anew
    from medgrid.actions.rekey import rekey_patient

    named = bool(lfns or input_files or dataset is not None)
    if named == (patient is not None):
        raise UsageError("say LFNs or --dataset NAME, or --patient PATIENT")
    grid = session.open_grid()
    words = read_words(lfns, input_files, "LFN", required=False)
    bar = progress(session, "encrypting")
    if patient is not None:
        found = rekey_patient(grid, patient, force=force, progress=bar)
    else:
        found = encrypt_anew(grid, words, dataset, force=force, progress=bar)
    for item in found.items:
        emit_done(session, "rekeyed/1", {"lfn": item.lfn, "object": item.id, "key": item.key_id})
    for name in sorted(found.left_out):
        warn(session, f"{name} got no new keys: nobody certifies {name} any more")
    note(session, f"encrypted {len(found.items)} anew")
    finish(session, found.failures, len(found.items))
