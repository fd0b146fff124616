"""Calls of the key store and its audit log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sqlalchemy import func, select

from medgrid.crypto.audit_record import Event
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.keystore_schema import audit
from medgrid.crypto.keystore_values import (
    Compartment,
    CompartmentId,
    DelegatedKey,
    GrantRow,
    HeaderRow,
    Seal,
    WrapRow,
)
from medgrid.model import DataClass, ObjectId
from tests.growth.calls import BOTH, FIXED, INSIDERS, SHARE, Call
from tests.growth.world import DOCTOR, LATER_S, RESEARCHER, World, batch_of

__all__ = ["CALLS"]

Kept = Callable[[KeyStore, World, int], object]
_IMAGE = DataClass.IMAGE
_OWNER = (DOCTOR,)


def _write(
    method: str,
    run: Kept,
    asked: Sequence[str] = BOTH,
    viewers: Sequence[str | None] = INSIDERS,
) -> Call[KeyStore]:
    return Call(f"keys.{method}", run, asked, viewers, writes=True)


def _read(
    method: str,
    run: Kept,
    asked: Sequence[str] = BOTH,
    viewers: Sequence[str | None] = INSIDERS,
) -> Call[KeyStore]:
    return Call(f"keys.{method}", run, asked, viewers)


def _headers(world: World, count: int, *, new: bool) -> list[HeaderRow]:
    return [
        HeaderRow(
            ObjectId(id_[::-1]) if new else id_,
            world.patients[number % len(world.patients)],
            _IMAGE,
            1,
            None,
            b"h" * 124,
            b"m" * 250,
        )
        for number, id_ in enumerate(world.some(world.ids, count))
    ]


def _ids(world: World, count: int, revision: int = 1) -> list[CompartmentId]:
    return [CompartmentId(one, _IMAGE, revision) for one in world.some(world.patients, count)]


def _compartments(world: World, count: int) -> list[Compartment]:
    return [Compartment(id_, b"p" * 32, "reg", b"s" * 64) for id_ in _ids(world, count, revision=2)]


def _wraps(world: World, count: int) -> list[WrapRow]:
    return [WrapRow(id_, who, b"w" * 80) for id_ in _ids(world, count) for who in (DOCTOR, "new")]


def _boxes(world: World, count: int) -> list[DelegatedKey]:
    ids = world.some(world.ids, count)
    return [DelegatedKey(10**6 + number, id_, b"b") for number, id_ in enumerate(ids)]


def _grants(world: World, count: int) -> list[GrantRow]:
    ids = world.some(world.ids[1::2], count)
    return [GrantRow(id_, RESEARCHER, LATER_S, DOCTOR, b"h") for id_ in ids]


def _records(store: KeyStore) -> int:
    """How many there are; what gives keys out adds to them, and it cannot be undone."""
    with store.db.read() as connection:
        return int(connection.scalar(select(func.max(audit.c.seq))) or 0) + 1


_PEOPLE = [
    _write("put_certificate", lambda s, w, n: s.put_certificate("x", b"x"), FIXED),
    _read("certificates", lambda s, w, n: s.certificates(), FIXED),
    _write("put_document", lambda s, w, n: s.put_document("x", b"x"), FIXED),
    _read("document", lambda s, w, n: s.document(w.ids[0]), FIXED),
]

_COMPARTMENTS = [
    _write("create_compartments", lambda s, w, n: s.create_compartments(_compartments(w, n))),
    _write(
        "create_compartment",
        lambda s, w, n: s.create_compartment(w.patients[0], _IMAGE, 2, b"p", "reg", b"s"),
        FIXED,
    ),
    _read("compartment", lambda s, w, n: s.compartment(w.patients[3], _IMAGE), FIXED),
    _read("current", lambda s, w, n: s.current(w.some(w.patients, n), _IMAGE)),
    _read("revisions", lambda s, w, n: s.revisions(w.patients[3], _IMAGE), FIXED),
    _read("compartments", lambda s, w, n: s.compartments(_ids(w, n))),
    _write("put_wraps", lambda s, w, n: s.put_wraps(_wraps(w, n))),
    _write("put_wrap", lambda s, w, n: s.put_wrap(w.patients[0], _IMAGE, 1, "x", b"s"), FIXED),
    _read("wraps_for", lambda s, w, n: s.wraps_for(_ids(w, n)), BOTH, _OWNER),
    _read("members", lambda s, w, n: s.members(w.patients[3], _IMAGE), FIXED),
    _read("wrapped_revisions", lambda s, w, n: s.wrapped_revisions(w.some(w.patients, n), _IMAGE)),
    _read("compartments_of", lambda s, w, n: s.compartments_of(DOCTOR), SHARE),
    _read("compartments_of [nobody]", lambda s, w, n: s.compartments_of("bob"), FIXED),
    _write("drop_wraps", lambda s, w, n: s.drop_wraps(w.patients[3], _IMAGE, DOCTOR), FIXED),
    _write(
        "put_seals",
        lambda s, w, n: s.put_seals([Seal(one, 1, b"s") for one in w.some(w.patients, n)]),
    ),
    _write("put_seal", lambda s, w, n: s.put_seal(w.patients[0], 1, b"s"), FIXED),
    _read("seals", lambda s, w, n: s.seals(w.some(w.patients, n), "x"), BOTH, _OWNER),
    _write("drop_seal", lambda s, w, n: s.drop_seal(w.patients[3]), FIXED),
    _read("all_compartments", lambda s, w, n: s.all_compartments(), SHARE),
    _read("recovery", lambda s, w, n: s.recovery("x"), SHARE),
    _write("drop_compartments", lambda s, w, n: s.drop_compartments(w.patients[3]), FIXED),
]

_HEADERS = [
    _write("put_headers", lambda s, w, n: s.put_headers(_headers(w, n, new=True))),
    _write(
        "put_headers [replace]",
        lambda s, w, n: s.put_headers(_headers(w, n, new=False), replace=True),
    ),
    _read(
        "release",
        lambda s, w, n: s.release(w.some(w.ids, n), "x"),
        BOTH,
        (DOCTOR, RESEARCHER),
    ),
    _read(
        "release [granted]",
        lambda s, w, n: s.release(w.some(w.ids[1::10], n), "x"),
        BOTH,
        (RESEARCHER,),
    ),
    _write("drop", lambda s, w, n: s.drop(w.some(w.ids, n))),
    _read("readers", lambda s, w, n: s.readers(w.some(w.ids, n))),
    _read("objects_of", lambda s, w, n: s.objects_of(w.patients[3]), FIXED),
    _write("reseal", lambda s, w, n: s.reseal(_headers(w, n, new=False))),
    _read("owned", lambda s, w, n: s.owned(DOCTOR), SHARE),
    _read("owned [nobody]", lambda s, w, n: s.owned("bob"), FIXED),
    _write("put_grant_headers", lambda s, w, n: s.put_grant_headers(_grants(w, n))),
    _write("drop_grants", lambda s, w, n: s.drop_grants(RESEARCHER, w.some(w.ids[1::10], n))),
    _write("drop_grants [ids]", lambda s, w, n: s.drop_grants(None, w.some(w.ids[1::10], n))),
    _write("drop_ended_grants", lambda s, w, n: s.drop_ended_grants(), FIXED),
    _read("grants", lambda s, w, n: s.grants(RESEARCHER), SHARE),
    _read("grants [nobody]", lambda s, w, n: s.grants("bob"), FIXED),
]

_DELEGATIONS = [
    _write("put_delegation", lambda s, w, n: s.put_delegation(77, {"broker": b"k"}, _boxes(w, n))),
    _write("extend_delegation", lambda s, w, n: s.extend_delegation(1, _boxes(w, n)), BOTH, _OWNER),
    _read("delegation", lambda s, w, n: s.delegation(1, range(1, n + 1)), BOTH, _OWNER),
    _read("delegation [all]", lambda s, w, n: s.delegation(1), SHARE, _OWNER),
    _write("drop_delegation", lambda s, w, n: s.drop_delegation(1, range(1, n + 1))),
    _read("delegations", lambda s, w, n: s.delegations(), SHARE),
]

_AUDIT = [
    _write("audit.append", lambda s, w, n: s.audit.append(*(Event("x", f"{i}") for i in range(n)))),
    _read("audit.records [thing]", lambda s, w, n: s.audit.records(what=w.ids[7]), FIXED),
    _read("audit.records [patient]", lambda s, w, n: s.audit.records(what=w.patients[3]), FIXED),
    _read("audit.records [verb]", lambda s, w, n: s.audit.records(what="rekey"), FIXED),
    _read("audit.records [who]", lambda s, w, n: s.audit.records(who="nobody"), FIXED),
    _read(
        "audit.records [since]",
        lambda s, w, n: s.audit.records(since_s=time.time() + 1e6),
        FIXED,
    ),
    _read("audit.all_records", lambda s, w, n: s.audit.all_records(), SHARE),
    _read("audit.leaves", lambda s, w, n: s.audit.leaves(), SHARE),
    _read("audit.leaves [last]", lambda s, w, n: s.audit.leaves(_records(s) - 10), FIXED),
    _read("audit.kept", lambda s, w, n: s.audit.kept(), SHARE),
    _read("audit.checkpoints", lambda s, w, n: s.audit.checkpoints(), SHARE),
    _read("audit.root", lambda s, w, n: s.audit.root(), SHARE),
    _read("audit.inclusion", lambda s, w, n: s.audit.inclusion(5), SHARE),
    _read("audit.consistency", lambda s, w, n: s.audit.consistency(5), SHARE),
]

CALLS = [
    *_PEOPLE,
    *_COMPARTMENTS,
    *_HEADERS,
    *_DELEGATIONS,
    *_AUDIT,
    _read("pending", lambda s, w, n: s.pending(w.ids[0]), FIXED),
    _read("shares", lambda s, w, n: s.shares([batch_of(one) for one in w.some(w.ids, n)])),
]
