"""What an import says, and what it remembers of files for the next one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from medgrid.actions.grid import Grid
from medgrid.actions.importing.doubts import Doubt
from medgrid.actions.importing.drafts import Failure, Namer
from medgrid.actions.importing.writer import remembered
from medgrid.catalog.scanned import ScannedFile
from medgrid.images.pack import FileStamp
from medgrid.model import GridObject, ObjectId

__all__ = ["Listener", "Summary", "Telling"]

_MANY_NOTES = 2000
_READER = "2"  # another one read files that this one refuses, or the other way round


class Listener(Protocol):
    """Who is told what happens, as it happens."""

    def new(self, item: GridObject) -> None:
        """An object is in the catalog; in a dry run, it would be."""

    def failed(self, failure: Failure) -> None:
        """A file could not be imported."""

    def doubted(self, doubt: Doubt) -> None:
        """Two people may have become one patient, or one person two."""


@dataclass(slots=True)
class Summary:
    """What an import did; all counts but `new`, `doubts` and `versions` are files."""

    files: int = 0
    imported: int = 0  # whose content is in a new object
    unchanged: int = 0  # imported before, and not read again
    known: int = 0  # read, and in the grid already
    failed: int = 0
    failed_before: int = 0  # told then, and not read again
    left_out: Counter[str] = field(default_factory=Counter)  # by reason
    new: int = 0  # objects
    doubts: int = 0  # whether patients are who they seem to be
    versions: int = 0  # objects that are a new version of an LFN


class Telling:
    """Counts what happens, tells the listener, and keeps notes of files.

    Parameters
    ----------
    grid : Grid
        Where notes are kept.
    namer : Namer
        Gives files their keys.
    listener : Listener
        Who is told.
    is_dry : bool
        Nothing is remembered.
    """

    def __init__(self, grid: Grid, namer: Namer, listener: Listener, *, is_dry: bool) -> None:
        self.summary = Summary()
        self._grid = grid
        self._namer = namer
        self._listener = listener
        self._is_dry = is_dry
        self._notes: list[ScannedFile] = []

    def new(self, item: GridObject, files: int = 0, *, is_version: bool) -> None:
        """An object is in the catalog, or would be, with the content of so many files."""
        self.summary.imported += files
        self.summary.new += 1
        self.summary.versions += is_version
        self._listener.new(item)

    def doubted(self, doubt: Doubt) -> None:
        """Patients may not be who they seem to be."""
        self.summary.doubts += 1
        self._listener.doubted(doubt)

    def failed(self, failure: Failure) -> None:
        """A file could not be imported."""
        self.summary.failed += 1
        self._listener.failed(failure)

    def broken(self, path: str, stamp: FileStamp, reason: str) -> None:
        """A file could not be imported, and cannot as long as it stays as it is."""
        self.failed(Failure(path, reason))
        self.refuse(path, stamp, reason, is_failure=True)

    def known(self, object_id: ObjectId, files: Iterable[tuple[str, FileStamp]]) -> None:
        """The grid holds the content of these files."""
        for path, stamp in files:
            self.summary.known += 1
            self._note(remembered(self._namer.file_key(path), stamp, object_id))

    def refuse(
        self,
        path: str,
        stamp: FileStamp,
        reason: str,
        *,
        is_failure: bool,
        object_id: ObjectId | None = None,
    ) -> None:
        """Remember that a file is not imported as long as it stays as it is."""
        outcome = f"{_READER} {'failed' if is_failure else 'left'} {reason}"
        self._note(remembered(self._namer.file_key(path), stamp, object_id, outcome))

    def is_refused(self, before: ScannedFile) -> bool:
        """Whether a file that is unchanged was refused by this reader; it is counted then."""
        reader, is_failure, reason = before.outcome.split(" ", 2)
        if reader != _READER:
            return False
        if is_failure == "failed":
            self.summary.failed_before += 1
        else:
            self.summary.left_out[reason] += 1
        return True

    def flush(self) -> None:
        """Keep the notes in the catalog."""
        if not self._is_dry:
            self._grid.whole.scanned.note(self._notes, self._grid.settings.user)
        self._notes.clear()

    def _note(self, note: ScannedFile) -> None:
        self._notes.append(note)
        if len(self._notes) >= _MANY_NOTES:
            self.flush()
