"""The key stores of a grid: which there are, and making a lost one again."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from medgrid.actions.keys import open_keystore
from medgrid.config import Settings
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.split_mend import mend
from medgrid.crypto.split_store import SplitKeyStore, shown
from medgrid.database.backup import copies_of
from medgrid.errors import UsageError

__all__ = ["StoreLine", "list_keystores", "mend_keystores"]


@dataclass(frozen=True, slots=True)
class StoreLine:
    """One key store; `needed` of all of them open anything."""

    url: str
    state: str  # ``there`` or ``missing``
    needed: int
    copies: tuple[str, ...]  # of before an upgrade, beside it


def list_keystores(settings: Settings) -> list[StoreLine]:
    """All key stores of the grid.

    Raises
    ------
    Unreachable
        Too few of them answer.
    """
    with closing(open_keystore(settings, settings.user)) as store:
        stores: list[KeyStore] = [store]
        needed = 1
        if isinstance(store, SplitKeyStore):
            stores, needed = list(store.stores.values()), store.threshold
        copies = {one.db.url: tuple(map(str, copies_of(one.db))) for one in stores}
    return [
        StoreLine(shown(url), "there" if url in copies else "missing", needed, copies.get(url, ()))
        for url in settings.keystore_urls
    ]


def mend_keystores(settings: Settings) -> list[str]:
    """Make missing key stores again from the others, and renew all shares; gives those made.

    Raises
    ------
    UsageError
        The grid has one key store: there is nothing to make it from.
    """
    if len(settings.keystore_urls) < 2:
        raise UsageError(
            "this grid has one key store, and nothing to make it again from",
            hint="restore it from a backup",
        )
    return mend(settings.keystore_urls, settings.user)
