"""From a Crypt4GH body to plain content, verified."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from medgrid.crypto.manifest import Manifest
from medgrid.crypto.segments import (
    NONCE_BYTES,
    OVERHEAD_BYTES,
    SEALED_SEGMENT_BYTES,
    TAG_BYTES,
    Body,
    TagsDigest,
    body_size,
    check_key,
    cut,
)
from medgrid.errors import IntegrityError

__all__ = ["decrypt", "decrypt_foreign", "open_segment"]


def decrypt(
    chunks: Iterable[bytes],
    data_key: bytes,
    expected: Body | Manifest,
    *,
    hash_body: bool = True,
    start: str = "body",
) -> Iterator[bytes]:
    """Plain content of a body, as a stream, in constant memory.

    A segment is given when its tag is right. Whether it stands where it should, and whether all
    are there, is known at the end only: consumers release nothing before the last `next` has
    returned without an error.

    Parameters
    ----------
    chunks : iterable of bytes
        The body, without header, in pieces of any size.
    expected : Body or Manifest
        What it must be; of a manifest the signature must have been verified.
    hash_body : bool
        Compare `body_sha256`. Leave it out only where somebody else compares the digest of these
        very bytes with `expected.body_sha256`: hashing costs twice what decryption costs.
    start : str
        How messages begin: what is read, and where.

    Raises
    ------
    IntegrityError
        The body, or the key, is not the one expected. Checked by ``tests/crypto/test_mutation.py``.
    """
    check_key(data_key, expected.key_id, start)
    expected_bytes = body_size(expected.size_bytes)
    hasher = hashlib.sha256() if hash_body else None
    tags = TagsDigest()
    body_bytes = 0
    for sealed, plain in _open_all(chunks, data_key, start):
        body_bytes += len(sealed)
        if body_bytes > expected_bytes:
            raise IntegrityError(f"{start}: expected {expected_bytes} bytes, found more")
        tags.add(sealed[:NONCE_BYTES], sealed[-TAG_BYTES:])
        if hasher is not None:
            hasher.update(sealed)
        yield plain
    if body_bytes != expected_bytes:
        raise IntegrityError(f"{start}: expected {expected_bytes} bytes, found {body_bytes} bytes")
    if tags.sha256() != expected.tags_sha256:
        raise IntegrityError(f"{start}: its segments are not those of the manifest")
    if hasher is not None and hasher.hexdigest() != expected.body_sha256:
        raise IntegrityError(
            f"{start}: expected digest {expected.body_sha256}, found {hasher.hexdigest()}"
        )


def decrypt_foreign(
    chunks: Iterable[bytes], data_key: bytes, *, start: str = "body"
) -> Iterator[bytes]:
    """Plain content of a body that came without manifest, from another program.

    Nothing tells whether segments are missing at the end, or stand in another order.

    Raises
    ------
    IntegrityError
        The tag of a segment is wrong.
    """
    for _, plain in _open_all(chunks, data_key, start):
        yield plain


def _open_all(
    chunks: Iterable[bytes], data_key: bytes, start: str
) -> Iterator[tuple[bytes | memoryview, bytes]]:
    """Pairs of a sealed segment and its content."""
    cipher = ChaCha20Poly1305(data_key)
    for number, sealed in enumerate(cut(chunks, SEALED_SEGMENT_BYTES)):
        yield sealed, open_segment(cipher, sealed, number, start)


def open_segment(
    cipher: ChaCha20Poly1305, sealed: bytes | memoryview, number: int, start: str
) -> bytes:
    """Content of one segment.

    Raises
    ------
    IntegrityError
        Its tag is wrong, or it is too short to be one.
    """
    if len(sealed) <= OVERHEAD_BYTES:
        raise IntegrityError(f"{start}: segment {number} has only {len(sealed)} bytes")
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
    except InvalidTag:
        raise IntegrityError(f"{start}: segment {number} is not authentic") from None
