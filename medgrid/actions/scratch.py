"""A private folder for files that must not outlive the command that made them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medgrid.config import Settings, private_dir

__all__ = ["scratch_folder"]

_PREFIX = "scratch-"


@contextmanager
def scratch_folder(settings: Settings) -> Iterator[Path]:
    """Make an empty folder only this user can enter; it goes when the block ends.

    A folder that a killed process left behind is not locked any more, and goes here too.
    """
    parent = private_dir(settings.cache_dir)
    for old in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), _locked(old):
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    with _locked(folder):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; OSError when another process holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
