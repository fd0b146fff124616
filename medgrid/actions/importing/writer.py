"""Drafts become objects: bytes first, then the catalog, many in one transaction."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

from medgrid.actions.feed_two import feed_two
from medgrid.actions.grid import Grid
from medgrid.actions.importing.drafts import Description, Draft, Failure, Namer, failures
from medgrid.actions.importing.twins import ORIGINAL_SUFFIX, Lack, NoDerivative
from medgrid.actions.patients import Patients
from medgrid.actions.transfer import Sealed, Uploads
from medgrid.actions.versions import Loss, Succession
from medgrid.catalog.attributes import TWIN_MISSING
from medgrid.catalog.imported import Content, Spot
from medgrid.catalog.objects import Registration
from medgrid.catalog.scanned import ScannedFile
from medgrid.catalog.words import RULE, Held
from medgrid.crypto.held_words import seal_held
from medgrid.crypto.vault import Whose
from medgrid.errors import AlreadyExists, MedgridError, NotFound
from medgrid.images.pack import Changed, FileStamp
from medgrid.model import (
    LFN,
    DataClass,
    GridObject,
    ObjectId,
    Replica,
    Review,
)

__all__ = ["Names", "Writer", "remembered"]

_MAX_BATCH = 512
_MAX_BATCH_S = 5.0
_TRIES = 5


def remembered(
    key: str, stamp: FileStamp, object_id: ObjectId | None, outcome: str = ""
) -> ScannedFile:
    """What the catalog keeps of one file."""
    return ScannedFile(key, *stamp, object_id, outcome)


class Names:
    """Finds free LFNs: a label that is taken, also by an original, gets ``-2``, ``-3``.

    So does a folder that is called like an object.
    """

    def __init__(self, grid: Grid) -> None:
        self._objects = grid.whole.objects
        self._taken: set[str] = set()  # by objects and folders
        self._given: set[LFN] = set()  # to objects
        self._folders: dict[LFN, LFN] = {}  # as they were asked for -> as they are
        self._listed: set[LFN] = set()
        self._numbers: dict[LFN, int] = {}  # the last one given after a label

    def free(self, folder: LFN, label: str) -> LFN:
        """Give a free LFN and take it."""
        found = self._folder(folder)
        if found not in self._listed:
            self._listed.add(found)
            with contextlib.suppress(NotFound):
                self._taken.update(name.rstrip("/") for name in self._objects.list(found))
        lfn = self._first(found.child(label), self._is_taken)
        self._taken.add(lfn)
        self._given.add(lfn)
        return lfn

    def _folder(self, folder: LFN) -> LFN:
        """The folder, or the first beside it that is no object, and take it."""
        found = self._folders.get(folder)
        if found is None:
            parent, name = folder.rsplit("/", 1)
            wanted = self._folder(LFN(parent)).child(name) if parent else folder
            found = self._folders[folder] = self._first(wanted, self._is_object)
            self._taken.add(found)
        return found

    def _first(self, wanted: LFN, is_taken: Callable[[LFN], bool]) -> LFN:
        lfn, number = wanted, self._numbers.get(wanted, 1)
        while is_taken(lfn):
            number += 1
            lfn = LFN(f"{wanted}-{number}")
        self._numbers[wanted] = number
        return lfn

    def _is_taken(self, lfn: LFN) -> bool:
        return lfn in self._taken or lfn + ORIGINAL_SUFFIX in self._taken

    def _is_object(self, lfn: LFN) -> bool:
        return lfn in self._given or self._objects.exists(lfn)


def _taken(error: AlreadyExists, draft: Draft) -> str:
    """Why a draft whose name is taken cannot come in, and who may know more."""
    whose = f"the care team of {draft.patient}" if draft.patient else "its owner"
    return f"{error}; where you do not see it, {whose} can import this"


class Stored(NamedTuple):
    """A draft whose bytes are in storage, with those of its twin when it has one."""

    draft: Draft
    said: Description
    original: Sealed
    twin: Sealed | None
    twin_filename: str
    review: Review
    twin_attributes: Mapping[str, str]
    lack: Lack | None  # why there is no twin
    image_digest: str | None  # of the image without its companions, where it has some


@dataclass(slots=True)
class Done:
    """What a commit came to: new objects, drafts whose content was there, drafts that came late.

    `lacking` are new originals without a twin, `taken` drafts whose name others have, and why.
    """

    new: list[tuple[GridObject, Draft]] = field(default_factory=list)
    known: list[tuple[ObjectId, Draft]] = field(default_factory=list)
    late: list[Draft] = field(default_factory=list)
    lacking: list[tuple[GridObject, Lack]] = field(default_factory=list)
    taken: list[tuple[Draft, AlreadyExists]] = field(default_factory=list)

    def __add__(self, other: Done) -> Done:
        return Done(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Done)))


@dataclass(slots=True)
class Writer:
    """Writes drafts in batches.

    Parameters
    ----------
    grid : Grid
    se : str
        Storage element the bytes go to.
    namer : Namer
    patients : Patients
        Makes those who are new known to their care team.
    on_new : callable
        Told of each object, with its draft, when it is in the catalog for good.
    on_known : callable
        Told of each draft whose content an object held already, and of that object.
    on_lost : callable
        Told of those who do not see a new version of what is granted to them.
    on_lacking : callable
        Told of each new original that has no twin, and why.
    on_failed : callable
        Told of each file that could not be imported.
    on_broken : callable
        Told of each file, with the reason, that cannot be imported as long as it stays as it is.
    succession : callable
        Makes what hands grants on, once for each batch.
    """

    grid: Grid
    se: str
    namer: Namer
    patients: Patients
    on_new: Callable[[GridObject, Draft], None]
    on_known: Callable[[ObjectId, Draft], None]
    on_lost: Callable[[Loss], None]
    on_lacking: Callable[[GridObject, Lack], None]
    on_failed: Callable[[Failure], None]
    on_broken: Callable[[str, FileStamp, str], None]
    succession: Callable[[Grid], Succession] = Succession

    def write(self, drafts: Iterable[Draft]) -> None:
        """Put bytes and register, a batch at a time; what is done when an error comes stays done.

        A draft's bytes are read before the next draft is asked for.

        Raises
        ------
        MedgridError, OSError
            Storage, catalog or a disk of this host fail.
        """
        source = iter(drafts)
        self.grid.storage(self.se)  # opened here, as two threads use it, and the keys below
        self.grid.vault  # noqa: B018
        while self._batch(source):
            pass

    def _batch(self, drafts: Iterator[Draft]) -> bool:
        """Write some drafts; give whether there may be more."""
        stored: list[Stored] = []
        end_s = time.monotonic() + _MAX_BATCH_S
        more = True
        with Uploads(self.grid) as uploads:
            try:
                while more and len(stored) < _MAX_BATCH and time.monotonic() < end_s:
                    draft = next(drafts, None)
                    if draft is None:
                        more = False
                        break
                    try:
                        stored.append(self._store(uploads, draft))
                    except Changed as exc:
                        for failure in failures(exc, [path for path, _ in draft.files]):
                            self.on_failed(failure)
                    except ValueError as exc:
                        for path, stamp in draft.files:
                            self.on_broken(path, stamp, str(exc))
            except (MedgridError, OSError):
                self._register(stored)
                raise
            self._register(stored)
        return more

    def _store(self, uploads: Uploads, draft: Draft) -> Stored:
        """Encrypt a draft's bytes, and those of its twin, to the storage element, in one pass."""
        readers = () if draft.patient else (self.grid.settings.user,)
        original_id, twin_id = uploads.new_ids(2, self.se)
        read = draft.read()

        def seal_original(chunks: Iterator[bytes]) -> Sealed:
            whose = Whose(DataClass.NOMINATIVE, draft.patient, readers)
            return uploads.seal(original_id, self.se, chunks, whose)

        def seal_twin(chunks: Iterator[bytes]) -> Sealed | None:
            if draft.lacks_twin:
                return None
            whose = Whose(DataClass.IMAGE, draft.patient, readers)
            try:
                return uploads.seal(twin_id, self.se, chunks, whose)
            except NoDerivative:
                return None

        original, twin = feed_two(read.pieces(), seal_original, seal_twin)
        said = draft.described()
        draft.forget()
        return Stored(
            draft,
            said,
            original,
            twin,
            read.filename,
            read.review(),
            read.attributes(),
            Lack(draft.lacks_twin, False) if draft.lacks_twin else read.lack(),
            self.grid.keyed(image_sha256) if (image_sha256 := read.image_sha256()) else None,
        )

    def _register(self, stored: Sequence[Stored]) -> None:
        if not stored:
            return
        names: dict[str, list[Mapping[str, str]]] = {}
        for one in stored:
            if one.draft.patient:
                names.setdefault(one.draft.patient, []).append(one.said.names)
        self.patients.meet(names)
        sealed = self._held(stored)
        self.grid.keep(
            copy.sealing for one in stored for copy in (one.original, one.twin) if copy is not None
        )
        succession = self.succession(self.grid)
        succession.prepare(self._objects(one, one.draft.twin_lfn)[-1][0] for one in stored)
        done = self._enter(stored, sealed, succession)
        losses = succession.settle()
        for item, draft in done.new:
            self.on_new(item, draft)
        for loss in losses:
            self.on_lost(loss)
        for item, lack in done.lacking:
            self.on_lacking(item, lack)
        for held, draft in done.known:
            self.on_known(held, draft)
        reason = "another import brings what it belongs to; import again"
        self._fail((draft, reason) for draft in done.late)
        self._fail((draft, _taken(error, draft)) for draft, error in done.taken)

    def _fail(self, drafts: Iterable[tuple[Draft, str]]) -> None:
        for draft, reason in drafts:
            for path, _ in draft.files:
                self.on_failed(Failure(path, reason))

    def _enter(
        self, stored: Sequence[Stored], held: Mapping[ObjectId, Held], succession: Succession
    ) -> Done:
        """Commit all, or all but those drafts whose names stay taken."""
        for _ in range(_TRIES):
            try:
                return self._commit(stored, held, succession)
            except AlreadyExists as error:
                taken = error  # by another process since our look, or out of our sight
        if len(stored) == 1:
            return Done(taken=[(stored[0].draft, taken)])
        half = len(stored) // 2
        first = self._enter(stored[:half], held, succession)
        return first + self._enter(stored[half:], held, succession)

    def _commit(
        self, stored: Sequence[Stored], held: Mapping[ObjectId, Held], succession: Succession
    ) -> Done:
        catalog = self.grid.whole
        names = Names(self.grid)
        done = Done()
        versions: list[Registration] = []
        firsts: list[Registration] = []
        files: dict[str, ScannedFile] = {}
        series: dict[ObjectId, str] = {}
        same: dict[Content, ObjectId] = {}
        with catalog.transaction():
            others = self._claim(stored)
            for one in stored:
                draft, folder = one.draft, one.said.folder
                object_id = one.original.replica.object_id
                if draft.is_for_twin and one.lack and draft.base and draft.replaces:
                    done.known.append((draft.base, draft))
                    done.lacking.append((self._original(one, draft.replaces), one.lack))
                    object_id = draft.base
                elif object_id in others:
                    holder = others[object_id]
                    if holder is None:
                        done.late.append(draft)
                        continue
                    done.known.append((holder, draft))
                    object_id = holder
                else:
                    lfn = draft.twin_lfn or names.free(folder, self._label(one))
                    made = self._objects(one, lfn)
                    (versions if draft.replaces else firsts).extend(
                        Registration(
                            item,
                            (copy,),
                            draft.patient,
                            draft.study_uid,
                            draft.series_uid,
                            {TWIN_MISSING: one.lack.reason} if one.lack else {},
                        )
                        for item, copy in made
                    )
                    done.new.append((made[-1][0], draft))
                    if one.lack is not None:
                        done.lacking.append((made[0][0], one.lack))
                    if draft.series_id:
                        series[object_id] = draft.series_id
                    elif draft.is_for_twin:
                        same[self._contents(one, one.original.digest)[0]] = object_id
                for path, stamp in draft.all_files:
                    key = self.namer.file_key(path)
                    files[key] = remembered(key, stamp, object_id)
            catalog.objects.register(firsts, uploaded=True)
            catalog.objects.register(versions, replace=True, uploaded=True)
            catalog.imported.claim(same)  # which the earlier versions do not hold any more
            succession.hand_on(catalog, {one.object.id for one in (*firsts, *versions)})
            catalog.imported.note_series(series)
            back = [one for one in stored if one.draft.was_removed]
            catalog.removed.forget(
                [name for one in back for name in one.draft.marked],
                [
                    content
                    for one in back
                    if not one.draft.series
                    for digest in (one.original.digest, one.image_digest)
                    for content in self._contents(one, digest)
                ],
            )
            catalog.words.hold([held[made.original or made.id] for made, _ in done.new])
            catalog.scanned.note(list(files.values()), self.grid.settings.user)
        return done

    def _held(self, stored: Sequence[Stored]) -> dict[ObjectId, Held]:
        """What was held back of descriptions, sealed to those who may know it."""
        said: dict[str | None, dict[ObjectId, Mapping[str, Any]]] = {}
        for one in stored:
            ids = said.setdefault(one.draft.patient, {})
            ids[one.original.replica.object_id] = one.said.held
        return {
            object_id: Held(object_id, RULE, *sealed)
            for patient, ids in said.items()
            for object_id, sealed in seal_held(
                self.grid.vault, patient, self.grid.settings.user, ids
            ).items()
        }

    def _claim(self, stored: Sequence[Stored]) -> dict[ObjectId, ObjectId | None]:
        """Claim what the drafts hold; give those that others were faster with.

        Returns
        -------
        dict
            Id that the original would have had -> the original that holds its content; None when
            its series, or what it replaces, came otherwise meanwhile. Until the end of the
            transaction that stays so.
        """
        catalog = self.grid.whole
        series = [one for one in stored if one.draft.series is not None]
        versions = [one for one in stored if one.draft.series is None and one.draft.replaces]
        catalog.objects.hold_patients(
            one.draft.patient for one in (*series, *versions) if one.draft.patient
        )
        others: dict[ObjectId, ObjectId | None] = dict.fromkeys(self._late(versions))
        contents: dict[ObjectId, Content] = {}
        mine: dict[Content, ObjectId] = {}
        for one in stored:
            object_id = one.original.replica.object_id
            if object_id in others:
                continue
            is_content = one.draft.series is None and not one.draft.is_for_twin
            if is_content and one.original.digest is not None:
                contents[object_id] = self._contents(one, one.original.digest)[0]
                mine.setdefault(contents[object_id], object_id)
        held = {**mine, **catalog.imported.claim(mine)}
        others.update(
            (object_id, held[content])
            for object_id, content in contents.items()
            if held[content] != object_id
        )
        now = catalog.scanned.series(one.draft.series_uid or "" for one in series)
        there = catalog.objects.by_ids(now.values())
        for one in series:
            assert one.draft.series is not None  # noqa: S101 - chosen above
            object_id, base = one.original.replica.object_id, now.get(one.draft.series)
            if base == one.draft.base:
                now[one.draft.series] = object_id  # of another draft of it this is no base
            else:
                item = there.get(base) if base else None
                others[object_id] = base if item and item.digest == one.original.digest else None
        catalog.imported.claim(  # by which it is known when it was removed
            {
                self._contents(one, one.image_digest)[0]: one.original.replica.object_id
                for one in stored
                if one.image_digest and one.original.replica.object_id not in others
            }
        )
        return others

    def _late(self, versions: Iterable[Stored]) -> Iterator[ObjectId]:
        """Volumes that would replace something else than they were made to."""
        bases = {one.draft.replaces: one for one in versions if one.draft.replaces is not None}
        named = self.grid.whole.objects.get_many(bases)
        for lfn, one in bases.items():
            item = named.get(lfn)
            is_same = item is not None and item.digest == one.original.digest
            is_same = is_same and not one.draft.is_for_twin
            if not is_same and (item is None or item.id != one.draft.base):
                yield one.original.replica.object_id

    def _contents(self, one: Stored, digest: str | None) -> list[Content]:
        """What a volume with this digest is known by, the present name first."""
        spots = self.spots(one.draft, one.said.folder, self._label(one))
        return [Content(spot, digest or "") for spot in spots]

    def spots(self, draft: Draft, folder: LFN, label: str) -> list[Spot]:
        """What a draft called `label` is known by, the present name first, and whose it is."""
        owner = "" if draft.patient else self.grid.settings.user
        lfns = draft.spots or [one.child(label) for one in (folder, *draft.elsewhere)]
        return [Spot(lfn, draft.patient or "", owner) for lfn in lfns]

    def _label(self, one: Stored) -> str:
        return one.said.label or self.namer.neutral(one.original.sealing.plain_sha256)

    def _original(self, one: Stored, twin_lfn: LFN | None) -> GridObject:
        lfn = one.draft.replaces or (twin_lfn and LFN(twin_lfn + ORIGINAL_SUFFIX))
        return self._object(one, one.original, lfn)

    def _objects(self, one: Stored, lfn: LFN | None) -> list[tuple[GridObject, Replica]]:
        """The original, and the twin called `lfn` when there is one; None: when it is found."""
        original = self._original(one, lfn)
        made = [(original, one.original.replica)]
        if one.twin is not None:
            twin = replace(
                self._object(one, one.twin, lfn),
                data_class=DataClass.IMAGE,
                filename=one.twin_filename,
                review=one.review,
                attributes={**one.said.attributes, **one.twin_attributes},
                original=original.id,
            )
            made.append((twin, one.twin.replica))
        return made

    def _object(self, one: Stored, copy: Sealed, lfn: LFN | None) -> GridObject:
        draft = one.draft
        return GridObject(
            id=copy.replica.object_id,
            lfn=lfn,
            kind=draft.kind,
            filename=draft.filename,
            size_bytes=copy.size_bytes,
            sha256=copy.replica.sha256,
            created_s=time.time(),
            attributes=one.said.attributes,
            data_class=DataClass.NOMINATIVE,
            owner="" if draft.patient else self.grid.settings.user,
            patient=draft.patient,
            digest=copy.digest,
        )
