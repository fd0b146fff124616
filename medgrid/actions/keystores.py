"""The key stores of a grid: which there are, and making a lost one again."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from medgrid.actions.keys import open_keystore
from medgrid.config import Settings
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.split_mend import mend
from medgrid.crypto.split_places import open_each, places_of, shown
from medgrid.database.backup import copies_of
from medgrid.database.version import OlderSchema
from medgrid.errors import UsageError

__all__ = ["StoreLine", "list_keystores", "mend_keystores"]


@dataclass(frozen=True, slots=True)
class StoreLine:
    """One key store; `needed` of all of them open anything, unknown when none can be asked."""

    url: str
    state: str  # ``there``, ``missing``, or ``older`` when it must be upgraded first
    needed: int | None
    copies: tuple[str, ...] = ()  # of before an upgrade, beside it


def list_keystores(settings: Settings) -> list[StoreLine]:
    """All key stores of the grid.

    Raises
    ------
    MedgridError
        The only one cannot be opened, or several do not belong together.
    """
    urls = settings.keystore_urls
    if len(urls) == 1:
        with closing(open_keystore(settings, settings.user)) as store:
            return [StoreLine(shown(urls[0]), "there", 1, _copies(store))]
    found, failed = open_each(urls, settings.user)
    try:
        thresholds = [threshold for *_, threshold in places_of(urls, found).values()]
        needed = thresholds[0] if thresholds else None
        return [
            StoreLine(shown(url), "there", needed, _copies(found[url]))
            if url in found
            else StoreLine(
                shown(url), "older" if isinstance(failed[url], OlderSchema) else "missing", needed
            )
            for url in urls
        ]
    finally:
        for store in found.values():
            store.close()


def _copies(store: KeyStore) -> tuple[str, ...]:
    return tuple(map(str, copies_of(store.db)))


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
