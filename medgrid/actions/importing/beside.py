"""Companions of images while a folder is imported: which are new, and which belong to no image."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import PurePath

from medgrid.actions.grid import Grid
from medgrid.actions.importing.drafts import Draft, Failure, Namer
from medgrid.actions.importing.tables import is_table
from medgrid.actions.importing.telling import Telling
from medgrid.images.bids import companions, companions_above, dataset_root, may_be_companion
from medgrid.images.pack import FileStamp
from medgrid.images.scan import Scanned
from medgrid.model import ObjectId

__all__ = ["Companions"]

_OF_DATASETS = "dataset_description.json"
_OF_NO_IMAGE = "belongs to no image that was imported"
_OF_FAILED = "belongs to an image that could not be imported"


class Companions:
    """Keeps account of the files that may belong to images.

    Parameters
    ----------
    grid : Grid
    namer : Namer
        Gives files their keys.
    telling : Telling
        Is told of those that belong to none, or are not as they should be.
    """

    def __init__(self, grid: Grid, namer: Namer, telling: Telling) -> None:
        self._grid = grid
        self._namer = namer
        self._telling = telling
        self._resting: dict[str, tuple[str, ObjectId]] = {}  # unchanged volumes -> root, object
        self._aside: list[Scanned] = []
        self._taken: set[str] = set()
        self._of_removed: set[str] = set()

    def rest(self, path: str, root: str, held: ObjectId) -> None:
        """Note a file that is unchanged, and the original that holds it."""
        if path.lower().endswith((".nii", ".nii.gz")):
            self._resting[path] = root, held

    @property
    def resting(self) -> dict[str, ObjectId]:
        """Volumes that are unchanged, so far, and their originals."""
        return {path: held for path, (_, held) in self._resting.items()}

    def gaining(
        self, roots: Iterable[str], files: Iterable[tuple[str, str]]
    ) -> Iterator[tuple[str, str, ObjectId]]:
        """Volumes that are unchanged, and have a companion that is new or changed.

        Parameters
        ----------
        roots : iterable of str
            What is imported; side-cars may lie above it.
        files : iterable of (str, str)
            All files in it that are new or changed.

        Yields
        ------
        (str, str, ObjectId)
            Path, root, and the original that holds the volume with its old companions.
        """
        new = self._new_above(roots) | {path for path, _ in files if may_be_companion(path)}
        folders = {PurePath(path).parent for path in new}
        for path, (root, held) in list(self._resting.items() if new else ()):
            if folders.isdisjoint(PurePath(path).parents):
                continue
            if any(one.path in new for one in companions(path, dataset_root(path))):
                del self._resting[path]
                yield path, root, held

    def _new_above(self, roots: Iterable[str]) -> set[str]:
        stamps: dict[str, tuple[str, FileStamp]] = {}
        for path in (one for root in roots for one in companions_above(root)):
            with contextlib.suppress(OSError):
                stamps[self._namer.file_key(path)] = path, FileStamp.of(os.lstat(path))
        known = self._grid.whole.scanned.known(stamps, self._grid.settings.user)
        return {
            path
            for key, (path, stamp) in stamps.items()
            if key not in known or known[key].stamp != stamp
        }

    def is_aside(self, one: Scanned) -> bool:
        """Whether a file that is no image may belong to one; it waits for `leave_out` then."""
        if may := may_be_companion(one.path):
            self._aside.append(one)
        return may

    def take(self, draft: Draft) -> int:
        """Note that a draft is in the grid; give how many of its files were not there before."""
        before = len(self._taken)
        self._taken.update(path for path, _ in draft.beside)
        count = len(draft.files) + len(self._taken) - before
        for one, reason in draft.doubtful:
            self._telling.damaged(Failure(one.path, reason))
        for one, reason in draft.refused:
            if one.path not in self._taken:
                self._taken.add(one.path)
                self._telling.broken(one.path, one.stamp, reason)
        return count

    def stay_away(self, draft: Draft) -> None:
        """Note that a draft was removed: its files stay away, but for those of other images."""
        self._of_removed.update(path for path, _ in draft.beside)

    def leave_out(self, read: Iterable[Scanned]) -> None:
        """Name what belongs to no image that went in; `read` are volumes that were read."""
        volumes = {one.path: one.volume for one in read if one.volume is not None}
        failed = {one.path for volume in volumes.values() for one in volume.companions}
        with_images = _folders_of((*volumes, *self._resting))
        for one in self._aside:
            folder, name = os.path.split(one.path)
            if one.path in self._taken:
                continue
            if one.path in self._of_removed:
                self._telling.stays_away([(one.path, one.stamp)])
                continue
            of_dataset = name == _OF_DATASETS or is_table(f"{one.path.removesuffix('.json')}.tsv")
            if of_dataset and folder in with_images:
                self._telling.used(one.path, one.stamp)
            elif one.path in failed:  # it may go in with its image the next time
                self._telling.left_out(one.path, _OF_FAILED)
            else:
                self._telling.not_imported(one._replace(reason=_OF_NO_IMAGE))


def _folders_of(paths: Iterable[str]) -> set[str]:
    """All folders that some files are in, however deep."""
    found: set[str] = set()
    for path in paths:
        folder = path
        while (folder := folder.rpartition("/")[0]) not in found:
            found.add(folder)
    return found
