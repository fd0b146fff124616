"""What one patient's image was to others, another's image becomes; and that one goes."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from medgrid.actions.grant_keys import granted, seal_grants
from medgrid.actions.grid import Grid
from medgrid.actions.importing.moving import is_named_after
from medgrid.actions.outcome import Failure
from medgrid.actions.transfer import delete_bytes
from medgrid.actions.versions import Loss, Succession
from medgrid.catalog import Catalog
from medgrid.catalog.imported import Content
from medgrid.errors import Busy, MedgridError, UsageError
from medgrid.model import LFN, DataClass, GridObject, ObjectId, Replica, Review

__all__ = ["Image", "Takeover"]

_RELEASE = "'medgrid review release' it, then 'medgrid grant' it"


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a patient, with all its versions.

    `originals` are those of an LFN, the one that it names last; `twins` those that LFNs name;
    `contents` are all objects that these LFNs name, and named before; `volumes` those that LFNs
    name of what imports converted it into.
    """

    originals: tuple[GridObject, ...]
    twins: tuple[GridObject, ...]
    contents: Mapping[LFN, Sequence[ObjectId]]
    volumes: tuple[GridObject, ...] = ()

    @property
    def original(self) -> GridObject:
        """The original that is named."""
        return self.originals[-1]

    @property
    def name(self) -> LFN:
        """What it is called: by its twin, where it has one."""
        return LFN(str((self.twins or self.originals)[-1].lfn))


