"""``medgrid clear``: discard unregistered outputs."""

from __future__ import annotations

import click

from medgrid.cli.output import emit, progress, warn
from medgrid.cli.params import Session, input_option, pass_session, read_words
from medgrid.errors import PartlyDone

__all__ = ["clear"]


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@input_option("job ids")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def clear(session: Session, ids: tuple[str, ...], input_files: tuple[str, ...], yes: bool) -> int:
    """Discard the outputs of done jobs that were not registered.

    Registered outputs stay, and so does all that is known of the jobs.

    \b
    medgrid clear 42 --yes
    """
    from medgrid.actions.clear import clear as act

    words = read_words(ids, input_files, "job id")
    if not words:
        warn(session, "no job id given")
        return 0
    session.confirm(f"discard the unregistered outputs of {', '.join(words[:5])}?", yes=yes)
    done = act(session.open_grid(), words, progress(session, "clearing"))
    rows = [{"id": str(job), "result": "cleared"} for job in done.jobs]
    rows += [{"id": str(job), "result": f"left {state}"} for job, state in done.others.items()]
    emit(session, "job-clear/1", rows, ["id", "result"])
    if done.others:
        raise PartlyDone(f"{len(done.others)} of {len(rows)} jobs are not Done")
    return 0
