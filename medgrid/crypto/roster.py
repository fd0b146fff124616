"""Who is who in the grid: the directory of certificates, believed as far as the pin reaches.

The directory is a table of the key store, which others may have changed. Each certificate counts
only when the registration key signed it for this very name, it has not ended and is not revoked.
The newest list of revocations that this home has seen is kept in it: an older one in the directory
is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from medgrid.crypto.certificate import Certificate, Role
from medgrid.crypto.identity import PublicIdentity
from medgrid.crypto.private_file import locked, read_private, replace_private
from medgrid.crypto.registration import load_pin
from medgrid.crypto.revocation import RevocationList
from medgrid.errors import Denied, IntegrityError, MedgridError, NotFound

__all__ = [
    "REVOKED",
    "CertificateDirectory",
    "Roster",
    "archive_name",
    "open_roster",
    "remember",
    "remembered",
]

REVOKED = ".revoked"
"""Name under which the directory keeps the list of revocations; no identity can be called so."""

_MEMORY = "revoked.json"


class CertificateDirectory(Protocol):
    """Where the grid keeps certificates; nothing it says is believed unless signed."""

    def put_certificate(self, name: str, blob: bytes) -> None:
        """Keep `blob` under `name`, in the place of what was there."""

    def certificates(self) -> Mapping[str, bytes]:
        """All that is kept."""


@dataclass(frozen=True, slots=True)
class Roster:
    """The directory as it was when it was read, and what to check it against."""

    pin: bytes
    blobs: Mapping[str, bytes]
    revoked: RevocationList

    def names(self) -> list[str]:
        """Names of all identities in the directory, whether or not they count."""
        return sorted(name for name in self.blobs if name != REVOKED and "#" not in name)

    def find(self, name: str, *roles: Role) -> Certificate:
        """Certificate of an identity that holds now and has one of `roles`, if any are named.

        Raises
        ------
        NotFound
            The grid has no such identity.
        Denied
            Its certificate is forged, for another name, ended, revoked, or lacks the role.
        """
        found = self.certificate(name)
        self._check(found)
        if roles and not found.roles & set(roles):
            raise Denied(f"{name} is no {' or '.join(roles)} of this grid")
        return found

    def check_own(self, own: PublicIdentity) -> Certificate:
        """Certificate of an identity whose private key is here; it must be for that key.

        Raises
        ------
        NotFound
            The grid has no such identity.
        Denied
            As `find`, or the certificate is for other keys.
        """
        found = self.find(own.name)
        if not found.public.has_keys_of(own):
            raise Denied(
                f"the grid knows other keys of {own.name} than this home has",
                hint=f"copy the right ones here, or choose another name than {own.name}",
            )
        return found

    def certificate(self, name: str) -> Certificate:
        """Certificate of an identity, also when it has ended or is revoked.

        Raises
        ------
        NotFound
            The grid has no such identity.
        Denied
            What the directory has is forged, or for another name.
        """
        if name not in self.blobs or name == REVOKED or "#" in name:
            raise NotFound(f"no identity {name!r}", hint="see 'medgrid identity ls'")
        return self._verified(name)

    def is_revoked(self, certificate: Certificate) -> bool:
        """Whether a certificate is on the list."""
        entry = self.revoked.entries.get(certificate.name)
        return entry is not None and certificate.serial <= entry.serial

    def problem(self, name: str) -> MedgridError | None:
        """Why `find` would refuse a name, None when it would not."""
        try:
            self.find(name)
        except MedgridError as exc:
            return exc
        return None

    def with_role(self, role: Role) -> list[Certificate]:
        """All certificates that hold now and have `role`, by name."""
        good = (self.find(name) for name in self.names() if self.problem(name) is None)
        return [found for found in good if role in found.roles]

    def signers(self, name: str) -> list[Certificate]:
        """All certificates that a signature of `name` on something kept may rest on, newest first.

        What was signed stays good when the certificate has ended, was renewed for other keys or was
        revoked, unless it was revoked because a stranger may have had the keys.

        Raises
        ------
        NotFound
            The grid has no such identity.
        Denied
            No key that it had counts.
        """
        own = [kept for kept in self.blobs if kept == name or kept.startswith(f"{name}#")]
        if name not in own:
            raise NotFound(f"no identity {name!r}", hint="see 'medgrid identity ls'")
        good: list[Certificate] = []
        problem = Denied(f"the keys of {name} were revoked as compromised")
        for kept in own:
            try:
                certificate = self._verified(kept)
            except Denied as exc:
                problem = exc
                continue
            entry = self.revoked.entries.get(name)
            if entry is None or certificate.serial > entry.compromised:
                good.append(certificate)
        if not good:
            raise problem
        return sorted(good, key=lambda certificate: certificate.serial, reverse=True)

    def check_signature(self, name: str, message: bytes, signature: bytes, *roles: Role) -> None:
        """Check that `name` signed something that is kept, in one of `roles` if any are named.

        Raises
        ------
        NotFound
            The grid has no such identity.
        Denied
            No key that it had counts, or it never had the role.
        IntegrityError
            It did not sign this.
        """
        found = [one for one in self.signers(name) if not roles or one.roles & set(roles)]
        if not found:
            raise Denied(f"{name} is no {' or '.join(roles)} of this grid")
        for number, certificate in enumerate(found, start=1):
            try:
                certificate.public.verify(message, signature)
            except IntegrityError:
                if number == len(found):
                    raise
            else:
                return

    def _verified(self, kept: str) -> Certificate:
        name = kept.partition("#")[0]
        try:
            found = Certificate.verified(self.blobs[kept], self.pin)
        except Denied as exc:
            raise Denied(
                f"what the directory has for {name} is {exc.message}", hint=exc.hint
            ) from None
        if found.name != name:
            raise Denied(
                f"what the directory has for {name} is the certificate of {found.name}",
                hint="somebody changed the directory; tell the grid's registrar",
            )
        return found

    def _check(self, certificate: Certificate) -> None:
        if self.is_revoked(certificate):
            raise Denied(
                f"the certificate of {certificate.name} is revoked",
                hint=f"the registrar can certify {certificate.name} again",
            )
        certificate.check_time()


def archive_name(certificate: Certificate) -> str:
    """Name under which the directory keeps a certificate that another one has followed."""
    return f"{certificate.name}#{certificate.serial}"


def open_roster(keys_dir: Path, directory: CertificateDirectory) -> Roster:
    """Read the directory, and check its list of revocations.

    Raises
    ------
    ConfigError
        This home has no pin.
    Denied
        The list of revocations is forged, or older than one that this home has seen.
    """
    pin = load_pin(keys_dir)
    blobs = dict(directory.certificates())
    found = RevocationList.verified(blobs[REVOKED], pin) if REVOKED in blobs else RevocationList()
    remember(keys_dir, pin, found)
    return Roster(pin, blobs, found)


def remembered(keys_dir: Path, pin: bytes) -> RevocationList:
    """Newest list of revocations that this home has seen."""
    file = keys_dir / _MEMORY
    if not file.exists():
        return RevocationList()
    return RevocationList.verified(read_private(file, "list", public=True), pin)


def remember(keys_dir: Path, pin: bytes, found: RevocationList) -> None:
    """Keep a list that this home has seen when it is newer.

    Raises
    ------
    Denied
        It is older than one that was seen before, or does not follow it.
    """
    known = remembered(keys_dir, pin)
    _check_follows(keys_dir, known, found)
    if found.number > known.number:
        with locked(keys_dir):
            known = remembered(keys_dir, pin)
            if found.number > known.number:
                _check_follows(keys_dir, known, found)
                replace_private(keys_dir / _MEMORY, found.blob)


def _check_follows(keys_dir: Path, known: RevocationList, found: RevocationList) -> None:
    if found.number < known.number:
        raise Denied(
            f"the directory's list of revocations is number {found.number}, but number "
            f"{known.number} was seen before",
            hint=f"somebody put an old one back; 'medgrid identity add {keys_dir / _MEMORY}' "
            "repairs that",
        )
    if not found.covers(known) or (found.number == known.number and found.blob != known.blob):
        raise Denied(
            f"the directory's list of revocations, number {found.number}, does not follow the one "
            "seen before",
            hint="the registrar can make a new one with 'medgrid identity revoke NAME'",
        )
