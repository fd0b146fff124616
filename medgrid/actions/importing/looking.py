"""Which files an import must read: new and changed ones, and what could come in by now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from medgrid.actions.grid import Grid
from medgrid.actions.importing.beside import Companions
from medgrid.actions.importing.drafts import Failure, Namer
from medgrid.actions.importing.tables import PeopleTables, is_table
from medgrid.actions.importing.telling import Telling
from medgrid.catalog.scanned import ScannedFile
from medgrid.images.bids import dataset_root, dataset_sources, may_be_companion
from medgrid.images.derive import NOT_AN_IMAGE
from medgrid.images.pack import FileStamp
from medgrid.images.scan import Scanned
from medgrid.images.walk import Entry
from medgrid.model import ObjectId

__all__ = ["GIVEN_OUT", "Looking"]

_LOOK_FILES = 2000
GIVEN_OUT = "this grid gave it out ('medgrid register' brings what was made of it)"


class Looking:
    """Looks at files by their stamps, and tells what need not be read.

    Parameters
    ----------
    grid : Grid
    namer : Namer
    telling : Telling
    companions : Companions
        What lies beside images.
    tables : PeopleTables
        What is said of people.
    holds : callable
        Told of an original and of a file that still has its content.
    again : bool
        Read, too, what could not be imported before and has not changed since.
    """

    def __init__(
        self,
        grid: Grid,
        namer: Namer,
        telling: Telling,
        companions: Companions,
        tables: PeopleTables,
        holds: Callable[[ObjectId, str], None],
        *,
        again: bool,
    ) -> None:
        self.before: dict[str, ObjectId] = {}
        """Changed files, and the original that has their old content."""
        self.were_removed: set[str] = set()
        """Files that were told to hold what was removed."""
        self._grid = grid
        self._namer = namer
        self._telling = telling
        self._companions = companions
        self._tables = tables
        self._holds = holds
        self._again = again
        self._looked_at: set[ObjectId] = set()  # originals of files that were seen before
        self._lacking: set[ObjectId] = set()  # those of them that should have a twin
        self._given_out: dict[str, bool] = {}  # folders -> whether this grid gave them out

    def is_home(self) -> Callable[[os.stat_result], bool]:
        """What says whether a folder is the grid's home, which is no place of images."""
        home = self._grid.settings.home.stat()
        return lambda found: (found.st_dev, found.st_ino) == (home.st_dev, home.st_ino)

    def to_read(self, entries: Iterator[Entry], *, are_distinct: bool) -> Iterator[tuple[str, str]]:
        """Files that must be read: (path, root).

        Where entries are not distinct, a file that comes again is passed over.
        """
        seen: set[str] = set()
        while batch := list(islice(entries, _LOOK_FILES)):
            stamps: dict[str, tuple[Entry, FileStamp]] = {}
            for entry in batch:
                if entry.stamp is not None and self._was_given_out(entry.path):
                    self._telling.summary.files += 1
                    self._telling.left_out(entry.path, GIVEN_OUT)
                elif entry.stamp is not None and is_table(entry.path):
                    self._tables.add(entry.path)
                elif entry.stamp is not None:
                    key = self._namer.file_key(entry.path)
                    if key not in seen:
                        stamps[key] = entry, entry.stamp
                elif entry.is_failure:
                    self._telling.failed(Failure(entry.path, entry.reason))
                else:
                    self._telling.left_out(entry.path, entry.reason)
            if not are_distinct:
                seen |= stamps.keys()
            self._telling.summary.files += len(stamps)
            known = self._grid.whole.scanned.known(stamps, self._grid.settings.user)
            self._look_for_twins(one.object_id for one in known.values())
            for key, (entry, stamp) in stamps.items():
                if not self._is_unchanged(entry, stamp, known.get(key)):
                    yield entry.path, entry.root

    def lack(self, base: ObjectId) -> tuple[str, bool]:
        """Why an original has no twin, and whether it shall get one now."""
        lack = self._grid.whole.scanned.lacking([base]).get(base, "")
        return lack, self._again and bool(lack) and not lack.startswith(NOT_AN_IMAGE)

    def note_lack(self, base: ObjectId, lack: str) -> None:
        """Count why an original has no twin, once."""
        if base not in self._looked_at:
            self._looked_at.add(base)
            self._telling.summary.lacking.update([lack] if lack else [])

    def _was_given_out(self, path: str) -> bool:
        """Whether a file is of a dataset that this grid gave out."""
        folder = path.rpartition("/")[0]
        known = self._given_out.get(folder)
        if known is None:
            root = dataset_root(path)
            mark = f"medgrid:{self._grid.catalog.grid_id}"
            known = root is not None and mark in dataset_sources(root)
            self._given_out[folder] = known
        return known

    def _is_unchanged(self, entry: Entry, stamp: FileStamp, before: ScannedFile | None) -> bool:
        path = entry.path
        if before is None:
            return False
        if before.stamp != stamp:
            if before.object_id is not None:
                self.before[path] = before.object_id
            return False
        if not before.outcome:
            if self._again and before.object_id in self._lacking:
                return False
            if before.object_id is not None:  # else it says something of a dataset
                self._telling.summary.unchanged += 1
                self._holds(before.object_id, path)
                self._companions.rest(path, entry.root, before.object_id)
            return True
        refused = None if self._again else self._telling.refused(before)
        if refused is None:
            return False
        if refused.kind == "removed" and not may_be_companion(path):
            self.were_removed.add(path)  # somebody may have brought it back since
            return False
        one = Scanned(path, entry.root, stamp, reason=refused.reason, is_lasting=False)
        if refused.kind == "failed":
            self._telling.summary.failed_before += 1
        elif not self._companions.is_aside(one):
            self._telling.left_out(path, refused.reason)
        return True

    def _look_for_twins(self, ids: Iterable[ObjectId | None]) -> None:
        """Say of originals that files are in, and that have no twin, why that is."""
        new = {one for one in ids if one is not None} - self._looked_at
        self._looked_at |= new
        lacking = self._grid.whole.scanned.lacking(new)
        self._lacking |= {one for one, lack in lacking.items() if not lack.startswith(NOT_AN_IMAGE)}
        if not self._again:
            self._telling.summary.lacking.update(lacking.values())
