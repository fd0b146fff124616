"""Identities: make, certify, publish, list, revoke; and the pin.

None of this needs a catalog. Making, certifying and pinning need no directory either, so that the
registration key can stay on a computer without a network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medgrid.config import Settings, private_dir
from medgrid.crypto.certificate import Certificate, Request, Role
from medgrid.crypto.identity import Identity, PublicIdentity, check_identity_name
from medgrid.crypto.identity_files import (
    adopt_ssh_key,
    certificate_file,
    create_identity,
    identity_names,
    load_request,
    request_file,
)
from medgrid.crypto.private_file import replace_private
from medgrid.crypto.registration import (
    Registrar,
    load_pin,
    pin_file,
    pin_fingerprint,
    put_pin,
    read_pin,
)
from medgrid.crypto.revocation import Revocation, RevocationList
from medgrid.crypto.roster import (
    REVOKED,
    CertificateDirectory,
    Roster,
    archive_name,
    open_roster,
    remember,
    remembered,
)
from medgrid.errors import Denied, MedgridError, NotFound, UsageError

if TYPE_CHECKING:
    from medgrid.crypto.keystore import KeyStore

__all__ = [
    "Certified",
    "Listed",
    "Made",
    "Pin",
    "Published",
    "certify",
    "list_identities",
    "make_identity",
    "open_directory",
    "pin",
    "publish",
    "read_request",
    "revoke",
    "still_held",
]

_MAX_BYTES = 1024 * 1024
Ask = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Made:
    """A new identity of this home, and the request that the registrar certifies."""

    public: PublicIdentity
    request: Path


@dataclass(frozen=True, slots=True)
class Certified:
    """A new certificate, and where it was written."""

    certificate: Certificate
    file: Path


@dataclass(frozen=True, slots=True)
class Published:
    """What was put into the directory: a certificate, or a list of revocations."""

    what: str
    name: str
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One identity that the directory or this home knows.

    `state` is ``valid``, ``ended``, ``revoked``, ``refused`` (forged, or for another name) or
    ``uncertified`` (kept here, not in the directory). `is_here` says whether its private key is.
    """

    name: str
    state: str
    roles: tuple[Role, ...]
    until_s: int | None
    fingerprint: str | None
    is_here: bool
    problem: MedgridError | None


@dataclass(frozen=True, slots=True)
class Pin:
    """The registration key that this home believes."""

    file: Path
    fingerprint: str
    is_new: bool


def open_directory(settings: Settings) -> KeyStore:
    """Open the key store, which keeps the directory; the caller closes it.

    Raises
    ------
    ConfigError
        There is none.
    """
    from medgrid.actions.keys import open_keystore

    return open_keystore(settings, settings.user)


def make_identity(
    settings: Settings,
    name: str,
    passphrase: bytes | None = None,
    *,
    ssh_file: Path | None = None,
    ask: Ask | None = None,
) -> Made:
    """Make an identity in this home.

    Parameters
    ----------
    settings : Settings
    name : str
    passphrase : bytes, optional
        What its key is put behind; not used for an OpenSSH key.
    ssh_file : Path, optional
        OpenSSH ed25519 key to be the identity.
    ask : callable, optional
        Gives the passphrase of the OpenSSH key.
    """
    private_dir(settings.home)
    keys_dir = private_dir(settings.keys_dir)
    if ssh_file is not None:
        identity: Identity = adopt_ssh_key(keys_dir, name, ssh_file, ask)
    else:
        identity = create_identity(keys_dir, name, passphrase)
    return Made(identity.public, request_file(keys_dir, name))


def read_request(keys_dir: Path, word: str) -> tuple[Request, Path]:
    """Request that a word names: a file, or an identity of this home.

    Raises
    ------
    NotFound
        There is neither.
    Denied
        The file is no request.
    """
    file = Path(word)
    if not file.exists():
        own = request_file(keys_dir, word) if "/" not in word else file
        if not own.exists():
            raise NotFound(f"{word}: no such file, and no identity of this home")
        file = own
    try:
        return Request.from_bytes(_read(file)), file
    except Denied as exc:
        raise Denied(f"{file}: {exc.message}", hint=exc.hint) from None


