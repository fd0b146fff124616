"""Several key stores that together are one: any `threshold` of them give what was put into all.

Secrets are split, so that whoever has fewer stores has nothing. What is no secret is in all of
them, and they must agree on it. Writing needs all stores.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy import update

from medgrid.crypto import keystore_schema
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.keystore_headers import GrantKey
from medgrid.crypto.keystore_values import (
    Compartment,
    CompartmentId,
    DelegatedKey,
    GrantRow,
    HeaderRow,
    Released,
    Seal,
    WrapRow,
)
from medgrid.crypto.split_places import MISSING, open_each, places_of, shown
from medgrid.crypto.split_writes import SplitWrites
from medgrid.crypto.splitting import batch_of, join, newest_shares, open_split
from medgrid.database.version import OlderSchema
from medgrid.errors import ConfigError, IntegrityError, MedgridError, Unreachable, UsageError
from medgrid.model import DataClass, ObjectId

if TYPE_CHECKING:
    from medgrid.crypto.audit import AuditLog

__all__ = ["SplitKeyStore", "open_stores"]

_T = TypeVar("_T")


def open_stores(urls: Sequence[str], who: str = "") -> KeyStore:
    """Open the one key store at one address, or those at several that together are one.

    Raises
    ------
    ConfigError
        There is none, or they do not belong together.
    Unreachable
        Too few of them answer.
    """
    return KeyStore.open(urls[0], who) if len(urls) == 1 else SplitKeyStore.open_all(urls, who)


class SplitKeyStore(KeyStore):
    """Open key stores that together are one. Make one with `create_all` or `open_all`.

    Parameters
    ----------
    stores : mapping
        Those that were reached, by place.
    missing : mapping
        Addresses of those that were not, by place.
    """

    def __init__(
        self,
        stores: Mapping[int, KeyStore],
        missing: Mapping[int, str],
        split_id: str,
        threshold: int,
    ) -> None:
        first = next(iter(stores.values()))
        super().__init__(first.db, split_id, first.who, first._door)
        self.stores = dict(stores)
        self.missing = dict(missing)
        self.threshold = threshold
        names = {place: shown(url) for place, url in missing.items()}
        self._writes = SplitWrites(self.stores, names, threshold)
        self._keys: dict[bytes, bytes] = {}

    @classmethod
    def create_all(cls, urls: Sequence[str], threshold: int, who: str = "") -> Self:
        """Make key stores that together are one, where there are none, and open them.

        Raises
        ------
        ConfigError
            One of them cannot be made, is something else, or is missing while others are in use.
        UsageError
            So many of so many is not possible.
        """
        if not 2 <= threshold <= len(urls) <= 16 or len(set(urls)) < len(urls):
            raise UsageError(
                f"{threshold} of {len(urls)} key stores: not possible",
                hint="from 2 of 2 to 16 of 16, each at an address of its own",
            )
        found, failed = open_each(urls, who)
        with ExitStack() as stack:
            for store in found.values():
                stack.enter_context(store)
            places = places_of(urls, found)
            for error in failed.values():
                if isinstance(error, OlderSchema):
                    raise error
            if failed and any(store.certificates() for store in found.values()):
                raise ConfigError(
                    f"a key store of this grid is missing: {', '.join(map(shown, failed))}",
                    hint="mount its disk, or start its server; 'medgrid keystore mend' makes a "
                    "lost one again",
                )
            if failed:
                split_id = next(iter(places.values()), (secrets.token_hex(16),))[0]
                stores = [stack.enter_context(KeyStore.create(url, who)) for url in urls]
                for place, store in enumerate(stores):
                    values = {
                        "split_id": split_id,
                        "place": place,
                        "places": len(urls),
                        "threshold": threshold,
                    }
                    with store.db.write() as connection:
                        connection.execute(update(keystore_schema.store).values(values))
        return cls.open_all(urls, who)

    @classmethod
    def open_all(cls, urls: Sequence[str], who: str = "") -> Self:
        """Open key stores that together are one; some may be missing, or older.

        Raises
        ------
        ConfigError
            They do not belong together.
        OlderSchema
            Too few can be used before others are upgraded.
        Unreachable
            Fewer than the threshold answer.
        """
        found, failed = open_each(urls, who)
        try:
            return cls._together(urls, found, failed)
        except BaseException:
            for store in found.values():
                store.close()
            raise

    @classmethod
    def _together(
        cls, urls: Sequence[str], found: Mapping[str, KeyStore], failed: Mapping[str, MedgridError]
    ) -> Self:
        older = [error for error in failed.values() if isinstance(error, OlderSchema)]
        places = places_of(urls, found)
        if not places:
            raise [*older, *failed.values()][0]
        split_id, _, count, threshold = next(iter(places.values()))
        stores = {place: found[url] for url, (_, place, _, _) in places.items()}
        # which of the missing is which does not matter but for making it again: the order decides
        free = [place for place in range(count) if place not in stores]
        missing = dict(zip(free, failed, strict=True))
        if len(stores) < threshold:
            if older:
                raise older[0]
            raise Unreachable(
                f"{len(stores)} of the key stores answer, {threshold} are needed: no answer from "
                + ", ".join(map(shown, missing.values())),
                hint=next(iter(failed.values())).message,
            )
        opened = cls(dict(sorted(stores.items())), missing, split_id, threshold)
        opened._writes.settle()
        return opened

    def acting(self, who: str) -> Self:
        if who == self.who:
            return self
        stores = {place: store.acting(who) for place, store in self.stores.items()}
        return type(self)(stores, self.missing, self.store_id, self.threshold)

    def close(self) -> None:
        for store in self.stores.values():
            store.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is written inside this ``with`` one transaction of all stores.

        Raises
        ------
        Busy
            Another write is not finished.
        Unreachable
            A store is missing.
        """
        with self._writes.transaction():
            yield

    @cached_property
    def audit(self) -> AuditLog:
        """The records of all stores; each keeps its own."""
        from medgrid.crypto.split_audit import SplitAudit

        return SplitAudit(self.stores, self._writes)

    # -- what is no secret: all stores must agree --------------------------------------------------

    def _agreed(self, ask: Callable[[KeyStore], _T]) -> _T:
        return self._same(ask, len(self.stores))

    def _same(self, ask: Callable[[KeyStore], _T], count: int) -> _T:
        """What `count` stores say, or as many as answer; a write between them is waited for."""
        for _ in range(2):
            found = self._answers(ask, count)
            first = next(iter(found.values()))
            if all(one == first for one in found.values()):
                return first
            if self.db.in_write or not self._writes.wait():
                break
        names = " and ".join(self.stores[place].db.name for place in found)
        raise IntegrityError(
            f"the key stores {names} do not say the same",
            hint="one of them was changed, or brought back from an old copy",
        )

    def _answers(self, ask: Callable[[KeyStore], _T], count: int) -> dict[int, _T]:
        found: dict[int, _T] = {}
        for place, store in self.stores.items():
            if len(found) < count:
                try:
                    found[place] = ask(store)
                except MISSING:
                    continue
        if len(found) < self.threshold:
            raise Unreachable(f"{len(found)} of the key stores answer, {self.threshold} are needed")
        return found

    def certificates(self) -> dict[str, bytes]:
        return self._agreed(lambda store: store.certificates())

    def document(self, name: str) -> bytes | None:
        return self._agreed(lambda store: store.document(name))

    def current(self, patients: Iterable[str], data_class: DataClass) -> dict[str, Compartment]:
        wanted = list(patients)
        return self._agreed(lambda store: store.current(wanted, data_class))

    def revisions(self, patient: str, data_class: DataClass) -> list[Compartment]:
        return self._agreed(lambda store: store.revisions(patient, data_class))

    def compartments(self, keys: Iterable[CompartmentId]) -> dict[CompartmentId, Compartment]:
        wanted = list(keys)
        return self._agreed(lambda store: store.compartments(wanted))

    def all_compartments(self) -> dict[CompartmentId, Compartment]:
        return self._agreed(lambda store: store.all_compartments())

    def members(self, patient: str, data_class: DataClass) -> dict[int, list[str]]:
        return self._agreed(lambda store: store.members(patient, data_class))

    def wrapped_revisions(self, patients: Iterable[str], data_class: DataClass) -> dict[str, int]:
        wanted = list(patients)
        return self._agreed(lambda store: store.wrapped_revisions(wanted, data_class))

    def compartments_of(self, recipient: str | None = None) -> list[CompartmentId]:
        return self._agreed(lambda store: store.compartments_of(recipient))

    def objects_of(self, patient: str) -> list[ObjectId]:
        return self._agreed(lambda store: sorted(store.objects_of(patient)))

    def readers(self, object_ids: Iterable[ObjectId]) -> dict[ObjectId, list[str]]:
        wanted = list(object_ids)
        return self._agreed(lambda store: store.readers(wanted))

    def owned(self, owner: str) -> list[ObjectId]:
        return self._agreed(lambda store: sorted(store.owned(owner)))

    def grants(self, recipient: str | None = None) -> list[GrantKey]:
        return self._agreed(lambda store: store.grants(recipient))

    def delegations(self) -> dict[int, list[tuple[int, ObjectId]]]:
        return self._agreed(lambda store: store.delegations())

    def shares(self, batches: Sequence[bytes]) -> list[tuple[bytes, int, bytes]]:
        raise UsageError("the shares of key stores are in each of them")

    def users(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        return self._agreed(lambda store: store.users())

    def admit(self, role_name: str, identity: str, roles: Iterable[str]) -> None:
        wanted = list(roles)
        for store in self.stores.values():
            store.admit(role_name, identity, wanted)

    def expel(self, role_name: str) -> None:
        for store in self.stores.values():
            store.expel(role_name)

    # -- secrets: what the threshold of stores give ------------------------------------------------

    def _given(self, ask: Callable[[KeyStore], _T]) -> _T:
        """What as many stores as are needed give; each records it."""
        return self._same(ask, self.threshold)

    def _opened(self, sealed: Mapping[_T, tuple[bytes, tuple[str | int, ...]]]) -> dict[_T, bytes]:
        """Decrypt what was given, by the places where it stood."""
        wanted = {batch_of(one) for one, _ in sealed.values()} - self._keys.keys()
        if wanted:
            self._keys |= self._batch_keys(wanted)
        return {key: open_split(self._keys, one, *at) for key, (one, at) in sealed.items()}

    def _batch_keys(self, batches: Iterable[bytes]) -> dict[bytes, bytes]:
        wanted = sorted(batches)
        parts: dict[bytes, dict[int, list[bytes]]] = {one: {} for one in wanted}
        for rows in self._answers(lambda store: store.shares(wanted), len(self.stores)).values():
            for batch, generation, part in rows:
                parts[batch].setdefault(generation, []).append(part)
        return {
            batch: join(newest_shares(generations, self.threshold), self.threshold)
            for batch, generations in parts.items()
        }

    def wraps_for(self, keys: Sequence[CompartmentId]) -> dict[CompartmentId, bytes]:
        found = self._given(lambda store: store.wraps_for(keys))
        return self._opened(
            {id_: (sealed, _wrap_at(id_, self.who)) for id_, sealed in found.items()}
        )

    def release(self, object_ids: Sequence[ObjectId], purpose: str) -> dict[ObjectId, Released]:
        return self._released(self._given(lambda store: store.release(object_ids, purpose)))

    def _released(self, found: Mapping[ObjectId, Released]) -> dict[ObjectId, Released]:
        opened = self._opened({id_: (one.header, _header_at(one)) for id_, one in found.items()})
        return {id_: replace(one, header=opened[id_]) for id_, one in found.items()}

    def seals(self, patients: Sequence[str], purpose: str) -> dict[str, Seal]:
        found = self._given(lambda store: store.seals(patients, purpose))
        opened = self._opened({one: (row.sealed, _seal_at(row)) for one, row in found.items()})
        return {one: row._replace(sealed=opened[one]) for one, row in found.items()}

    def recovery(self, purpose: str) -> tuple[list[WrapRow], list[Released]]:
        wraps, headers = self._given(lambda store: _sorted(store.recovery(purpose)))
        opened = self._opened(
            {row.id: (row.sealed, _wrap_at(row.id, row.recipient)) for row in wraps}
        )
        return [row._replace(sealed=opened[row.id]) for row in wraps], list(
            self._released({one.object_id: one for one in headers}).values()
        )

    def delegation(
        self, submission: int, numbers: Sequence[int] | None = None
    ) -> tuple[bytes | None, list[tuple[DelegatedKey, bytes | None]]]:
        sealed, boxes = self._given(lambda store: store.delegation(submission, numbers))
        key = None
        if sealed is not None:
            key = self._opened({0: (sealed, ("delegation_key", submission, self.who))})[0]
        opened = self._opened(
            {number: (one.box, _box_at(submission, one)) for number, (one, _) in enumerate(boxes)}
        )
        return key, [
            (one._replace(box=opened[number]), manifest)
            for number, (one, manifest) in enumerate(boxes)
        ]

    # -- writing -----------------------------------------------------------------------------------

    def _seal(self, plain: bytes, at: tuple[str | int, ...]) -> bytes:
        return self._writes.batch().seal(plain, *at)

    def put_certificate(self, name: str, blob: bytes) -> None:
        self._writes.run("put_certificate", name, blob)

    def put_document(self, name: str, blob: bytes) -> None:
        self._writes.run("put_document", name, blob)

    def create_compartments(self, compartments: Sequence[Compartment]) -> None:
        self._writes.run("create_compartments", list(compartments))

    def put_wraps(self, rows: Sequence[WrapRow]) -> None:
        with self.transaction():
            sealed = [
                row._replace(sealed=self._seal(row.sealed, _wrap_at(row.id, row.recipient)))
                for row in rows
            ]
            self._writes.run("put_wraps", sealed)

    def drop_wraps(
        self, patient: str, data_class: DataClass | None = None, recipient: str | None = None
    ) -> int:
        return int(self._writes.run("drop_wraps", patient, data_class, recipient))

    def put_seals(self, rows: Sequence[Seal]) -> None:
        with self.transaction():
            sealed = [row._replace(sealed=self._seal(row.sealed, _seal_at(row))) for row in rows]
            self._writes.run("put_seals", sealed)

    def drop_seal(self, patient: str) -> None:
        self._writes.run("drop_seal", patient)

    def drop_compartments(self, patient: str) -> int:
        return int(self._writes.run("drop_compartments", patient))

    def put_headers(self, rows: Sequence[HeaderRow], *, replace: bool = False) -> None:
        with self.transaction():
            self._writes.run("put_headers", self._sealed_headers(rows), replace=replace)

    def reseal(self, rows: Sequence[HeaderRow]) -> None:
        with self.transaction():
            self._writes.run("reseal", self._sealed_headers(rows))

    def _sealed_headers(self, rows: Sequence[HeaderRow]) -> list[HeaderRow]:
        return [
            row._replace(
                header=self._seal(row.header, ("header", row.object_id, row.recipient or ""))
            )
            for row in (HeaderRow(*row) for row in rows)
        ]

    def drop(self, object_ids: Iterable[ObjectId]) -> None:
        self._writes.run("drop", list(object_ids))

    def put_grant_headers(self, rows: Sequence[GrantRow]) -> None:
        with self.transaction():
            sealed = [
                row._replace(
                    header=self._seal(row.header, ("grant_header", row.object_id, row.recipient))
                )
                for row in (GrantRow(*row) for row in rows)
            ]
            self._writes.run("put_grant_headers", sealed)

    def drop_grants(
        self, recipient: str | None = None, object_ids: Iterable[ObjectId] | None = None
    ) -> int:
        ids = None if object_ids is None else list(object_ids)
        return int(self._writes.run("drop_grants", recipient, ids))

    def drop_ended_grants(self, now_s: float | None = None) -> int:
        now_s = time.time() if now_s is None else now_s
        return int(self._writes.run("drop_ended_grants", now_s))

    def put_delegation(
        self, submission: int, keys: Mapping[str, bytes], boxes: Sequence[DelegatedKey]
    ) -> None:
        with self.transaction():
            sealed_keys = {
                name: self._seal(key, ("delegation_key", submission, name))
                for name, key in keys.items()
            }
            sealed_boxes = [
                one._replace(box=self._seal(one.box, _box_at(submission, one))) for one in boxes
            ]
            self._writes.run("put_delegation", submission, sealed_keys, sealed_boxes)

    def extend_delegation(self, submission: int, boxes: Sequence[DelegatedKey]) -> None:
        with self.transaction():
            sealed = [
                one._replace(box=self._seal(one.box, _box_at(submission, one))) for one in boxes
            ]
            self._writes.run("extend_delegation", submission, sealed)

    def drop_delegation(self, submission: int, numbers: Sequence[int] | None = None) -> None:
        wanted = None if numbers is None else list(numbers)
        self._writes.run("drop_delegation", submission, wanted)


def _wrap_at(id_: CompartmentId, recipient: str) -> tuple[str | int, ...]:
    return ("wrap", *id_, recipient)


def _seal_at(row: Seal) -> tuple[str | int, ...]:
    return ("seal", row.patient, row.revision)


def _header_at(one: Released) -> tuple[str | int, ...]:
    table = "header" if one.until_s is None else "grant_header"
    return (table, one.object_id, one.recipient)


def _box_at(submission: int, one: DelegatedKey) -> tuple[str | int, ...]:
    return ("delegation_box", submission, one.number, one.object_id)


def _sorted(found: tuple[list[WrapRow], list[Released]]) -> Any:
    wraps, headers = found
    return sorted(wraps), sorted(headers, key=lambda one: one.object_id)
