"""All regular files below some places, without following symbolic links."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from medgrid.images.pack import FileStamp

__all__ = ["Entry", "walk"]


class Entry(NamedTuple):
    """One thing found: a regular file with its stamp, or why something was passed over.

    `root` is the place the walk began at. A `reason` that `is_failure` is an error of the system.
    """

    path: str
    root: str
    stamp: FileStamp | None
    reason: str = ""
    is_failure: bool = False


def walk(roots: Iterable[str], leave_out: Callable[[os.stat_result], bool]) -> Iterator[Entry]:
    """Find files, folder by folder, in the order of their names.

    Parameters
    ----------
    roots : iterable of str
        Files or folders; a root that is a symbolic link is followed, since it was named.
    leave_out : callable
        Whether a folder, by its stat result, is not entered.

    Notes
    -----
    Names are Python's: bytes that are not UTF-8 are surrogates (PEP 383).
    """
    for root in roots:
        try:
            found = os.stat(root)
        except OSError as exc:
            yield _failure(root, root, exc)
            continue
        if stat.S_ISDIR(found.st_mode):
            yield from _below(root, leave_out)
        elif stat.S_ISREG(found.st_mode):
            yield Entry(os.path.realpath(root), root, FileStamp.of(found))
        else:
            yield Entry(root, root, None, "not a regular file", True)


def _below(root: str, leave_out: Callable[[os.stat_result], bool]) -> Iterator[Entry]:
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            if leave_out(os.stat(folder)):
                yield Entry(folder, root, None, "the grid's own folder")
                continue
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as exc:
            yield _failure(folder, root, exc)
            continue
        inner: list[str] = []
        for entry in entries:
            try:
                if entry.is_symlink():
                    yield Entry(entry.path, root, None, "symbolic link")
                elif entry.is_dir(follow_symlinks=False):
                    inner.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield Entry(entry.path, root, FileStamp.of(entry.stat(follow_symlinks=False)))
                else:
                    yield Entry(entry.path, root, None, "not a regular file")
            except OSError as exc:
                yield _failure(entry.path, root, exc)
        folders += reversed(inner)


def _failure(path: str, root: str, exc: OSError) -> Entry:
    return Entry(path, root, None, (exc.strerror or type(exc).__name__).lower(), True)