def certify(
    request: Request,
    file: Path,
    roles: Collection[Role],
    until_s: int,
    registrar: Registrar,
    folder: Path | None = None,
) -> Certified:
    """Make the certificate that a request asks for, and write it to ``NAME.cert``.

    Parameters
    ----------
    request : Request
    file : Path
        Where the request came from; the certificate is written beside it.
    roles : collection of Role
    until_s : int
        Last second of the certificate.
    registrar : Registrar
    folder : Path, optional
        Where to write the certificate instead.
    """
    made = Certificate.issue(request, roles, until_s, registrar.sign)
    target = (file.parent if folder is None else folder) / f"{made.name}.cert"
    replace_private(target, made.blob)
    return Certified(made, target)


def publish(keys_dir: Path, directory: CertificateDirectory, file: Path) -> Published:
    """Put a certificate, or a list of revocations, into the grid's directory.

    The certificate that it follows is kept, for what was signed under it.

    Raises
    ------
    NotFound
        There is no such file.
    Denied
        The grid's registration key did not make it; it has ended, is revoked or is older than what
        the directory has; or the name has other keys that are not revoked.
    """
    blob = _read(file)
    try:
        if b'"medgrid.revocations/' in blob:
            return _publish_list(keys_dir, directory, blob)
        return _publish_certificate(keys_dir, open_roster(keys_dir, directory), directory, blob)
    except Denied as exc:
        raise Denied(f"{file}: {exc.message}", hint=exc.hint) from None


def _publish_certificate(
    keys_dir: Path, roster: Roster, directory: CertificateDirectory, blob: bytes
) -> Published:
    new = Certificate.verified(blob, roster.pin)
    new.check_time()
    if roster.is_revoked(new):
        raise Denied(
            f"the certificate of {new.name} is revoked",
            hint=f"the registrar can certify {new.name} again",
        )
    current = _current(roster, new.name)
    if current is not None and current.blob != blob:
        if new.serial <= current.serial:
            raise Denied(f"the directory has a newer certificate of {new.name}")
        if not new.public.has_keys_of(current.public) and not roster.is_revoked(current):
            raise Denied(
                f"{new.name} has a certificate for other keys",
                hint=f"if {new.name} lost them, the registrar says 'medgrid identity revoke "
                f"{new.name}', and certifies the new ones after that",
            )
        directory.put_certificate(archive_name(current), current.blob)
    directory.put_certificate(new.name, blob)
    own = request_file(keys_dir, new.name)
    if own.exists() and load_request(keys_dir, new.name) == new.public:
        replace_private(certificate_file(keys_dir, new.name), blob)
    return Published("certificate", new.name, new)


def _current(roster: Roster, name: str) -> Certificate | None:
    """Certificate that the directory has for a name; one that nobody believes may be replaced."""
    try:
        return roster.certificate(name)
    except (Denied, NotFound):
        return None


def _publish_list(keys_dir: Path, directory: CertificateDirectory, blob: bytes) -> Published:
    key = load_pin(keys_dir)
    new = RevocationList.verified(blob, key)
    there = _published_list(directory, key)
    if new.number < there.number:
        raise Denied(f"the directory has a newer list of revocations, number {there.number}")
    if not new.covers(remembered(keys_dir, key)):
        raise Denied("this list of revocations leaves out what an earlier one had")
    directory.put_certificate(REVOKED, blob)
    return Published("revocations", str(new.number))


def _published_list(directory: CertificateDirectory, key: bytes) -> RevocationList:
    """List that the directory has; one that nobody believes may be replaced."""
    try:
        return RevocationList.verified(directory.certificates()[REVOKED], key)
    except (Denied, KeyError):
        return RevocationList()


