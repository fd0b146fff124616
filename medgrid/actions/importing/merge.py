"""A series that is in the grid already: what a further import adds to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from medgrid.actions.grid import Grid
from medgrid.actions.held import is_packed
from medgrid.actions.importing.drafts import (
    Draft,
    Instance,
    Namer,
    SeriesFiles,
    same_bytes,
    series_draft,
)
from medgrid.actions.importing.twins import ORIGINAL_SUFFIX
from medgrid.actions.transfer import fetch_packed
from medgrid.errors import IntegrityError
from medgrid.images.dicom import header_of, series_key
from medgrid.images.pack import FileStamp
from medgrid.model import LFN, GridObject

__all__ = ["held_series", "merged_draft", "twin_lfn"]


def merged_draft(
    grid: Grid,
    files: SeriesFiles,
    base: GridObject,
    namer: Namer,
    folder: Path,
    failed: Callable[[Instance, str], None],
    *,
    anew: bool = False,
    is_same: Callable[[Instance, Instance], bool] = same_bytes,
) -> Draft | None:
    """Make the draft of a series' next version; None when `files` add nothing.

    Files that contradict an instance the grid holds are taken out of `files`.

    Parameters
    ----------
    grid : Grid
    files : SeriesFiles
        Its files on disk.
    base : GridObject
        The object that holds the series now.
    namer : Namer
    folder : Path
        Empty; takes the instances of `base`, which must stay until the draft's bytes are read.
    failed : callable
        Told of each such file, with the reason.
    anew : bool
        Make it also when `files` add nothing.
    is_same : callable
        Whether one of `files` holds what an instance of the grid does.

    Raises
    ------
    Changed
        A file is no more what it was when it was scanned.
    """
    if not anew and is_packed(grid, base, files.members):
        return None
    held = {one.sop_uid: one for one in held_series(grid, base, folder).instances}
    new = [one for one in files.instances if one.sop_uid not in held]
    others = {
        one.sop_uid
        for one in files.instances
        if one.sop_uid in held and not is_same(held[one.sop_uid], one)
    }
    for one in files.files:
        if one.sop_uid in others:
            failed(one, f"differs from the instance with its SOPInstanceUID in {base.lfn}")
    files.instances = [one for one in files.instances if one.sop_uid not in others]
    files.twins = [one for one in files.twins if one.sop_uid not in others]
    if not (new or anew):
        return None
    union = sorted([*held.values(), *new], key=lambda one: (one.number, one.sop_uid))
    draft = series_draft(SeriesFiles(files.key, union), namer)
    draft.files = [(one.path, one.stamp) for one in files.files]
    draft.replaces = base.lfn
    draft.twin_lfn = twin_lfn(grid, base)
    draft.base = base.id
    draft.is_for_twin = not new
    return draft


def twin_lfn(grid: Grid, original: GridObject) -> LFN | None:
    """LFN of the twin of an original, or of its earlier versions; else a free one beside it."""
    if original.lfn is None:
        return None
    objects = grid.whole.objects
    ids = {original.id, *(one for _, one in objects.versions(original.lfn))}
    for twin in objects.twins(ids):
        if twin.lfn is not None and twin.original in ids:
            return twin.lfn
    stem = original.lfn.removesuffix(ORIGINAL_SUFFIX)
    is_taken = stem == original.lfn or objects.exists(LFN(stem)) or objects.is_folder(stem)
    return None if is_taken else LFN(stem)


def held_series(grid: Grid, base: GridObject, folder: Path) -> SeriesFiles:
    """A series that the grid holds, unpacked below `folder`."""
    replicas = grid.whole.objects.replicas([base.id])[base.id]
    paths = fetch_packed(grid, base, replicas, folder / "instances")
    held: SeriesFiles | None = None
    for path in paths:
        with path.open("rb") as stream:
            stamp = FileStamp.of(os.fstat(stream.fileno()))
            header = header_of(stream.fileno(), stamp.size_bytes)
        if header is None:
            raise IntegrityError(f"{base.lfn}: {path.name} in it is not DICOM")
        number = header.number if header.number is not None else 0
        held = held or SeriesFiles(series_key(header))
        held.instances.append(Instance(number, header.sop_uid, str(path), stamp))
    if held is None:
        raise IntegrityError(f"{base.lfn} has no instances")
    return held
