"""``medgrid withdraw``: a patient goes."""

from __future__ import annotations

import click

from medgrid.cli.failures import finish
from medgrid.cli.output import emit_json, note, progress, warn
from medgrid.cli.params import Session, pass_session

__all__ = ["withdraw"]


@click.command()
@click.argument("patient")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Print what would be destroyed, and do nothing.")
@pass_session
def withdraw(session: Session, patient: str, yes: bool, dry_run: bool) -> None:
    """Destroy all that the grid has of a patient, and all results made from it.

    Keys are destroyed first, then bytes and metadata: of the patient's objects, of their older
    versions, and of what was made from them, also from them and other patients' together. Open jobs
    that use them are cancelled. For physicians of the patient; it cannot be undone.

    What could not be reached is listed, and the exit code is 3: say the same again later. The audit
    log keeps, under the pseudonym, that it was done.

    It does not reach backups, nor files that were fetched and what was learnt from them. The last
    words of jobs stay, for the eyes of those who ran them. Results and jobs that you do not see are
    neither counted nor named.
    """
    from medgrid.actions.withdraw import NOT_PROTECTED, plan_withdrawal
    from medgrid.actions.withdraw import withdraw as destroy

    grid = session.open_grid()
    plan = plan_withdrawal(grid, patient)
    counts = {"objects": len(plan.own), "derived": len(plan.derived)}
    if dry_run:
        _show(session, patient, counts, [one.lfn or f"object {one.id}" for one in plan.shown])
        return
    what = f"{counts['objects']} objects of {patient} and {counts['derived']} made from them"
    session.confirm(f"destroy {what}, and what others made from them, for ever?", yes=yes)
    done = destroy(grid, plan, progress(session, "destroying"))
    for job in done.jobs:
        warn(session, f"job {job} was cancelled: it used data of {patient}")
    if session.as_json:
        emit_json("withdrawn/1", {"patient": patient, **counts, "complete": done.complete})
    note(session, f"destroyed {what}")
    for one in plan.former:
        reason = f"{one} became {patient}, and what was made of the images before may be left"
        warn(session, reason, hint=f"'medgrid withdraw {one}' destroys it, too")
    warn(session, NOT_PROTECTED)
    finish(session, done.failures, done.objects)


def _show(session: Session, patient: str, counts: dict[str, int], names: list[str]) -> None:
    from medgrid.cli.output import emit_lines

    if session.as_json:
        emit_json("withdrawal/1", {"patient": patient, **counts, "names": names})
    else:
        emit_lines(names)
