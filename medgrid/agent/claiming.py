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
    draft = layout.path("run", "draft.%d" % os.getpid())
    notes = _prepare(draft, attempt, folders, spare, needed)
    try:
        notes.add(keeper=keeper)
        os.rename(draft, layout.attempt(attempt))
    except OSError as exc:
        notes.close()
        remove_tree(draft)
        if exc.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise AlreadyClaimed(attempt) from exc
        raise
    return notes


def _prepare(
    draft: str,
    attempt: str,
    folders: Sequence[str],
    spare: Optional[Spare],
    needed: Sequence[str],
) -> Notes:
    """Make the directory `draft` from the spare, or anew when there is none that will do."""
    if spare is not None:
        try:
            os.rename(spare["path"], draft)
            return _fit(draft, attempt, spare["folders"], folders, needed)
        except OSError:
            remove_tree(draft)
    try:
        os.mkdir(draft, 0o700)
    except FileExistsError:  # of a process that was killed here
        remove_tree(draft)
        os.mkdir(draft, 0o700)
    return _fit(draft, attempt, (), folders, ())


def _fit(
    draft: str,
    attempt: str,
    present: Sequence[str],
    folders: Sequence[str],
    needed: Sequence[str],
) -> Notes:
    """Delete of the folders that are `present` those that nobody needs, and make those missing."""
    for name in reversed(present):
        if name not in folders and name not in needed:
            os.rmdir(os.path.join(draft, name))
    for name in folders:
        if name not in present:
            os.mkdir(os.path.join(draft, name), 0o700)
    return Notes(draft, attempt)
