"""``medgrid audit``: who did what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.group import DefaultGroup
from medgrid.cli.output import emit, emit_done, emit_json, emit_lines, note
from medgrid.cli.params import Session, pass_session
from medgrid.cli.times import MOMENT, shown_time

if TYPE_CHECKING:
    from medgrid.actions.audit import Entry

__all__ = ["audit"]


@click.group(cls=DefaultGroup, default="ls")
def audit() -> None:
    """Who did what with which data; nothing is given out by the key store without a record.

    \b
    medgrid audit --what /trial/P-7F3KQ2M9XA/2021-03-04/T1w
    medgrid audit --who bob --since 7d
    medgrid audit verify

    The word 'ls' may be left out.
    """


@audit.command()
@click.option("--who", metavar="IDENTITY", help="What somebody did.")
@click.option(
    "--what", metavar="NAME", help="A verb, an LFN or object's id, a patient, or an identity."
)
@click.option(
    "--since", "since_s", type=MOMENT, metavar="TIME", help="2027-06-30, 2027-06-30T14:00, or 8h."
)
@pass_session
def ls(session: Session, who: str | None, what: str | None, since_s: float | None) -> None:
    """List records: of what you did, and of all that was done with your patients' data.

    Times are UTC.
    """
    from medgrid.actions.audit import entries

    found = entries(session.open_grid(), who, what, since_s)
    columns = ["time", "who", "verb", "thing", "patient", "detail"]
    emit(session, "audit/1", (_row(session, one) for one in found), columns)


def _row(session: Session, entry: Entry) -> dict[str, Any]:
    one = entry.record
    row: dict[str, Any] = {
        "number": one.seq,
        "time": shown_time(one.time_s),
        "who": one.who,
        "verb": one.verb,
        "thing": one.thing if session.as_json else entry.lfn or one.thing,
        "patient": one.patient,
        "detail": one.detail,
    }
    return row | {"time_s": one.time_s, "lfn": entry.lfn}


@audit.command()
@click.option(
    "--against",
    "copies",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="COPY",
    help="Also compare with a copy from elsewhere.",
)
@pass_session
def verify(session: Session, copies: tuple[Path, ...]) -> None:
    """Read the whole log again: exit code 6 when records were changed, moved or cut off.

    It is compared with the checkpoints in the key store and with the last one that this grid home
    remembers. Whoever holds the key store and all homes and copies can write another log.
    """
    from medgrid.actions.audit import verify as read_again

    report = read_again(session.open_grid(), copies)
    if session.as_json:
        document = {"records": report.size, "signed": report.signed, "root": report.root.hex()}
        emit_json("audit-report/1", {**document, "problems": report.problems})
    elif not report.problems:
        emit_lines([f"whole: {report.size} records, {report.signed} of them signed"])
    report.check()


@audit.command()
@click.option(
    "--to",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The copy; made when it is missing.",
)
@pass_session
def copy(session: Session, file: Path) -> None:
    """Add what is new to a copy of the log, to be kept at a second site.

    It holds the records that you may see. A log that does not continue the copy is refused, with
    exit code 6.
    """
    from medgrid.actions.audit import copy as add_to

    added = add_to(session.open_grid(), file)
    emit_done(session, "audit-copy/1", {"file": str(file), "added": added})
    note(session, f"added {added} records to {file}")
