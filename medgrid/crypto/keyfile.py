"""Private keys in the format of Crypt4GH's own tools: ``c4gh-v1``, with or without a passphrase.

A file holds 32 secret bytes between lines that say ``CRYPT4GH PRIVATE KEY``. Behind a passphrase
they are encrypted by ChaCha20-Poly1305 under a key that scrypt makes of the passphrase
(https://crypt4gh.readthedocs.io/en/latest/keys.html). ``tests/crypto/test_keyfile.py`` reads and
writes such files with the ``crypt4gh`` package.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets

from medgrid.errors import Denied

__all__ = ["BadKeyFile", "SECRET_BYTES", "WrongPassphrase", "is_locked", "read_key", "write_key"]

SECRET_BYTES = 32

_MAGIC = b"c4gh-v1"
_FIRST_LINE = b"-----BEGIN CRYPT4GH PRIVATE KEY-----"
_LAST_LINE = b"-----END CRYPT4GH PRIVATE KEY-----"
_NONE, _CIPHER = b"none", b"chacha20_poly1305"
_SALT_BYTES, _NONCE_BYTES = 16, 12
_MAX_ROUNDS = {b"scrypt": 0, b"bcrypt": 1000, b"pbkdf2_hmac_sha256": 10_000_000}


class BadKeyFile(ValueError):
    """These bytes are no private key in Crypt4GH's format; the message says why."""


class WrongPassphrase(Denied):
    """The passphrase does not open the key."""


def write_key(secret: bytes, passphrase: bytes | None, comment: str = "") -> bytes:
    """Content of a key file.

    Parameters
    ----------
    secret : bytes
        32 bytes.
    passphrase : bytes, optional
        None leaves the key unprotected.
    comment : str
        Stands in the file, readable and not authenticated.
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError("a key has 32 bytes")
    if passphrase is None:
        body = _string(_NONE) + _string(_NONE) + _string(secret)
    else:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
        cipher = ChaCha20Poly1305(_derive(b"scrypt", passphrase, salt, 0))
        body = _string(b"scrypt") + _string(bytes(4) + salt) + _string(_CIPHER)
        body += _string(nonce + cipher.encrypt(nonce, secret, None))
    if comment:
        body += _string(comment.encode())
    return b"\n".join((_FIRST_LINE, base64.b64encode(_MAGIC + body), _LAST_LINE, b""))


def is_locked(data: bytes) -> bool:
    """Whether the key in this file is behind a passphrase.

    Raises
    ------
    BadKeyFile
        It is no private key in Crypt4GH's format.
    """
    return _parse(data)[0] != _NONE


def read_key(data: bytes, passphrase: bytes | None = None) -> bytes:
    """Secret bytes of a key file, 32 of them; `passphrase` is not used when there is none.

    Raises
    ------
    BadKeyFile
        It is no private key in Crypt4GH's format.
    WrongPassphrase
        The passphrase does not open it, or the file was changed.
    """
    kdf, options, sealed = _parse(data)
    if kdf == _NONE:
        return _checked(sealed)
    if passphrase is None:
        raise WrongPassphrase("the key is behind a passphrase")
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    key = _derive(kdf, passphrase, options[4:], int.from_bytes(options[:4], "big"))
    nonce, box = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return _checked(ChaCha20Poly1305(key).decrypt(nonce, box, None))
    except InvalidTag:
        raise WrongPassphrase("wrong passphrase") from None


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _checked(secret: bytes) -> bytes:
    if len(secret) != SECRET_BYTES:
        raise BadKeyFile(f"a key of {len(secret)} bytes, expected {SECRET_BYTES}")
    return secret


def _parse(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Name and options of what makes a key of the passphrase, and the secret, maybe encrypted."""
    lines = [line.strip() for line in data.splitlines() if line.strip()]
    if len(lines) < 3 or lines[0] != _FIRST_LINE or lines[-1] != _LAST_LINE:
        raise BadKeyFile("not a Crypt4GH private key")
    try:
        body = base64.b64decode(b"".join(lines[1:-1]), validate=True)
    except binascii.Error:
        raise BadKeyFile("not a Crypt4GH private key: no base64") from None
    if not body.startswith(_MAGIC):
        raise BadKeyFile("not a Crypt4GH private key of format c4gh-v1")
    words = _words(body[len(_MAGIC) :])
    kdf, options = _next(words), b""
    if kdf != _NONE:
        if kdf not in _MAX_ROUNDS:
            raise BadKeyFile("a Crypt4GH private key with an unknown way to use its passphrase")
        options = _next(words)
        if len(options) < 4 + _SALT_BYTES:
            raise BadKeyFile("a Crypt4GH private key that is cut short")
        if int.from_bytes(options[:4], "big") > _MAX_ROUNDS[kdf]:
            raise BadKeyFile("a Crypt4GH private key that would take too long to open")
    cipher, sealed = _next(words), _next(words)
    if cipher != (_NONE if kdf == _NONE else _CIPHER):
        raise BadKeyFile("a Crypt4GH private key with an unknown cipher")
    return kdf, options, sealed


def _words(body: bytes) -> list[bytes]:
    """Strings with their lengths before them, last one first."""
    found = []
    while body:
        size = int.from_bytes(body[:2], "big")
        if len(body) < 2 + size:
            raise BadKeyFile("a Crypt4GH private key that is cut short")
        found.append(body[2 : 2 + size])
        body = body[2 + size :]
    return found[::-1]


def _next(words: list[bytes]) -> bytes:
    if not words:
        raise BadKeyFile("a Crypt4GH private key that is cut short")
    return words.pop()


def _derive(kdf: bytes, passphrase: bytes, salt: bytes, rounds: int) -> bytes:
    if kdf == b"scrypt":
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

        # the format fixes its cost
        return Scrypt(salt=salt, length=SECRET_BYTES, n=1 << 14, r=8, p=1).derive(passphrase)
    if kdf == b"bcrypt":
        import bcrypt

        return bcrypt.kdf(passphrase, salt, SECRET_BYTES, max(rounds, 1), ignore_few_rounds=True)
    return hashlib.pbkdf2_hmac("sha256", passphrase, salt, max(rounds, 1), SECRET_BYTES)
