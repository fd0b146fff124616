"""Bytes that this process reads and writes, as the kernel counts them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Counted", "counted"]


@dataclass
class Counted:
    """What was read and written in a block, by all threads and all children that have ended.

    Whatever lies in the page cache counts like what comes from a disk; so do pipes.
    """

    read_bytes: int = 0
    written_bytes: int = 0


@contextmanager
def counted() -> Iterator[Counted]:
    """Count in a block; known at its end."""
    found = Counted()
    read_bytes, written_bytes = _now()
    yield found
    read_until, written_until = _now()
    found.read_bytes = read_until - read_bytes
    found.written_bytes = written_until - written_bytes


def _now() -> tuple[int, int]:
    lines = Path("/proc/self/io").read_text().splitlines()
    fields = {name: int(value) for name, value in (line.split(": ") for line in lines)}
    return fields["rchar"], fields["wchar"]
