"""Making a lost one of several key stores again, from the others.

All stores get new shares of all keys, and the old ones are destroyed: whoever has found the lost
store has shares that fit no others any more. The audit log of the lost store is lost, but for its
copies; the new one begins with a record that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from sqlalchemy import Table, delete, insert, select, update

from medgrid.crypto import keystore_schema as schema
from medgrid.crypto.audit_record import Event
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.split_places import place_of, shown
from medgrid.crypto.split_store import SplitKeyStore
from medgrid.crypto.splitting import batch_of, join, newest_shares, split
from medgrid.errors import ConfigError, IntegrityError

__all__ = ["mend"]

_TABLES: tuple[Table, ...] = (
    *(schema.certificate, schema.document, schema.compartment, schema.wrap, schema.seal),
    *(schema.protected, schema.header, schema.grant_header, schema.delegation),
    *(schema.delegation_key, schema.delegation_box),
)
_SECRETS = {
    "wrap": "sealed",
    "seal": "sealed",
    "header": "sealed",
    "grant_header": "sealed",
    "delegation_key": "sealed",
    "delegation_box": "box",
}


def mend(urls: Sequence[str], who: str = "") -> list[str]:
    """Make missing stores again, as their owner.

    Returns
    -------
    list of str
        Which were made; when none is missing, shares are renewed nevertheless.

    Raises
    ------
    ConfigError
        There is something else where a store is missing.
    IntegrityError
        Those that are there do not agree.
    Unreachable
        Too few are there, or a missing one cannot be made.
    """
    together = SplitKeyStore.open_all(urls, who)
    made: dict[int, KeyStore] = {}
    try:
        for place, url in together.missing.items():
            made[place] = _new(url, who)
        _mend(together, made)
        return [shown(url) for url in together.missing.values()]
    finally:
        for store in made.values():
            store.close()
        together.close()


def _new(url: str, who: str) -> KeyStore:
    store = KeyStore.create(url, who)
    with store.db.read() as connection:
        is_used = any(connection.execute(select(table).limit(1)).first() for table in _TABLES)
    if is_used or place_of(store) is not None:
        store.close()
        raise ConfigError(
            f"the key store {store.db.name} is in use, and none of these",
            hint="name the address of a new one instead",
        )
    return store


def _mend(together: SplitKeyStore, made: Mapping[int, KeyStore]) -> None:
    known = together.stores
    everybody = {**known, **made}
    split_id, _, places, threshold = place_of(next(iter(known.values()))) or ("", 0, 0, 0)
    # those that are new come last: before, they are no part of anything
    with ExitStack() as stack:
        connections = {
            place: stack.enter_context(store.db.write())
            for place, store in (*made.items(), *known.items())
        }
        rows = _agreed_rows({place: connections[place] for place in known})
        keys, generation = _keys(rows, {place: connections[place] for place in known}, threshold)
        for place, store in everybody.items():
            store.audit.append(Event("mend", detail=f"{len(made)} of {places} key stores"))
            if place in made:
                for table in _TABLES:
                    if rows[table.name]:
                        connections[place].execute(insert(table), rows[table.name])
                connections[place].execute(
                    update(schema.store).values(
                        split_id=split_id, place=place, places=places, threshold=threshold
                    )
                )
        shares: dict[int, list[dict[str, Any]]] = {place: [] for place in everybody}
        for batch, key in keys.items():
            for place, part in enumerate(split(key, threshold, places)):
                shares[place].append({"batch": batch, "generation": generation, "share": part})
        for place, some in shares.items():
            if some:
                connections[place].execute(insert(schema.share), some)
    for store in everybody.values():
        with store.db.write() as connection:
            connection.execute(delete(schema.share).where(schema.share.c.generation < generation))
    for store in made.values():
        for role_name, (identity, roles) in _users(known).items():
            store.admit(role_name, identity, roles)


def _users(stores: Mapping[int, KeyStore]) -> dict[str, tuple[str, tuple[str, ...]]]:
    store = next(iter(stores.values()))
    return {} if store.db.is_sqlite else store.users()


def _agreed_rows(connections: Mapping[int, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for table in _TABLES:
        question = select(table).order_by(*table.primary_key.columns)
        answers = [
            [dict(row._mapping) for row in connection.execute(question)]
            for connection in connections.values()
        ]
        if any(one != answers[0] for one in answers):
            raise IntegrityError(
                f"the key stores do not agree on their {table.name} rows",
                hint="one of them was changed, or brought back from an old copy: leave it out",
            )
        found[table.name] = answers[0]
    return found


def _keys(
    rows: Mapping[str, Iterable[Mapping[str, Any]]], connections: Mapping[int, Any], threshold: int
) -> tuple[dict[bytes, bytes], int]:
    """Keys of all batches that rows were sealed in, and the number of the next generation."""
    used = {batch_of(row[column]) for table, column in _SECRETS.items() for row in rows[table]}
    parts: dict[bytes, dict[int, list[bytes]]] = {}
    newest = 0
    for connection in connections.values():
        for row in connection.execute(select(schema.share)):
            newest = max(newest, row.generation)
            parts.setdefault(row.batch, {}).setdefault(row.generation, []).append(row.share)
    return {
        batch: join(newest_shares(parts.get(batch, {}), threshold), threshold) for batch in used
    }, newest + 1
