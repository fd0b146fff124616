"""``medgrid log``: what happened to one job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from medgrid.cli.output import emit, emit_json, emit_row
from medgrid.cli.params import Session, pass_session
from medgrid.cli.times import shown_time
from medgrid.model import JobId

if TYPE_CHECKING:
    from medgrid.catalog.jobs import JobEvent

__all__ = ["log"]

_COLUMNS = ("time", "state", "attempt", "worker", "reason")


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@pass_session
def log(session: Session, job_id: str, follow: bool) -> int:
    """Show what happened to a job: each change of its state, oldest first.

    Times are in UTC, by the clock of the host that noted the change. An attempt is one try on one
    worker.

    \b
    medgrid log 42.7 --follow
    """
    from medgrid.actions.log import job_log

    job = JobId.parse(job_id)
    events = job_log(session.open_grid(), job, follow=follow)
    if not follow:
        emit(session, "job-event/1", (_item(job, one) for one in events), _COLUMNS)
        return 0
    for item in (_item(job, one) for one in events):
        if session.as_json:
            emit_json("job-event/1", item)
        else:
            emit_row([item[name] for name in _COLUMNS])
    return 0


def _item(job: JobId, event: JobEvent) -> dict[str, object]:
    return {
        "id": str(job),
        "time": shown_time(event.time_s),
        "time_s": event.time_s,
        "state": str(event.state),
        "attempt": event.attempt or None,
        "worker": event.worker,
        "reason": event.reason,
    }
