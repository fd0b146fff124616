"""``medgrid top``: jobs and workers, live."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.output import emit_json, emit_lines, emit_table
from medgrid.cli.params import Session, pass_session
from medgrid.cli.times import shown_time
from medgrid.cli.totals import totals_document, totals_rows

if TYPE_CHECKING:
    from medgrid.actions.top import Snapshot
    from medgrid.actions.worker_load import WorkerLoad

__all__ = ["FAILURE_COLUMNS", "WORKER_COLUMNS", "failure_rows", "top", "worker_rows"]

FAILURE_COLUMNS = ("ended", "job", "cause", "reason")
WORKER_COLUMNS = ("worker", "site", "slots", "used", "free", "queued", "state")
_FAILURES = 10


@click.command()
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.2),
    default=2.0,
    metavar="S",
    help="Look so often.",
)
@click.option("--once", is_flag=True, help="Look once and end, as where stdout is no terminal.")
@pass_session
def top(session: Session, interval_s: float, once: bool) -> int:
    """Watch your recent jobs, the workers and the newest failures; 'q' ends.

    Of others' jobs nothing is shown; slots that they use count as free. Without a terminal it
    looks once and ends.
    """
    from medgrid.actions.top import snapshot

    grid = session.open_grid()
    found = snapshot(grid, _FAILURES)
    if session.as_json:
        emit_json("top/1", _document(found))
    elif once or not sys.stdout.isatty() or os.environ.get("TERM") in (None, "", "dumb"):
        _print(found)
    else:
        from medgrid.cli.top_screen import watch

        watch(lambda: snapshot(grid, _FAILURES), found, interval_s)
    return 0


def _print(found: Snapshot) -> None:
    emit_table([("broker", found.broker or "none"), *totals_rows(found.totals)], ["jobs", ""])
    emit_lines([""])
    emit_table(worker_rows(found.workers), WORKER_COLUMNS)
    if found.failures:
        emit_lines([""])
        emit_table(failure_rows(found), FAILURE_COLUMNS)


def worker_rows(workers: Sequence[WorkerLoad]) -> list[tuple[Any, ...]]:
    """Cells of `WORKER_COLUMNS`."""
    return [
        (one.name, one.site, one.slots, one.used, one.free, one.queued, _state(one))
        for one in workers
    ]


def failure_rows(found: Snapshot) -> list[tuple[Any, ...]]:
    """Cells of `FAILURE_COLUMNS`."""
    return [(shown_time(one.ended_s), str(one.id), one.cause, one.reason) for one in found.failures]


def _state(one: WorkerLoad) -> str:
    until = "" if one.until_s is None else f" (until {shown_time(one.until_s)})"
    return f"{one.state}{until}{one.reason and f': {one.reason}'}"


def _document(found: Snapshot) -> dict[str, Any]:
    return {
        "time_s": found.time_s,
        "broker": found.broker or None,
        "jobs": totals_document(found.totals),
        "workers": [{**asdict(one), "free": one.free} for one in found.workers],
        "failures": [{**asdict(one), "id": str(one.id)} for one in found.failures],
    }
