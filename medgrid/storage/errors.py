"""What can go wrong with storage, told in the words of `medgrid.errors`."""

from __future__ import annotations

import errno
import os

from medgrid.errors import Denied, MedgridError, NotFound, Unreachable

__all__ = ["RootMissing", "StorageFull", "storage_error"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP)
_MISSING = (errno.ENOENT, errno.ENOTDIR)


class StorageFull(Unreachable):
    """The bytes do not fit: the disk is full, or a quota is reached."""


class RootMissing(Unreachable):
    """The root directory of a storage element is not there: nothing can be written or deleted."""

    def __init__(self, se: str, root: object) -> None:
        super().__init__(
            f"storage element {se}: its root directory {root} is not there",
            hint="mount its disk; where the place is new, "
            f"'medgrid se check {se} --create' makes it",
        )


def storage_error(exc: OSError, se: str, doing: str) -> MedgridError:
    """Turn an error of the operating system into one of medgrid's.

    Parameters
    ----------
    exc : OSError
        What happened.
    se : str
        Name of the storage element.
    doing : str
        What was being done, for example ``"writing 00/ff/00ff..."``.
    """
    start = f"storage element {se}: {doing}"
    if exc.errno in _FULL:
        return StorageFull(
            f"{start}: {os.strerror(exc.errno).lower()}",
            hint="make room there, or name another storage element with --se",
        )
    if exc.errno in _REFUSED:
        return Denied(f"{start}: {os.strerror(exc.errno).lower()}")
    if exc.errno in _MISSING:
        return NotFound(f"{start}: it is not there")
    reason = os.strerror(exc.errno) if exc.errno else exc.strerror or type(exc).__name__
    return Unreachable(f"{start}: {reason.lower()}")
