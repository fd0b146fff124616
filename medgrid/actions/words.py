"""Words that descriptions held back: who cares for a patient reads them, and renews descriptions.

What an original's headers say is read from the original; of a volume, whose words stood in its
file's name and side-car, the texts are kept beside the words, sealed.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from medgrid.actions.grid import Grid
from medgrid.actions.importing.convert import converted
from medgrid.actions.importing.drafts import keyed_spot
from medgrid.actions.importing.twins import ORIGINAL_SUFFIX, NoDerivative, series_pass
from medgrid.actions.importing.writer import Names
from medgrid.actions.outcome import Failure
from medgrid.actions.patients import sealed_names
from medgrid.actions.permission import choose, decide, sift
from medgrid.actions.progress import SILENT, Progress
from medgrid.actions.scratch import scratch_folder
from medgrid.actions.transfer import Uploads, fetch_packed, label
from medgrid.actions.versions import Loss, Succession
from medgrid.actions.vocabulary import vocabulary
from medgrid.catalog.imported import Spot
from medgrid.catalog.objects import Registration
from medgrid.catalog.query import parse
from medgrid.catalog.words import RULE, Held
from medgrid.crypto.audit_record import Event
from medgrid.crypto.held_words import open_held, seal_held
from medgrid.crypto.policy import Verb
from medgrid.crypto.pseudonym import load_key
from medgrid.crypto.vault import Whose
from medgrid.errors import Busy, MedgridError, NotFound
from medgrid.images import allowed
from medgrid.images.bids import ENTITIES_AND_SUFFIX
from medgrid.images.deidentify import clean_text, id_words, person_words, segment
from medgrid.images.deidentify import label as label_of
from medgrid.images.derive_series import SeriesPass
from medgrid.images.pack import FileStamp, Member
from medgrid.images.patient import PatientKeys
from medgrid.images.scrub import Scrubber
from medgrid.images.volume import renewed
from medgrid.images.words import Vocabulary, folded
from medgrid.model import (
    LFN,
    VARIES,
    VARIES_WIDELY,
    DataClass,
    GridObject,
    ObjectId,
    ObjectKind,
    new_object_id,
)

__all__ = [
    "HeldWord",
    "Renewed",
    "held_words",
    "made_before",
    "opened",
    "renew",
    "texts_of",
    "words_naming",
]

_RENEWED = (
    allowed.JUDGED
    | allowed.BIDS_TEXTS
    | allowed.BIDS_CODES
    | ENTITIES_AND_SUFFIX
    | {VARIES, VARIES_WIDELY}
)


class HeldWord(NamedTuple):
    """A word that was held back, in how many images, and of how many patients."""

    word: str
    images: int
    patients: int


@dataclass(frozen=True, slots=True)
class Renewed:
    """An image that was described anew: its LFN, and whether its twin has other bytes now.

    `losses` are those who do not see the new version of what is granted to them.
    """

    lfn: LFN
    is_version: bool
    was: LFN
    losses: Sequence[Loss] = ()


# -- looking ---------------------------------------------------------------------------------------


def held_words(grid: Grid, words: Sequence[str] = ()) -> Iterator[HeldWord | Failure]:
    """Words that were held back of images of the user's own patients, and are not known yet.

    Parameters
    ----------
    words : sequence of str
        LFNs; none are all.
    """
    originals, failures = _originals(grid, words)
    yield from failures
    kept = opened(grid, originals)
    known = vocabulary(grid)
    images: Counter[str] = Counter()
    patients: dict[str, set[str]] = {}
    shown: dict[str, str] = {}
    for item in originals:
        own = {str(one) for one in kept.get(item.id, {}).get("words", ())}
        for word in {folded(one): one for one in own if not known.knows(one)}.values():
            key = folded(word)
            shown.setdefault(key, word)
            images[key] += 1
            patients.setdefault(key, set()).add(item.patient or "")
    for key, count in sorted(images.items(), key=lambda one: (-one[1], one[0])):
        yield HeldWord(shown[key], count, len(patients[key] - {""}))


def made_before(grid: Grid, words: Sequence[str] = ()) -> Iterator[GridObject | Failure]:
    """Twins of the user's own patients that were made by another rule than today's."""
    originals, failures = _originals(grid, words)
    yield from failures
    held = grid.catalog.words.held([one.id for one in originals])
    old = [one for one in originals if one.id not in held or held[one.id].rule != RULE]
    yield from sorted(grid.catalog.objects.twins([one.id for one in old]), key=label)


def _originals(grid: Grid, words: Sequence[str]) -> tuple[list[GridObject], list[Failure]]:
    """Originals of the user's own patients: of some images, or all; and why others are not."""
    objects = grid.catalog.objects
    if not words:
        lfns = list(objects.lfns(parse("class=nominative")))
        items = list(objects.get_many(lfns).values())
        mine = decide(grid, Verb.REVIEW, items)
        return [one for one in items if mine[one.id]], []
    chosen = choose(grid, words)
    found = objects.current([one.original or one.id for one in chosen.items]).values()
    originals = {one.id: one for one in found if one.data_class is DataClass.NOMINATIVE}
    allowed_ones = sift(grid, Verb.REVIEW, list(originals.values()))
    return allowed_ones.items, [*chosen.failures, *allowed_ones.failures]