class Takeover(Succession):
    """Hands on what is granted, what imports know, and the name, where people gave it.

    Parameters
    ----------
    grid : Grid
    image : Image
        What goes.
    new : str
        Patient whose image takes its place.
    say : callable
        Hands on what is said of visits: an attribute of images that names one -> what it was, and
        what it is. Called in the transaction.

    Attributes
    ----------
    lfn : LFN or None
        What the other image is called, when it has taken the place.
    taken : tuple of ObjectId
        Its original and its twin, or the original alone.
    is_own : bool
        Whether that one holds this image and nothing else.
    """

    def __init__(
        self, grid: Grid, image: Image, new: str, say: Callable[[Mapping[str, str]], None]
    ) -> None:
        super().__init__(grid)
        self.lfn: LFN | None = None
        self.taken: tuple[ObjectId, ...] = ()
        self.is_own = True
        self._image = image
        self._new = new
        self._say = say
        self._made: GridObject | None = None
        self._lost: list[tuple[Iterable[str], str, str]] = []
        self._review: Review | None = None
        self._keys: list[ObjectId] = []
        self._gone: dict[LFN, list[Replica]] = {}

    def prepare(self, new: Iterable[GridObject]) -> None:
        """Seal keys to whom the image that goes is granted, besides."""
        items = list(new)
        super().prepare(items)
        for item in items:
            self.take(item)

    def take(self, made: GridObject) -> None:
        """Say which twin, or original without one, takes the place; seal its key."""
        self._made = made
        twins = self._image.twins
        if made.data_class is not DataClass.IMAGE or not twins:
            return
        ends: dict[str, float] = {}
        for theirs in granted(self._grid, twins).values():
            for name, end_s in theirs.items():
                ends[name] = max(end_s, ends.get(name, end_s))
        review = self._reviewed(made)
        if review is Review.NEEDED:
            if review is not made.review:
                ends |= granted(self._grid, [made]).get(made.id, {})
            if ends:
                self._lost.append((ends, "it waits for a review", _RELEASE))
            return
        if not ends:
            return
        strangers = seal_grants(self._grid, [(made, ends)])
        self._sealed.append((made, {one: ends[one] for one in ends.keys() - strangers.keys()}))
        for name in strangers.keys() & ends.keys():
            self._lost.append(([name], strangers[name].message, "'medgrid grant' grants it anew"))

    def _reviewed(self, made: GridObject) -> Review:
        """What people found in the pixels of what goes, they have found in the same pixels."""
        before = {one.review for one in self._image.twins}
        if Review.NEEDED in before:
            self._review = Review.NEEDED
        elif before == {Review.RELEASED} and self.is_own and made.lfn is None:
            self._review = Review.RELEASED
        else:
            self._review = made.review
        return self._review

    def hand_on(self, catalog: Catalog, registered: Container[ObjectId]) -> None:
        """Let the other image take the place, in the transaction that registers it.

        Raises
        ------
        Busy
            What goes is another than was read.
        UsageError
            An open job needs it.
        MedgridError
            It has a twin, and the other one has none.
        """
        super().hand_on(catalog, registered)
        made, image = self._made, self._image
        if made is None or made.id not in registered:
            return
        self._check(catalog)
        if image.twins and made.data_class is not DataClass.IMAGE:
            raise MedgridError(f"{image.name}: no twin for research comes of it any more")
        objects = catalog.objects
        if self._review not in (None, made.review):
            objects.set_review([made.id], self._review)
        if self._review is Review.NEEDED:
            for name in {one.identity for one in catalog.access.grants(ids=[made.id])}:
                catalog.access.revoke(name, ids=[made.id])
            self._grid.vault.store.drop_grants(None, [made.key_id])
        if any(item.id == made.id for item, _ in self._sealed):
            for twin in image.twins:
                catalog.access.take_over(twin.id, made.id)
        original = made.original or made.id
        digest = image.original.digest
        spots = catalog.imported.spots(image.original.id)
        self.taken = tuple(dict.fromkeys((original, made.id)))
        now = objects.by_ids(self.taken)
        if digest is not None and now[original].digest == digest:
            known = (Content(one._replace(patient=self._new), digest) for one in spots)
            catalog.imported.claim(dict.fromkeys(known, original))
        for one in image.originals:
            catalog.scanned.move(one.id, original)
        visits = {}
        for name in ("session", "StudyDate"):
            was, becomes = (one.attributes.get(name) for one in (image.original, now[original]))
            if isinstance(was, str) and isinstance(becomes, str):
                visits[was] = becomes
        self._say(visits)
        ids = {one for many in image.contents.values() for one in many}
        self._keys = [one.key_id for one in objects.by_ids(ids).values() if one.is_protected]
        self._gone = objects.remove_many(list(image.contents))
        became = self._named(catalog, now[original], now[made.id])
        for gone, lfn in became.items():
            if gone != lfn:
                catalog.datasets.follow(gone, lfn)
        self.lfn = became[image.name]

    def _check(self, catalog: Catalog) -> None:
        image = self._image
        there = catalog.objects.contents(list(image.contents))
        if {lfn: set(ids) for lfn, ids in there.items()} != {
            lfn: set(ids) for lfn, ids in image.contents.items()
        }:
            raise Busy(f"{image.name} has changed meanwhile", hint="say the same again")
        needed = catalog.jobs.open_inputs()
        for ids in there.values():
            for one in ids:
                if one in needed:
                    raise UsageError(
                        f"{image.name} is an input of a job that has not ended",
                        hint="wait for the job, or cancel it; then say the same again",
                    )

    def _named(self, catalog: Catalog, original: GridObject, twin: GridObject) -> dict[LFN, LFN]:
        """What LFNs of the image that goes become: names that people gave stay."""
        image, objects = self._image, catalog.objects
        waiting = objects.version_lfns(self.taken)
        became: dict[LFN, LFN] = {}
        kept: dict[LFN, LFN] = {}
        for gone, made in ((image.original, original), *((one, twin) for one in image.twins)):
            lfn = made.lfn or waiting[made.id]
            assert gone.lfn is not None  # noqa: S101 - it was named
            if self.is_own and not is_named_after(gone.lfn, str(image.original.patient)):
                kept[lfn] = gone.lfn
            became[gone.lfn] = lfn
        objects.rename_many(kept)
        return {gone: kept.get(lfn, lfn) for gone, lfn in became.items()}

    def settle(self) -> list[Loss]:
        """Follow grants, and destroy the keys of what has gone."""
        losses = super().settle()
        self._grid.forget_keys(self._keys)
        if self.lfn is not None:
            losses += [Loss(self.lfn, tuple(sorted(who)), *why) for who, *why in self._lost]
        return losses

    def sweep(self) -> list[Failure]:
        """Delete the bytes of what has gone; give those that could not be."""
        owners = {replica: lfn for lfn, many in self._gone.items() for replica in many}
        return [
            Failure(f"bytes of {owners[replica]} at {replica.se}", error)
            for replica, error in delete_bytes(self._grid, owners).items()
        ]
