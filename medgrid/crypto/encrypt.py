"""From plain content to a Crypt4GH body, and what is known of it at the end."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from medgrid.crypto.segments import (
    NONCE_BYTES,
    OVERHEAD_BYTES,
    SEALED_SEGMENT_BYTES,
    SEGMENT_BYTES,
    TAG_BYTES,
    Body,
    TagsDigest,
    body_size,
    cut,
    key_id,
)
from medgrid.model import Sha256

__all__ = ["Encryptor"]


class Encryptor:
    """Encrypts one object's content, as a stream, in constant memory.

    Parameters
    ----------
    data_key : bytes, 32
        The object's key, from `new_data_key`.
    hash_plain, hash_body : bool
        Compute `plain_sha256` and `body_sha256` on the way. Each costs about twice what encryption
        costs, so leave out the one that somebody else computes: a storage element tells the digest
        of what it stored, and `body` takes it.

    Examples
    --------
    >>> encryptor = Encryptor(bytes(32))
    >>> body = b"".join(encryptor([b"some", b"thing"]))
    >>> len(body), encryptor.size_bytes, encryptor.body_bytes
    (37, 9, 37)
    """

    def __init__(self, data_key: bytes, *, hash_plain: bool = True, hash_body: bool = True) -> None:
        self._cipher = ChaCha20Poly1305(data_key)
        self._key_id = key_id(data_key)
        self._plain_hasher = hashlib.sha256() if hash_plain else None
        self._body_hasher = hashlib.sha256() if hash_body else None
        self._tags = TagsDigest()
        self._begun = False
        self._size_bytes: int | None = None

    def __call__(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Give the body of the content that `chunks` are, one segment a time; only once."""
        if self._begun:
            raise RuntimeError("an encryptor serves one object once")
        self._begun = True
        return self._encrypt(chunks)

    def _encrypt(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        encrypt_into, add_tag, random = self._cipher.encrypt_into, self._tags.add, os.urandom
        plain_hasher, body_hasher = self._plain_hasher, self._body_hasher
        room = memoryview(bytearray(SEALED_SEGMENT_BYTES))
        size_bytes = 0
        for piece in cut(chunks, SEGMENT_BYTES):
            nonce = random(NONCE_BYTES)
            end = OVERHEAD_BYTES + len(piece)
            room[:NONCE_BYTES] = nonce
            encrypt_into(nonce, piece, None, room[NONCE_BYTES:end])
            add_tag(nonce, room[end - TAG_BYTES : end])
            if plain_hasher is not None:
                plain_hasher.update(piece)
            if body_hasher is not None:
                body_hasher.update(room[:end])
            size_bytes += len(piece)
            yield bytes(room[:end])
        self._size_bytes = size_bytes

    @property
    def size_bytes(self) -> int:
        """Size of the plain content."""
        return self._known_size()

    @property
    def body_bytes(self) -> int:
        """Size of the body."""
        return body_size(self.size_bytes)

    @property
    def plain_sha256(self) -> Sha256:
        """Digest of the plain content: a secret, as it confirms a guess."""
        return self._digest(self._plain_hasher, "hash_plain")

    @property
    def body_sha256(self) -> Sha256:
        """Digest of the body."""
        return self._digest(self._body_hasher, "hash_body")

    @property
    def tags_sha256(self) -> Sha256:
        """Digest of nonce and tag of each segment."""
        self._known_size()
        return self._tags.sha256()

    def body(self, body_sha256: Sha256 | None = None) -> Body:
        """What the body is.

        Parameters
        ----------
        body_sha256 : Sha256, optional
            Digest of the body, when the storage that took it has computed it.
        """
        return Body(
            self.size_bytes, body_sha256 or self.body_sha256, self.tags_sha256, self._key_id
        )

    def _digest(self, hasher: hashlib._Hash | None, option: str) -> Sha256:
        self._known_size()
        if hasher is None:
            raise RuntimeError(f"this digest needs {option}")
        return Sha256(hasher.hexdigest())

    def _known_size(self) -> int:
        if self._size_bytes is None:
            raise RuntimeError("known only when the whole body was taken")
        return self._size_bytes
