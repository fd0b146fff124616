"""People of the tests: identities with keys, certified by a dictionary."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medgrid.crypto.hpke import key_pair
from medgrid.errors import Denied, IntegrityError


@dataclass(frozen=True)
class Person:
    """An identity, its private keys, and what its certificate says."""

    name: str
    roles: frozenset[str]
    encryption_private: bytes = field(repr=False)
    encryption_public: bytes
    signing_key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def draw(cls, name: str, *roles: str) -> Person:
        """Make somebody."""
        private, public = key_pair()
        return cls(name, frozenset(roles), private, public, Ed25519PrivateKey.generate())

    @property
    def signing_public(self) -> bytes:
        return self.signing_key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self.signing_key.sign(message)


class People(dict[str, Person]):
    """Everybody, by name; `trust` vouches for those who are certified."""

    @property
    def trust(self) -> Trust:
        """What the roster of a grid would say."""
        return Trust(self)

    def draw(self, name: str, *roles: str) -> Person:
        """Make somebody and certify them."""
        self[name] = Person.draw(name, *roles)
        return self[name]


class Trust:
    """Vouches for people: see `medgrid.crypto.trust.Trust`."""

    def __init__(self, people: People) -> None:
        self._people = people

    def __call__(self, name: str) -> Person:
        if name not in self._people:
            raise Denied(f"{name} has no certificate of this grid")
        return self._people[name]

    def check_signature(self, name: str, message: bytes, signature: bytes, *roles: str) -> None:
        person = self(name)
        if roles and not person.roles & set(roles):
            raise Denied(f"{name} is no {' or '.join(roles)} of this grid")
        try:
            person.signing_key.public_key().verify(signature, message)
        except InvalidSignature:
            raise IntegrityError(f"the signature of {name} is wrong") from None
