"""``medgrid meta``: attributes of patients and visits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.output import emit, emit_done
from medgrid.cli.params import Session, pass_session
from medgrid.cli.say import printable
from medgrid.cli.tables import tell_table
from medgrid.cli.times import shown_time
from medgrid.errors import PartlyDone, UsageError

if TYPE_CHECKING:
    from medgrid.catalog.patient_attributes import Given, Said

__all__ = ["meta"]


@click.group()
def meta() -> None:
    """Attributes of patients and visits: arms, scores, groups.

    They answer questions about images: an image has the attributes of its patient and of its visit,
    those of the visit first. Whoever sees an image of a patient or visit sees them; physicians of
    the patient change them. Earlier values are kept. A PLACE is a patient's pseudonym, or for a
    visit PSEUDONYM/SESSION, with the study date where there is no session.

    Values are numbers, or words that are levels. Names, dates, ids and free text are refused.
    """


@meta.command("set")
@click.argument("place", metavar="PLACE")
@click.argument("values", nargs=-1, required=True, metavar="NAME=VALUE...")
@click.option("--unit", default="", metavar="TEXT", help="Unit of the numbers.")
@pass_session
def set_(session: Session, place: str, values: tuple[str, ...], unit: str) -> None:
    """Give a patient or a visit values; all or none.

    The first use of a name says for the whole grid whether it is a number, and its unit.
    """
    from medgrid.actions.meta import Place, set_values

    words: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not text:
            raise UsageError(f"{value!r} is no NAME=VALUE", hint="'meta unset' takes a value away")
        words[name] = text
    done = set_values(session.open_grid(), Place.parse(place), words, unit)
    _tell(session, (*done.fresh, *done.replaced))


@meta.command()
@click.argument("place", metavar="PLACE")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@pass_session
def unset(session: Session, place: str, names: tuple[str, ...]) -> None:
    """Take values away; the history keeps them."""
    from medgrid.actions.meta import Place, unset_values

    done = unset_values(session.open_grid(), Place.parse(place), names)
    _tell(session, done.replaced)


def _tell(session: Session, done: Iterable[Given]) -> None:
    for one in done:
        row = {"patient": one.patient, "visit": one.visit or None}
        emit_done(session, "attribute/1", {**row, "name": one.name, "value": one.value})


@meta.command()
@click.argument("place", metavar="PLACE")
@click.option("--history", is_flag=True, help="Earlier values, too; who gave them, and when.")
@pass_session
def show(session: Session, place: str, history: bool) -> None:
    """Show what is known of a patient and their visits, or of one visit."""
    from medgrid.actions.meta import Place, attributes
    from medgrid.actions.meta import show as known

    grid = session.open_grid()
    said = known(grid, Place.parse(place), history=history)
    units = {one.name: one.unit for one in attributes(grid)}
    rows = [{**_row(one), "unit": units.get(one.given.name)} for one in said]
    more = ("given", "by", "source", "state") if history else ()
    emit(session, "attribute/1", rows, ("visit", "name", "value", "unit", *more))


def _row(said: Said) -> dict[str, Any]:
    one = said.given
    state = "now" if said.is_current else "before"
    return {
        "patient": one.patient,
        "visit": one.visit or None,
        "name": one.name,
        "value": one.value,
        "given": shown_time(said.given_s),
        "by": said.given_by,
        "source": said.source or None,
        "state": f"taken away {state}" if one.value is None else state,
    }


@meta.command()
@pass_session
def ls(session: Session) -> None:
    """List attributes of patients and visits that are in use, as far as you see them."""
    from medgrid.actions.meta import attributes

    rows = (
        {
            "name": one.name,
            "type": str(one.type),
            "unit": one.unit,
            "blinded": "yes" if one.place == "blind" else None,
        }
        for one in attributes(session.open_grid())
    )
    emit(session, "attribute-name/1", rows, ("name", "type", "unit", "blinded"))


@meta.command("import")
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "--issuer",
    default="",
    metavar="TEXT",
    help="Who gave the ids, as for 'medgrid import'; 'bids:NAME' for subjects of a dataset.",
)
@click.option("--blind", multiple=True, metavar="NAME", help="Keep codes of this column; repeat.")
@click.option(
    "--to", multiple=True, metavar="NAME", help="Who may know what codes mean; repeat. [you]"
)
@pass_session
def import_(
    session: Session, table: Path, issuer: str, blind: tuple[str, ...], to: tuple[str, ...]
) -> None:
    """Bring a table's columns to patients and visits: tab-separated, or .csv.

    The column participant_id (or patient, PatientID) says whose a row is: by pseudonym, or by the
    id that images came with. With session_id (or session, visit) it is of that visit. A true day
    beside an id is that of the one visit that may be of it; where two visits may be, or rows of two
    days are of one visit, they are named and left out. As days moved with their times, a visit of
    the day before or after may be taken for that of a day without images: sessions are exact. Of
    columns that 'medgrid import' would leave out, it says so; so does it of rows whose patient is
    not in your care (exit status 3), and the rest is done. The same table again says only what it
    has not said before: what somebody set since stays.

    Of a column of words that is blinded the catalog holds codes, for everybody. What they mean is
    sealed to those named with --to, and to nobody else. A further table may add to it if you are
    one of them; one of them whose certificate has ended or is revoked is named, and cannot open it
    any more.

    What is known already cannot be blinded any more, and 'medgrid import' reads participants.tsv:

    \b
    medgrid import trial --to /trial --leave-out arm
    medgrid meta import trial/participants.tsv --blind arm --to bob
    """
    from medgrid.actions.meta import Table, import_table

    if to and not blind:
        raise UsageError("--to goes with --blind")
    report = import_table(session.open_grid(), Table(table, issuer, blind, to))
    tell_table(session, report)
    if not session.as_json and not session.quiet:
        new, changed = len(report.fresh), len(report.replaced)
        click.echo(printable(f"{report.name}: {new} new, {changed} changed"), err=True)
    if report.others:
        who = ", ".join(report.others)
        raise PartlyDone(
            f"{report.name}: not in your care: {who}", hint="'medgrid team ls' shows who is"
        )


@meta.command()
@click.argument("name")
@pass_session
def codes(session: Session, name: str) -> None:
    """Show what the codes of a blinded attribute mean, if you may know; it is recorded."""
    from medgrid.actions.blinding import Codes

    _show_codes(session, Codes(session.open_grid(), name).meanings())


@meta.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def unblind(session: Session, name: str, yes: bool) -> None:
    """Let everybody know what the codes of an attribute mean; it is recorded, and for good.

    From then on questions ask for the values themselves; a code in one stands for what it means.
    """
    from medgrid.actions.blinding import Codes

    grid = session.open_grid()
    session.confirm(f"tell everybody what the codes of {name} mean?", yes=yes)
    _show_codes(session, Codes(grid, name).release())


def _show_codes(session: Session, meanings: dict[str, str]) -> None:
    rows = [{"code": code, "meaning": meaning} for code, meaning in sorted(meanings.items())]
    emit(session, "code/1", rows, ("code", "meaning"))
