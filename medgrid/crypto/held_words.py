"""What was held back of descriptions, sealed to those who may know whom an image is of.

It is bound to the original that it came of. It is as long as the next of a few sizes, so that it
does not tell whether a word was held back, or two.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from medgrid.crypto.hpke import binding, hpke_open, hpke_seal
from medgrid.crypto.keystore_values import CompartmentId
from medgrid.crypto.vault import Vault
from medgrid.errors import Denied, IntegrityError, NotFound
from medgrid.model import DataClass, ObjectId

__all__ = ["open_held", "seal_held"]

_CLASS: Final = DataClass.NOMINATIVE
_BLOCK_BYTES: Final = 64


def seal_held(
    vault: Vault, patient: str | None, owner: str, said: Mapping[ObjectId, Mapping[str, Any]]
) -> dict[ObjectId, tuple[int | None, str]]:
    """Seal documents of originals of one patient, or else of one owner.

    Returns
    -------
    dict
        Revision of the compartment, None when it is sealed to the owner, and what was sealed.
    """
    if patient is None:
        public, revision = vault.trust(owner).encryption_public, None
    else:
        compartment = vault.compartments.public(patient, _CLASS)
        public, revision = compartment.public_key, compartment.id.revision
    return {
        object_id: (revision, _text(hpke_seal(public, _padded(one), _info(object_id))))
        for object_id, one in said.items()
    }


def open_held(
    vault: Vault, sealed: Iterable[tuple[ObjectId, str | None, int | None, str]]
) -> dict[ObjectId, dict[str, Any]]:
    """Open documents: of object, its patient, revision, and what was sealed.

    Those that are not for this identity, or were damaged, are absent.
    """
    found: dict[ObjectId, dict[str, Any]] = {}
    for object_id, patient, revision, text in sealed:
        try:
            if patient is None or revision is None:
                private = vault.identity.encryption_private
            else:
                private = vault.compartments.private(*CompartmentId(patient, _CLASS, revision))
            plain = hpke_open(private, base64.b64decode(text), _info(object_id))
            found[object_id] = json.loads(plain.rstrip(b"\0"))
        except (Denied, NotFound, IntegrityError, ValueError):
            continue
    return found


def _text(sealed: bytes) -> str:
    return base64.b64encode(sealed).decode("ascii")


def _padded(said: Mapping[str, Any]) -> bytes:
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
    size = _BLOCK_BYTES
    while size < len(text):
        size *= 2
    return text.ljust(size, b"\0")


def _info(object_id: ObjectId) -> bytes:
    return binding("held words", object_id)
