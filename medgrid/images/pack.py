"""Several files as one object: a tar of them, the same bytes for the same files always.

A series is a tar of its instances, an image with companions one of the image and these.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from medgrid.errors import IntegrityError

__all__ = [
    "Changed",
    "FileStamp",
    "Member",
    "PACKED_END",
    "Part",
    "SERIES_FILENAME",
    "member_end",
    "member_head",
    "member_name",
    "open_unchanged",
    "pack",
    "packed",
    "packed_size",
    "unpack",
]

SERIES_FILENAME = "series.tar"
_CHUNK_BYTES = 1024 * 1024
_BUFFER_BYTES = 32 * 1024  # each look at a frame reads so much
_BLOCK = tarfile.BLOCKSIZE
_HELD_BYTES = 16 * 1024 * 1024
PACKED_END = bytes(2 * _BLOCK)
"""What a packed series ends with."""

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
    """One file that must stay what its stamp says; `content` is there when it was read already."""

    path: str
    stamp: FileStamp
    content: bytes | None = None

    def held(self) -> Member:
        """The same with its content, unless it is large: who reads it again reads it from there.

        Raises
        ------
        Changed
            The file is no more what its stamp says.
        """
        if self.content is not None or self.stamp.size_bytes > _HELD_BYTES:
            return self
        return self._replace(content=b"".join(self.chunks()))

    def open(self) -> BinaryIO:
        """Open it at its start.

        Raises
        ------
        Changed
            The file is no more what its stamp says.
        """
        if self.content is not None:
            return io.BytesIO(self.content)
        raw = open_unchanged(self.path, self.stamp)
        return io.BufferedReader(raw, _BUFFER_BYTES)

    def chunks(self) -> Iterator[bytes]:
        """Its bytes, all of them.

        Raises
        ------
        Changed
            The file is no more what its stamp says.
        """
        with self.open() as stream:
            yield from self.chunks_of(stream)

    def chunks_of(self, stream: BinaryIO) -> Iterator[bytes]:
        """Its bytes, from what `open` gave.

        Raises
        ------
        Changed
            They are fewer than its stamp says.
        """
        left = self.stamp.size_bytes
        while left:
            chunk = stream.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise Changed(self.path)
            left -= len(chunk)
            yield chunk


class Changed(Exception):
    """A file is not the one that was read before, or cannot be read any more (`why`)."""

    def __init__(self, path: str, why: OSError | None = None) -> None:
        reason = (why.strerror or type(why).__name__).lower() if why else ""
        super().__init__(f"cannot be read: {reason}" if why else "changed while it was imported")
        self.path = path


def packed_size(sizes_bytes: Sequence[int]) -> int:
    """Size in bytes of the tar of files of these sizes."""
    return sum(_BLOCK + _padded(size) for size in sizes_bytes) + len(PACKED_END)


class Part(NamedTuple):
    """One file of a tar: what it is called there, its size, and what gives its bytes."""

    name: str
    size_bytes: int
    chunks: Callable[[], Iterable[bytes]]

    @classmethod
    def of(cls, name: str, content: bytes) -> Part:
        """A file whose content is here."""
        return cls(name, len(content), lambda: (content,))


def packed(parts: Iterable[Part]) -> Iterator[bytes]:
    """Bytes of a tar of `parts`, in their order, without times and owners."""
    for part in parts:
        yield _head(part.name, part.size_bytes)
        yield from part.chunks()
        yield member_end(part.size_bytes)
    yield PACKED_END


def pack(members: Sequence[Member]) -> Iterator[bytes]:
    """Bytes of a tar of `members`, in their order, under neutral names.

    Raises
    ------
    Changed
        A file is no more what its stamp says.
    """
    return packed(
        Part(member_name(number), member.stamp.size_bytes, member.chunks)
        for number, member in enumerate(members, start=1)
    )


def member_name(number: int) -> str:
    """What instance `number`, counted from 1, is called in the tar."""
    return f"IM{number:06d}.dcm"


def member_head(number: int, size_bytes: int) -> bytes:
    """What stands before the content of instance `number`, counted from 1."""
    return _head(member_name(number), size_bytes)


def _head(name: str, size_bytes: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    info.mode = 0o644
    return info.tobuf(tarfile.GNU_FORMAT)  # which has no limit of size


def member_end(size_bytes: int) -> bytes:
    """What stands behind the content of an instance."""
    return bytes(_padded(size_bytes) - size_bytes)


def _padded(size_bytes: int) -> int:
    """Bytes that content takes in a tar."""
    return -(-size_bytes // _BLOCK) * _BLOCK


class _Source(io.FileIO):
    """A file that is imported: an error of its disk is `Changed`, of whoever reads it and for good.

    Readers of headers meet errors of every kind, and may pass over one.
    """

    def __init__(self, descriptor: int, path: str) -> None:
        super().__init__(descriptor, "rb")
        self._path = path
        self._why: OSError | None = None

    def readinto(self, buffer: Any, /) -> int | None:
        if self._why is None:
            try:
                return super().readinto(buffer)
            except OSError as exc:
                self._why = exc
        raise Changed(self._path, self._why)


def open_unchanged(path: str, stamp: FileStamp) -> io.RawIOBase:
    """Open a file that must be the one that was read before; follows no symbolic link.

    Raises
    ------
    Changed
        It is another one, gone, or cannot be read, now or later.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        is_other = exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
        raise Changed(path, None if is_other else exc) from None
    stream = _Source(descriptor, path)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or FileStamp.of(found) != stamp:
        stream.close()
        raise Changed(path)
    return stream


def unpack(chunks: Iterable[bytes], folder: Path) -> list[Path]:
    """Write the members of what `packed` made into `folder`; give their paths, in order.

    Only plain files with plain names are accepted: nothing can be written outside `folder`, nothing
    in it is replaced.

    Parameters
    ----------
    chunks : iterable of bytes
        The tar; all of it is taken, so that an error at its end is not missed.
    folder : Path

    Raises
    ------
    IntegrityError
        The tar is not one that `pack` makes.
    """
    written: list[Path] = []
    source = _Joined(iter(chunks))
    try:
        with tarfile.open(fileobj=source, mode="r|", bufsize=_CHUNK_BYTES) as tar:
            for info in tar:
                if not info.isreg() or not _NAME.fullmatch(info.name):
                    raise IntegrityError("the packed files hold a member that is not a plain file")
                content = tar.extractfile(info)
                assert content is not None  # noqa: S101 - a regular file has content
                path = folder / info.name
                with content, path.open("xb") as target:
                    while chunk := content.read(_CHUNK_BYTES):
                        target.write(chunk)
                written.append(path)
    except (tarfile.TarError, FileExistsError, EOFError) as exc:
        raise IntegrityError(f"the packed files cannot be unpacked ({type(exc).__name__})") from exc
    while source.read(_CHUNK_BYTES):
        pass
    return written


class _Joined(io.RawIOBase):
    """Chunks as one stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)
