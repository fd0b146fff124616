"""Short texts for one reader: the last words of jobs, digests of contents."""

from __future__ import annotations

import base64
import binascii
import io

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from medgrid.crypto.crypt4gh import decrypt_foreign, open_header, read_header
from medgrid.crypto.hpke import binding, hpke_open, hpke_seal
from medgrid.errors import IntegrityError

__all__ = ["is_sealed_text", "open_digest", "open_message", "open_text", "seal_text"]

_MARK = "sealed:"
_DIGEST_PURPOSE = b"medgrid content digest"
_NONCE_BYTES = 12


def open_message(sealed: bytes, private: bytes) -> bytes:
    """Content of a whole small Crypt4GH file.

    Raises
    ------
    Denied
        It is sealed to another key.
    IntegrityError
        It was changed.
    """
    stream = io.BytesIO(sealed)
    data_key = open_header(read_header(stream), private)
    return b"".join(decrypt_foreign([stream.read()], data_key, start="message"))


def open_digest(data_key: bytes, sealed: bytes) -> str:
    """SHA-256 of a content (hexadecimal), which a worker sealed under the object's data key.

    Raises
    ------
    IntegrityError
        It was changed.
    """
    try:
        plain = ChaCha20Poly1305(data_key).decrypt(
            sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _DIGEST_PURPOSE
        )
    except (InvalidTag, ValueError):
        raise IntegrityError("the digest of an output was changed") from None
    return plain.hex()


def seal_text(text: str, reader: str, public: bytes) -> str:
    """Text that `reader` alone can read, as text."""
    sealed = hpke_seal(public, text.encode("utf-8", "surrogateescape"), binding("text for", reader))
    return _MARK + base64.b64encode(sealed).decode("ascii")


def is_sealed_text(text: str) -> bool:
    """Whether `seal_text` made it."""
    return text.startswith(_MARK)


def open_text(text: str, reader: str, private: bytes) -> str:
    """Read what `seal_text` made.

    Raises
    ------
    IntegrityError
        It was changed, or is for somebody else.
    """
    try:
        sealed = base64.b64decode(text.removeprefix(_MARK), validate=True)
    except (binascii.Error, ValueError):
        raise IntegrityError("a sealed text was changed") from None
    return hpke_open(private, sealed, binding("text for", reader)).decode(
        "utf-8", "surrogateescape"
    )
