"""``medgrid resubmit``: let jobs that failed wait again."""

from __future__ import annotations

import click

from medgrid.cli.output import emit, warn
from medgrid.cli.params import Session, input_option, pass_session, read_words
from medgrid.errors import PartlyDone
from medgrid.model import Cause

__all__ = ["resubmit"]


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@input_option("job ids")
@click.option(
    "--failed", is_flag=True, help="Only those of the jobs that failed; without IDs, of all recent."
)
@click.option(
    "--cause",
    "causes",
    multiple=True,
    type=click.Choice([str(one) for one in Cause if one is not Cause.OK]),
    help="Only those that failed so, as 'medgrid explain' names it; may be repeated.",
)
@pass_session
def resubmit(
    session: Session,
    ids: tuple[str, ...],
    input_files: tuple[str, ...],
    failed: bool,
    causes: tuple[str, ...],
) -> int:
    """Let jobs that ended badly or were cancelled wait again, under their own ids.

    The next attempt may go to any worker, and failures are counted anew. Jobs that cannot run
    again stay as they are; the exit code is then 3. With --failed or --cause, jobs that did not
    fail are passed over.

    \b
    medgrid resubmit 42.7
    medgrid resubmit --failed
    medgrid resubmit 42 --failed --cause walltime --cause memory
    """
    from medgrid.actions.resubmit import resubmit as act
    from medgrid.actions.status import chosen
    from medgrid.cli.status import see_to_broker

    some = failed or bool(causes)
    words = read_words(ids, input_files, "job id", required=not some)
    grid = session.open_grid()
    if not words and not ids and not input_files:
        words = chosen(grid, ())
    elif not words:
        warn(session, "no job id given")
        return 0
    found = act(grid, words, failed=some, causes=[Cause(one) for one in causes])
    rows = [{"id": str(job), "result": "resubmitted"} for job in found.jobs]
    rows += [{"id": str(job), "result": why} for job, why in found.left.items()]
    emit(session, "job-resubmit/1", rows, ["id", "result"])
    if not rows:
        warn(session, "no such job failed: nothing was resubmitted")
    if found.jobs:
        see_to_broker(session, grid, is_news=False)
    if found.left:
        raise PartlyDone(f"{len(found.left)} of {len(rows)} jobs were not resubmitted")
    return 0
