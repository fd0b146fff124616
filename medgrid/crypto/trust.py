"""Whose public keys count, and what they have signed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from medgrid.crypto.certificate import Certificate, Role
from medgrid.crypto.crypt4gh import Manifest
from medgrid.crypto.roster import Roster
from medgrid.errors import Denied, IntegrityError
from medgrid.model import ObjectId

__all__ = ["Trust"]


_WRITERS = frozenset({Role.PHYSICIAN, Role.REGISTRAR, Role.BROKER})
"""Whose word counts for what others own: who brings data in, and who brings results home."""


class Trust:
    """The grid's certificates as this home believes them; the directory is read when first asked.

    Parameters
    ----------
    read : callable
        Reads the directory of certificates.
    """

    def __init__(self, read: Callable[[], Roster]) -> None:
        self._read = read
        self._known: dict[str, Certificate] = {}
        self._signers: dict[str, list[Certificate]] = {}

    @cached_property
    def roster(self) -> Roster:
        """The directory, as it was when it was first asked."""
        return self._read()

    def __call__(self, name: str) -> Certificate:
        """Certificate of a name, which holds now.

        Raises
        ------
        NotFound
            The grid has no such identity.
        Denied
            Its certificate does not hold.
        """
        if name not in self._known:
            self._known[name] = self.roster.find(name)
        return self._known[name]

    def brokers(self) -> list[Certificate]:
        """All who may move jobs."""
        return self.roster.with_role(Role.BROKER)

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
        problem: IntegrityError | None = None
        for signer in self._certificates(manifest.signer):
            try:
                manifest.verify(signer.public.signing_public, object_id)
            except IntegrityError as exc:
                problem = exc
            else:
                return
        raise problem or Denied(f"object {object_id}: nobody vouches for its manifest")

    def vouches(self, signer: str, owner: str) -> bool:
        """Whether `signer` may describe an object of `owner`: the owner, or who writes for others.

        Raises `NotFound` or `Denied` when the signer is nobody who counts.
        """
        return signer == owner or any(one.roles & _WRITERS for one in self._certificates(signer))

    def _certificates(self, signer: str) -> list[Certificate]:
        if signer not in self._signers:
            self._signers[signer] = self.roster.signers(signer)
        return self._signers[signer]
