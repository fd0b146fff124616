"""Review: a person looks whether text that names the patient is burned into pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medgrid.actions.files import atomic_file
from medgrid.actions.grid import Grid
from medgrid.actions.outcome import Failure
from medgrid.actions.permission import Chosen, choose, decide, sift
from medgrid.actions.scratch import scratch_folder
from medgrid.actions.transfer import fetch_file, label
from medgrid.actions.versions import Loss, Succession
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
    """Objects that were released or rejected, and why others were not.

    `losses` are those who do not see a version that waited and was released.
    """

    items: list[GridObject] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)


def waiting(grid: Grid, words: Sequence[str] = ()) -> list[GridObject]:
    """Objects that wait for a look by the user, among LFNs or all, by LFN."""
    if words:
        lfns = [LFN(word) for word in words]
    else:
        lfns = list(grid.catalog.objects.lfns(parse("review=needed")))
    objects = grid.catalog.objects
    named = objects.get_many(lfns)
    found = {lfn: one for lfn, one in named.items() if one.review is Review.NEEDED}
    found |= objects.waiting(lfns if words else None)
    mine = decide(grid, Verb.REVIEW, found.values())
    return [found[lfn] for lfn in sorted(found) if mine[found[lfn].id]]


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

    A version that waited beside what its LFN names takes that place when it is released. Who holds
    back what was released before takes back the grants of all its versions: the key store gives
    nothing out for them any more. The verdict is in the audit log.

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
    store = grid.vault.store
    if not releases:
        found.items = _with_versions(grid, found.items)
    ids = [one.id for one in found.items]
    what = "release-review" if releases else "reject-review"
    # said before it is done, so that nothing is released in silence
    store.audit.append(*(Event(what, one.id, one.patient or "", note) for one in found.items))
    if releases:
        found.losses = _release(grid, found.items)
        return found
    with grid.catalog.transaction():
        grid.catalog.objects.set_review(ids, verdict)
        for name in {one.identity for one in grid.catalog.access.grants(ids=ids)}:
            grid.catalog.access.revoke(name, ids=ids)
        store.drop_grants(None, [one.key_id for one in found.items])
    return found


def _release(grid: Grid, items: Sequence[GridObject]) -> list[Loss]:
    """Release objects; those that wait beside what their LFNs name become what these name."""
    objects = grid.catalog.objects
    waits = objects.waiting(one.lfn for one in items if one.lfn is not None)
    promoted = [one for one in items if one.lfn in waits and waits[one.lfn].id == one.id]
    succession = Succession(grid)
    if promoted:
        grid.keys(promoted, "release")
        succession.prepare(replace(one, review=Review.RELEASED) for one in promoted)
    with grid.catalog.transaction():
        objects.set_review([one.id for one in items], Review.RELEASED)
        objects.promote([one.lfn for one in promoted if one.lfn is not None])
        succession.hand_on(grid.catalog, {one.id for one in promoted})
    return succession.settle()


def _with_versions(grid: Grid, items: Sequence[GridObject]) -> list[GridObject]:
    """All versions of what LFNs name, and those of them that wait."""
    objects = grid.catalog.objects
    lfns = {one.lfn for one in items if one.lfn is not None}
    ids = [one for many in objects.contents(lfns).values() for one in many]
    return list(objects.by_ids(ids).values())


def _choose(grid: Grid, words: Sequence[str]) -> Chosen:
    """What LFNs name, or the version that waits for a look beside it."""
    chosen = choose(grid, words)
    waits = grid.catalog.objects.waiting(one.lfn for one in chosen.items if one.lfn is not None)
    chosen.items = [waits.get(one.lfn, one) if one.lfn else one for one in chosen.items]
    allowed = sift(grid, Verb.REVIEW, chosen.items)
    return Chosen(allowed.items, chosen.failures + allowed.failures)
