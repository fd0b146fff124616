"""An identity: whom data is sealed to, and who signs.

An identity is an X25519 key pair (encryption) and an Ed25519 key pair (signing). One secret makes
both: either 32 random bytes, which are the X25519 key and from which the signing key is derived, or
an ed25519 key as OpenSSH has it, from which the X25519 key is derived.

`medgrid.crypto.identity_files` keeps identities; `medgrid.crypto.certificate` says whose they are.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from medgrid.crypto.openssh import x25519_of_seed
from medgrid.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "Identity",
    "PublicIdentity",
    "check_identity_name",
    "derive_seed",
    "fingerprint",
    "new_secret",
]

_RESERVED = "recovery"  # whom the key store seals its own recovery to
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,62}")


def check_identity_name(name: str) -> str:
    """Return `name` when an identity may be called so.

    Raises
    ------
    UsageError
        It is empty, too long, holds other characters or is reserved.
    """
    if name == _RESERVED:
        raise UsageError(f"no identity can be called {name}", hint="choose another name")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of an identity",
            hint="a name is up to 63 letters, digits, '.', '_', '@', '+' and '-', and starts with "
            "no sign",
        )
    return name


@dataclass(frozen=True, slots=True)
class PublicIdentity:
    """The public keys of an identity, 32 bytes each. Nothing here says that they are really its."""

    name: str
    encryption_public: bytes
    signing_public: bytes

    @property
    def fingerprint(self) -> str:
        """What people compare: ``SHA256:`` over both keys."""
        return fingerprint(self.encryption_public + self.signing_public)

    def has_keys_of(self, other: PublicIdentity) -> bool:
        """Whether both have the same keys."""
        return (self.encryption_public, self.signing_public) == (
            other.encryption_public,
            other.signing_public,
        )

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check that this identity signed `message`.

        Raises
        ------
        IntegrityError
            It did not.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.signing_public).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise IntegrityError(f"the signature of {self.name} is wrong") from None


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity with its private keys, which no text of it shows."""

    public: PublicIdentity
    encryption_private: bytes = field(repr=False, compare=False)
    _signer: Ed25519PrivateKey = field(repr=False, compare=False)

    @classmethod
    def from_secret(cls, name: str, secret: bytes) -> Self:
        """Make the identity whose X25519 key is `secret`, 32 bytes."""
        return cls._make(name, secret, derive_seed(secret, b"medgrid signing"))

    @classmethod
    def from_ssh_seed(cls, name: str, seed: bytes) -> Self:
        """Make the identity whose Ed25519 key has `seed`, 32 bytes."""
        return cls._make(name, x25519_of_seed(seed), seed)

    @classmethod
    def _make(cls, name: str, secret: bytes, seed: bytes) -> Self:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        signer = Ed25519PrivateKey.from_private_bytes(seed)
        public = PublicIdentity(
            check_identity_name(name),
            X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw(),
            signer.public_key().public_bytes_raw(),
        )
        return cls(public, secret, signer)

    @property
    def name(self) -> str:
        """What the identity is called."""
        return self.public.name

    def sign(self, message: bytes) -> bytes:
        """Ed25519 signature, 64 bytes.

        The key signs several kinds of things: a message starts with what it is.
        """
        return self._signer.sign(message)


def new_secret() -> bytes:
    """Secret of a new identity, 32 random bytes."""
    return secrets.token_bytes(32)


def derive_seed(secret: bytes, purpose: bytes) -> bytes:
    """Ed25519 seed for `purpose`, 32 bytes, by HKDF-SHA256 (RFC 5869) without a salt."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), 32, None, purpose).derive(secret)


def fingerprint(key: bytes) -> str:
    """What people compare of a public key, in the form that ssh-keygen(1) shows."""
    digest = hashlib.sha256(key).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
