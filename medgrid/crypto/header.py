"""The Crypt4GH header: the data key of an object, sealed to each of its recipients.

Layout (GA4GH Crypt4GH 1.0, section 2; numbers are little-endian, 32 bits)::

    "crypt4gh"  version 1  number of packets
    packet: its length  method 0  writer's X25519 public key (32)  nonce (12)  ciphertext  tag (16)
    inside: type 0 (data key)  method 0 (ChaCha20-Poly1305)  data key (32)

The packet key is the first half of BLAKE2b-512(X25519 secret, reader's public, writer's public).
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from medgrid.crypto.segments import KEY_BYTES, NONCE_BYTES, TAG_BYTES
from medgrid.errors import Denied, IntegrityError

__all__ = [
    "HEADER_BYTES_MAX",
    "RECIPIENTS_MAX",
    "HeaderOpener",
    "open_header",
    "read_header",
    "seal_header",
]

RECIPIENTS_MAX = 256
HEADER_BYTES_MAX = 64 * 1024  # bounds what a hostile header can cost

_MAGIC = b"crypt4gh"
_VERSION = 1
_START = struct.Struct("<8sII")
_NUMBER = struct.Struct("<I")
_TWO_NUMBERS = struct.Struct("<II")
_X25519_CHACHA20 = 0
_DATA_KEY = 0
_EDIT_LIST = 1
_CHACHA20 = 0
_PUBLIC_BYTES = 32
_PACKET_BYTES_MIN = _TWO_NUMBERS.size
_SEALED_BYTES_MIN = _PUBLIC_BYTES + NONCE_BYTES + TAG_BYTES


def seal_header(data_key: bytes, recipients: Sequence[bytes], writer: bytes | None = None) -> bytes:
    """Seal a data key to some X25519 public keys; who is among them can open it.

    Parameters
    ----------
    data_key : bytes, 32
    recipients : sequence of bytes, 32 each
        At least one, at most `RECIPIENTS_MAX`; one named twice gets one packet.
    writer : bytes, 32, optional
        Private key of the writer. Without it one is drawn and forgotten, so that the header does
        not tell who wrote it.

    Raises
    ------
    IntegrityError
        A recipient's key is not one.
    """
    chosen = list(dict.fromkeys(recipients))
    if len(data_key) != KEY_BYTES or not 0 < len(chosen) <= RECIPIENTS_MAX:
        raise ValueError("expected a key of 32 bytes and 1 to 256 recipients")
    private = X25519PrivateKey.from_private_bytes(writer) if writer else X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    content = _TWO_NUMBERS.pack(_DATA_KEY, _CHACHA20) + data_key
    parts = [_START.pack(_MAGIC, _VERSION, len(chosen))]
    for recipient in chosen:
        secret = _agree(private, recipient)
        if secret is None:
            raise IntegrityError("a recipient's public key is not usable")
        nonce = os.urandom(NONCE_BYTES)
        sealed = _packet_cipher(secret, recipient, public).encrypt(nonce, content, None)
        packet = public + nonce + sealed
        parts += (_TWO_NUMBERS.pack(_TWO_NUMBERS.size + len(packet), _X25519_CHACHA20), packet)
    return b"".join(parts)


def open_header(header: bytes, private: bytes) -> bytes:
    """Data key that a header holds for the owner of an X25519 private key, 32 bytes.

    Raises
    ------
    Denied
        No packet is addressed to this key.
    IntegrityError
        This is not a header, or what it holds is not exactly one data key. Edit lists are refused.
    """
    return HeaderOpener(private).open(header)


class HeaderOpener:
    """Opens many headers with one X25519 private key."""

    def __init__(self, private: bytes) -> None:
        self._private = X25519PrivateKey.from_private_bytes(private)
        self._public = self._private.public_key().public_bytes_raw()

    def open(self, header: bytes) -> bytes:
        """As `open_header`."""
        keys = {
            _data_key(content)
            for method, packet in _packets(header)
            if (content := self._unseal(method, packet)) is not None
        }
        if not keys:
            raise Denied("the header is not addressed to this key")
        if len(keys) > 1:
            raise IntegrityError("header: expected one data key, found several")
        return keys.pop()

    def _unseal(self, method: int, packet: bytes) -> bytes | None:
        """Content of a packet; None when it is for somebody else, or by a method of others."""
        if method != _X25519_CHACHA20 or len(packet) < _SEALED_BYTES_MIN:
            return None
        writer, rest = packet[:_PUBLIC_BYTES], packet[_PUBLIC_BYTES:]
        secret = _agree(self._private, writer)
        if secret is None:
            return None
        cipher = _packet_cipher(secret, self._public, writer)
        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], None)
        except InvalidTag:
            return None


def read_header(stream: BinaryIO) -> bytes:
    """Take the header off a whole Crypt4GH file; the stream then stands at the body.

    Raises
    ------
    IntegrityError
        The file does not begin with a header.
    """
    parts = [_read_exactly(stream, _START.size)]
    size_bytes = _START.size
    for _ in range(_packet_count(parts[0])):
        number = _read_exactly(stream, _NUMBER.size)
        length = _packet_length(number, HEADER_BYTES_MAX - size_bytes)
        parts += (number, _read_exactly(stream, length - _NUMBER.size))
        size_bytes += length
    return b"".join(parts)


def _read_exactly(stream: BinaryIO, size_bytes: int) -> bytes:
    data = bytearray()
    while len(data) < size_bytes and (more := stream.read(size_bytes - len(data))):
        data += more
    if len(data) < size_bytes:
        raise IntegrityError("header: it ends too early")
    return bytes(data)


def _packets(header: bytes) -> Iterator[tuple[int, bytes]]:
    """Method and sealed content of each packet, when the header's frame is sound as a whole."""
    if len(header) < _START.size:
        raise IntegrityError("header: it ends too early")
    if len(header) > HEADER_BYTES_MAX:
        raise IntegrityError(
            f"header: expected at most {HEADER_BYTES_MAX} bytes, found {len(header)}"
        )
    packets = []
    position = _START.size
    for _ in range(_packet_count(header[:position])):
        number = header[position : position + _NUMBER.size]
        if len(number) < _NUMBER.size:
            raise IntegrityError("header: it ends too early")
        length = _packet_length(number, len(header) - position)
        (method,) = _NUMBER.unpack_from(header, position + _NUMBER.size)
        packets.append((method, header[position + _TWO_NUMBERS.size : position + length]))
        position += length
    if position != len(header):
        raise IntegrityError(f"header: {len(header) - position} bytes follow its last packet")
    return iter(packets)


