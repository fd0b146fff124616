"""What the writer of an object signs, since the Crypt4GH format authenticates no file as a whole.

The manifest ties together the object's id, its data key, and its body: none can be exchanged for
that of another object, or for an earlier one, without the signature failing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from medgrid.crypto.segments import Body
from medgrid.errors import IntegrityError
from medgrid.model import ObjectId, Sha256

__all__ = ["MANIFEST_BYTES_MAX", "Manifest"]

MANIFEST_BYTES_MAX = 4096

_FORMAT = "medgrid manifest 1"
_SIGNED_PREFIX = b"medgrid manifest\0"  # a signature of anything else never fits here
_SIZE_MAX = 2**63 - 1
_OBJECT_ID = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")
_SIGNER_CHARS_MAX = 255


@dataclass(frozen=True, slots=True)
class Manifest:
    """Signed description of an object's body.

    Attributes
    ----------
    object_id : ObjectId
    size_bytes : int
        Size of the plain content.
    body_sha256, tags_sha256, key_id : Sha256
        See `medgrid.crypto.segments.Body`.
    signer : str
        Name of the identity that signed.
    signature : bytes, 64
        Ed25519 over `signed_bytes`.
    """

    object_id: ObjectId
    size_bytes: int
    body_sha256: Sha256
    tags_sha256: Sha256
    key_id: Sha256
    signer: str
    signature: bytes

    @classmethod
    def make(
        cls, object_id: ObjectId, body: Body, signer: str, sign: Callable[[bytes], bytes]
    ) -> Self:
        """Describe a body and sign it.

        Parameters
        ----------
        sign : callable
            Gives the Ed25519 signature of some bytes by the identity `signer`.
        """
        fields = (body.size_bytes, body.body_sha256, body.tags_sha256, body.key_id)
        draft = cls(object_id, *fields, signer, b"")
        return cls(object_id, *fields, signer, sign(draft.signed_bytes()))

    @property
    def body(self) -> Body:
        """What the body must be."""
        return Body(self.size_bytes, self.body_sha256, self.tags_sha256, self.key_id)

    def signed_bytes(self) -> bytes:
        """What the signature is over."""
        return _SIGNED_PREFIX + _canonical(self._fields())

    def verify(self, signing_public: bytes, object_id: ObjectId) -> None:
        """Check that the signer said this, of this object.

        Parameters
        ----------
        signing_public : bytes, 32
            Ed25519 public key of the identity `signer`, from its verified certificate.
        object_id : ObjectId
            The object that is wanted.

        Raises
        ------
        IntegrityError
            The signature is wrong, or the manifest is that of another object.
        """
        if self.object_id != object_id:
            raise IntegrityError(f"object {object_id}: the manifest is that of {self.object_id}")
        try:
            Ed25519PublicKey.from_public_bytes(signing_public).verify(
                self.signature, self.signed_bytes()
            )
        except (InvalidSignature, ValueError):
            raise IntegrityError(
                f"object {object_id}: the manifest was not signed by {self.signer!r}"
            ) from None

    def to_bytes(self) -> bytes:
        """Canonical JSON: equal manifests are equal bytes."""
        return _canonical({**self._fields(), "signature": self.signature.hex()})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote; it says nothing before `verify` has passed.

        Raises
        ------
        IntegrityError
            These are not the canonical bytes of a manifest.
        """
        try:
            manifest = cls._read(data)
        except (ValueError, KeyError, TypeError, RecursionError):
            manifest = None
        if manifest is None or manifest.to_bytes() != data:
            raise IntegrityError("not a manifest, or a damaged one")
        return manifest

    @classmethod
    def _read(cls, data: bytes) -> Self | None:
        if len(data) > MANIFEST_BYTES_MAX:
            return None
        fields = json.loads(data)
        size_bytes, signer = fields["size_bytes"], fields["signer"]
        digests = [fields[name] for name in ("body_sha256", "tags_sha256", "key_id")]
        good = (
            type(size_bytes) is int
            and 0 <= size_bytes <= _SIZE_MAX
            and isinstance(signer, str)
            and 0 < len(signer) <= _SIGNER_CHARS_MAX
            and signer.isprintable()
            and _OBJECT_ID.fullmatch(fields["object_id"])
            and _SIGNATURE.fullmatch(fields["signature"])
            and all(_SHA256.fullmatch(digest) for digest in digests)
        )
        if not good:
            return None
        body_sha256, tags_sha256, key = map(Sha256, digests)
        return cls(
            ObjectId(fields["object_id"]),
            size_bytes,
            body_sha256,
            tags_sha256,
            key,
            signer,
            bytes.fromhex(fields["signature"]),
        )

    def _fields(self) -> dict[str, str | int]:
        return {
            "format": _FORMAT,
            "object_id": self.object_id,
            "size_bytes": self.size_bytes,
            "body_sha256": self.body_sha256,
            "tags_sha256": self.tags_sha256,
            "key_id": self.key_id,
            "signer": self.signer,
        }


def _canonical(fields: dict[str, str | int]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
