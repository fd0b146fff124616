"""The contract of a storage kind: bytes at a physical file name.

Every kind passes ``tests/storage/test_contract.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from medgrid.errors import IntegrityError
from medgrid.model import ObjectId, Sha256

__all__ = [
    "CHUNK_BYTES",
    "PART",
    "Storage",
    "Stored",
    "Temporary",
    "check_pfn",
    "check_stored",
    "digest_of",
    "read_chunks",
    "physical_name",
    "TEMPORARY_DIR",
    "part_name",
]

CHUNK_BYTES = 1024 * 1024
TEMPORARY_DIR = ".tmp"  # below the root of a storage element; no PFN starts so
PART = f"{TEMPORARY_DIR}/part-"  # how the name of what `Storage.resume` gathers begins


@dataclass(frozen=True, slots=True)
class Stored:
    """What was written: size and digest as computed while writing, checked after."""

    pfn: str
    size_bytes: int
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Temporary:
    """A file that a `Storage.put` is writing, or left when it was killed.

    `name` can be given to `Storage.delete`; `age_s` is the time since its last write, by the
    place's own clock.
    """

    name: str
    size_bytes: int
    age_s: float


def physical_name(object_id: ObjectId) -> str:
    """Physical file name of an object: says nothing about whose it is.

    Examples
    --------
    >>> physical_name(ObjectId("00ff" * 8))
    '00/ff/00ff00ff00ff00ff00ff00ff00ff00ff'
    """
    return f"{object_id[:2]}/{object_id[2:4]}/{object_id}"


def part_name(pfn: str) -> str:
    """Name of the temporary file in which `Storage.resume` gathers what comes of `pfn`.

    Examples
    --------
    >>> part_name("00/ff/00ff00ff00ff00ff00ff00ff00ff00ff")
    '.tmp/part-00ff00ff00ff00ff00ff00ff00ff00ff'
    """
    return PART + check_pfn(pfn).rpartition("/")[2]


def check_pfn(pfn: str) -> str:
    """Return `pfn` when it stays below a root directory.

    Raises
    ------
    IntegrityError
        It is absolute, or has an empty, ``.`` or ``..`` segment, or a control character.
    """
    if any(part in ("", ".", "..") for part in pfn.split("/")) or not pfn.isprintable():
        raise IntegrityError(f"{pfn!r} is not a physical file name")
    return pfn


def read_chunks(stream: BinaryIO) -> Iterator[bytes]:
    """Rest of a stream, in pieces of `CHUNK_BYTES`."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def digest_of(stream: BinaryIO) -> Sha256:
    """SHA-256 of the rest of a stream."""
    hasher = hashlib.sha256()
    for chunk in read_chunks(stream):
        hasher.update(chunk)
    return Sha256(hasher.hexdigest())


def check_stored(start: str, stored: Stored, found_bytes: int, expected: Sha256 | None) -> None:
    """Compare what was written with what lies there and with what it should be.

    Raises
    ------
    IntegrityError
        They differ; the message begins with `start`.
    """
    if found_bytes != stored.size_bytes:
        raise IntegrityError(
            f"{start}: expected {stored.size_bytes} bytes, found {found_bytes} bytes"
        )
    if expected is not None and expected != stored.sha256:
        raise IntegrityError(f"{start}: expected digest {expected}, found {stored.sha256}")


class Storage(Protocol):
    """An open storage element. PFNs are relative, ``/``-separated, made by `physical_name`.

    All methods may be called from several threads at once. All raise
    `medgrid.errors.Unreachable` when the place does not answer or its root directory is not there,
    `Denied` when it refuses, `NotFound` when the PFN does not exist, `IntegrityError` when bytes
    are not as expected, `medgrid.storage.errors.StorageFull` when they do not fit.
    """

    name: str

    def put(self, pfn: str, chunks: Iterable[bytes], expected: Sha256 | None = None) -> Stored:
        """Write under a temporary name, flush to disk, verify, rename. Never half a file.

        What fails, `chunks` included, leaves nothing behind; the error of `chunks` comes through.
        """
        ...

    def resume(
        self, pfn: str, chunks_from: Callable[[int], Iterable[bytes]], expected: Sha256
    ) -> Stored:
        """As `put`, but what has come stays when the rest does not: the next one goes on there.

        `chunks_from` is called with the number of bytes that are there. Where it raises
        IntegrityError, or the whole has another digest, or the place is full, nothing stays.
        """
        ...

    def open(self, pfn: str) -> AbstractContextManager[BinaryIO]:
        """Open for reading; before the first read it can be sought to any offset."""
        ...

    def size(self, pfn: str) -> int | None:
        """Size in bytes, None when it does not exist."""
        ...

    def age_s(self, pfn: str) -> float | None:
        """Time since the last write by the place's own clock, None when it does not exist."""
        ...

    def digest(self, pfn: str) -> Sha256:
        """SHA-256 of the stored bytes, computed where they lie when the place can do that."""
        ...

    def delete(self, pfn: str) -> bool:
        """Remove; False when it was not there."""
        ...

    def walk(self) -> Iterator[tuple[str, int]]:
        """All (pfn, size in bytes), temporary files excluded."""
        ...

    def temporaries(self) -> Iterator[Temporary]:
        """What puts are writing now, or left behind when they were killed."""
        ...

    def free_bytes(self) -> int | None:
        """Free space, None when the place cannot tell."""
        ...

    def local_path(self, pfn: str) -> str | None:
        """Absolute path when this process's host can read the bytes as a file, else None."""
        ...

    def create(self) -> None:
        """Make the root directory (mode 0700) and its parents, where they are missing."""
        ...

    def check(self) -> None:
        """Raise when the place cannot be read and written."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...
