"""``medgrid cancel``: stop jobs."""

from __future__ import annotations

import click

from medgrid.cli.output import emit, warn
from medgrid.cli.params import Session, input_option, pass_session, read_words
from medgrid.errors import PartlyDone
from medgrid.model import JobState

__all__ = ["cancel"]


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@input_option("job ids")
@pass_session
def cancel(session: Session, ids: tuple[str, ...], input_files: tuple[str, ...]) -> int:
    """Stop jobs: those on a worker are killed with all their processes.

    Jobs that had ended before stay as they are; the exit code is then 3.

    \b
    medgrid cancel 42.7
    medgrid cancel 42
    """
    from medgrid.actions.cancel import cancel as act

    words = read_words(ids, input_files, "job id")
    if not words:
        warn(session, "no job id given")
        return 0
    states = act(session.open_grid(), words)
    rows = []
    late = 0
    for job, (before, after) in states.items():
        if before.is_final:
            late += 1
            result = f"already {before}"
        else:
            result = "cancelled" if after is JobState.CANCELLED else "being cancelled"
        rows.append({"id": str(job), "result": result, "state": str(after)})
    emit(session, "job-cancel/1", rows, ["id", "result"])
    if late:
        raise PartlyDone(f"{late} of {len(rows)} jobs had already ended")
    return 0