def revoke(
    keys_dir: Path,
    directory: CertificateDirectory | None,
    names: Iterable[str],
    registrar: Callable[[], Registrar],
    *,
    compromised: bool = False,
    file: Path | None = None,
) -> RevocationList:
    """Revoke all certificates that these names have up to now.

    Parameters
    ----------
    keys_dir : Path
    directory : CertificateDirectory, optional
        None where the grid cannot be reached.
    names : iterable of str
    registrar : callable
        Opens the registration key, when the names are known to be right.
    compromised : bool
        A stranger may have had the keys: what they signed counts no more either.
    file : Path, optional
        Write the list there, for 'identity add', and not into the directory. A list that is there
        already is gone on from.

    Raises
    ------
    NotFound
        The directory has no such identity; nothing is revoked.
    """
    names = list(names)
    have = directory.certificates() if directory is not None else {}
    for name in names:
        check_identity_name(name)
        if directory is not None and name not in have:
            raise NotFound(f"no identity {name!r}", hint="see 'medgrid identity ls'")
    key = registrar()
    lists = [remembered(keys_dir, key.public)]
    if directory is not None:
        lists.append(_published_list(directory, key.public))
    if file is not None and file.exists():
        lists.append(RevocationList.verified(_read(file), key.public))
    newest = max(lists, key=lambda found: found.number)
    # what is on any of them stays revoked: two registrars may have revoked at once
    now = time.time_ns() // 1000
    entry = Revocation(now, now if compromised else 0)
    merged = newest.with_entries(dict.fromkeys(names, entry))
    for other in lists:
        merged = merged.with_entries(other.entries)
    made = newest.followed_by(merged.entries, newest.number + 1, key.sign)
    if file is not None:
        replace_private(file, made.blob)
    elif directory is not None:
        directory.put_certificate(REVOKED, made.blob)
    remember(private_dir(keys_dir), key.public, made)
    return made


def still_held(store: KeyStore, name: str) -> tuple[int, int]:
    """How many objects somebody has grants on, and of how many patients they have the key."""
    patients = {one.patient for one in store.compartments_of(name)}
    return len({one.object_id for one in store.grants(name)}), len(patients)


def list_identities(keys_dir: Path, directory: CertificateDirectory | None) -> list[Listed]:
    """All identities that the directory or this home knows, by name."""
    here = set(identity_names(keys_dir))
    found: dict[str, Listed] = {}
    roster = open_roster(keys_dir, directory) if directory is not None else None
    for name in roster.names() if roster is not None else ():
        assert roster is not None  # noqa: S101 - for the type checker
        found[name] = _listed(roster, name, _own(keys_dir, name) if name in here else None)
    for name in here - found.keys():
        found[name] = _own(keys_dir, name)
    return [found[name] for name in sorted(found)]


def _listed(roster: Roster, name: str, own: Listed | None) -> Listed:
    certificate = _current(roster, name)
    problem = roster.problem(name)
    if certificate is None:
        return Listed(name, "refused", (), None, None, own is not None, problem)
    state = "valid"
    if problem is not None:
        state = "revoked" if roster.is_revoked(certificate) else "ended"
    shown = certificate.public.fingerprint
    roles = tuple(sorted(certificate.roles))
    is_here = own is not None and own.fingerprint == shown
    if own is not None and not is_here:
        problem = own.problem or Denied(f"this home has other keys of {name}")
    return Listed(name, state, roles, certificate.not_after_s, shown, is_here, problem)


def _own(keys_dir: Path, name: str) -> Listed:
    """What this home knows of an identity whose private key it has."""
    try:
        shown = load_request(keys_dir, name).fingerprint
    except MedgridError as exc:
        return Listed(name, "refused", (), None, None, True, exc)
    return Listed(name, "uncertified", (), None, shown, True, None)


def pin(settings: Settings, file: Path | None = None) -> Pin:
    """Show the registration key that this home believes; with a file, believe that one from now on.

    Raises
    ------
    Denied
        This home believes another one.
    """
    is_new = False
    if file is not None:
        private_dir(settings.home)
        is_new = put_pin(private_dir(settings.keys_dir), read_pin(_read(file), file))
    return Pin(pin_file(settings.keys_dir), pin_fingerprint(load_pin(settings.keys_dir)), is_new)


def _read(file: Path) -> bytes:
    """Content of a file that its own signature protects."""
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"{file}: no such file") from None
    except OSError as exc:
        raise UsageError(f"{file}: cannot be read: {exc.strerror}") from exc
    if len(data) > _MAX_BYTES:
        raise UsageError(f"{file}: larger than {_MAX_BYTES} bytes")
    return data
