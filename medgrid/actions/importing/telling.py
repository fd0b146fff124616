"""What an import says, and what it remembers of files for the next one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from medgrid.actions.grid import Grid
from medgrid.actions.importing.doubts import Doubt
from medgrid.actions.importing.drafts import Failure, Namer, failures
from medgrid.actions.importing.tables import TableReport
from medgrid.actions.importing.twins import Lack
from medgrid.actions.importing.writer import remembered
from medgrid.actions.versions import Loss
from medgrid.catalog.removed import Mark
from medgrid.catalog.scanned import ScannedFile
from medgrid.images.pack import Changed, FileStamp
from medgrid.images.scan import Scanned
from medgrid.model import GridObject, ObjectId

__all__ = ["Listener", "Refused", "Summary", "Telling"]

_MANY_NOTES = 2000
_READER = "3"  # another one read files that this one refuses, or the other way round


class Listener(Protocol):
    """Who is told what happens, as it happens."""

    def new(self, item: GridObject, files: Sequence[str]) -> None:
        """An object is in the catalog, with the content of files; in a dry run, it would be."""

    def failed(self, failure: Failure) -> None:
        """A file could not be imported."""

    def left_out(self, path: str, reason: str) -> None:
        """Something is no part of any image, or cannot become one, and that is no failure."""

    def damaged(self, failure: Failure) -> None:
        """A companion of an image is not as it should be; the image is in the catalog."""

    def doubted(self, doubt: Doubt) -> None:
        """A person should look at something: whether two people became one patient, say."""

    def table(self, report: TableReport) -> None:
        """A table about people was read, and what it says is in the catalog."""


class Refused(NamedTuple):
    """Why a file was not imported."""

    kind: str  # failed, removed or left
    reason: str


@dataclass(slots=True)
class Summary:
    """What an import did; all counts up to `left_out` are files, companions too."""

    files: int = 0
    imported: int = 0  # whose content is in a new object
    unchanged: int = 0  # imported before, and not read again
    known: int = 0  # read, and in the grid already
    failed: int = 0
    failed_before: int = 0  # told then, and not read again
    removed: int = 0  # whose content somebody removed from the grid
    left_out: Counter[str] = field(default_factory=Counter)  # by reason
    lacking: Counter[str] = field(default_factory=Counter)  # series without a twin, by reason
    new: int = 0  # objects
    tables: int = 0  # about people
    attributes: int = 0  # values of patients and visits that are new, or others
    damaged: int = 0  # companions that do not fit their images
    doubts: int = 0  # whether patients are who they seem to be
    versions: int = 0  # objects that are a new version of an LFN
    warnings: int = 0  # of what a person should look at besides


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

    def new(
        self,
        item: GridObject,
        count: int = 0,
        files: Sequence[tuple[str, FileStamp]] = (),
        *,
        is_version: bool,
    ) -> None:
        """An object is in the catalog, or would be, with `files`; `count` of them are new."""
        self.summary.imported += count
        self.summary.new += 1
        self.summary.versions += is_version
        self._listener.new(item, [path for path, _ in files])

    def left_out(self, path: str, reason: str) -> None:
        """Something is not imported, and need not be."""
        self.summary.left_out[reason] += 1
        self._listener.left_out(path, reason)

    def damaged(self, failure: Failure) -> None:
        """A companion is not as it should be."""
        self.summary.damaged += 1
        self._listener.damaged(failure)

    def doubted(self, doubt: Doubt) -> None:
        """Patients may not be who they seem to be."""
        self.summary.doubts += 1
        self._listener.doubted(doubt)

    def lost(self, loss: Loss) -> None:
        """Somebody does not see a new version of what is granted to them."""
        self.warned(Doubt(str(loss), loss.hint))

    def lacking(self, item: GridObject, lack: Lack) -> None:
        """An original has no twin for research."""
        self.summary.lacking[lack.reason] += 1
        if lack.has_images:
            self.warned(
                Doubt(
                    f"{item.lfn} has no twin for research: {lack.reason}",
                    "import its folder with --again when the file is right, or without it",
                )
            )

    def warned(self, warning: Doubt) -> None:
        """What is in the grid is not all that it should be."""
        self.summary.warnings += 1
        self._listener.doubted(warning)

    def table(self, report: TableReport) -> None:
        """A table about people was read."""
        self.summary.tables += 1
        self.summary.attributes += len(report.fresh) + len(report.replaced)
        self._listener.table(report)

    def failed(self, failure: Failure) -> None:
        """A file could not be imported."""
        self.summary.failed += 1
        self._listener.failed(failure)

    def unreadable(self, exc: Changed, paths: Iterable[str]) -> None:
        """A file could not be read, and those that go in with it stay out, too."""
        for failure in failures(exc, paths):
            self.failed(failure)

    def broken(self, path: str, stamp: FileStamp, reason: str) -> None:
        """A file could not be imported, and cannot as long as it stays as it is."""
        self.failed(Failure(path, reason))
        self.refuse(path, stamp, reason, is_failure=True)

    def known(self, object_id: ObjectId, files: Sequence[tuple[str, FileStamp]]) -> None:
        """The grid holds the content of these files."""
        self.summary.known += len(files)
        self.note(object_id, files)

    def note(self, object_id: ObjectId, files: Iterable[tuple[str, FileStamp]]) -> None:
        """Remember that an object holds the content of files."""
        for path, stamp in files:
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
        self._remember(path, stamp, "failed" if is_failure else "left", reason, object_id)

    def removed(
        self, mark: Mark, files: Sequence[tuple[str, FileStamp]], *, is_known: bool
    ) -> None:
        """The content of files was removed from the grid, and stays away; it is said once."""
        day = datetime.fromtimestamp(mark.removed_s, UTC).date()
        what = mark.lfn or f"the image of {files[0][0]}"
        reason = f"{what} was removed on {day}, and is left out"
        if not is_known:
            self._listener.doubted(Doubt(reason, "'medgrid import --again' brings it back"))
        self.stays_away(files)

    def stays_away(self, files: Sequence[tuple[str, FileStamp]]) -> None:
        """Remember files that are left out with something that was removed."""
        self.summary.removed += len(files)
        for path, stamp in files:
            self._remember(path, stamp, "removed", "")

    def _remember(
        self,
        path: str,
        stamp: FileStamp,
        kind: str,
        reason: str,
        object_id: ObjectId | None = None,
    ) -> None:
        outcome = f"{_READER} {kind} {reason}"
        self._note(remembered(self._namer.file_key(path), stamp, object_id, outcome))

    def not_imported(self, one: Scanned) -> None:
        """A file could not be imported, or need not be; its reason says why."""
        if one.is_failure:
            self.failed(Failure(one.path, one.reason))
        else:
            self.left_out(one.path, one.reason)
        if one.is_lasting:
            self.refuse(one.path, one.stamp, one.reason, is_failure=one.is_failure)

    def used(self, path: str, stamp: FileStamp) -> None:
        """Remember a file that says something of images and is held by none."""
        self._note(remembered(self._namer.file_key(path), stamp, None))

    def refused(self, before: ScannedFile) -> Refused | None:
        """Why a file that is unchanged was not imported; None when another reader said so."""
        reader, kind, reason = before.outcome.split(" ", 2)
        return Refused(kind, reason) if reader == _READER else None

    def flush(self) -> None:
        """Keep the notes in the catalog."""
        if not self._is_dry:
            self._grid.whole.scanned.note(self._notes, self._grid.settings.user)
        self._notes.clear()

    def _note(self, note: ScannedFile) -> None:
        self._notes.append(note)
        if len(self._notes) >= _MANY_NOTES:
            self.flush()
