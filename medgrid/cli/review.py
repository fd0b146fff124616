"""``medgrid review``: look for text in pixels, then release."""

from __future__ import annotations

from pathlib import Path

import click

from medgrid.cli.failures import finish
from medgrid.cli.group import DefaultGroup
from medgrid.cli.output import emit, emit_done, emit_json, emit_lines, warn
from medgrid.cli.params import Session, input_option, pass_session, read_words
from medgrid.errors import PartlyDone

__all__ = ["review"]

_lfns = click.argument("lfns", nargs=-1, metavar="[LFN]...")
_note = click.option(
    "--note", default="", metavar="TEXT", help="Kept in the audit log; it must name nobody."
)


@click.group(cls=DefaultGroup, default="ls")
def review() -> None:
    """Images with text in their pixels: look at them, then let them be granted.

    Ultrasound, secondary captures, scanned paper and the like come with names burned in. They
    cannot be granted to anybody before a physician of the patient has looked at them. A new version
    of what is granted waits: its LFN names the one before until 'release'.

    \b
    medgrid review
    medgrid review show /trial/P-7F3KQ2M9XA/US --dir look
    medgrid review release /trial/P-7F3KQ2M9XA/US
    """


@review.command()
@_lfns
@input_option("LFNs")
@pass_session
def ls(session: Session, lfns: tuple[str, ...], input_file: str | None) -> None:
    """List what waits for you."""
    from medgrid.actions.review import waiting

    words = read_words(lfns, input_file, "LFN", required=False)
    if not words and (lfns or input_file):
        return
    rows = (
        {"lfn": one.lfn, "modality": one.attributes.get("Modality"), "patient": one.patient}
        for one in waiting(session.open_grid(), words)
    )
    emit(session, "review/1", rows, ["lfn"])


@review.command()
@_lfns
@input_option("LFNs")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the pictures; made when it is missing.",
)
@click.option(
    "--frames",
    type=click.IntRange(1, 400),
    default=36,
    show_default=True,
    help="At most so many of each object, evenly spaced.",
)
@click.option("--equalise", is_flag=True, help="Bring out text that hardly shows.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@pass_session
def show(
    session: Session,
    lfns: tuple[str, ...],
    input_file: str | None,
    folder: Path,
    frames: int,
    equalise: bool,
    force: bool,
) -> None:
    """Draw objects into PNG files; prints their paths.

    The pictures are not protected: remove them when you have looked.
    """
    from medgrid.actions.outcome import Failure
    from medgrid.actions.review import pictures

    failures: list[Failure] = []
    done = 0
    words = read_words(lfns, input_file, "LFN")
    made = pictures(
        session.open_grid(), words, folder, frames=frames, equalise=equalise, force=force
    )
    for one in made:
        if isinstance(one, Failure):
            failures.append(one)
            continue
        done += 1
        if session.as_json:
            document = {"lfn": one.lfn, "path": str(one.path)}
            emit_json("picture/1", {**document, "shown": one.shown, "total": one.total})
        else:
            emit_lines([str(one.path)])
        if one.shown < one.total:
            warn(
                session,
                f"{one.lfn}: {one.shown} of {one.total} frames are shown",
                hint="'--frames' shows more",
            )
    finish(session, failures, done)


@review.command()
@_lfns
@input_option("LFNs")
@_note
@pass_session
def release(session: Session, lfns: tuple[str, ...], input_file: str | None, note: str) -> None:
    """Say that objects name nobody: they can be granted from now on. It is audited."""
    _judge(session, lfns, input_file, note, released=True)


@review.command()
@_lfns
@input_option("LFNs")
@_note
@pass_session
def reject(session: Session, lfns: tuple[str, ...], input_file: str | None, note: str) -> None:
    """Hold objects back, also such as were released: their grants are taken back. It is audited."""
    _judge(session, lfns, input_file, note, released=False)


def _judge(
    session: Session, lfns: tuple[str, ...], input_file: str | None, note: str, *, released: bool
) -> None:
    from medgrid.actions.review import judge
    from medgrid.model import Review

    words = read_words(lfns, input_file, "LFN")
    verdict = Review.RELEASED if released else Review.NEEDED
    found = judge(session.open_grid(), words, verdict, note)
    for item in found.items:
        if item.lfn is not None:
            emit_done(session, "reviewed/1", {"lfn": item.lfn, "review": str(verdict)})
    for loss in found.losses:
        warn(session, str(loss), hint=loss.hint, is_trouble=True)
    finish(session, found.failures, len(found.items))
    if found.losses:
        raise PartlyDone("some do not see new versions of what is granted to them")
