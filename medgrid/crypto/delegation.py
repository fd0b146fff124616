"""Lending data keys to the brokers for the jobs of one submission.

The owner draws one key for the submission and seals it to each broker; the data keys lie in boxes
under that key, each bound to its job and object. When the jobs end, all of it is destroyed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medgrid.crypto.hpke import binding, hpke_open, hpke_seal
from medgrid.crypto.keystore_values import DelegatedKey, Signer
from medgrid.errors import Denied, IntegrityError
from medgrid.model import ObjectId

if TYPE_CHECKING:
    from medgrid.crypto.keystore import KeyStore

__all__ = ["LentKey", "borrow", "lend"]

_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class LentKey:
    """Data key of an input of a job, and the manifest of the object as the key store has it."""

    number: int
    object_id: ObjectId
    data_key: bytes
    manifest: bytes | None

    def __repr__(self) -> str:
        return f"LentKey({self.number}, {self.object_id!r})"


def lend(
    store: KeyStore,
    submission: int,
    brokers: Mapping[str, bytes],
    keys: Iterable[tuple[int, ObjectId, bytes]],
) -> None:
    """Lend data keys for a submission.

    Parameters
    ----------
    store : KeyStore
        Opened for the owner of the submission.
    submission : int
    brokers : mapping
        X25519 public keys of certified brokers, by name.
    keys : iterable of (int, ObjectId, bytes)
        Number of a job, an input of it, and the input's data key.

    Raises
    ------
    AlreadyExists
        Keys were lent for this submission before.
    """
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    key = secrets.token_bytes(32)
    cipher = ChaCha20Poly1305(key)
    boxes = []
    for number, object_id, data_key in keys:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = cipher.encrypt(nonce, data_key, _box_info(submission, number, object_id))
        boxes.append(DelegatedKey(number, object_id, nonce + sealed))
    store.put_delegation(
        submission,
        {
            name: hpke_seal(public, key, _key_info(submission, name))
            for name, public in brokers.items()
        },
        boxes,
    )


def borrow(
    store: KeyStore, identity: Signer, submission: int, numbers: Sequence[int] | None = None
) -> list[LentKey]:
    """Data keys lent to this broker for jobs of a submission, all jobs by default.

    Raises
    ------
    Denied
        Nothing was lent to it, or it was ended.
    IntegrityError
        A box was changed or moved.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    sealed, boxes = store.delegation(submission, numbers)
    if sealed is None:
        raise Denied(f"no keys are lent to {identity.name} for submission {submission}")
    info = _key_info(submission, identity.name)
    try:
        cipher = ChaCha20Poly1305(hpke_open(identity.encryption_private, sealed, info))
    except (IntegrityError, ValueError):
        raise _refused(submission) from None
    found = []
    for one, manifest in boxes:
        nonce, box = one.box[:_NONCE_BYTES], one.box[_NONCE_BYTES:]
        try:
            data_key = cipher.decrypt(nonce, box, _box_info(submission, one.number, one.object_id))
        except (InvalidTag, ValueError):
            raise _refused(submission) from None
        found.append(LentKey(one.number, one.object_id, data_key, manifest))
    return found


def _key_info(submission: int, broker: str) -> bytes:
    return binding("delegation", submission, broker)


def _box_info(submission: int, number: int, object_id: str) -> bytes:
    return binding("delegated key", submission, number, object_id)


def _refused(submission: int) -> IntegrityError:
    return IntegrityError(f"the keys lent for submission {submission} are damaged or exchanged")
