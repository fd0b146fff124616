"""Change the passphrase of an identity's key, or of the registration key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medgrid.crypto.identity_files import (
    change_passphrase,
    identity_is_locked,
    load_identity,
    own_key_file,
)
from medgrid.crypto.registration import (
    change_registration_passphrase,
    load_registrar,
    registration_file,
    registration_is_locked,
)

__all__ = ["IdentityKey", "RegistrationKey"]


@dataclass(frozen=True, slots=True)
class IdentityKey:
    """Key of one of this home's identities."""

    keys_dir: Path
    name: str

    @property
    def title(self) -> str:
        """What it is called in questions and messages."""
        return f"identity {self.name}"

    @property
    def file(self) -> Path:
        """Where it lies; a `UsageError` when it is an OpenSSH key."""
        return own_key_file(self.keys_dir, self.name)

    @property
    def is_locked(self) -> bool:
        """Whether it is behind a passphrase."""
        return identity_is_locked(self.keys_dir, self.name)

    def check(self, passphrase: bytes) -> None:
        """Raise `Denied` when the passphrase is another one."""
        load_identity(self.keys_dir, self.name, lambda: passphrase)

    def change(self, old: Callable[[], bytes] | None, new: bytes | None) -> None:
        """Put it behind another passphrase, or none; a wrong `old` changes nothing."""
        change_passphrase(self.keys_dir, self.name, old, new)


@dataclass(frozen=True, slots=True)
class RegistrationKey:
    """The registration key; `elsewhere` is its file when that is not in this home."""

    keys_dir: Path
    elsewhere: Path | None = None

    @property
    def title(self) -> str:
        """What it is called in questions and messages."""
        return "the registration key"

    @property
    def file(self) -> Path:
        """Where it lies."""
        return self.elsewhere or registration_file(self.keys_dir)

    @property
    def is_locked(self) -> bool:
        """Whether it is behind a passphrase."""
        return registration_is_locked(self.keys_dir, self.elsewhere)

    def check(self, passphrase: bytes) -> None:
        """Raise `Denied` when the passphrase is another one."""
        load_registrar(self.keys_dir, lambda: passphrase, self.elsewhere)

    def change(self, old: Callable[[], bytes] | None, new: bytes | None) -> None:
        """Put it behind another passphrase, or none; a wrong `old` changes nothing."""
        change_registration_passphrase(self.keys_dir, old, new, self.elsewhere)
