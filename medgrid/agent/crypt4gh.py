"""Crypt4GH (GA4GH, version 1.0) as far as a worker needs it: bodies both ways, headers for one.

A body is segments of 64 KiB, each as nonce, ciphertext and tag. Nothing in it says that it is whole
and in order, so whoever reads one knows its *tags digest*: the SHA-256 of all nonces and tags.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
import struct
from typing import Any, BinaryIO, Callable, Dict, Iterator, Optional

from .libcrypto import NONCE_BYTES, TAG_BYTES, Cipher, CipherError, Libcrypto

__all__ = ["SEGMENT_BYTES", "Opener", "body_size", "new_key", "seal", "seal_header", "seal_small"]

SEGMENT_BYTES = 65536
_SEALED_BYTES = NONCE_BYTES + SEGMENT_BYTES + TAG_BYTES
_AT_ONCE = 16
"""Segments for each read and write, at most."""


def new_key() -> bytes:
    """A data key."""
    return os.urandom(32)


def body_size(plain_bytes: int) -> int:
    """Size of the body that `plain_bytes` bytes become."""
    segments = -(-plain_bytes // SEGMENT_BYTES)
    return plain_bytes + segments * (NONCE_BYTES + TAG_BYTES)


def seal_header(library: Libcrypto, data_key: bytes, reader: bytes) -> bytes:
    """Header that gives `data_key` to the holder of the X25519 key `reader` (sections 2 and 3)."""
    private = os.urandom(32)
    writer = library.public_key(private)
    agreed = library.shared_secret(private, reader) + reader + writer
    shared = hashlib.blake2b(agreed, digest_size=64).digest()[:32]
    packet = struct.pack("<II", 0, 0) + data_key  # of type data key; ChaCha20-Poly1305
    nonce = os.urandom(NONCE_BYTES)
    sealed = Cipher(library, shared, True).message(nonce, packet, b"")
    content = struct.pack("<I", 0) + writer + nonce + sealed  # method X25519, ChaCha20-Poly1305
    return b"crypt4gh" + struct.pack("<III", 1, 1, len(content) + 4) + content


def seal(
    library: Libcrypto,
    data_key: bytes,
    source: Callable[[memoryview], Optional[int]],
    write: Callable[[memoryview], Any],
    size_hint: int,
) -> Dict[str, Any]:
    """Encrypt what `source` reads into a buffer, until it reads nothing.

    Parameters
    ----------
    size_hint : int
        How much that will be, about.

    Returns
    -------
    dict
        ``size_bytes`` and ``digest`` (SHA-256, bytes) of the content; ``body_bytes``, ``sha256``
        and ``tags_sha256`` of the body.
    """
    cipher = Cipher(library, data_key, True)
    at_once = _segments_at_once(size_hint)
    plain, body = bytearray(at_once * SEGMENT_BYTES), bytearray(at_once * _SEALED_BYTES)
    plain_view, body_view = memoryview(plain), memoryview(body)
    source_at, target_at = _address(plain), _address(body)
    content, sealed, tags = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    size = 0
    while True:
        filled = _fill(source, plain_view)
        content.update(plain_view[:filled])
        size += filled
        nonces = os.urandom(at_once * NONCE_BYTES)
        end = 0
        for number, start in enumerate(range(0, filled, SEGMENT_BYTES)):
            length = min(SEGMENT_BYTES, filled - start)
            nonce = nonces[number * NONCE_BYTES : (number + 1) * NONCE_BYTES]
            body_view[end : end + NONCE_BYTES] = nonce
            cipher.seal_at(nonce, source_at + start, length, target_at + end + NONCE_BYTES)
            end += NONCE_BYTES + length + TAG_BYTES
            tags.update(nonce)
            tags.update(body_view[end - TAG_BYTES : end])
        sealed.update(body_view[:end])
        if end:
            write(body_view[:end])
        if filled < len(plain):
            break
    return {
        "size_bytes": size,
        "digest": content.digest(),
        "body_bytes": body_size(size),
        "sha256": sealed.hexdigest(),
        "tags_sha256": tags.hexdigest(),
    }


def seal_small(library: Libcrypto, reader: bytes, content: bytes) -> bytes:
    """A whole Crypt4GH file, header and body, for the holder of `reader`."""
    data_key = new_key()
    parts = [seal_header(library, data_key, reader)]
    source = io.BytesIO(content)
    seal(library, data_key, source.readinto, lambda view: parts.append(bytes(view)), len(content))
    return b"".join(parts)


class Opener(io.RawIOBase):
    """The content of a body, as a stream; each byte's tag was checked.

    Only the end tells whether the body was whole: what was read before is worth nothing when
    `close_checked` raises.

    Parameters
    ----------
    source : file
        The body, from its start.
    body_bytes : int
        Its size.
    plain_bytes, tags_sha256
        What is expected of it.

    Raises
    ------
    CipherError
        It is no such body; also by every read.
    """

    def __init__(
        self,
        library: Libcrypto,
        data_key: bytes,
        source: BinaryIO,
        body_bytes: int,
        plain_bytes: int,
        tags_sha256: str,
    ) -> None:
        super().__init__()
        if body_bytes != body_size(plain_bytes):
            raise CipherError("bytes are missing, or too many")
        self._cipher = Cipher(library, data_key, False)
        self._source = source
        self._plain_bytes = plain_bytes
        self._expected = tags_sha256
        self._tags = hashlib.sha256()
        self._chunks = self._open()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes; 0 at the end."""
        if not self._rest:
            self._rest = next(self._chunks, memoryview(b""))
        taken = min(len(buffer), len(self._rest))
        buffer[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        return taken

    def chunks(self) -> Iterator[memoryview]:
        """All that was not read, in pieces that hold until the next one."""
        if self._rest:
            yield self._rest
            self._rest = memoryview(b"")
        yield from self._chunks

    def close_checked(self) -> None:
        """Read the rest, and check that it was all of the body, in order."""
        for _ in self.chunks():
            pass

    def _open(self) -> Iterator[memoryview]:
        at_once = _segments_at_once(self._plain_bytes)
        plain, body = bytearray(at_once * SEGMENT_BYTES), bytearray(at_once * _SEALED_BYTES)
        plain_view, body_view = memoryview(plain), memoryview(body)
        source_at, target_at = _address(body), _address(plain)
        size = 0
        while True:
            filled = _fill(self._source.readinto, body_view)  # type: ignore[attr-defined]
            end = 0
            for start in range(0, filled, _SEALED_BYTES):
                length = min(_SEALED_BYTES, filled - start) - NONCE_BYTES - TAG_BYTES
                if length <= 0:
                    raise CipherError("bytes are missing, or too many")
                text = start + NONCE_BYTES
                nonce = bytes(body_view[start:text])
                self._cipher.open_at(nonce, source_at + text, length, target_at + end)
                self._tags.update(nonce)
                self._tags.update(body_view[text + length : text + length + TAG_BYTES])
                end += length
            size += end
            if end:
                yield plain_view[:end]
            if filled < len(body):
                break
        if size != self._plain_bytes or self._tags.hexdigest() != self._expected:
            raise CipherError("bytes are missing, too many, or in another order")


def _segments_at_once(plain_bytes: int) -> int:
    return min(_AT_ONCE, plain_bytes // SEGMENT_BYTES + 1)


def _fill(read: Callable[[memoryview], Optional[int]], view: memoryview) -> int:
    """Read until `view` is full or the source ends; how much."""
    filled = 0
    while filled < len(view):
        count = read(view[filled:])
        if not count:
            break
        filled += count
    return filled


def _address(buffer: bytearray) -> int:
    """Where a buffer lies, which must not be resized."""
    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))
