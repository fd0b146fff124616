"""Lending data keys to the brokers for the jobs of one submission.

The owner draws one key for the submission and seals it to each broker; the data keys lie in boxes
under that key, each bound to its job and object. When the jobs end, all of it is destroyed.

The owner does not keep the submission's key. When jobs are submitted again while others of the
submission still wait, their boxes are under a new key, and each has that key with it, sealed to
each broker.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medgrid.crypto.hpke import binding, hpke_open, hpke_seal
from medgrid.crypto.keystore_values import DelegatedKey, Signer
from medgrid.errors import Denied, IntegrityError, NotFound
from medgrid.model import ObjectId

if TYPE_CHECKING:
    from medgrid.crypto.keystore import KeyStore

__all__ = ["LentKey", "borrow", "lend", "lend_again"]

_NONCE_BYTES = 12
_WITH_KEY = b"medgrid box 2"
_SEALED_KEY_BYTES = 32 + 32 + 16  # HPKE: encapsulated key, key, tag


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
    key = secrets.token_bytes(32)
    sealed = _sealed(key, submission, brokers)
    store.put_delegation(submission, sealed, _boxes(key, submission, keys))


def lend_again(
    store: KeyStore,
    submission: int,
    brokers: Mapping[str, bytes],
    keys: Iterable[tuple[int, ObjectId, bytes]],
) -> None:
    """Lend data keys for jobs of a submission whose keys were lent before; takes what `lend` takes.

    What was lent for these jobs is ended; that of other jobs of the submission stays.
    """
    keys = list(keys)
    numbers = {number for number, _, _ in keys}
    lent = {number for number, _ in store.delegations().get(submission, ())}
    if numbers & lent:
        store.drop_delegation(submission, sorted(numbers & lent))
    if lent - numbers:
        key = secrets.token_bytes(32)
        sealed = _sealed(key, submission, brokers)
        head = _WITH_KEY + bytes([len(sealed)])
        for name, one in sealed.items():
            head += bytes([len(name.encode())]) + name.encode() + one
        boxes = [one._replace(box=head + one.box) for one in _boxes(key, submission, keys)]
        try:
            store.extend_delegation(submission, boxes)
        except NotFound:  # the others have just ended
            lend(store, submission, brokers, keys)
    else:
        lend(store, submission, brokers, keys)


def _sealed(key: bytes, submission: int, brokers: Mapping[str, bytes]) -> dict[str, bytes]:
    return {
        name: hpke_seal(public, key, _key_info(submission, name))
        for name, public in brokers.items()
    }


def _boxes(
    key: bytes, submission: int, keys: Iterable[tuple[int, ObjectId, bytes]]
) -> list[DelegatedKey]:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    cipher = ChaCha20Poly1305(key)
    boxes = []
    for number, object_id, data_key in keys:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = cipher.encrypt(nonce, data_key, _box_info(submission, number, object_id))
        boxes.append(DelegatedKey(number, object_id, nonce + sealed))
    return boxes


def _split(box: bytes, broker: str) -> tuple[bytes | None, bytes]:
    """Key that a box has with it, sealed to this broker, and the box proper.

    Raises
    ------
    ValueError
        It has none for this broker, or is damaged.
    """
    if not box.startswith(_WITH_KEY):
        return None, box
    at = len(_WITH_KEY) + 1
    found = None
    for _ in range(box[at - 1] if len(box) >= at else 0):
        start = at + 1 + (box[at] if len(box) > at else 0)
        if box[at + 1 : start] == broker.encode():
            found = box[start : start + _SEALED_KEY_BYTES]
        at = start + _SEALED_KEY_BYTES
    if found is None:
        raise ValueError("no key for this broker")
    return found, box[at:]


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
    ciphers: dict[bytes, ChaCha20Poly1305] = {}
    found = []
    for one, manifest in boxes:
        try:
            own, whole = _split(one.box, identity.name)
            by = own or sealed
            if by not in ciphers:
                ciphers[by] = ChaCha20Poly1305(hpke_open(identity.encryption_private, by, info))
            nonce, box = whole[:_NONCE_BYTES], whole[_NONCE_BYTES:]
            info_of_box = _box_info(submission, one.number, one.object_id)
            data_key = ciphers[by].decrypt(nonce, box, info_of_box)
        except (IntegrityError, InvalidTag, ValueError):
            raise _refused(submission) from None
        found.append(LentKey(one.number, one.object_id, data_key, manifest))
    return found


def _key_info(submission: int, broker: str) -> bytes:
    return binding("delegation", submission, broker)


def _box_info(submission: int, number: int, object_id: str) -> bytes:
    return binding("delegated key", submission, number, object_id)


def _refused(submission: int) -> IntegrityError:
    return IntegrityError(f"the keys lent for submission {submission} are damaged or exchanged")
