"""The identities of a new grid home: nobody is asked, and a second run changes nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from medgrid.config import private_dir
from medgrid.crypto.certificate import Certificate, Request, Role
from medgrid.crypto.identity_files import (
    certificate_file,
    create_identity,
    has_identity,
    load_request,
    request_file,
)
from medgrid.crypto.private_file import read_private, replace_private
from medgrid.crypto.registration import (
    Registrar,
    create_registration,
    load_pin,
    load_registrar,
    pin_file,
    registration_file,
    registration_is_locked,
)
from medgrid.crypto.roster import CertificateDirectory
from medgrid.errors import AlreadyExists, Denied

__all__ = ["BROKER", "MadeKey", "make_grid_identities"]

BROKER = "broker"
"""The identity that a grid's broker acts as, unless told otherwise."""

_OWN_ROLES = (Role.PHYSICIAN, Role.RESEARCHER, Role.REGISTRAR)
_VALID_S = 10 * 365 * 86400


@dataclass(frozen=True, slots=True)
class MadeKey:
    """One key of a grid home, and whether this run made it.

    `what` is ``registration`` or ``identity``. `state` is ``made``, ``there`` (it was there
    before), ``uncertified`` (the registrar has to certify the request `file`), or ``missing`` (the
    grid was made elsewhere, and its registrar has what belongs at `file`).
    """

    what: str
    name: str
    file: Path
    state: str


def make_grid_identities(
    keys_dir: Path, user: str, directory: CertificateDirectory | None = None
) -> list[MadeKey]:
    """Make what a home lacks: a registration key, and the identities of its user and its broker.

    None of them has a passphrase. Several processes may do this at once.

    Parameters
    ----------
    keys_dir : Path
        Directory of this home's secrets.
    user : str
        Name of the user's own identity; becomes physician, researcher and registrar.
    directory : CertificateDirectory, optional
        Where to publish the certificates. When it has some, of a registration key that is not here,
        then no other registration key is made, and no broker.

    Raises
    ------
    UsageError
        No identity can be called `user`.
    """
    private_dir(keys_dir)
    is_joining = (
        directory is not None and bool(directory.certificates()) and not pin_file(keys_dir).exists()
    )
    made, registrar = _registration(keys_dir, is_joining)
    found = [made]
    wanted = {user: _OWN_ROLES}
    if not is_joining:
        wanted[BROKER] = (*wanted.get(BROKER, ()), Role.BROKER)
    for name, roles in wanted.items():
        found.append(_identity(keys_dir, name, roles, registrar, directory))
    return found


def _registration(keys_dir: Path, is_joining: bool) -> tuple[MadeKey, Registrar | None]:
    """Registration key of this home, opened when that needs no passphrase."""
    file, state = registration_file(keys_dir), "there"
    if is_joining and not file.exists():
        return MadeKey("registration", "registration", pin_file(keys_dir), "missing"), None
    if not pin_file(keys_dir).exists():
        try:
            create_registration(keys_dir, None)
            state = "made"
        except AlreadyExists:
            pass
    if not file.exists() or registration_is_locked(keys_dir):
        return MadeKey("registration", "registration", file, state), None
    return MadeKey("registration", "registration", file, state), load_registrar(keys_dir)


def _identity(
    keys_dir: Path,
    name: str,
    roles: tuple[Role, ...],
    registrar: Registrar | None,
    directory: CertificateDirectory | None,
) -> MadeKey:
    state = "there"
    if not has_identity(keys_dir, name):
        try:
            create_identity(keys_dir, name, None)
            state = "made"
        except AlreadyExists:
            pass
    certificate = _kept(keys_dir, name)
    if certificate is None and registrar is not None:
        file = request_file(keys_dir, name)
        request = Request.from_bytes(read_private(file, "request", public=True))
        until_s = int(time.time()) + _VALID_S
        certificate = Certificate.issue(request, roles, until_s, registrar.sign)
        replace_private(certificate_file(keys_dir, name), certificate.blob)
    if certificate is None:
        return MadeKey("identity", name, request_file(keys_dir, name), "uncertified")
    if directory is not None and name not in directory.certificates():
        directory.put_certificate(name, certificate.blob)
    return MadeKey("identity", name, request_file(keys_dir, name), state)


def _kept(keys_dir: Path, name: str) -> Certificate | None:
    """Certificate that this home has of an identity, when it holds and is for its keys."""
    file = certificate_file(keys_dir, name)
    if not file.exists() or not pin_file(keys_dir).exists():
        return None
    try:
        blob = read_private(file, "certificate", public=True)
        found = Certificate.verified(blob, load_pin(keys_dir))
        found.check_time()
    except Denied:
        return None
    return found if found.public == load_request(keys_dir, name) else None
