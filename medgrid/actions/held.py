"""Whether files of this host hold what an object holds already."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Sequence
from pathlib import Path
from tarfile import RECORDSIZE

from medgrid.actions.grid import Grid
from medgrid.images.pack import Changed, FileStamp, Member, member_name, pack, packed_size
from medgrid.model import GridObject

__all__ = ["is_fetched", "is_packed", "is_unpacked"]


def is_fetched(grid: Grid, item: GridObject, path: Path) -> bool:
    """Whether a file holds an object; what cannot be compared does not count."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size != item.size_bytes:
            return False
        with path.open("rb") as stream:
            return _is_same(grid, item, hashlib.file_digest(stream, "sha256").hexdigest())
    except OSError:
        return False


def is_unpacked(grid: Grid, item: GridObject, folder: Path) -> bool:
    """Whether a folder holds the instances of a series, and nothing else."""
    try:
        names = sorted(path.name for path in folder.iterdir())
        if names != [member_name(number) for number in range(1, len(names) + 1)]:
            return False
        stamps = [(str(folder / name), FileStamp.of((folder / name).lstat())) for name in names]
        return is_packed(grid, item, [Member(*one) for one in stamps])
    except (OSError, Changed):
        return False


def is_packed(grid: Grid, item: GridObject, members: Sequence[Member]) -> bool:
    """Whether `members` pack to the very bytes of a series.

    Raises
    ------
    Changed
        A file is no more what its stamp says.
    """
    # what was packed by an older medgrid ends with zeros up to a whole record
    padding_bytes = item.size_bytes - packed_size([one.stamp.size_bytes for one in members])
    if not 0 <= padding_bytes < RECORDSIZE:
        return False
    digest = hashlib.sha256()
    for chunk in pack(members):
        digest.update(chunk)
    digest.update(bytes(padding_bytes))
    return _is_same(grid, item, digest.hexdigest())


def _is_same(grid: Grid, item: GridObject, sha256: str) -> bool:
    if item.is_protected:
        return item.digest is not None and grid.keyed(sha256) == item.digest
    return sha256 == item.sha256
