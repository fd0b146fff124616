"""Signed documents: canonical JSON with an Ed25519 signature.

One document has one form in bytes: keys sorted, no spaces, ASCII. What is read must be in this
form, so that no two different files carry the same signature. Each kind of document is signed
under its own name, so that a signature on one cannot be used for another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = [
    "BadDocument",
    "canonical",
    "check_signature",
    "parse",
    "read_public",
    "seal",
    "show_public",
]

_MAX_BYTES = 1024 * 1024
_HEX_KEY = re.compile(r"[0-9a-f]{64}")
_HEX_SIGNATURE = re.compile(r"[0-9a-f]{128}")


class BadDocument(ValueError):
    """These bytes are not such a document, or its signature is wrong; the message says which."""


def canonical(document: Mapping[str, Any]) -> bytes:
    """The one form of a document; ends with a line end."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii") + b"\n"


def seal(schema: str, fields: Mapping[str, Any], sign: Callable[[bytes], bytes]) -> bytes:
    """Sign `fields` as a document of kind `schema`."""
    document = {"schema": schema, **fields}
    return canonical({**document, "signature": sign(_message(schema, document)).hex()})


def parse(schema: str, blob: bytes) -> dict[str, Any]:
    """Fields of a document of kind `schema`, its signature not yet checked.

    Raises
    ------
    BadDocument
        It is no such document.
    """
    if len(blob) > _MAX_BYTES:
        raise BadDocument("too large")
    try:
        document = json.loads(blob)
        good = isinstance(document, dict) and canonical(document) == blob
    except (ValueError, RecursionError):
        good = False
    if not good:
        raise BadDocument("not canonical JSON")
    if document.get("schema") != schema:
        raise BadDocument(f"no {schema}")
    signature = document.get("signature")
    if not isinstance(signature, str) or not _HEX_SIGNATURE.fullmatch(signature):
        raise BadDocument("not signed")
    return document  # type: ignore[no-any-return]


def check_signature(schema: str, document: Mapping[str, Any], signing_public: bytes) -> None:
    """Check the signature of a document that `parse` gave.

    Raises
    ------
    BadDocument
        The key that belongs to `signing_public` did not sign it.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    unsigned = {name: value for name, value in document.items() if name != "signature"}
    try:
        key = Ed25519PublicKey.from_public_bytes(signing_public)
        key.verify(bytes.fromhex(document["signature"]), _message(schema, unsigned))
    except (InvalidSignature, ValueError):
        raise BadDocument("its signature is wrong") from None


def show_public(key: bytes) -> str:
    """A public key as it stands in a document: 64 hexadecimal digits."""
    return key.hex()


def read_public(document: Mapping[str, Any], name: str) -> bytes:
    """Public key `name` of a document, 32 bytes.

    Raises
    ------
    BadDocument
        It is no key.
    """
    text = document.get(name)
    if not isinstance(text, str) or not _HEX_KEY.fullmatch(text):
        raise BadDocument(f"{name} is no key")
    return bytes.fromhex(text)


def _message(schema: str, document: Mapping[str, Any]) -> bytes:
    return schema.encode() + b"\0" + canonical(document)
