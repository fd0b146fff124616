"""``medgrid patient``: two patients who are one person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from medgrid.cli.failures import finish
from medgrid.cli.output import emit_json, emit_row, emit_table, note, progress, warn
from medgrid.cli.params import Session, pass_session

if TYPE_CHECKING:
    from medgrid.actions.grid import Grid

__all__ = ["patient", "warn_of_merged"]


@click.group()
def patient() -> None:
    """Patients, by their pseudonyms: let two who are one person become one."""


@patient.command()
@click.argument("old")
@click.argument("new")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Print what would move and what stays; do nothing.")
@pass_session
def merge(session: Session, old: str, new: str, yes: bool, dry_run: bool) -> None:
    """Let the patient OLD become NEW: one person who came under two ids.

    An id was corrected, an issuer was missing, a name was spelled otherwise. From now on imports
    bring images of OLD as those of NEW. Those that are there are made anew for NEW, from their
    originals, as an import makes them: with NEW's UIDs and dates, and under LFNs with NEW's
    pseudonym; an LFN that people gave stays. What is granted stays granted. What NEW has already is
    not made twice. Old and new LFNs are printed, one image a line.

    What names OLD, and attributes of OLD and of the visits, is known of NEW, too; where NEW has
    another value, that stays, and a warning says so. Results that were made from images of OLD stay
    what they are, and with who sees them; a warning names each, to be made again.

    For physicians of both; it cannot be undone. One image goes after the other: one that fails is
    named, and the exit code is 3; when it was interrupted or something is left, say the same again.
    """
    from medgrid.actions.importing.doubts import Doubt
    from medgrid.actions.merge_patients import merge_patients, plan_merge
    from medgrid.actions.outcome import Failure
    from medgrid.actions.transfer import label

    grid = session.open_grid()
    plan = plan_merge(grid, old, new)
    left = [label(one) for one in plan.left]
    if dry_run:
        names = [one for image in plan.images for one in (image.name, *map(label, image.volumes))]
        if session.as_json:
            emit_json("merge/1", {"old": old, "new": new, "lfns": names, "left": left})
        else:
            rows = [*((name, "moves") for name in names), *((name, "stays") for name in left)]
            emit_table(rows, ["lfn", ""])
        return
    what = f"{len(plan.images)} images of {old}"
    session.confirm(f"make {what} those of {new}, which cannot be undone?", yes=yes)
    failures: list[Failure] = []
    done = 0

    def tell(doubt: Doubt) -> None:
        warn(session, doubt.reason, hint=doubt.hint)

    for one in merge_patients(grid, plan, tell, progress(session, "making them anew")):
        if isinstance(one, Failure):
            failures.append(one)
            continue
        done += 1
        if session.as_json:
            emit_json("moved/1", {"lfn": one.was, "to": one.lfn})
        else:
            emit_row([one.was, one.lfn])
    for name in left:
        reason = f"{name} was made from images of {old}, and stays as it is"
        hint = f"make it again from those of {new}; then 'medgrid rm' it"
        tell(Doubt(reason, hint))
    if session.as_json:
        document = {"old": old, "new": new, "images": done, "left": left}
        emit_json("merged/1", {**document, "complete": not failures})
    note(session, f"made {done} of {what} those of {new}")
    again = "say the same again: it goes on with what is left" if done else None
    finish(session, failures, done, hint=again)


def warn_of_merged(session: Session, grid: Grid, text: str) -> None:
    """Warn of each patient in a text who became another one."""
    from medgrid.actions.merged import merged_in

    for old, new in merged_in(grid, text).items():
        warn(session, f"{old} is {new} now", hint=f"ask for {new}")
