"""OpenSSH ed25519 keys as identities.

The ed25519 key signs; the X25519 key that opens comes from it by the usual map, which sends the
clamped SHA-512 of the seed to the other form of the same curve. So does the ``crypt4gh`` package
with such a key, and `age <https://age-encryption.org>`_.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from medgrid.crypto.keyfile import BadKeyFile, WrongPassphrase

__all__ = ["is_locked_ssh", "read_ssh_seed", "x25519_of_seed"]


def is_locked_ssh(data: bytes) -> bool:
    """Whether an OpenSSH private key is behind a passphrase.

    Raises
    ------
    BadKeyFile
        It is no OpenSSH ed25519 key.
    """
    try:
        read_ssh_seed(data, None)
    except WrongPassphrase:
        return True
    return False


def read_ssh_seed(data: bytes, passphrase: bytes | None) -> bytes:
    """Seed of the ed25519 key in an OpenSSH private key file, 32 bytes.

    Raises
    ------
    BadKeyFile
        It is no OpenSSH ed25519 key.
    WrongPassphrase
        It is behind another passphrase than this.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    if b"-----BEGIN OPENSSH PRIVATE KEY-----" not in data:
        raise BadKeyFile("not an OpenSSH private key")
    try:
        key = _load(load_ssh_private_key, data, passphrase)
    except UnsupportedAlgorithm:
        raise BadKeyFile("not an OpenSSH ed25519 key that this computer can use") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKeyFile("not an ed25519 key")
    return key.private_bytes_raw()


def _load(load: Callable[..., object], data: bytes, passphrase: bytes | None) -> object:
    try:
        return load(data, passphrase)
    except TypeError:
        # the library's word for a passphrase that is missing, or given for a key without one
        if passphrase is None:
            raise WrongPassphrase("the key is behind a passphrase") from None
        return _load(load, data, None)
    except ValueError:
        if passphrase is None:
            raise BadKeyFile("not an OpenSSH private key") from None
        raise WrongPassphrase("wrong passphrase") from None


def x25519_of_seed(seed: bytes) -> bytes:
    """X25519 private key of an ed25519 seed, clamped as RFC 7748 section 5 says."""
    digest = bytearray(hashlib.sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] &= 127
    digest[31] |= 64
    return bytes(digest)
