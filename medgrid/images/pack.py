"""A series as one object: a tar of its instances, the same bytes for the same instances always."""

from __future__ import annotations

import os
import re
import stat
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from medgrid.errors import IntegrityError

__all__ = [
    "Changed",
    "FileStamp",
    "Member",
    "SERIES_FILENAME",
    "open_unchanged",
    "pack",
    "packed_size",
    "tar_of",
    "unpack",
]

SERIES_FILENAME = "series.tar"
_CHUNK_BYTES = 1024 * 1024
_BLOCK = tarfile.BLOCKSIZE
_RECORD = tarfile.RECORDSIZE
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class FileStamp(NamedTuple):
    """What says that a file is still the one that was read."""

    size_bytes: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> FileStamp:
        """Stamp of a stat result."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


class Member(NamedTuple):
    """One instance to pack."""

    path: str
    stamp: FileStamp


class Changed(Exception):
    """A file is not the one that was read before."""

    def __init__(self, path: str) -> None:
        super().__init__("changed while it was imported")
        self.path = path


def packed_size(sizes_bytes: Sequence[int]) -> int:
    """Size in bytes of the tar of files of these sizes."""
    whole = sum(_BLOCK + _padded(size) for size in sizes_bytes) + 2 * _BLOCK
    return -(-whole // _RECORD) * _RECORD


def pack(members: Sequence[Member]) -> Iterator[bytes]:
    """Bytes of a tar of `members`, in their order, under neutral names and without times.

    Raises
    ------
    Changed
        A file is no more what its stamp says.
    """
    return tar_of((member.stamp.size_bytes, _content(member)) for member in members)


def _content(member: Member) -> Iterator[bytes]:
    left = member.stamp.size_bytes
    with open_unchanged(member.path, member.stamp) as stream:
        while left:
            chunk = stream.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise Changed(member.path)
            left -= len(chunk)
            yield chunk


def tar_of(files: Iterable[tuple[int, Iterable[bytes]]]) -> Iterator[bytes]:
    """Bytes of a tar of files, given as size and content, under neutral names and without times."""
    written = 0
    for number, (size_bytes, content) in enumerate(files, start=1):
        info = tarfile.TarInfo(f"IM{number:06d}.dcm")
        info.size = size_bytes
        info.mode = 0o644
        yield info.tobuf(tarfile.GNU_FORMAT)  # which has no limit of size
        yield from content
        padding = _padded(size_bytes) - size_bytes
        if padding:
            yield bytes(padding)
        written += _BLOCK + _padded(size_bytes)
    end = -(-(written + 2 * _BLOCK) // _RECORD) * _RECORD
    yield bytes(end - written)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def open_unchanged(path: str, stamp: FileStamp) -> BinaryIO:
    """Open a file that must be the one that was read before; follows no symbolic link.

    Raises
    ------
    Changed
        It is another one, or gone.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise Changed(path) from None
    stream = os.fdopen(descriptor, "rb", buffering=0)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or FileStamp.of(found) != stamp:
        stream.close()
        raise Changed(path)
    return stream


def unpack(stream: BinaryIO, folder: Path) -> list[Path]:
    """Write the members of a packed series into `folder`; give their paths, in order.

    Only plain files with plain names are accepted: nothing can be written outside `folder`, nothing
    in it is replaced.

    Raises
    ------
    IntegrityError
        The tar is not one that `pack` makes.
    """
    written: list[Path] = []
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for info in tar:
                if not info.isreg() or not _NAME.fullmatch(info.name):
                    raise IntegrityError(
                        "the packed series holds a member that is not a plain file"
                    )
                source = tar.extractfile(info)
                assert source is not None  # noqa: S101 - a regular file has content
                path = folder / info.name
                with source, path.open("xb") as target:
                    while chunk := source.read(_CHUNK_BYTES):
                        target.write(chunk)
                written.append(path)
    except (tarfile.TarError, FileExistsError, EOFError) as exc:
        raise IntegrityError(
            f"the packed series cannot be unpacked ({type(exc).__name__})"
        ) from exc
    return written
