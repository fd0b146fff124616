"""Merge: one person who became two patients is one again.

The catalog remembers it first, so that imports bring no more of the one who goes. Then each image
is made anew for the other one, from its original, as an import makes it; one transaction registers
it, hands on what is granted, and lets the old one go. Killed at any point, each image is whole, and
of one of the two; said again, it goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from medgrid.actions.attributes import pass_on
from medgrid.actions.grid import Grid
from medgrid.actions.importing.convert import convert_series, converted
from medgrid.actions.importing.doubts import Doubt, Doubts, Facts
from medgrid.actions.importing.drafts import Draft, Namer
from medgrid.actions.importing.merge import twin_lfn
from medgrid.actions.importing.moving import Moving
from medgrid.actions.importing.takeover import Image, Takeover
from medgrid.actions.importing.twins import Lack, NoDerivative
from medgrid.actions.importing.writer import Writer
from medgrid.actions.outcome import Failure
from medgrid.actions.patients import Patients, sealed_names
from medgrid.actions.permission import patients_allowed
from medgrid.actions.progress import SILENT, Progress
from medgrid.actions.replica import add_replica
from medgrid.actions.scratch import scratch_folder
from medgrid.actions.transfer import label
from medgrid.actions.versions import Loss, Succession
from medgrid.actions.vocabulary import vocabulary
from medgrid.actions.words import opened
from medgrid.crypto.audit_record import Event
from medgrid.crypto.policy import Verb
from medgrid.crypto.pseudonym import load_key
from medgrid.errors import Busy, IntegrityError, MedgridError
from medgrid.images.bids import ENTITIES_AND_SUFFIX
from medgrid.images.pack import Changed
from medgrid.model import LFN, DataClass, GridObject, ObjectId, ObjectKind

__all__ = ["Moved", "Plan", "merge_patients", "plan_merge"]

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_TELLING = (*ENTITIES_AND_SUFFIX, "StudyDate")
"""What tells volumes of one content apart: a patient may have one empty mask in two sessions."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a merge would do: images that move, and what was made from them, which stays."""

    old: str
    new: str
    images: tuple[Image, ...]
    left: tuple[GridObject, ...]  # that the user sees


@dataclass(frozen=True, slots=True)
class Moved:
    """What an image was called, and is called now."""

    was: LFN
    lfn: LFN


def plan_merge(grid: Grid, old: str, new: str) -> Plan:
    """Find what moves when `old` becomes `new`.

    Raises
    ------
    NotFound
        There is no such patient; the same for whoever may not know of one.
    Denied
        The user is no physician of both.
    UsageError
        One of them became somebody else already.
    """
    for problem in patients_allowed(grid, Verb.WRITE, (old, new)).values():
        if problem is not None:
            raise problem
    grid.catalog.merged.check(old, new)
    objects = grid.catalog.objects
    own = {one.id: one for one in objects.of_patient(old)}
    results = grid.whole.provenance.made_by_many(own)
    originals = {
        one.lfn: one
        for one in own.values()
        if one.lfn and _is_original(one) and one.id not in results
    }
    moving: set[ObjectId] = set()
    images = []
    for lfn, ids in objects.contents(list(originals)).items():
        twins = [one for one in own.values() if one.original in ids and one.lfn]
        contents = objects.contents([lfn, *(one.lfn for one in twins if one.lfn)])
        every = [one for many in contents.values() for one in many]
        versions = (*(own[one] for one in ids[1:]), originals[lfn])  # the named one comes first
        volumes = [one for one in converted(grid, every) if one.lfn]
        moving.update(every, (one.id for one in volumes))
        images.append(Image(versions, tuple(twins), contents, tuple(volumes)))
    made = objects.by_ids(grid.whole.provenance.made_out_of(own) - own.keys())
    left = [item for key, item in {**own, **made}.items() if key not in moving]
    return Plan(
        old,
        new,
        tuple(sorted(images, key=lambda image: image.name)),
        tuple(sorted(left, key=label)),
    )


def _is_original(item: GridObject) -> bool:
    is_image = item.kind in (ObjectKind.SERIES, ObjectKind.VOLUME)
    return is_image and item.data_class is DataClass.NOMINATIVE


def merge_patients(
    grid: Grid, plan: Plan, tell: Callable[[Doubt], None], progress: Progress = SILENT
) -> Iterator[Moved | Failure]:
    """Let one patient become another, whose their images are then, one after the other.

    Parameters
    ----------
    tell : callable
        Told of what a person should look at.
    """
    old, new = plan.old, plan.new
    audit = grid.vault.store.audit
    # said before it is done
    audit.append(Event("merge", "", old, f"into {new}"), Event("merge", "", new, f"of {old}"))
    with grid.catalog.transaction():
        grid.catalog.merged.note(old, new)
        grid.catalog.removed.pass_on(old, new)
    work = _Merging(grid, plan, tell)
    work.join()
    progress.total(len(plan.images))
    left = 0
    for image in plan.images:
        try:
            yield from work.move(image)
        except (MedgridError, NoDerivative, Changed, ValueError, OSError) as error:
            reason = error if isinstance(error, MedgridError) else MedgridError(str(error))
            left += 1
            yield Failure(image.name, reason)
        progress.advance()
    state = f"{left} left" if left else "complete"
    audit.append(*(Event("merged", "", one, state) for one in (old, new)))