def _packet_count(start: bytes) -> int:
    magic, version, count = _START.unpack(start)
    if magic != _MAGIC:
        raise IntegrityError("header: not Crypt4GH")
    if version != _VERSION:
        raise IntegrityError(f"header: expected Crypt4GH version {_VERSION}, found {version}")
    if not 0 < count <= RECIPIENTS_MAX:
        raise IntegrityError(f"header: expected 1 to {RECIPIENTS_MAX} packets, found {count}")
    return int(count)


def _packet_length(number: bytes, room_bytes: int) -> int:
    (length,) = _NUMBER.unpack(number)
    if not _PACKET_BYTES_MIN <= length <= room_bytes:
        raise IntegrityError(
            f"header: expected a packet of {_PACKET_BYTES_MIN} to {room_bytes} bytes, "
            f"found {length}"
        )
    return int(length)


def _agree(private: X25519PrivateKey, public: bytes) -> bytes | None:
    """Secret of two keys; None when the public one is not a key (wrong length, or low order)."""
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        return None


def _packet_cipher(secret: bytes, reader: bytes, writer: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(hashlib.blake2b(secret + reader + writer).digest()[:KEY_BYTES])


def _data_key(content: bytes) -> bytes:
    """Data key in the content of a packet that was addressed to us."""
    if len(content) >= _NUMBER.size and _NUMBER.unpack_from(content) == (_EDIT_LIST,):
        raise IntegrityError("header: edit lists are not accepted")
    if len(content) != _TWO_NUMBERS.size + KEY_BYTES:
        raise IntegrityError(f"header: a packet of {len(content)} bytes holds no data key")
    kind, method = _TWO_NUMBERS.unpack_from(content)
    if kind != _DATA_KEY:
        raise IntegrityError(f"header: packet type {kind} is not known")
    if method != _CHACHA20:
        raise IntegrityError(f"header: data encryption method {method} is not known")
    return content[_TWO_NUMBERS.size :]
