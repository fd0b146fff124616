"""``medgrid status``: where jobs are, and why."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from medgrid.cli.output import emit, note, progress, warn
from medgrid.cli.params import Session, input_option, pass_session, read_words
from medgrid.cli.times import shown_time
from medgrid.cli.totals import emit_totals
from medgrid.errors import ExitCode, JobFailed
from medgrid.model import JobState

if TYPE_CHECKING:
    from medgrid.actions.grid import Grid
    from medgrid.actions.outlook import Outlook
    from medgrid.catalog.jobs import JobLine

__all__ = ["report_end", "see_to_broker", "status"]

_FAILURES_SHOWN = 5


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@input_option("job ids")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([str(one) for one in JobState], case_sensitive=False),
    help="Only jobs in this state; may be repeated.",
)
@click.option(
    "--count", is_flag=True, help="How many are in which state, why some failed, when all end."
)
@click.option("--wait", "wait_", is_flag=True, help="Wait until all jobs named have ended.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0), metavar="S", help="Wait no longer."
)
@pass_session
def status(
    session: Session,
    ids: tuple[str, ...],
    input_files: tuple[str, ...],
    states: tuple[str, ...],
    count: bool,
    wait_: bool,
    timeout_s: float | None,
) -> int:
    """Show where jobs are: id, state, worker, reason.

    ID is a job (42.7), some jobs (42.1-42.5) or a submission (42); without any, your recent ones.
    With --wait, the exit code is 8 when a job ended badly, and 7 when the time ran out.

    With --count, all your jobs when none is named. When all will have ended (ETA) is told from how
    fast jobs ended lately; nothing is said when none did.

    \b
    medgrid status --count
    medgrid status 42
    medgrid status -i ids --wait --timeout 3600 && medgrid fetch -i ids --dir out
    """
    from medgrid.actions.status import (
        chosen,
        job_counts,
        job_lines,
        job_totals,
        wait,
        with_outlook,
    )

    given = read_words(ids, input_files, "job id", required=False)
    grid = session.open_grid()
    if not given and (ids or input_files):
        warn(session, "no job id given")
        return 0
    words = chosen(grid, given)
    ended = True
    if words and wait_:
        ended = wait(grid, words, timeout_s=timeout_s, progress=progress(session, "jobs"))
    if count:
        totals = job_totals(grid, given)
        counts = totals.states
        emit_totals(session, totals)
    elif not words:
        note(session, "you have no recent jobs")
        return 0
    else:
        counts = job_counts(grid, words)
        lines = job_lines(grid, words, [JobState(one) for one in states])
        emit(
            session,
            "job-status/1",
            (_item(line, outlook) for line, outlook in with_outlook(grid, lines)),
            ["id", "state", "worker", "reason"],
        )
        if sys.stdout.isatty():
            note(session, ", ".join(f"{number} {state}" for state, number in counts.items()))
    if not wait_:
        if any(not state.is_final and number for state, number in counts.items()):
            see_to_broker(session, grid)
        return 0
    if not ended:
        warn(session, f"not all jobs ended within {timeout_s:g} s")
        return ExitCode.UNREACHABLE
    return report_end(session, grid, words)


def see_to_broker(session: Session, grid: Grid, *, is_news: bool = True) -> None:
    """Start a broker when open jobs need one; say when they had none.

    `is_news` is false where jobs are new and a start is nothing to talk of.
    """
    from medgrid.actions.broker import ensure_broker

    missing = ensure_broker(grid)
    if missing is not None and (is_news or missing.reason):
        warn(session, missing.message, hint=missing.hint)


def report_end(session: Session, grid: Grid, words: list[str]) -> int:
    """Name jobs that ended badly on stderr and give the exit code.

    Raises
    ------
    JobFailed
        Some ended badly.
    """
    from medgrid.actions.status import job_lines

    failed: list[JobLine] = []
    total = 0
    for line in job_lines(grid, words):
        total += 1
        if not line.succeeded:
            failed.append(line)
    if not failed:
        return ExitCode.DONE
    if not session.as_json:
        for line in failed[:_FAILURES_SHOWN]:
            warn(session, f"job {line.id} is {line.state}: {line.reason}")
    raise JobFailed(
        f"{len(failed)} of {total} jobs ended badly",
        hint=f"see 'medgrid explain {failed[0].id}'",
    )


def _item(line: JobLine, outlook: Outlook | None) -> dict[str, object]:
    return {
        "id": str(line.id),
        "state": str(line.state),
        "worker": line.worker,
        "reason": line.reason if outlook is None else f"{line.reason}; {_next(outlook)}",
        "cause": line.cause,
        "exit_code": line.exit_code,
        "attempt": line.attempt,
        "algorithm": line.algorithm_label,
        "updated_s": line.updated_s,
        "outlook": asdict(outlook) if outlook else None,
    }


def _next(outlook: Outlook) -> str:
    """What will happen to a job whose worker does not answer."""
    if not outlook.then:
        return f"it waits for {outlook.waits_for}"
    when = "later" if outlook.until_s is None else f"at {shown_time(outlook.until_s)}"
    return f"unless it does, {outlook.then} {when}"