class _Merging:
    def __init__(self, grid: Grid, plan: Plan, tell: Callable[[Doubt], None]) -> None:
        self._grid = grid
        self._old, self._new = plan.old, plan.new
        self._tell = tell
        self._key = load_key(grid.settings.keys_dir)
        self._words = vocabulary(grid)
        self._namer = Namer(self._key, LFN("/merged"), "", self._words)
        self._doubts = Doubts(grid, self._namer, tell)
        self._doubts.recall([self._new])
        self._patients = Patients(grid, (), self._doubts.contradict)
        self._names = sealed_names(grid, [self._old], "merge").get(self._old, {})
        self._contradicted: set[str] = set()
        versions = [one for image in plan.images for one in image.originals]
        self._held = grid.catalog.words.held([one.id for one in versions])
        self._kept = opened(grid, [one for one in versions if one.id in self._held])
        there = grid.catalog.objects.of_patient(self._new)
        self._there = [one for one in there if one.lfn and _is_original(one)]

    # -- people ------------------------------------------------------------------------------------

    def join(self) -> None:
        """Let what names the one, and is said of them, be known of the other."""
        self._patients.meet({self._new: [self._names]})
        said = self._grid.whole.patient_attributes.of([self._old])
        old, new = (self._namer.keys(one) for one in (self._old, self._new))
        visits = {one.given.visit for one in said if not _DAY.fullmatch(one.given.visit)}
        self._pass_on({one: new.text(old.back(one)) for one in visits})
        teams = self._grid.catalog.access.teams([self._old, self._new])
        there = {(one.identity, one.role) for one in teams.get(self._new, ())}
        for name, role in ((one.identity, one.role) for one in teams.get(self._old, ())):
            if (name, role) not in there:
                reason = f"{name} is {role} of {self._old}, not of {self._new}, and sees no more"
                hint = f"'medgrid team add {self._new} {name} --role {role}'"
                self._tell(Doubt(f"{reason} of what moves", hint))

    def _pass_on(self, visits: Mapping[str, str]) -> None:
        found = pass_on(self._grid, self._old, self._new, visits)
        for name in sorted(found - self._contradicted):
            reason = f"{self._old} and {self._new} differ in {name}: that of {self._new} stays"
            hint = f"see 'medgrid meta show {self._old}' and 'medgrid meta show {self._new}'"
            self._tell(Doubt(reason, hint))
        self._contradicted |= found

    # -- images ------------------------------------------------------------------------------------

    def move(self, image: Image) -> Iterator[Moved | Failure]:
        """Make an image the other patient's; give its old bytes that could not be deleted, too."""
        ses = self._ses(image.original.id, *(one.id for one in image.twins))
        takeover = Takeover(self._grid, image, self._new, self._pass_on)
        is_series = image.original.kind is ObjectKind.SERIES  # of which the last version has all
        base: GridObject | None = None
        for one in () if is_series else image.originals[:-1]:
            base = self._bring(replace(one, lfn=image.original.lfn), base, None)
        self._bring(image.original, base, takeover)
        if takeover.lfn is None:
            raise Busy(f"{image.name} came otherwise meanwhile", hint="say the same again")
        yield Moved(image.name, takeover.lfn)
        yield from takeover.sweep()
        self._copy(takeover.taken, ses)
        yield from self._convert(image, takeover.taken)

    def _bring(
        self, one: GridObject, base: GridObject | None, takeover: Takeover | None
    ) -> GridObject | None:
        """Bring a version of an image as an import does; give the original that it has become.

        Parameters
        ----------
        one : GridObject
        base : GridObject, optional
            What the version before it has become.
        takeover : Takeover, optional
            What the last version does besides.
        """
        moving = Moving(self._key, self._words, one, self._new)
        with scratch_folder(self._grid.settings) as folder:
            draft: Draft | None
            if one.kind is ObjectKind.SERIES:
                draft, held = moving.series(self._grid, folder)
            else:
                draft = moving.volume(self._grid, folder, self._names, self._kept_of(one))
                held = self._same(one, draft)
                if held is not None:
                    draft = None
                elif base is not None:
                    draft.replaces, draft.base = base.lfn, base.id
                    draft.twin_lfn = twin_lfn(self._grid, base)
            if takeover is not None:
                takeover.is_own = held is None
            if draft is not None:
                return self._write(one, draft, moving, takeover)
        if takeover is not None and held is not None:
            twins = [x for x in self._grid.whole.objects.twins([held.id]) if x.lfn]
            self._take((twins or [held])[0], takeover)
        return held

    def _kept_of(self, one: GridObject) -> Mapping[str, object]:
        if one.id in self._held and one.id not in self._kept:
            raise IntegrityError(f"{label(one)}: what was held back of it cannot be opened")
        return self._kept.get(one.id, {})

    def _same(self, one: GridObject, draft: Draft) -> GridObject | None:
        """A volume of the other patient that is the same."""
        said = draft.described().attributes
        for other in self._there:
            if other.digest == one.digest is not None and all(
                other.attributes.get(name) == said.get(name) for name in _TELLING
            ):
                return other
        return None

    def _write(
        self, one: GridObject, draft: Draft, namer: Namer, takeover: Takeover | None
    ) -> GridObject | None:
        """Write a draft; give its original, when it was new."""
        made: list[GridObject] = []

        def is_new(item: GridObject, _draft: Draft) -> None:
            made.append(item)
            self._doubts.see(self._new, Facts.of(item.attributes))

        def fails(reason: str) -> None:
            raise MedgridError(f"{label(one)}: {reason}")

        Writer(
            self._grid,
            self._se(one),
            namer,
            self._patients,
            is_new,
            lambda _held, _draft: None,
            self._lost,
            self._lacking,
            lambda failure: fails(failure.reason),
            lambda _path, _stamp, reason: fails(reason),
            Succession if takeover is None else lambda _: takeover,
        ).write([draft])
        found = self._grid.whole.objects.by_ids([x.original or x.id for x in made])
        return next(iter(found.values()), None)

    def _convert(self, image: Image, taken: Sequence[ObjectId]) -> Iterator[Moved | Failure]:
        """Convert a series anew that was converted, and let its volumes take the place of those."""
        if not image.volumes:
            return
        lost: list[Failure] = []
        try:
            convert_series(
                self._grid,
                {taken[0]: ()},
                self._se(image.volumes[0]),
                lambda item: self._doubts.see(self._new, Facts.of(item.attributes)),
                lambda lfn, reason: lost.append(Failure(lfn, MedgridError(reason))),
                lambda _: None,
                self._lost,
                vocabulary=self._words,
            )
        except MedgridError as error:
            lost.append(Failure(image.name, error))
        made = converted(self._grid, taken)
        if len(made) != len(image.volumes) and not lost:
            lost.append(Failure(image.name, MedgridError("it converts to other volumes now")))
        if lost:
            yield from (Failure(label(one), lost[0].error) for one in image.volumes)
            return
        for gone, item in zip(image.volumes, made, strict=True):
            name = LFN(str(gone.lfn))
            contents = self._grid.catalog.objects.contents([name])
            takeover = Takeover(
                self._grid, Image((gone,), (gone,), contents), self._new, self._pass_on
            )
            try:
                self._take(item, takeover)
            except MedgridError as error:
                yield Failure(name, error)
            else:
                yield Moved(name, takeover.lfn or name)
                yield from takeover.sweep()

    def _take(self, made: GridObject, takeover: Takeover) -> None:
        """Let what the other patient has take the place."""
        takeover.take(made)
        with self._grid.whole.transaction():
            takeover.hand_on(self._grid.whole, {made.id})
        for loss in takeover.settle():
            self._lost(loss)

    # -- places ------------------------------------------------------------------------------------

    def _ses(self, *ids: ObjectId) -> list[str]:
        """Storage elements that objects lie on."""
        replicas = self._grid.catalog.objects.replicas(ids)
        return list(dict.fromkeys(one.se for many in replicas.values() for one in many))

    def _se(self, one: GridObject) -> str:
        """Storage element for what takes the place of an object: its own, if it can be."""
        for name in self._ses(one.id):
            if self._grid.catalog.places.se(name).enabled:
                return name
        return self._grid.default_se().name

    def _copy(self, taken: Sequence[ObjectId], ses: Sequence[str]) -> None:
        """Have as many copies as there were."""
        for item in self._grid.catalog.objects.by_ids(taken).values():
            there = self._ses(item.id)
            for se in ses:
                if item.lfn is None or se in there:
                    continue
                try:
                    add_replica(self._grid, item.lfn, se)
                except MedgridError as error:
                    reason = f"{item.lfn} has no copy at {se} any more: {error.message}"
                    self._tell(Doubt(reason, f"'medgrid replica add {item.lfn} --se {se}'"))

    # -- telling -----------------------------------------------------------------------------------

    def _lost(self, loss: Loss) -> None:
        self._tell(Doubt(str(loss), loss.hint))

    def _lacking(self, item: GridObject, lack: Lack) -> None:
        if lack.has_images:
            reason = f"{item.lfn} has no twin for research: {lack.reason}"
            self._tell(Doubt(reason, "its original is in the grid"))
