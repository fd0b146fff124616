"""The claim of an attempt: whoever makes its directory may run it, nobody else."""

from __future__ import annotations

import errno
import os
from typing import Any, Dict, Optional, Sequence

from .layout import Layout, remove_tree
from .notes import Notes
from .spares import Spare

__all__ = ["AlreadyClaimed", "claim"]


class AlreadyClaimed(Exception):
    """Somebody else has this attempt."""


def claim(
    layout: Layout,
    attempt: str,
    keeper: Dict[str, Any],
    folders: Sequence[str],
    spare: Optional[Spare] = None,
    needed: Sequence[str] = (),
) -> Notes:
    """Make an attempt's directory, with the identity of its keeper in its notes.

    Parameters
    ----------
    folders : sequence of str
        Directories in it.
    spare : dict, optional
        Directory to use again.
    needed : sequence of str
        Directories below these that the spare may have, as they will be needed.

    Raises
    ------
    AlreadyClaimed
        It is there.
    OSError
        The disk is full or broken.
    """
    if spare is not None:
        present = spare["folders"]
        try:
            return _claim_with(spare["path"], layout, attempt, keeper, folders, present, needed)
        except OSError:  # it was deleted, or is not as it was
            remove_tree(spare["path"])
    draft = layout.path("run", "draft.%d" % os.getpid())
    try:
        os.mkdir(draft, 0o700)
    except FileExistsError:  # of a process that was killed here
        remove_tree(draft)
        os.mkdir(draft, 0o700)
    try:
        return _claim_with(draft, layout, attempt, keeper, folders, (), ())
    except OSError:
        remove_tree(draft)
        raise


def _claim_with(
    directory: str,
    layout: Layout,
    attempt: str,
    keeper: Dict[str, Any],
    folders: Sequence[str],
    present: Sequence[str],
    needed: Sequence[str],
) -> Notes:
    """Make a directory that is ours the attempt's, when it has all that the attempt needs.

    Of the folders that are `present` those are deleted that nobody needs.
    """
    for name in reversed(present):
        if name not in folders and name not in needed:
            os.rmdir(os.path.join(directory, name))
    for name in folders:
        if name not in present:
            os.mkdir(os.path.join(directory, name), 0o700)
    notes = Notes(directory, attempt)
    try:
        notes.add(keeper=keeper)
        os.rename(directory, layout.attempt(attempt))
    except OSError as exc:
        notes.close()
        if exc.errno in (errno.ENOTEMPTY, errno.EEXIST):
            remove_tree(directory)
            raise AlreadyClaimed(attempt) from exc
        raise
    return notes
