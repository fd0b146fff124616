"""Drafts of volumes: what the grid has already, what is a new version, what somebody removed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath

from medgrid.actions.grid import Grid
from medgrid.actions.importing.beside import Companions
from medgrid.actions.importing.drafts import Description, Draft, Namer, volume_draft
from medgrid.actions.importing.looking import Looking
from medgrid.actions.importing.merge import twin_lfn
from medgrid.actions.importing.request import ImportRequest
from medgrid.actions.importing.telling import Telling
from medgrid.catalog.attributes import TWIN_REMOVED
from medgrid.catalog.imported import Content, Spot
from medgrid.catalog.removed import Mark
from medgrid.images.deidentify import clean_text, id_words, person_words, segment
from medgrid.images.nifti import geometry
from medgrid.images.pack import Changed, FileStamp, Member
from medgrid.images.scan import Scanned
from medgrid.images.scrub import Scrubber
from medgrid.images.volume import Volume
from medgrid.images.words import Vocabulary
from medgrid.model import LFN, ObjectId

__all__ = ["Volumes"]

_MAX_PLACE = 1024  # characters
_MAX_PARTS = 12  # of a file's own path that go into its LFN


class Volumes:
    """Makes drafts of the volumes of one import.

    Parameters
    ----------
    grid : Grid
    request : ImportRequest
    namer : Namer
    spots : callable
        Gives the spots of a draft with this folder and label.
    look : Looking
    companions : Companions
    telling : Telling
    is_known : callable
        Told of an original that the grid has, and of the draft that is the same.
    is_removed : callable
        Told of what somebody removed, and of the files that hold it.
    """

    def __init__(
        self,
        grid: Grid,
        request: ImportRequest,
        namer: Namer,
        spots: Callable[[Draft, LFN, str], Sequence[Spot]],
        look: Looking,
        companions: Companions,
        telling: Telling,
        is_known: Callable[[ObjectId, Draft], None],
        is_removed: Callable[[Mark, Sequence[tuple[str, FileStamp]]], None],
    ) -> None:
        self.same: set[str] = set()
        """Changed files whose companions alone changed."""
        self._grid = grid
        self._request = request
        self._namer = namer
        self._spots = spots
        self._look = look
        self._companions = companions
        self._telling = telling
        self._is_known = is_known
        self._is_removed = is_removed
        self._replaced: set[ObjectId] = set()  # of which a draft becomes a new version
        self._marks: dict[str | None, Mapping[Content, Mark]] = {}  # of patients' volumes

    def drafts(self, one: Scanned) -> Iterator[Draft]:
        """The draft of a volume, or none: the grid has it, or somebody removed it."""
        assert one.volume is not None  # noqa: S101 - asked for volumes only
        parts = _own_parts(one) if self._request.keep_names else []
        file = Member(one.path, one.stamp)
        try:
            if self._request.dry_run:  # no pass will say that it is not whole
                with file.open() as stream:
                    compressed = one.volume.filename.endswith(".gz")
                    geometry(stream, one.stamp.size_bytes, compressed=compressed)
            file = file.held()
            draft = volume_draft(
                file,
                one.volume,
                self._namer,
                _known_parts(parts, one.volume, self._namer.vocabulary),
                _own_place(parts),
                self._grid.settings.cache_dir,
            )
            said = draft.described()
            if not said.label and (file.content or draft.beside or self._request.dry_run):
                said = said._replace(label=self._namer.neutral(_sha256(file.chunks())))
                draft.described = lambda: said
            if (said.label or draft.spots) and self._is_held(draft, said, file):
                return
            mark = self._mark(draft, said, file) if draft.replaces is None else None
            if mark is not None and not self._request.again:
                self._companions.stay_away(draft)
                self._is_removed(mark, draft.files)
                return
            draft.was_removed = mark is not None
        except Changed as exc:
            self._telling.unreadable(exc, [one.path])
            return
        except ValueError as exc:
            self._telling.broken(one.path, one.stamp, str(exc))
            return
        yield draft

    def _is_held(self, draft: Draft, said: Description, file: Member) -> bool:
        """Whether the grid has a volume at its spot; else `draft` says what it replaces."""
        spots = self._spots(draft, said.folder, said.label)
        known = self._held(spots, draft.size_bytes, draft.content)
        if self._request.again and known is not None and known not in self._replaced:
            draft.is_for_twin = self._look.lack(known)[1]
        if known is not None and not draft.is_for_twin:
            self._is_known(known, draft)
            self._telling.note(known, draft.all_files)
            return True
        before = known or self._look.before.get(file.path)
        if before is None and draft.beside:  # it may have come without them, from elsewhere
            before = self._held(spots, file.stamp.size_bytes, file.chunks)
        if before is None or before in self._replaced:  # what were copies have become different
            return False
        item = self._grid.whole.objects.by_ids([before]).get(before)
        if item is None or item.lfn is None or item.patient != draft.patient:
            return False
        is_there = file.path in self.same or known is not None
        if is_there or self._grid.whole.imported.spots(before) & set(spots):
            lack, anew = self._look.lack(before)
            draft.lacks_twin = lack if lack == TWIN_REMOVED and not anew else ""
            draft.replaces, draft.base = item.lfn, before
            draft.twin_lfn = twin_lfn(self._grid, item)
            self._replaced.add(before)
        return False

    def _held(
        self, spots: Sequence[Spot], size_bytes: int, content: Callable[[], Iterable[bytes]]
    ) -> ObjectId | None:
        """Original at one of the spots that holds this content."""
        held = self._grid.whole.imported.held(spots, size_bytes)
        return held.get(self._grid.keyed(_sha256(content())) or "") if held else None

    def _mark(self, draft: Draft, said: Description, file: Member) -> Mark | None:
        """The mark of a volume that was removed, whatever its companions say by now."""
        owner = self._grid.settings.user
        marks = self._marks.get(draft.patient)
        if marks is None:
            marks = self._grid.whole.removed.contents(draft.patient, owner)
            self._marks[draft.patient] = marks
        if not marks:
            return None
        for chunks in dict.fromkeys((file.chunks, draft.content)):  # or as it was marked once
            sha256 = _sha256(chunks())
            digest = self._grid.keyed(sha256) or ""
            label = said.label or self._namer.neutral(sha256)
            for spot in self._spots(draft, said.folder, label):
                if mark := marks.get(Content(spot, digest)):
                    return mark
        return None


def _sha256(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _own_parts(one: Scanned) -> list[str]:
    """Folders below the place the walk began at, and the file's name without its ending."""
    path = PurePath(one.path)
    inner = PurePath(path.name) if one.path == one.root else path.relative_to(one.root)
    return [*inner.parent.parts, re.sub(r"\.nii(\.gz)?$", "", inner.name, flags=re.IGNORECASE)]


def _own_place(parts: Sequence[str]) -> list[str]:
    """The same as a volume is known by: not cut."""
    folders, names = map(segment, parts[:-1]), (segment(one, _MAX_PLACE) for one in parts[-1:])
    return [*filter(None, (*folders, *names))][-_MAX_PARTS:]


def _known_parts(parts: Sequence[str], volume: Volume, vocabulary: Vocabulary) -> list[str]:
    """Folders and a label of known words, which may be empty."""
    if not parts:
        return []
    names = volume.nominative
    words = [*person_words(names.get("PatientName", "")), *id_words(names.get("PatientID", ""))]
    scrub = Scrubber(words, vocabulary)
    *folders, label = (segment(clean_text(part, scrub)) for part in parts)
    return [*filter(None, folders), label][-_MAX_PARTS:]
