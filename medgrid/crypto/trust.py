"""Whose public keys count, and what they have signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from medgrid.crypto.certificate import Certificate, Role
from medgrid.crypto.crypt4gh import Manifest
from medgrid.crypto.identity import PublicIdentity
from medgrid.crypto.roster import Roster
from medgrid.errors import Denied, IntegrityError
from medgrid.model import ObjectId

__all__ = ["Known", "Trust"]


@dataclass(frozen=True, slots=True)
class Known:
    """Certified keys and roles of a name."""

    public: PublicIdentity
    roles: frozenset[str]

    @property
    def name(self) -> str:
        """What it is called."""
        return self.public.name

    @property
    def encryption_public(self) -> bytes:
        """X25519 public key."""
        return self.public.encryption_public

    @property
    def signing_public(self) -> bytes:
        """Ed25519 public key."""
        return self.public.signing_public


class Trust:
    """The grid's certificates as this home believes them; the directory is read when first asked.

    Parameters
    ----------
    read : callable
        Reads the directory of certificates.
    """

    def __init__(self, read: Callable[[], Roster]) -> None:
        self._read = read
        self._known: dict[str, Known] = {}
        self._signers: dict[str, list[Certificate]] = {}

    @cached_property
    def roster(self) -> Roster:
        """The directory, as it was when it was first asked."""
        return self._read()

    def __call__(self, name: str) -> Known:
        """Keys of a name whose certificate holds now.

        Raises
        ------
        NotFound
            The grid has no such identity.
        Denied
            Its certificate does not hold.
        """
        if name not in self._known:
            self._known[name] = _known(self.roster.find(name))
        return self._known[name]

    def brokers(self) -> list[Known]:
        """All who may move jobs."""
        return [_known(one) for one in self.roster.with_role(Role.BROKER)]

    def check_signature(self, name: str, message: bytes, signature: bytes, *roles: str) -> None:
        """Check that `name` signed something that is kept; see `Roster.check_signature`."""
        self.roster.check_signature(name, message, signature, *map(Role, roles))

    def verify_manifest(self, manifest: Manifest, object_id: ObjectId) -> None:
        """Check who described an object; a signature outlives its certificate.

        Raises
        ------
        NotFound, Denied
            The signer is no identity of this grid that counts.
        IntegrityError
            The signature is wrong.
        """
        if manifest.signer not in self._signers:
            self._signers[manifest.signer] = self.roster.signers(manifest.signer)
        problem: IntegrityError | None = None
        for signer in self._signers[manifest.signer]:
            try:
                manifest.verify(signer.public.signing_public, object_id)
            except IntegrityError as exc:
                problem = exc
            else:
                return
        raise problem or Denied(f"object {object_id}: nobody vouches for its manifest")


def _known(certificate: Certificate) -> Known:
    return Known(certificate.public, frozenset(map(str, certificate.roles)))
