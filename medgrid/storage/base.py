"""The contract of a storage kind: bytes at a physical file name.

Every kind passes ``tests/storage/test_contract.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from medgrid.model import ObjectId, Sha256

__all__ = ["Storage", "Stored", "physical_name"]

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """What was written: size and digest as computed while writing, checked after."""

    pfn: str
    size_bytes: int
    sha256: Sha256


def physical_name(object_id: ObjectId) -> str:
    """Physical file name of an object: says nothing about whose it is.

    Examples
    --------
    >>> physical_name(ObjectId("00ff" * 8))
    '00/ff/00ff00ff00ff00ff00ff00ff00ff00ff'
    """
    return f"{object_id[:2]}/{object_id[2:4]}/{object_id}"


class Storage(Protocol):
    """An open storage element. PFNs are relative, ``/``-separated, made by `physical_name`.

    All methods raise `medgrid.errors.Unreachable` when the place does not answer, `NotFound` when
    the PFN does not exist, `IntegrityError` when bytes are not as expected.
    """

    name: str

    def put(self, pfn: str, chunks: Iterable[bytes], expected: Sha256 | None = None) -> Stored:
        """Write under a temporary name, flush to disk, verify, rename. Never half a file."""
        ...

    def open(self, pfn: str) -> AbstractContextManager[BinaryIO]:
        """Open for reading from the start."""
        ...

    def size(self, pfn: str) -> int | None:
        """Size in bytes, None when it does not exist."""
        ...

    def delete(self, pfn: str) -> bool:
        """Remove; False when it was not there."""
        ...

    def walk(self) -> Iterator[tuple[str, int]]:
        """All (pfn, size in bytes), temporary files excluded."""
        ...

    def free_bytes(self) -> int | None:
        """Free space, None when the place cannot tell."""
        ...

    def local_path(self, pfn: str) -> str | None:
        """Absolute path when this process's host can read the bytes as a file, else None."""
        ...

    def check(self) -> None:
        """Raise when the place cannot be read and written."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...
