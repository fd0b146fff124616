"""Sealing to one person: HPKE (RFC 9180), base mode, X25519, HKDF-SHA256, ChaCha20-Poly1305.

What is sealed opens for the one private key, and only when both sides name the same `info`: the
info says what the bytes are and where they belong, so that bytes that were moved or rolled back
stay shut. HPKE does not say who sealed: what matters is signed or compared besides.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from medgrid.errors import IntegrityError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.hpke import Suite

__all__ = ["OVERHEAD_BYTES", "binding", "hpke_open", "hpke_seal", "key_pair", "public_of"]

OVERHEAD_BYTES = 48
"""What sealing adds: the ephemeral public key and a tag."""


def binding(purpose: str, *parts: str | int | bytes) -> bytes:
    """Bytes that say what something is and where it belongs; no two lists of parts read the same.

    Examples
    --------
    >>> binding("wrap", "P-1", 2)
    b'12:medgrid wrap,3:P-1,1:2,'
    """
    found = bytearray()
    for part in (f"medgrid {purpose}", *parts):
        data = part if isinstance(part, bytes) else str(part).encode("utf-8")
        found += b"%d:%b," % (len(data), data)
    return bytes(found)


def hpke_seal(public: bytes, plain: bytes, info: bytes) -> bytes:
    """Seal `plain` to an X25519 public key.

    Parameters
    ----------
    public : bytes, 32
        Whom it is for.
    plain : bytes
        What is sealed.
    info : bytes
        What it is and where it belongs; see `binding`.

    Raises
    ------
    IntegrityError
        `public` is no key that one can seal to.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    try:
        return _suite().encrypt(plain, X25519PublicKey.from_public_bytes(public), info)
    except ValueError:
        raise IntegrityError("not a public key that one can seal to") from None


def hpke_open(private: bytes | X25519PrivateKey, sealed: bytes, info: bytes) -> bytes:
    """Open what was sealed to this key under the same `info`.

    Raises
    ------
    IntegrityError
        It was changed, moved from elsewhere or sealed to another key.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    if isinstance(private, bytes):
        private = X25519PrivateKey.from_private_bytes(private)
    try:
        return _suite().decrypt(sealed, private, info)
    except (InvalidTag, ValueError):
        raise IntegrityError("a sealed box does not open: changed, moved, or not ours") from None


def key_pair() -> tuple[bytes, bytes]:
    """Draw an X25519 key pair: private and public key, 32 bytes each."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    key = X25519PrivateKey.generate()
    return key.private_bytes_raw(), key.public_key().public_bytes_raw()


def public_of(private: bytes) -> bytes:
    """Public key of an X25519 private key."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


@cache
def _suite() -> Suite:
    from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
