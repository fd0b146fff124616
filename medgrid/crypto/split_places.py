"""Which key stores belong together, and which of them are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from medgrid.crypto import keystore_schema
from medgrid.crypto.keystore import KeyStore
from medgrid.database.connections import address_for_people
from medgrid.errors import ConfigError, MedgridError, Unreachable

__all__ = ["MISSING", "open_each", "place_of", "places_of", "shown"]

MISSING = (Unreachable, ConfigError)  # errors of a store that is not there


def place_of(store: KeyStore) -> tuple[str, int, int, int] | None:
    """Which stores a store is one of: their id, its place, how many, how many are needed."""
    table = keystore_schema.store
    columns = (table.c.split_id, table.c.place, table.c.places, table.c.threshold)
    with store.db.read() as connection:
        row = connection.execute(select(*columns)).one()
    return None if row.split_id is None else (row.split_id, row.place, row.places, row.threshold)


def open_each(
    urls: Sequence[str], who: str = ""
) -> tuple[dict[str, KeyStore], dict[str, MedgridError]]:
    """Open the key stores that can be, by address, and say of the others why not.

    One that was made, and is no part of several yet, is as good as missing.

    Raises
    ------
    ConfigError
        An address is there twice.
    MedgridError
        One is neither there nor missing nor older.
    """
    if len(set(urls)) < len(urls):
        raise _strangers(urls)
    found: dict[str, KeyStore] = {}
    failed: dict[str, MedgridError] = {}
    try:
        for url in urls:
            try:
                store = KeyStore._open(url, who)
            except MISSING as error:
                failed[url] = error
                continue
            found[url] = store
            if place_of(store) is None and not store.certificates():
                found.pop(url).close()
                failed[url] = ConfigError(
                    f"the key store {store.db.name} is empty, and no part of the others",
                    hint="'medgrid keystore mend' fills it from them; 'medgrid init' goes on when "
                    "it was interrupted",
                )
    except BaseException:
        for store in found.values():
            store.close()
        raise
    return found, failed


def places_of(
    urls: Sequence[str], found: Mapping[str, KeyStore]
) -> dict[str, tuple[str, int, int, int]]:
    """`place_of` each store that was found at one of `urls`.

    Raises
    ------
    ConfigError
        They do not belong together.
    """
    known = {url: one for url, store in found.items() if (one := place_of(store)) is not None}
    grids = {(split_id, count, threshold) for split_id, _, count, threshold in known.values()}
    places = {place for _, place, _, _ in known.values()}
    is_one = len(grids) <= 1 and all(count == len(urls) for _, count, _ in grids)
    if len(places) < len(found) or not is_one:
        raise _strangers(urls)
    return known


def _strangers(urls: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"these {len(urls)} key stores do not belong together",
        hint="name all the stores of one grid, and no others",
    )


def shown(url: str) -> str:
    """A store's address, without a password."""
    return url.partition(":///")[2] if url.startswith("sqlite") else address_for_people(url)
