"""Identities in a grid home: ``keys/identities/``.

==================== =========================================================================
``NAME.c4gh``        private key of the identity, in Crypt4GH's own format
``NAME.identity``    instead of it: which OpenSSH key is the identity; the key is not copied
``NAME.pub``         what the registrar certifies, and what may be sent to anybody
``NAME.cert``        the certificate, a copy of what the grid's directory has
==================== =========================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from medgrid.crypto.certificate import Request
from medgrid.crypto.identity import Identity, PublicIdentity, check_identity_name, new_secret
from medgrid.crypto.keyfile import BadKeyFile, WrongPassphrase, is_locked, read_key, write_key
from medgrid.crypto.openssh import is_locked_ssh, read_ssh_seed
from medgrid.crypto.private_file import create_private, locked, read_private, replace_private
from medgrid.crypto.signed import canonical
from medgrid.errors import AlreadyExists, ConfigError, Denied, UsageError

__all__ = [
    "adopt_ssh_key",
    "certificate_file",
    "change_passphrase",
    "check_new",
    "create_identity",
    "has_identity",
    "identity_is_locked",
    "identity_names",
    "key_file",
    "load_identity",
    "load_request",
    "own_key_file",
    "request_file",
]

_POINTER = "medgrid.identity-file/1"


def _folder(keys_dir: Path) -> Path:
    return keys_dir / "identities"


def _file(keys_dir: Path, name: str, ending: str) -> Path:
    return _folder(keys_dir) / f"{check_identity_name(name)}.{ending}"


def request_file(keys_dir: Path, name: str) -> Path:
    """Where the request of an identity lies."""
    return _file(keys_dir, name, "pub")


def certificate_file(keys_dir: Path, name: str) -> Path:
    """Where the certificate of an identity lies, when it has one."""
    return _file(keys_dir, name, "cert")


def key_file(keys_dir: Path, name: str) -> Path:
    """File that holds the private key of an identity.

    Raises
    ------
    ConfigError
        There is none here.
    """
    pointer = _file(keys_dir, name, "identity")
    if pointer.exists():
        return _pointed(pointer)
    file = _file(keys_dir, name, "c4gh")
    if not file.exists():
        raise ConfigError(
            f"there is no identity {name} here",
            hint=f"make one with 'medgrid identity create {name}', or copy its files to "
            f"{_folder(keys_dir)}",
        )
    return file


def has_identity(keys_dir: Path, name: str) -> bool:
    """Whether the private key of `name` is kept here."""
    return any(_file(keys_dir, name, ending).exists() for ending in ("c4gh", "identity"))


def check_new(keys_dir: Path, name: str) -> None:
    """Check that no identity of this name is kept here.

    Raises
    ------
    AlreadyExists
        There is one.
    """
    if has_identity(keys_dir, name):
        raise AlreadyExists(
            f"there is an identity {name} already",
            hint=f"its key is {key_file(keys_dir, name)}; if its passphrase is forgotten, move it "
            "away and see 'medgrid recovery restore --help'",
        )


def identity_names(keys_dir: Path) -> list[str]:
    """Names of the identities whose private keys are kept here."""
    found = {file.stem for ending in ("c4gh", "identity") for file in _all(keys_dir, ending)}
    return sorted(found)


def _all(keys_dir: Path, ending: str) -> list[Path]:
    return [file for file in _folder(keys_dir).glob(f"*.{ending}") if file.name[0] != "."]


def create_identity(keys_dir: Path, name: str, passphrase: bytes | None) -> Identity:
    """Draw the key of a new identity and keep it, with its request.

    Parameters
    ----------
    keys_dir : Path
        Directory of this home's secrets.
    name : str
        What it is called; Settings.user for one's own.
    passphrase : bytes, optional
        None leaves the key unprotected but for the file's mode.

    Raises
    ------
    AlreadyExists
        There is one of this name.
    """
    secret = new_secret()
    identity = Identity.from_secret(name, secret)
    _keep(keys_dir, identity, "c4gh", write_key(secret, passphrase, name))
    return identity


def adopt_ssh_key(
    keys_dir: Path, name: str, ssh_file: Path, passphrase: Callable[[], bytes] | None = None
) -> Identity:
    """Let an OpenSSH ed25519 key be an identity; it stays where it is and is not copied.

    Raises
    ------
    AlreadyExists
        There is an identity of this name.
    UsageError
        The file is no OpenSSH ed25519 key.
    Denied
        The key's passphrase is wrong or not given.
    """
    ssh_file = ssh_file.expanduser().absolute()
    check_identity_name(name)
    try:
        identity = _from_ssh(name, ssh_file, passphrase)
    except ConfigError as exc:
        raise UsageError(exc.message, hint=exc.hint) from None
    pointer = canonical({"schema": _POINTER, "name": name, "ssh_key": str(ssh_file)})
    _keep(keys_dir, identity, "identity", pointer)
    return identity


def _keep(keys_dir: Path, identity: Identity, ending: str, data: bytes) -> None:
    """Write the request first: a key without one would be of no use to anybody."""
    with locked(_folder(keys_dir)):
        check_new(keys_dir, identity.name)
        replace_private(request_file(keys_dir, identity.name), Request.of(identity).blob)
        create_private(_file(keys_dir, identity.name, ending), data)


def load_identity(
    keys_dir: Path, name: str, passphrase: Callable[[], bytes] | None = None
) -> Identity:
    """Open an identity that is kept here.

    Parameters
    ----------
    keys_dir : Path
        Directory of this home's secrets.
    name : str
        Which one.
    passphrase : callable, optional
        Asked only when there is need.

    Raises
    ------
    ConfigError
        There is none of this name, its file is no key, or others can read it.
    Denied
        The passphrase is wrong or not given, or the key is not the one of the request.
    """
    file = key_file(keys_dir, name)
    if _file(keys_dir, name, "identity").exists():
        identity = _from_ssh(name, file, passphrase)
    else:
        identity = Identity.from_secret(name, _open(name, file, passphrase))
    request = request_file(keys_dir, name)
    if request.exists() and not load_request(keys_dir, name).has_keys_of(identity.public):
        raise Denied(
            f"the key of identity {name} is another than the one it was made with",
            hint=f"the key is {file}, what is known of it {request}",
        )
    return identity


def load_request(keys_dir: Path, name: str) -> PublicIdentity:
    """Public half of an identity that is kept here; needs no passphrase.

    Raises
    ------
    ConfigError
        There is none.
    Denied
        The file was changed.
    """
    file = request_file(keys_dir, name)
    found = Request.from_bytes(read_private(file, "request", public=True)).public
    if found.name != name:
        raise Denied(f"{file}: is the request of {found.name}")
    return found


def identity_is_locked(keys_dir: Path, name: str) -> bool:
    """Whether the private key of an identity is behind a passphrase."""
    file = key_file(keys_dir, name)
    data = read_private(file, "key")
    try:
        is_ssh = _file(keys_dir, name, "identity").exists()
        return is_locked_ssh(data) if is_ssh else is_locked(data)
    except BadKeyFile as exc:
        raise ConfigError(f"{file}: {exc}") from None


def change_passphrase(
    keys_dir: Path, name: str, old: Callable[[], bytes] | None, new: bytes | None
) -> None:
    """Put an identity's key behind another passphrase, or none.

    Raises
    ------
    UsageError
        The identity is an OpenSSH key.
    Denied
        The old passphrase is wrong or not given; nothing is changed.
    """
    file = own_key_file(keys_dir, name)
    with locked(_folder(keys_dir)):
        secret = _open(name, file, old)
        replace_private(file, write_key(secret, new, name))


def own_key_file(keys_dir: Path, name: str) -> Path:
    """File of an identity's key that is medgrid's own, so that its passphrase can be changed here.

    Raises
    ------
    UsageError
        The identity is an OpenSSH key.
    """
    file = key_file(keys_dir, name)
    if _file(keys_dir, name, "identity").exists():
        raise UsageError(
            f"identity {name} is an OpenSSH key", hint=f"say 'ssh-keygen -p -f {file}'"
        )
    return file


def _open(name: str, file: Path, passphrase: Callable[[], bytes] | None) -> bytes:
    data = read_private(file, "key")
    try:
        if not is_locked(data):
            return read_key(data)
        return read_key(data, _ask(name, passphrase))
    except BadKeyFile as exc:
        raise ConfigError(f"{file}: {exc}") from None
    except WrongPassphrase:
        raise Denied(f"wrong passphrase for identity {name}") from None


def _from_ssh(name: str, file: Path, passphrase: Callable[[], bytes] | None) -> Identity:
    data = read_private(file, "key")
    try:
        given = _ask(name, passphrase) if is_locked_ssh(data) else None
        return Identity.from_ssh_seed(name, read_ssh_seed(data, given))
    except BadKeyFile as exc:
        raise ConfigError(f"{file}: {exc}") from None
    except WrongPassphrase:
        raise Denied(f"wrong passphrase for identity {name}") from None


def _ask(name: str, passphrase: Callable[[], bytes] | None) -> bytes:
    if passphrase is None:
        raise Denied(f"identity {name} is behind a passphrase, and none is given")
    return passphrase()


def _pointed(pointer: Path) -> Path:
    """OpenSSH key that an ``.identity`` file names."""
    try:
        document = json.loads(read_private(pointer, "identity", public=True))
        if document["schema"] == _POINTER:
            return Path(document["ssh_key"])
    except (ValueError, TypeError, KeyError):
        pass
    raise ConfigError(f"{pointer}: does not name an OpenSSH key")
