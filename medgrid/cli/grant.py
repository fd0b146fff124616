"""``medgrid grant``: let somebody see and read objects."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.failures import finish
from medgrid.cli.group import DefaultGroup
from medgrid.cli.output import emit, emit_done, note, warn
from medgrid.cli.params import UNTIL, Session, input_option, pass_session, read_words
from medgrid.cli.times import SPAN, shown_day
from medgrid.errors import UsageError

if TYPE_CHECKING:
    from medgrid.actions.grant import Given, Granted

__all__ = ["grant"]

_USUAL_S = 365 * 86400.0
_SHOWN = 3


@click.group(cls=DefaultGroup, default="to")
def grant() -> None:
    """Let somebody see and read de-identified objects, until some day.

    \b
    medgrid grant bob --dataset ms-trial --until 2027-06-30
    medgrid query 'Modality=MR' | medgrid grant bob - --for 90d

    The word 'to' may be left out.
    """


@grant.command("to")
@click.argument("identity")
@click.argument("lfns", nargs=-1, metavar="[LFN]...")
@input_option("LFNs")
@click.option("--dataset", metavar="NAME", help="What this dataset of yours has now.")
@click.option("--until", "until_s", type=UNTIL, help="Last day; the default is in a year.")
@click.option("--for", "for_s", type=SPAN, help="How long from now: 12h, 90d, 8w, 2y.")
@pass_session
def to(
    session: Session,
    identity: str,
    lfns: tuple[str, ...],
    input_files: tuple[str, ...],
    dataset: str | None,
    until_s: int | None,
    for_s: float | None,
) -> None:
    """Grant objects to a researcher or physician of the grid.

    The physicians of a patient grant what is of the patient; what belongs to several, its owner
    does, if a physician. Objects that name the patient are never granted, nor those that wait for
    a review: they are listed, the others are granted, and the exit code is 3.

    A grant is on an LFN: new versions of it are granted, too, to the same end, when their pixels
    need no review. What comes into a dataset later is not granted.
    """
    from medgrid.actions.grant import grant as give

    if until_s is not None and for_s is not None:
        raise UsageError("say --until or --for, not both")
    now_s = time.time()
    end_s = until_s or now_s + (for_s or _USUAL_S)
    if end_s <= now_s:
        raise UsageError("a grant must end in the future")
    words = read_words(lfns, input_files, "LFN", required=dataset is None)
    given = give(session.open_grid(), identity, words, end_s, dataset)
    for item in given.items:
        document = {"lfn": item.lfn, "identity": identity, "until_s": end_s, "dataset": dataset}
        emit_done(session, "granted/1", document)
    _tell(session, identity, given, end_s)
    finish(session, given.failures, len(given.items), hint=given.hint)


def _tell(session: Session, identity: str, given: Given, end_s: float) -> None:
    if given.public:
        note(session, f"{given.public} are public: everybody may read them")
    if given.items:
        note(session, f"granted {len(given.items)} to {identity} until {shown_day(end_s)}")
    if given.faces:
        some = ", ".join(str(one.lfn or one.id) for one in given.faces[:_SHOWN])
        more = f" and {len(given.faces) - _SHOWN} more" if len(given.faces) > _SHOWN else ""
        warn(
            session,
            f"images of heads show faces: {some}{more}",
            hint=f"'medgrid submit deface' takes them out; 'medgrid revoke {identity} LFN' takes "
            "this grant back",
        )


@grant.command("ls")
@click.argument("identity", required=False)
@pass_session
def ls(session: Session, identity: str | None) -> None:
    """List grants that you gave or got, or that are on data of your patients."""
    from medgrid.actions.grant import list_grants

    now_s = time.time()
    rows = (_row(one, now_s) for one in list_grants(session.open_grid(), identity))
    columns = ["identity", "lfn", "until", "granted_by", "dataset", "state"]
    emit(session, "grant/1", rows, columns)


def _row(granted: Granted, now_s: float) -> dict[str, Any]:
    one = granted.grant
    return {
        "identity": one.identity,
        "lfn": granted.lfn,
        "object": one.object_id,
        "until": shown_day(one.until_s),
        "until_s": one.until_s,
        "granted_by": one.granted_by,
        "dataset": one.dataset,
        "state": "valid" if one.is_open(now_s) else "ended",
    }
