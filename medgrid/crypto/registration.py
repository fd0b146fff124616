"""The grid's registration key: its signature alone makes a certificate.

The private half, ``registration.key``, is needed to certify and to revoke, and can lie on a stick
in a safe meanwhile. The public half, ``registration.pub``, is pinned: each grid home has a copy of
its own and believes no other. It is one line as ssh-keygen(1) reads it, so that
``ssh-keygen -lf registration.pub`` shows the fingerprint to compare.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from medgrid.crypto.identity import derive_seed, fingerprint, new_secret
from medgrid.crypto.keyfile import BadKeyFile, WrongPassphrase, is_locked, read_key, write_key
from medgrid.crypto.private_file import create_private, locked, read_private, replace_private
from medgrid.errors import AlreadyExists, ConfigError, Denied

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "Registrar",
    "change_registration_passphrase",
    "create_registration",
    "load_pin",
    "load_registrar",
    "pin_fingerprint",
    "pin_file",
    "put_pin",
    "read_pin",
    "registration_file",
    "registration_is_locked",
]

_COMMENT = "medgrid registration"
_KIND = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"


@dataclass(frozen=True, slots=True)
class Registrar:
    """The registration key, private half and all."""

    public: bytes
    _signer: Ed25519PrivateKey = field(repr=False, compare=False)

    @classmethod
    def from_secret(cls, secret: bytes) -> Self:
        """Make the registration key whose file holds `secret`, 32 bytes."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        signer = Ed25519PrivateKey.from_private_bytes(derive_seed(secret, _COMMENT.encode()))
        return cls(signer.public_key().public_bytes_raw(), signer)

    def sign(self, message: bytes) -> bytes:
        """Ed25519 signature, 64 bytes."""
        return self._signer.sign(message)


def registration_file(keys_dir: Path) -> Path:
    """Where the private half lies, when it is not kept elsewhere."""
    return keys_dir / "registration.key"


def pin_file(keys_dir: Path) -> Path:
    """Where the public half lies."""
    return keys_dir / "registration.pub"


def create_registration(keys_dir: Path, passphrase: bytes | None) -> Registrar:
    """Draw the registration key of a new grid, and pin it.

    Raises
    ------
    AlreadyExists
        There is one, or the home belongs to a grid that has one.
    """
    with locked(keys_dir):
        if pin_file(keys_dir).exists():
            raise AlreadyExists("this grid has a registration key already")
        secret = new_secret()
        if not create_private(registration_file(keys_dir), write_key(secret, passphrase, _COMMENT)):
            raise AlreadyExists("this grid has a registration key already")
        registrar = Registrar.from_secret(secret)
        put_pin(keys_dir, registrar.public)
        return registrar


def load_registrar(
    keys_dir: Path, passphrase: Callable[[], bytes] | None = None, file: Path | None = None
) -> Registrar:
    """Open the registration key.

    Parameters
    ----------
    keys_dir : Path
        Directory of this home's secrets, with the pin.
    passphrase : callable, optional
        Asked only when there is need.
    file : Path, optional
        Key file; the default is ``registration.key`` in `keys_dir`.

    Raises
    ------
    ConfigError
        There is no such file, or it is no key.
    Denied
        The passphrase is wrong or not given, or the key is not the one that is pinned.
    """
    registrar = Registrar.from_secret(_open(file or registration_file(keys_dir), passphrase))
    if pin_file(keys_dir).exists():
        if load_pin(keys_dir) != registrar.public:
            raise Denied(
                "the registration key is another than the one pinned here",
                hint=f"the pin is {pin_file(keys_dir)}",
            )
    elif file is None:
        put_pin(keys_dir, registrar.public)
    return registrar


def registration_is_locked(keys_dir: Path, file: Path | None = None) -> bool:
    """Whether the registration key is behind a passphrase."""
    file = file or registration_file(keys_dir)
    try:
        return is_locked(read_private(file, "registration key"))
    except BadKeyFile as exc:
        raise ConfigError(f"{file}: {exc}") from None


def change_registration_passphrase(
    keys_dir: Path,
    old: Callable[[], bytes] | None,
    new: bytes | None,
    file: Path | None = None,
) -> None:
    """Put the registration key behind another passphrase, or none."""
    file = file or registration_file(keys_dir)
    with locked(file.parent):
        secret = _open(file, old)
        replace_private(file, write_key(secret, new, _COMMENT))


def _open(file: Path, passphrase: Callable[[], bytes] | None) -> bytes:
    data = read_private(file, "registration key")
    try:
        if not is_locked(data):
            return read_key(data)
        if passphrase is None:
            raise Denied("the registration key is behind a passphrase, and none is given")
        return read_key(data, passphrase())
    except BadKeyFile as exc:
        raise ConfigError(f"{file}: {exc}") from None
    except WrongPassphrase:
        raise Denied("wrong passphrase for the registration key") from None


def load_pin(keys_dir: Path) -> bytes:
    """Public half of the registration key, as this home pinned it, 32 bytes.

    Raises
    ------
    ConfigError
        There is no pin, it is none, or others can change it.
    """
    file = pin_file(keys_dir)
    if not file.exists():
        raise ConfigError(
            f"{file}: no such pin",
            hint="get registration.pub from the grid's registrar, and say "
            "'medgrid identity pin FILE'",
        )
    return read_pin(read_private(file, "pin", public=True), file)


def read_pin(data: bytes, file: Path) -> bytes:
    """Public half of a registration key in the content of `file`.

    Raises
    ------
    ConfigError
        It is none.
    """
    words = data.split()
    try:
        if len(words) >= 2 and words[0] == b"ssh-ed25519":
            wire = base64.b64decode(words[1], validate=True)
            if wire.startswith(_KIND) and len(wire) == len(_KIND) + 32:
                return wire[len(_KIND) :]
    except binascii.Error:
        pass
    raise ConfigError(f"{file}: not the public half of a registration key")


def put_pin(keys_dir: Path, public: bytes) -> bool:
    """Pin the public half of a registration key; False when it is pinned already.

    Raises
    ------
    Denied
        Another one is pinned.
    """
    line = b"ssh-ed25519 " + base64.b64encode(_KIND + public) + b" medgrid-registration\n"
    if create_private(pin_file(keys_dir), line):
        return True
    if load_pin(keys_dir) != public:
        raise Denied(
            "another registration key is pinned here",
            hint=f"the pin is {pin_file(keys_dir)}; a home belongs to one grid",
        )
    return False


def pin_fingerprint(public: bytes) -> str:
    """What people compare of the pin; ``ssh-keygen -lf registration.pub`` shows the same."""
    return fingerprint(_KIND + public)
