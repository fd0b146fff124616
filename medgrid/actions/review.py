"""Review: a person looks whether text that names the patient is burned into pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medgrid.actions.files import atomic_file
from medgrid.actions.grid import Grid
from medgrid.actions.outcome import Failure
from medgrid.actions.permission import Chosen, choose, decide, sift
from medgrid.actions.scratch import scratch_folder
from medgrid.actions.transfer import fetch_file, label
from medgrid.catalog.query import parse
from medgrid.crypto.audit_record import Event
from medgrid.crypto.policy import Verb
from medgrid.errors import MedgridError, UsageError
from medgrid.model import LFN, GridObject, Review

__all__ = ["Judged", "Picture", "judge", "pictures", "waiting"]

_NOTE_MAX = 200


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of an object: `shown` of its `total` frames."""

    lfn: LFN
    path: Path
    shown: int
    total: int


@dataclass(slots=True)
class Judged:
    """Objects that were released or rejected, and why others were not."""

    items: list[GridObject] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def waiting(grid: Grid, words: Sequence[str] = ()) -> list[GridObject]:
    """Objects that wait for a look by the user, among LFNs or all, by LFN."""
    if words:
        lfns = [LFN(word) for word in words]
    else:
        lfns = list(grid.catalog.objects.lfns(parse("review=needed")))
    items = grid.catalog.objects.get_many(lfns)
    found = [one for one in items.values() if one.review is Review.NEEDED]
    mine = decide(grid, Verb.REVIEW, found)
    return sorted((one for one in found if mine[one.id]), key=label)


def pictures(
    grid: Grid,
    words: Sequence[str],
    folder: Path,
    *,
    frames: int,
    equalise: bool = False,
    force: bool = False,
) -> Iterator[Picture | Failure]:
    """Draw objects into PNG files below `folder`, at the paths of their LFNs.

    Parameters
    ----------
    frames : int
        At most so many of each object, evenly spaced.
    equalise : bool
        Bring out text that hardly differs from its ground.
    force : bool
        Write over files that are there.
    """
    from medgrid.images.preview import preview

    chosen = _choose(grid, words)
    yield from chosen.failures
    grid.keys(chosen.items, "review")
    copies = grid.catalog.objects.replicas([one.id for one in chosen.items])
    for item in chosen.items:
        assert item.lfn is not None  # noqa: S101 - it was asked for by LFN
        try:
            with scratch_folder(grid.settings) as scratch:
                file = scratch / "object"
                fetch_file(grid, item, copies[item.id], file)
                made = preview(file, frames, equalise=equalise)
            target = folder.joinpath(*f"{item.lfn}.png"[1:].split("/"))
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with atomic_file(target, force=force) as stream:
                stream.write(made.png)
        except MedgridError as error:
            yield Failure(item.lfn, error)
        else:
            yield Picture(item.lfn, target, made.shown, made.total)


def judge(grid: Grid, words: Sequence[str], verdict: Review, note: str = "") -> Judged:
    """Release objects, so that they can be granted, or hold them back.

    Who held back what was released before takes its grants back: the key store gives nothing out
    for them any more. The verdict is in the audit log.

    Parameters
    ----------
    verdict : Review
        `Review.RELEASED` or `Review.NEEDED`.
    note : str
        Kept in the audit log; it must name nobody.

    Raises
    ------
    UsageError
        The note is too long.
    """
    if len(note) > _NOTE_MAX:
        raise UsageError(f"a note has at most {_NOTE_MAX} characters")
    chosen = _choose(grid, words)
    found = Judged(failures=chosen.failures)
    releases = verdict is Review.RELEASED
    for item in chosen.items:
        if releases and item.review is Review.NONE:
            error = UsageError(f"{label(item)} needs no review")
            found.failures.append(Failure(label(item), error))
        else:
            found.items.append(item)
    if not found.items:
        return found
    store, ids = grid.vault.store, [one.id for one in found.items]
    what = "release-review" if releases else "reject-review"
    # said before it is done, so that nothing is released in silence
    store.audit.append(*(Event(what, one.id, one.patient or "", note) for one in found.items))
    if releases:
        grid.catalog.objects.set_review(ids, verdict)
        return found
    with grid.catalog.transaction():
        grid.catalog.objects.set_review(ids, verdict)
        for name in {one.identity for one in grid.catalog.access.grants(ids=ids)}:
            grid.catalog.access.revoke(name, ids=ids)
        store.drop_grants(None, [one.key_id for one in found.items])
    return found


def _choose(grid: Grid, words: Sequence[str]) -> Chosen:
    chosen = choose(grid, words)
    allowed = sift(grid, Verb.REVIEW, chosen.items)
    return Chosen(allowed.items, chosen.failures + allowed.failures)
