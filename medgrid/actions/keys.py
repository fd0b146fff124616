"""The key store and the identities of a grid home, opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from medgrid.actions.grid import check_home
from medgrid.config import Settings
from medgrid.crypto.identity_files import load_identity
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.messages import is_sealed_text, open_text
from medgrid.crypto.private_file import read_passphrase
from medgrid.crypto.pseudonym import load_key
from medgrid.crypto.recovery_key import recovery_public
from medgrid.crypto.roster import open_roster
from medgrid.crypto.split_store import open_stores
from medgrid.crypto.trust import Trust
from medgrid.crypto.vault import Vault
from medgrid.errors import ConfigError, Denied, IntegrityError
from medgrid.model import Job

if TYPE_CHECKING:
    from medgrid.actions.grid import Grid

__all__ = ["BROKER", "keystore_urls", "open_keystore", "open_vault", "passphrase_of", "readable"]

BROKER = "broker"
"""Name of the identity that moves jobs, unless its home calls it otherwise."""


def open_keystore(settings: Settings, who: str) -> KeyStore:
    """Open the grid's key store, or the several that together are it, for the identity `who`.

    Raises
    ------
    ConfigError
        There is none.
    """
    return open_stores(keystore_urls(settings), who)


def keystore_urls(settings: Settings) -> tuple[str, ...]:
    """Addresses of the grid's key stores.

    Raises
    ------
    ConfigError
        There is no grid here yet.
    """
    if not settings.keystore and not (settings.home / "keystore.db").exists():
        check_home(settings)
    return settings.keystore_urls


def open_vault(
    settings: Settings, ask: Callable[[str], bytes] | None, name: str | None = None
) -> Vault:
    """Open what an identity of this home, by default the user's, can seal and open.

    Parameters
    ----------
    ask : callable, optional
        Asks somebody for the passphrase of an identity.
    """
    who = name or settings.user
    store = open_keystore(settings, who)
    return Vault(
        store,
        Trust(lambda: open_roster(settings.keys_dir, store)),
        who,
        lambda: load_identity(settings.keys_dir, who, passphrase_of(settings, who, ask)),
        _content_key(settings),
        recovery_public(settings.keys_dir, store),
    )


def passphrase_of(
    settings: Settings, name: str, ask: Callable[[str], bytes] | None
) -> Callable[[], bytes] | None:
    """Where the passphrase of an identity comes from: a file, or somebody; None for neither."""
    if settings.passphrase_file:
        return lambda: read_passphrase(Path(settings.passphrase_file).expanduser())
    return None if ask is None else lambda: ask(name)


def _content_key(settings: Settings) -> bytes | None:
    try:
        return load_key(settings.keys_dir)
    except ConfigError:
        return None


def readable(grid: Grid, job: Job) -> Job:
    """A job with its last words opened, where they are for this user's eyes.

    What cannot be opened is left out: it says nothing to anybody else.
    """
    if not (is_sealed_text(job.stdout_tail) or is_sealed_text(job.stderr_tail)):
        return job
    return replace(
        job, stdout_tail=_opened(grid, job.stdout_tail), stderr_tail=_opened(grid, job.stderr_tail)
    )


def _opened(grid: Grid, text: str) -> str:
    if not is_sealed_text(text):
        return text
    vault = grid.vault
    try:
        return open_text(text, vault.name, vault.identity.encryption_private)
    except (Denied, IntegrityError):
        return ""
