"""An image of one patient as that of another: drafts made of what the grid holds.

Dates, UIDs and places follow from a patient's pseudonym. A series says all by itself, from its
headers; what the folders and tables around a volume said is taken from the catalog.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medgrid.actions.grid import Grid
from medgrid.actions.importing.drafts import (
    Draft,
    Instance,
    Namer,
    same_bytes,
    series_draft,
    volume_draft,
)
from medgrid.actions.importing.merge import held_series, merged_draft
from medgrid.actions.importing.twins import Pass, Piece
from medgrid.actions.transfer import fetch_file, fetch_packed
from medgrid.actions.words import texts_of, words_naming
from medgrid.catalog.attributes import TWIN_MISSING, TWIN_REMOVED
from medgrid.errors import IntegrityError
from medgrid.images import allowed
from medgrid.images.bids import ENTITIES, Companion, side_car
from medgrid.images.dicom import SeriesKey
from medgrid.images.nominative import differ_in_names
from medgrid.images.pack import FileStamp, Member
from medgrid.images.patient import PatientKeys
from medgrid.images.scrub import Scrubber
from medgrid.images.volume import Volume, clean_side_car, side_car_attributes
from medgrid.images.words import Vocabulary
from medgrid.model import LFN, ORIGINAL_SUFFIX, PACKED_SUFFIX, GridObject, is_tar

__all__ = ["Moving", "is_named_after"]

_KEYED = allowed.DATES | allowed.UIDS


def is_named_after(lfn: LFN, patient: str) -> bool:
    """Whether an LFN is one that imports give to images of a patient."""
    return f"/{patient}/" in lfn


class Moving(Namer):
    """Pseudonyms and places for one original that becomes another patient's.

    Parameters
    ----------
    key : bytes
        The grid's pseudonym key.
    vocabulary : Vocabulary
        Words that descriptions may have.
    original : GridObject
        Named by an LFN.
    new : str
        Whose it becomes.
    """

    def __init__(self, key: bytes, vocabulary: Vocabulary, original: GridObject, new: str) -> None:
        assert original.patient is not None  # noqa: S101 - it is somebody's
        lfn = LFN(str(original.lfn).removesuffix(ORIGINAL_SUFFIX))
        above, found, below = lfn.rpartition(f"/{original.patient}/")
        if found:  # /trial, then a study's folder, and what lies in it
            own = below.split("/")[1:] or [below]
        else:
            above, own = lfn.rpartition("/")[0], [lfn.name]
        super().__init__(key, LFN(above or "/merged"), "", vocabulary)
        self._original = original
        self._old = PatientKeys.of(key, original.patient)
        self._new = new
        self._own = own

    def of_series(self, key: SeriesKey) -> str:
        return self._new

    def of_volume(self, volume: Volume) -> str:
        return self._new

    def session(self, subject: str, session: str, keys: PatientKeys | None) -> str:
        return keys.text(session) if keys else session

    def references(self, volume: Volume, keys: PatientKeys | None) -> dict[str, list[str]]:
        assert keys is not None  # noqa: S101 - it is somebody's
        return {
            name: [keys.text(self._old.back(str(one))) for one in _several(value)]
            for name, value in self._original.attributes.items()
            if name in allowed.BIDS_REFERENCES
        }

    def spots(
        self, volume: Volume, patient: str | None, own_place: Sequence[str]
    ) -> tuple[LFN, ...]:
        return ()  # it keeps those that it has

    # -- drafts ------------------------------------------------------------------------------------

    def series(self, grid: Grid, folder: Path) -> tuple[Draft | None, GridObject | None]:
        """Draft of a series, and the original of the other patient that holds it already.

        Where that holds all of it there is no draft; else the draft is of its next version.

        Raises
        ------
        IntegrityError
            The two differ in what both have.
        """
        files = held_series(grid, self._original, folder)
        name = self.series_names(files.key)[0]
        base = grid.whole.scanned.series([name.series_uid or ""]).get(name)
        item = grid.whole.objects.by_ids([base]).get(base) if base else None
        if item is None:
            return self._own_files(series_draft(files, self)), None

        def differs(_one: object, reason: str) -> None:
            raise IntegrityError(f"{self._original.lfn}: an instance {reason}")

        (folder / "held").mkdir()
        draft = merged_draft(grid, files, item, self, folder / "held", differs, is_same=_is_same)
        return self._own_files(draft) if draft else None, item

    def volume(
        self, grid: Grid, folder: Path, names: Mapping[str, str], kept: Mapping[str, Any]
    ) -> Draft:
        """Draft of a volume with its companions.

        Parameters
        ----------
        grid : Grid
        folder : Path
            Takes its files, which must stay until the draft's bytes are read.
        names : mapping
            What names the patient.
        kept : mapping
            What was held back of its descriptions.
        """
        original = self._original
        replicas = grid.whole.objects.replicas([original.id])[original.id]
        if is_tar(original.kind, original.filename):
            image, *beside = fetch_packed(grid, original, replicas, folder / "files")
        else:
            image, beside = folder / original.filename, []
            fetch_file(grid, original, replicas, image)
        companions = tuple(Companion(one.name, str(one), _stamp(one)) for one in beside)
        fields = side_car(companions).fields
        told = {name: str(fields.get(name) or "") for name in ("PatientName", "PatientID")}
        words = (*words_naming(names), *words_naming(told))
        volume = Volume(
            filename=original.filename.removesuffix(PACKED_SUFFIX),
            patient_id="",
            issuer="",
            dataset="",
            session=self._session(),
            label="",
            attributes=self._attributes(fields, Scrubber(words, self.vocabulary)),
            problem="",
            nominative={},
            words=words,
            side_car=clean_side_car(fields, Scrubber(words, self.vocabulary)),
            references={},
            companions=companions,
            held=frozenset(map(str, kept.get("words", ()))),
            texts=texts_of(original, kept),
        )
        keys = self.keys(self._new)
        own = [keys.text(self._old.back(part)) for part in self._own]
        member = Member(str(image), _stamp(image))
        draft = volume_draft(member, volume, self, own, (), grid.settings.cache_dir)
        return self._own_files(draft)

    def _own_files(self, draft: Draft) -> Draft:
        """The draft without what an import remembers of files: these go, and it fails aloud."""
        draft.files, draft.beside = [], ()
        read = draft.read

        def aloud() -> Pass:
            made = read()

            def pieces() -> Iterator[Piece]:
                try:
                    yield from made.pieces()
                except ValueError as exc:
                    raise IntegrityError(f"{self._original.lfn}: {exc}") from None

            return replace(made, pieces=pieces)

        draft.read = aloud
        if self._original.attributes.get(TWIN_MISSING) == TWIN_REMOVED:
            draft.lacks_twin = TWIN_REMOVED
        return draft

    def _session(self) -> str:
        session = self._original.attributes.get("session")
        return f"ses-{self._old.back(session)}" if isinstance(session, str) else ""

    def _attributes(self, fields: Mapping[str, Any], scrub: Scrubber) -> dict[str, Any]:
        """What is known of a volume, with its true dates and UIDs.

        Where no side-car is left they stem from what the catalog has: days to one more or less.
        """
        known: dict[str, Any] = {}
        for name, value in self._original.attributes.items():
            if name in allowed.DATES:
                days = (self._old.back_day(str(one)) for one in _several(value))
                known[name] = [day for day in days if day]
            elif name in ENTITIES and isinstance(value, str):
                known[name] = self._old.back(value)
            elif name not in (*allowed.BIDS_REFERENCES, TWIN_MISSING):
                known[name] = value
        told = side_car_attributes(fields, scrub)
        return known | {name: value for name, value in told.items() if name in _KEYED}


def _is_same(one: Instance, other: Instance) -> bool:
    """An id that was put right is no other image; what named the patient is in the seals."""
    return same_bytes(one, other) or differ_in_names(one.path, other.path)


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _stamp(path: Path) -> FileStamp:
    return FileStamp.of(os.lstat(path))
