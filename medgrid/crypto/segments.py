"""The body of a Crypt4GH file: segments of 64 KiB, each sealed under the object's data key.

A segment on disk is a random nonce of 12 bytes, the ciphertext, and a tag of 16 bytes. The last
one is shorter; there is none for no content (GA4GH Crypt4GH 1.0, section 3).

Tags bind the bytes of one segment alone. What binds a body as a whole is a `Body`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from medgrid.errors import IntegrityError
from medgrid.model import Sha256

__all__ = [
    "SEGMENT_BYTES",
    "SEALED_SEGMENT_BYTES",
    "NONCE_BYTES",
    "TAG_BYTES",
    "OVERHEAD_BYTES",
    "KEY_BYTES",
    "Body",
    "TagsDigest",
    "body_size",
    "check_key",
    "cut",
    "key_id",
    "new_data_key",
    "segment_count",
]

SEGMENT_BYTES = 64 * 1024
NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES
SEALED_SEGMENT_BYTES = SEGMENT_BYTES + OVERHEAD_BYTES
KEY_BYTES = 32

_KEY_ID_PREFIX = b"medgrid data key\0"
_TAGS_HELD_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Body:
    """What a whole body must be.

    Attributes
    ----------
    size_bytes : int
        Size of the plain content.
    body_sha256 : Sha256
        Digest of the body as stored.
    tags_sha256 : Sha256
        Digest of nonce and tag of each segment, one after the other. It can be checked without
        reading the rest, but whoever has the data key can make other content with the same tags:
        against them only `body_sha256` helps.
    key_id : Sha256
        Commitment to the data key, see `key_id`.
    """

    size_bytes: int
    body_sha256: Sha256
    tags_sha256: Sha256
    key_id: Sha256


def new_data_key() -> bytes:
    """Draw the key of a new object, 32 bytes."""
    return secrets.token_bytes(KEY_BYTES)


def key_id(data_key: bytes) -> Sha256:
    """Commitment to a data key: tells keys apart, tells nothing about them.

    ChaCha20-Poly1305 alone does not commit: a body can be made that opens under two keys.
    """
    return Sha256(hashlib.sha256(_KEY_ID_PREFIX + data_key).hexdigest())


def check_key(data_key: bytes, expected: Sha256, start: str) -> None:
    """Compare a data key with the commitment to it.

    Raises
    ------
    IntegrityError
        It is another key; the message begins with `start`.
    """
    if not hmac.compare_digest(key_id(data_key), expected):
        raise IntegrityError(f"{start}: the header holds the key of another body")


def segment_count(plain_bytes: int) -> int:
    """Number of segments of some plain content."""
    return -(-plain_bytes // SEGMENT_BYTES)


def body_size(plain_bytes: int) -> int:
    """Size of the body of some plain content, both in bytes.

    Examples
    --------
    >>> [body_size(size) for size in (0, 1, 65536, 65537)]
    [0, 29, 65564, 65593]
    """
    return plain_bytes + OVERHEAD_BYTES * segment_count(plain_bytes)


def cut(chunks: Iterable[bytes], size_bytes: int) -> Iterator[bytes | memoryview]:
    """Pieces of `size_bytes` from chunks of any sizes; only the last piece is shorter.

    A piece may be a view of a chunk.
    """
    held = bytearray()
    for chunk in chunks:
        view = memoryview(chunk)
        start = 0
        if held:
            start = size_bytes - len(held)
            held += view[:start]
            if len(held) < size_bytes:
                continue
            yield bytes(held)
            held.clear()
        whole = len(view) - (len(view) - start) % size_bytes
        for begin in range(start, whole, size_bytes):
            yield view[begin : begin + size_bytes]
        held += view[whole:]
    if held:
        yield bytes(held)


class TagsDigest:
    """SHA-256 over nonce and tag of each segment, in their order."""

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()
        self._held = bytearray()

    def add(self, nonce: bytes | memoryview, tag: bytes | memoryview) -> None:
        """Take the next segment."""
        held = self._held
        held += nonce
        held += tag
        if len(held) >= _TAGS_HELD_BYTES:  # hashing each alone costs more than its bytes
            self._hasher.update(held)
            held.clear()

    def sha256(self) -> Sha256:
        """Digest of what was taken so far."""
        self._hasher.update(self._held)
        self._held.clear()
        return Sha256(self._hasher.hexdigest())
