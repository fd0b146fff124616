"""People of the tests: identities with keys, certified by a dictionary."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medgrid.crypto.hpke import key_pair
from medgrid.errors import Denied


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

    def draw(self, name: str, *roles: str) -> Person:
        """Make somebody and certify them."""
        self[name] = Person.draw(name, *roles)
        return self[name]

    def trust(self, name: str) -> Person:
        """Certified keys of a name."""
        if name not in self:
            raise Denied(f"{name} has no certificate of this grid")
        return self[name]
