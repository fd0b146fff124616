"""A private folder for files that must not outlive the command that made them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from medgrid.config import Settings, private_dir

__all__ = ["scratch_folder", "sweep_scratch"]

_PREFIX = "scratch-"


@contextmanager
def scratch_folder(settings: Settings) -> Iterator[Path]:
    """Make an empty folder only this user can enter; it goes when the block ends."""
    parent = private_dir(settings.cache_dir)
    with ExitStack() as stack:
        with _locked(parent, wait=True):  # nobody sweeps it before it is locked itself
            _sweep(parent)
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            stack.enter_context(_locked(folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep_scratch(settings: Settings) -> None:
    """Remove the folders that killed processes left: they may hold what names patients."""
    parent = private_dir(settings.cache_dir)
    with _locked(parent, wait=True):
        _sweep(parent)


def _sweep(parent: Path) -> None:
    for old in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), _locked(old):
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a folder; OSError when another process holds it, unless we `wait`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
