"""``medgrid review``: look for text in pixels, and at words that were held back; then release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medgrid.cli.failures import finish
from medgrid.cli.group import DefaultGroup
from medgrid.cli.output import emit, emit_done, emit_json, emit_lines, progress, warn
from medgrid.cli.params import Session, input_option, pass_session, read_words
from medgrid.errors import PartlyDone, UsageError

if TYPE_CHECKING:
    from medgrid.actions.versions import Loss

__all__ = ["review"]

_LOST = "some do not see new versions of what is granted to them"
_lfns = click.argument("lfns", nargs=-1, metavar="[LFN]...")
_note = click.option(
    "--note", default="", metavar="TEXT", help="Kept in the audit log; it must name nobody."
)


@click.group(cls=DefaultGroup, default="ls")
def review() -> None:
    """Images with text in their pixels, and words of descriptions: look, then release.

    Ultrasound, secondary captures, scanned paper and the like come with names burned in. They
    cannot be granted to anybody before a physician of the patient has looked at them. A new version
    of what is granted waits: its LFN names the one before until 'release'.

    LFNs and metadata are made of words that medgrid knows; others are held back, since they may be
    names. Only who cares for a patient sees them. A word that is none can be released: images that
    are imported from then on have it, and those that are there when they are renewed.

    \b
    medgrid review
    medgrid review show /trial/P-7F3KQ2M9XA/US --dir look
    medgrid review release /trial/P-7F3KQ2M9XA/US
    medgrid review words
    medgrid review words --release HARMONIX
    medgrid review words --apply
    """


@review.command()
@_lfns
@input_option("LFNs")
@click.option("--words", "as_words", is_flag=True, help="The same as 'medgrid review words'.")
@click.option("--old", "as_old", is_flag=True, help="The same as 'medgrid review old'.")
@click.option("--apply", "applies", is_flag=True, help="With --words or --old.")
@pass_session
@click.pass_context
def ls(
    context: click.Context,
    session: Session,
    lfns: tuple[str, ...],
    input_files: tuple[str, ...],
    as_words: bool,
    as_old: bool,
    applies: bool,
) -> None:
    """List what waits for you."""
    from medgrid.actions.review import waiting

    if as_words or as_old:
        given = {"lfns": lfns, "input_files": input_files, "applies": applies}
        if as_words:
            context.invoke(words, **given, released=())
        else:
            context.invoke(old, **given, rename=False)
        return
    if applies:
        raise UsageError("--apply goes with --words or --old")

    chosen = read_words(lfns, input_files, "LFN", required=False)
    if not chosen and (lfns or input_files):
        return
    rows = (
        {"lfn": one.lfn, "modality": one.attributes.get("Modality"), "patient": one.patient}
        for one in waiting(session.open_grid(), chosen)
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
    input_files: tuple[str, ...],
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
    words = read_words(lfns, input_files, "LFN")
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
def release(
    session: Session, lfns: tuple[str, ...], input_files: tuple[str, ...], note: str
) -> None:
    """Say that objects name nobody: they can be granted from now on. It is audited."""
    _judge(session, lfns, input_files, note, released=True)


@review.command()
@_lfns
@input_option("LFNs")
@_note
@pass_session
def reject(
    session: Session, lfns: tuple[str, ...], input_files: tuple[str, ...], note: str
) -> None:
    """Hold objects back, also such as were released: their grants are taken back. It is audited."""
    _judge(session, lfns, input_files, note, released=False)


@review.command()
@_lfns
@input_option("LFNs")
@click.option(
    "--release", "released", multiple=True, metavar="WORD", help="Release a word; repeat."
)
@click.option("--apply", "applies", is_flag=True, help="Renew images with words known by now.")
@pass_session
def words(
    session: Session,
    lfns: tuple[str, ...],
    input_files: tuple[str, ...],
    released: tuple[str, ...],
    applies: bool,
) -> None:
    """List words held back of your patients' images; release some, renew images.

    The list may be one of names: show it to nobody. A release is signed by a physician or a
    registrar, holds for the whole grid and is audited. An LFN stays as it is. Where a renewed
    twin has other bytes, it becomes a new version of its LFN.
    """
    from medgrid.actions.outcome import Failure
    from medgrid.actions.vocabulary import release_words
    from medgrid.actions.words import held_words

    if released and not applies and (lfns or input_files):
        raise UsageError(
            "--release is for the whole grid, not for LFNs", hint="name LFNs with --apply"
        )
    grid = session.open_grid()
    if released:
        made = release_words(grid, released)
        for word in made.words:
            emit_done(session, "released-word/1", {"word": word})
    chosen = read_words(lfns, input_files, "LFN", required=False)
    if applies:
        _renew(session, chosen, is_old=False, rename=False)
        return
    if released:
        return
    failures: list[Failure] = []
    rows = []
    for one in held_words(grid, chosen):
        if isinstance(one, Failure):
            failures.append(one)
        else:
            rows.append(one._asdict())
    emit(session, "held-word/1", rows, ["word", "images", "patients"])
    finish(session, failures, len(rows))


@review.command()
@_lfns
@input_option("LFNs")
@click.option("--apply", "applies", is_flag=True, help="Describe them anew.")
@click.option("--rename", is_flag=True, help="With --apply: give LFNs the names they would get.")
@pass_session
def old(
    session: Session,
    lfns: tuple[str, ...],
    input_files: tuple[str, ...],
    applies: bool,
    rename: bool,
) -> None:
    """List images of your patients that were described by another rule; renew them.

    Before descriptions were made of known words, and times of day moved with dates, LFNs, metadata
    and twins could tell more.
    """
    from medgrid.actions.outcome import Failure
    from medgrid.actions.words import made_before

    if rename and not applies:
        raise UsageError("--rename goes with --apply")
    chosen = read_words(lfns, input_files, "LFN", required=False)
    if applies:
        _renew(session, chosen, is_old=True, rename=rename)
        return
    failures: list[Failure] = []
    rows = []
    for one in made_before(session.open_grid(), chosen):
        if isinstance(one, Failure):
            failures.append(one)
        else:
            rows.append({"lfn": one.lfn, "patient": one.patient})
    emit(session, "old-twin/1", rows, ["lfn"])
    finish(session, failures, len(rows))


def _renew(session: Session, lfns: list[str], *, is_old: bool, rename: bool) -> None:
    from medgrid.actions.outcome import Failure
    from medgrid.actions.words import renew

    failures: list[Failure] = []
    done = 0
    is_lost = False
    made = renew(
        session.open_grid(),
        lfns,
        is_old=is_old,
        rename=rename,
        progress=progress(session, "renewing"),
    )
    for one in made:
        if isinstance(one, Failure):
            failures.append(one)
            continue
        done += 1
        if session.as_json:
            said = {"lfn": one.lfn, "was": one.was, "new_version": one.is_version}
            emit_json("renewed/1", said)
        else:
            emit_lines([str(one.lfn)])
        is_lost |= _tell_losses(session, one.losses)
    finish(session, failures, done)
    if is_lost:
        raise PartlyDone(_LOST)


def _judge(
    session: Session,
    lfns: tuple[str, ...],
    input_files: tuple[str, ...],
    note: str,
    *,
    released: bool,
) -> None:
    from medgrid.actions.review import judge
    from medgrid.model import Review

    words = read_words(lfns, input_files, "LFN")
    verdict = Review.RELEASED if released else Review.NEEDED
    found = judge(session.open_grid(), words, verdict, note)
    for item in found.items:
        if item.lfn is not None:
            emit_done(session, "reviewed/1", {"lfn": item.lfn, "review": str(verdict)})
    is_lost = _tell_losses(session, found.losses)
    finish(session, found.failures, len(found.items))
    if is_lost:
        raise PartlyDone(_LOST)


def _tell_losses(session: Session, losses: Sequence[Loss]) -> bool:
    for loss in losses:
        warn(session, str(loss), hint=loss.hint, is_trouble=True)
    return bool(losses)