def opened(grid: Grid, originals: Iterable[GridObject]) -> dict[ObjectId, dict[str, Any]]:
    """What was held back of originals. The log says first that it is asked for."""
    items = {one.id: one for one in originals}
    if not items:
        return {}
    vault = grid.vault
    vault.store.audit.append(
        *(
            Event("held-words", patient=one)
            for one in sorted({i.patient or "" for i in items.values()})
        )
    )
    return open_held(
        vault,
        (
            (one.object_id, items[one.object_id].patient, one.revision, one.sealed)
            for one in grid.catalog.words.held(items).values()
        ),
    )


def texts_of(original: GridObject, kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """Texts that words of a volume stand in, as they were; what is `kept` of it has them."""
    texts = kept.get("texts")
    if texts is not None:
        return dict(texts)
    known = _RENEWED - {VARIES, VARIES_WIDELY}  # it was made before they were kept
    return {name: value for name, value in original.attributes.items() if name in known}


def words_naming(names: Mapping[str, str]) -> tuple[str, ...]:
    """Words to cut that name a patient, of what a seal says."""
    own = [word for one in names.get("PatientName", "").split("\\") for word in person_words(one)]
    ids = [word for one in names.get("PatientID", "").split("\\") for word in id_words(one)]
    return (*own, *ids)


# -- renewing --------------------------------------------------------------------------------------


def renew(
    grid: Grid,
    words: Sequence[str] = (),
    *,
    is_old: bool = False,
    rename: bool = False,
    progress: Progress = SILENT,
) -> Iterator[Renewed | Failure]:
    """Describe images of the user's own patients anew, by the words that are known now.

    An LFN stays as it is, unless it is to be renamed. Where the twin of a series comes out with
    other bytes, it becomes a new version of its LFN.

    Parameters
    ----------
    words : sequence of str
        LFNs; none are all for which something changes.
    is_old : bool
        Those that were made by another rule, in place of those with a word that is known now.
    rename : bool
        Give LFNs whose words are not known, or have become so, the name that an import would.
    """
    originals, failures = _originals(grid, words)
    yield from failures
    work = _Renewal(grid, rename)
    rows = grid.catalog.words.held([one.id for one in originals])
    kept = opened(grid, [one for one in originals if one.id in rows])
    if is_old:
        wanted = [one for one in originals if one.id not in rows or rows[one.id].rule != RULE]
    else:
        wanted = [one for one in originals if work.has_news(kept.get(one.id, {}))]
    progress.total(len(wanted))
    for original in sorted(wanted, key=label):
        try:
            yield work.renew(original, kept.get(original.id, {}))
        except (MedgridError, NoDerivative, ValueError, OSError) as error:
            reason = error if isinstance(error, MedgridError) else MedgridError(str(error))
            yield Failure(label(original), reason)
        progress.advance()


class _Fresh(NamedTuple):
    """What an original comes to by the words that are known now."""

    attributes: Mapping[str, Any]
    held: Mapping[str, Any]


class _Renewal:
    def __init__(self, grid: Grid, rename: bool) -> None:
        self._grid = grid
        self._rename = rename
        self._words: Vocabulary = vocabulary(grid)
        self._key = load_key(grid.settings.keys_dir)

    def has_news(self, kept: Mapping[str, Any]) -> bool:
        """Whether a word that was held back is known now."""
        return any(self._words.knows(str(word)) for word in kept.get("words", ()))

    def renew(self, original: GridObject, kept: Mapping[str, Any]) -> Renewed:
        """Describe an original and its twin anew.

        Raises
        ------
        Busy
            A newer version waits, or the image is not what it was when it was read.
        """
        twins = self._twins(original)
        if original.kind is ObjectKind.SERIES:
            return self._series(original, twins)
        return self._keep(original, twins, self._volume(original, kept))

    def _twins(self, original: GridObject) -> list[GridObject]:
        """What LFNs name of the twins of an original.

        Raises
        ------
        Busy
            Its own LFN names another by now, or a newer twin waits.
        """
        objects = self._grid.catalog.objects
        if original.id not in (one.id for one in objects.get_many([_lfn(original)]).values()):
            raise _is_another(original)
        twins = objects.twins([original.id])
        named = {one.lfn: one for one in twins if one.lfn is not None}
        others = objects.version_lfns(one.id for one in twins if one.lfn is None)
        for lfn in sorted(objects.waiting({*named, *others.values()})):
            raise Busy(
                f"{lfn} has a version that waits for a review",
                hint=f"'medgrid review show {lfn}', then 'medgrid review release', then renew it",
            )
        return list(named.values())

    def _series(self, original: GridObject, twins: list[GridObject]) -> Renewed:
        grid = self._grid
        assert original.patient is not None  # noqa: S101 - a series is somebody's
        keys = PatientKeys.of(self._key, original.patient)
        replicas = grid.catalog.objects.replicas([original.id])[original.id]
        with scratch_folder(grid.settings) as folder, Uploads(grid) as uploads:
            paths = fetch_packed(grid, original, replicas, folder / "instances")
            found = SeriesPass([_member(one) for one in paths], keys, vocabulary=self._words)
            made = None
            for twin in twins[:1]:
                made = self._twin(uploads, twin, found)
            if not found.metadata:
                found.look()
            attributes = found.metadata.attributes(keys)
            fresh = _Fresh(attributes, {"words": sorted(found.metadata.held)})
            return self._keep(original, twins, fresh, made)

    def _twin(self, uploads: Uploads, twin: GridObject, found: SeriesPass) -> Registration | None:
        """The twin made anew; None when its bytes are what they were."""
        grid = self._grid
        copies = grid.catalog.objects.replicas([twin.id])[twin.id]
        if not copies:
            raise NotFound(f"{label(twin)} has no replica")
        read = series_pass(found)

        def chunks() -> Iterator[bytes]:
            for _, clean in read.pieces():
                if isinstance(clean, NoDerivative):
                    raise clean
                if clean:
                    yield clean

        whose = Whose(twin.data_class, twin.patient, () if twin.patient else (twin.owner,))
        sealed = uploads.seal(new_object_id(), copies[0].se, chunks(), whose)
        if sealed.digest is not None and sealed.digest == twin.digest:
            return None
        grid.keep([sealed.sealing])
        item = replace(
            twin,
            id=sealed.replica.object_id,
            size_bytes=sealed.size_bytes,
            sha256=sealed.replica.sha256,
            created_s=time.time(),
            digest=sealed.digest,
            rekeyed_as=None,
        )
        study, series = (twin.attributes.get(f"{one}InstanceUID") for one in ("Study", "Series"))
        return Registration(item, (sealed.replica,), twin.patient, _text(study), _text(series))

    def _volume(self, original: GridObject, kept: Mapping[str, Any]) -> _Fresh:
        scrub = self._scrubber(original)
        texts = texts_of(original, kept)
        attributes = {**original.attributes, **renewed(texts, scrub)}
        return _Fresh(attributes, {"words": sorted(scrub.held), "texts": dict(texts)})

    def _scrubber(self, original: GridObject) -> Scrubber:
        """What cuts the names of an original's patient."""
        names: Mapping[str, str] = {}
        if original.patient:
            names = sealed_names(self._grid, [original.patient], "review").get(original.patient, {})
        return Scrubber(words_naming(names), self._words)

    def _keep(
        self,
        original: GridObject,
        twins: Sequence[GridObject],
        fresh: _Fresh,
        made: Registration | None = None,
    ) -> Renewed:
        """Let the catalog know, all or nothing."""
        grid = self._grid
        sealed = seal_held(grid.vault, original.patient, original.owner, {original.id: fresh.held})[
            original.id
        ]
        volumes = converted(grid, [one.id for one in (original, *twins)])
        spots = self._read_spots(original)
        names = self._names(original, twins, fresh) if self._rename else {}
        succession = Succession(grid)
        succession.prepare([made.object] if made is not None else ())
        with grid.catalog.transaction():
            objects = grid.catalog.objects
            objects.hold_patients([original.patient] if original.patient else ())
            if {one.id for one in self._twins(original)} != {one.id for one in twins}:
                raise _is_another(original)
            if made is not None:
                changed = _changed(made.object, fresh)
                attributes = {**made.object.attributes, **changed}
                attributes = {key: one for key, one in attributes.items() if one is not None}
                made = replace(made, object=replace(made.object, attributes=attributes))
                objects.register([made], replace=True, uploaded=True)
                succession.hand_on(grid.catalog, {made.object.id})
            for item in [original, *([] if made is not None else twins), *volumes]:
                changed = _changed(item, fresh)
                if item in volumes:  # it has what all of its series have
                    changed = {
                        name: value
                        for name, value in changed.items()
                        if name in allowed.FREE_TEXT and not isinstance(value, list)
                    }
                if changed:
                    objects.set_attributes(item.id, changed, is_imported=True)
            grid.catalog.words.hold([Held(original.id, RULE, *sealed)])
            if original.digest is not None:
                grid.catalog.imported.recall(original.id, original.digest, spots)
            objects.rename_many(names)
        was = _lfn(*twins[:1] or [original])
        return Renewed(names.get(was, was), made is not None, was, succession.settle())

    def _read_spots(self, original: GridObject) -> dict[Spot, Spot]:
        """Names that can be read, by which imports know an original, and what takes their place."""
        found = {}
        for spot in self._grid.catalog.imported.spots(original.id):
            folder, _, place = spot.lfn.rpartition("/")
            if folder and not place.startswith("volume-"):
                found[spot] = spot._replace(lfn=keyed_spot(self._key, LFN(folder), place))
        return found

    def _names(
        self, original: GridObject, twins: Sequence[GridObject], fresh: _Fresh
    ) -> dict[LFN, LFN]:
        """What LFNs of an image become that gets the label which an import would give it."""
        was = LFN(_lfn(*twins[:1] or [original]).removesuffix(ORIGINAL_SUFFIX))
        folder, _, name = was.rpartition("/")
        if original.kind is ObjectKind.SERIES:
            wanted = label_of(fresh.attributes)
        else:
            wanted = segment(clean_text(name, self._scrubber(original)))
        if not wanted or re.fullmatch(re.escape(wanted) + r"(-\d+)?", name):
            return {}
        lfn = Names(self._grid).free(LFN(folder), wanted)
        return {
            one.lfn: LFN(lfn + one.lfn.removeprefix(was))
            for one in (original, *twins)
            if one.lfn in (was, was + ORIGINAL_SUFFIX)
        }


def _lfn(item: GridObject) -> LFN:
    assert item.lfn is not None  # noqa: S101 - it was chosen for that
    return item.lfn


def _is_another(original: GridObject) -> Busy:
    return Busy(f"{original.lfn} or its twin changed meanwhile", hint="renew it again")


def _changed(item: GridObject, fresh: _Fresh) -> dict[str, Any]:
    """Texts of an object that are others now; None where there is none any more."""
    names = (item.attributes.keys() | fresh.attributes.keys()) & _RENEWED
    return {
        name: fresh.attributes.get(name)
        for name in names
        if item.attributes.get(name) != fresh.attributes.get(name)
    }


def _member(path: Path) -> Member:
    return Member(str(path), FileStamp.of(os.lstat(path)))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
