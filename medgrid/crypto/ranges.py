"""Ranges of an encrypted object, verified before a byte is released."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import BinaryIO

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from medgrid.crypto.decrypt import open_segment
from medgrid.crypto.manifest import Manifest
from medgrid.crypto.segments import (
    NONCE_BYTES,
    OVERHEAD_BYTES,
    SEALED_SEGMENT_BYTES,
    SEGMENT_BYTES,
    TAG_BYTES,
    Body,
    body_size,
    check_key,
    segment_count,
)
from medgrid.errors import IntegrityError

__all__ = ["RangeReader", "read_tags"]


def read_tags(stream: BinaryIO, size_bytes: int, *, start: str = "body") -> bytes:
    """Nonce and tag of each segment of a body: 28 bytes for every 64 KiB.

    Parameters
    ----------
    size_bytes : int
        Size of the plain content.

    Raises
    ------
    IntegrityError
        The body does not have the size it must have.
    """
    expected_bytes = body_size(size_bytes)
    found_bytes = stream.seek(0, os.SEEK_END)
    if found_bytes != expected_bytes:
        raise IntegrityError(f"{start}: expected {expected_bytes} bytes, found {found_bytes} bytes")
    if not size_bytes:
        return b""
    # The tag of one segment and the nonce of the next lie side by side.
    parts = [_read_at(stream, 0, NONCE_BYTES, start)]
    for number in range(1, segment_count(size_bytes)):
        where = number * SEALED_SEGMENT_BYTES - TAG_BYTES
        parts.append(_read_at(stream, where, OVERHEAD_BYTES, start))
    parts.append(_read_at(stream, expected_bytes - TAG_BYTES, TAG_BYTES, start))
    return b"".join(parts)


class RangeReader:
    """Reads pieces of an encrypted object without reading the rest.

    All nonces and tags are compared with the manifest at the start, and each segment that is read
    later with them: a body that is truncated, or whose segments were exchanged, is refused before
    the first byte, one that is changed meanwhile when it is read. Somebody who has the data key
    and can write to the storage element could still forge a segment, since such a person can make
    one with a given tag; `medgrid.crypto.decrypt.decrypt` refuses that too.

    Parameters
    ----------
    stream : BinaryIO
        The body, seekable.
    expected : Body or Manifest
        What it must be; of a manifest the signature must have been verified.
    tags : bytes, optional
        What `read_tags` gave before, to spare reading them again.

    Raises
    ------
    IntegrityError
        The body, or the key, is not the one expected.
    """

    def __init__(
        self,
        stream: BinaryIO,
        data_key: bytes,
        expected: Body | Manifest,
        *,
        tags: bytes | None = None,
        start: str = "body",
    ) -> None:
        check_key(data_key, expected.key_id, start)
        self._stream = stream
        self._start = start
        self._cipher = ChaCha20Poly1305(data_key)
        self._tags = read_tags(stream, expected.size_bytes, start=start) if tags is None else tags
        if hashlib.sha256(self._tags).hexdigest() != expected.tags_sha256:
            raise IntegrityError(f"{start}: its segments are not those of the manifest")
        if len(self._tags) != OVERHEAD_BYTES * segment_count(expected.size_bytes):
            raise IntegrityError(f"{start}: its segments are not as many as its size says")
        self.size_bytes = expected.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Plain bytes from `offset` on; fewer than `length` only at the end of the object.

        Raises
        ------
        IntegrityError
            A segment is not the one the manifest knows.
        """
        if offset < 0 or length < 0:
            raise ValueError("expected an offset and a length of 0 or more")
        end = min(offset + length, self.size_bytes)
        if offset >= end:
            return b""
        first, last = offset // SEGMENT_BYTES, (end - 1) // SEGMENT_BYTES
        plain = b"".join(self._segment(number) for number in range(first, last + 1))
        skipped = first * SEGMENT_BYTES
        return plain[offset - skipped : end - skipped]

    def _segment(self, number: int) -> bytes:
        size_bytes = min(SEGMENT_BYTES, self.size_bytes - number * SEGMENT_BYTES) + OVERHEAD_BYTES
        sealed = _read_at(self._stream, number * SEALED_SEGMENT_BYTES, size_bytes, self._start)
        known = self._tags[number * OVERHEAD_BYTES : (number + 1) * OVERHEAD_BYTES]
        if not hmac.compare_digest(sealed[:NONCE_BYTES] + sealed[-TAG_BYTES:], known):
            raise IntegrityError(f"{self._start}: segment {number} is not that of the manifest")
        return open_segment(self._cipher, sealed, number, self._start)


def _read_at(stream: BinaryIO, position: int, size_bytes: int, start: str) -> bytes:
    stream.seek(position)
    data = bytearray()
    while len(data) < size_bytes and (more := stream.read(size_bytes - len(data))):
        data += more
    if len(data) < size_bytes:
        raise IntegrityError(f"{start}: it ends before byte {position + size_bytes}")
    return bytes(data)
