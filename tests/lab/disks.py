"""File systems that are full, or cannot be written: real ones for root."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SMALL_BYTES = 4_000_000


@contextmanager
def small_disk(root: Path) -> Iterator[None]:
    """A file system that is full after 4 MB; for an ordinary user, files that cannot be larger."""
    root.mkdir(mode=0o700)
    if os.geteuid() == 0:
        size = f"size={SMALL_BYTES},mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", root], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", root], check=True)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only_disk(root: Path) -> Iterator[Path]:
    """A directory that can be read only; the superuser needs a file system that is."""
    with small_disk(root):
        if os.geteuid() == 0:
            subprocess.run(["mount", "-o", "remount,ro", root], check=True)
            yield root
        else:
            root.chmod(0o500)
            yield root
            root.chmod(0o700)
