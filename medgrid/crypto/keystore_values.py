"""What goes into the key store and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from medgrid.model import DataClass, ObjectId

__all__ = [
    "Compartment",
    "CompartmentId",
    "DelegatedKey",
    "GrantRow",
    "HeaderRow",
    "Released",
    "Seal",
    "Signer",
    "Trust",
    "Trusted",
    "WrapRow",
]


class Signer(Protocol):
    """An identity with its private keys."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def encryption_private(self) -> bytes:
        """X25519 private key."""

    def sign(self, message: bytes) -> bytes:
        """Ed25519 signature."""


class Trusted(Protocol):
    """Public keys of an identity whose certificate was verified."""

    @property
    def encryption_public(self) -> bytes:
        """X25519 public key."""

    @property
    def signing_public(self) -> bytes:
        """Ed25519 public key."""

    @property
    def roles(self) -> frozenset[str]:
        """What its certificate says it is."""


class Trust(Protocol):
    """Says whose keys and signatures count."""

    def __call__(self, name: str) -> Trusted:
        """Certified keys of a name; raises `Denied` or `NotFound` when it has none that hold."""

    def check_signature(self, name: str, message: bytes, signature: bytes, *roles: str) -> None:
        """Check that `name`, as one of `roles`, signed what is kept; this outlives certificates.

        Raises
        ------
        Denied, NotFound
            No key that it had counts, or it never had the role.
        IntegrityError
            It did not sign this.
        """


class CompartmentId(NamedTuple):
    """One revision of the key of a patient's data of one class."""

    patient: str
    data_class: DataClass
    revision: int


@dataclass(frozen=True, slots=True)
class Compartment:
    """A compartment's public key and who vouches for it; `signature` is over `signed_bytes`."""

    id: CompartmentId
    public_key: bytes
    signer: str
    signature: bytes

    def signed_bytes(self) -> bytes:
        """What the signature is over."""
        from medgrid.crypto.hpke import binding

        return binding("compartment", *self.id, self.public_key, self.signer)


class WrapRow(NamedTuple):
    """Private key of a compartment, sealed to one recipient."""

    id: CompartmentId
    recipient: str
    sealed: bytes


class HeaderRow(NamedTuple):
    """Crypt4GH header of an object.

    It is sealed to the compartment `revision` of its patient when there is no `recipient`, else to
    that recipient.
    """

    object_id: ObjectId
    patient: str | None
    data_class: DataClass
    revision: int | None
    recipient: str | None
    header: bytes
    manifest: bytes


class GrantRow(NamedTuple):
    """Crypt4GH header of an object, sealed again to one who may read it until `until_s`."""

    object_id: ObjectId
    recipient: str
    until_s: float
    granted_by: str
    header: bytes


@dataclass(frozen=True, slots=True)
class Released:
    """A header that was given out, and what it takes to open it.

    `recipient` is "" when it is sealed to the compartment `compartment`, else who opens it with
    their own key. `until_s` is the end of the grant that it was given out for.
    """

    object_id: ObjectId
    patient: str | None
    data_class: DataClass
    revision: int | None
    recipient: str
    header: bytes
    manifest: bytes
    until_s: float | None = None

    @property
    def compartment(self) -> CompartmentId | None:
        """Compartment that the header is sealed to, None when it is sealed to a person."""
        if self.recipient or self.patient is None or self.revision is None:
            return None
        return CompartmentId(self.patient, self.data_class, self.revision)


class Seal(NamedTuple):
    """What names a patient, sealed to revision `revision` of the nominative compartment."""

    patient: str
    revision: int
    sealed: bytes


class DelegatedKey(NamedTuple):
    """Data key of the input `object_id` of job `number`, in a box for the brokers."""

    number: int
    object_id: ObjectId
    box: bytes
