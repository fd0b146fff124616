"""The key store: what it keeps, and what it gives to whom, on both databases."""

from __future__ import annotations

import secrets
import sqlite3
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from medgrid.crypto.compartments import Compartments
from medgrid.crypto.delegation import borrow, lend, lend_again
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.keystore_values import CompartmentId, GrantRow, HeaderRow, Released
from medgrid.crypto.seals import Seals
from medgrid.database import connections
from medgrid.errors import AlreadyExists, ConfigError, Denied, IntegrityError, NotFound, UsageError
from medgrid.model import DataClass, ObjectId
from tests.crypto.people import People, Person
from tests.lab.waiting import wait_for

IMAGE, NAMES = DataClass.IMAGE, DataClass.NOMINATIVE


def object_id(number: int) -> ObjectId:
    return ObjectId(f"{number:032x}")


def image(number: int, header: bytes = b"header") -> HeaderRow:
    return HeaderRow(object_id(number), "P-1", IMAGE, 1, None, header, b"manifest")


@pytest.fixture
def images(store: KeyStore, people: People, alice: Person) -> list[ObjectId]:
    """Three images of P-1, in alice's care."""
    Compartments(store, alice, people.trust).create("P-1", IMAGE)
    store.put_headers([image(number) for number in range(3)])
    return [object_id(number) for number in range(3)]


def test_a_store_is_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "keystore.db"
    with pytest.raises(ConfigError) as caught:
        KeyStore.open(f"sqlite:///{path}")
    assert caught.value.message == f"there is no key store at {path}"
    KeyStore.create(f"sqlite:///{path}").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = KeyStore.create(f"sqlite:///{path}", "alice")
    assert again.who == "alice"
    again.close()


def test_what_is_destroyed_is_not_in_the_file_any_more(
    tmp_path: Path, people: People, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor in the log beside it, though another process, a broker say, has the store open."""
    prepare = connections._prepare_sqlite

    def as_elsewhere(connection: sqlite3.Connection, record: object) -> None:
        prepare(connection, record)
        connection.execute("PRAGMA secure_delete=OFF")  # Debian's SQLite has it on by itself

    monkeypatch.setattr(connections, "_prepare_sqlite", as_elsewhere)
    url = f"sqlite:///{tmp_path / 'keystore.db'}"
    header, box, short = (secrets.token_bytes(size) for size in (9000, 300, 40))
    with KeyStore.create(url, "broker") as broker, KeyStore.open(url, "alice") as store:
        Compartments(store, alice, people.trust).create("P-1", IMAGE)
        store.put_headers([image(1, header), image(2, short), image(3)])
        store.put_delegation(1, {"broker": box}, [])
        broker.delegation(1)
        store.db.empty_log()  # into the file proper
        assert all(found_in(tmp_path, secret) for secret in (header, box, short))
        store.drop([object_id(1), object_id(2)])
        store.drop_delegation(1)
        store.close()
        assert not any(found_in(tmp_path, secret) for secret in (header, box, short))
        assert broker.delegations() == {}


def found_in(folder: Path, secret: bytes) -> bool:
    """Whether a piece of it is in a file."""
    return any(secret[16:32] in path.read_bytes() for path in folder.iterdir())


def test_another_database_is_no_key_store(catalog_url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KeyStore.open(catalog_url)
    assert caught.value.message.endswith(" holds no key store")


def test_certificates_and_documents(store: KeyStore) -> None:
    assert store.document("revocations") is None
    store.put_certificate("bob", b"one")
    store.put_certificate("bob", b"two")
    store.put_document("revocations", b"list")
    assert store.certificates() == {"bob": b"two"}
    assert store.document("revocations") == b"list"
    with pytest.raises(UsageError) as caught:
        store.put_certificate("recovery", b"")
    assert caught.value.message == "'recovery' cannot be the name of an identity"


def test_a_header_is_released_to_who_holds_the_compartment(
    store: KeyStore, images: list[ObjectId]
) -> None:
    found = store.release([images[0], images[0], object_id(9)], "fetch")
    assert found == {
        images[0]: Released(images[0], "P-1", IMAGE, 1, "", b"header", b"manifest"),
    }
    assert found[images[0]].compartment == ("P-1", IMAGE, 1)
    assert store.acting("carol").release(images, "fetch") == {}
    seen = [
        (one.who, one.verb, one.thing, one.patient, one.detail)
        for one in store.audit.records()
        if one.detail == "fetch"
    ]
    assert seen == [
        ("alice", "release", images[0], "P-1", "fetch"),
        ("alice", "refuse", object_id(9), "", "fetch"),
        *(("carol", "refuse", one, "", "fetch") for one in images),
    ]


def test_a_header_of_ones_own_comes_first(store: KeyStore, images: list[ObjectId]) -> None:
    row = image(0)._replace(recipient="alice", header=b"mine")
    store.put_headers([row])
    found = store.release(images[:1], "fetch")[images[0]]
    assert (found.recipient, found.header, found.compartment) == ("alice", b"mine", None)


def test_a_grant_ends(store: KeyStore, images: list[ObjectId]) -> None:
    soon, later = time.time() + 0.5, time.time() + 3600
    store.put_grant_headers(
        [
            GrantRow(images[0], "bob", later, "alice", b"for bob"),
            GrantRow(images[1], "bob", soon, "alice", b"for bob"),
            GrantRow(images[2], "bob", time.time() - 1, "alice", b"for bob"),
        ]
    )
    bob = store.acting("bob")
    (found,) = bob.release(images[:1], "fetch").values()
    assert (found.header, found.recipient, found.compartment) == (b"for bob", "bob", None)
    assert found.until_s == pytest.approx(later, abs=1e-5)
    # asked at that very moment, parts of a split store would not say the same
    wait_for(lambda: time.time() > soon + 0.1, "the grant to end")
    assert list(bob.release(images, "fetch")) == images[:1]
    assert store.drop_ended_grants() == 2
    assert [(one.object_id, one.recipient) for one in store.grants("bob")] == [(images[0], "bob")]
    assert store.drop_grants("bob", images) == 1
    assert bob.release(images, "fetch") == {}


def test_what_names_a_patient_is_never_granted(
    store: KeyStore, people: People, alice: Person
) -> None:
    Compartments(store, alice, people.trust).create("P-1", NAMES)
    store.put_headers([image(0)._replace(data_class=NAMES)])
    store.put_grant_headers([GrantRow(object_id(0), "bob", time.time() + 9, "alice", b"no")])
    assert store.acting("bob").release([object_id(0)], "fetch") == {}


def test_a_grant_can_be_given_again(store: KeyStore, images: list[ObjectId]) -> None:
    for days in (1, 2):
        until_s = time.time() + days * 86400
        store.put_grant_headers([GrantRow(images[0], "bob", until_s, "alice", b"%d" % days)])
    assert [one.header for one in store.acting("bob").release(images, "").values()] == [b"2"]


def test_headers_are_kept_once_and_whole(store: KeyStore, images: list[ObjectId]) -> None:
    with pytest.raises(AlreadyExists) as caught:
        store.put_headers([image(7), image(0)])
    assert caught.value.message == "the key store has a header of one of these objects already"
    with pytest.raises(AlreadyExists) as caught:
        store.put_headers([image(8), image(0)._replace(manifest=b"other", recipient="alice")])
    assert caught.value.message == f"the key store has another manifest of object {images[0]}"
    assert store.objects_of("P-1") == images


def test_a_new_key_destroys_the_old_one_and_its_grants(
    store: KeyStore, images: list[ObjectId]
) -> None:
    store.put_grant_headers([GrantRow(images[0], "bob", time.time() + 100, "alice", b"old")])
    store.put_headers([image(0)._replace(header=b"new", manifest=b"new manifest")], replace=True)
    assert store.acting("bob").release(images, "fetch") == {}
    found = store.release(images, "fetch")[images[0]]
    assert (found.header, found.manifest) == (b"new", b"new manifest")


def test_dropped_keys_are_gone(store: KeyStore, images: list[ObjectId]) -> None:
    store.drop([images[0], object_id(9)])
    assert list(store.release(images, "fetch")) == images[1:]
    store.put_headers([image(0)])


def test_a_transaction_is_whole_or_nothing(store: KeyStore, images: list[ObjectId]) -> None:
    before = len(list(store.audit.records()))
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.put_headers([image(7)])
        store.drop(images)
        raise ZeroDivisionError
    assert store.objects_of("P-1") == images
    assert len(list(store.audit.records())) == before
    with pytest.raises(RuntimeError), store.transaction():
        store.release(images, "fetch")


def test_results_of_several_patients_are_their_owners(store: KeyStore) -> None:
    rows = [
        HeaderRow(object_id(5), None, IMAGE, None, recipient, recipient.encode(), b"manifest")
        for recipient in ("bob", "recovery")
    ]
    store.put_headers(rows)
    assert store.release([object_id(5)], "fetch") == {}
    found = store.acting("bob").release([object_id(5)], "fetch")[object_id(5)]
    assert (found.header, found.patient, found.compartment) == (b"bob", None, None)
    kept = next(iter(store.audit.records(what=object_id(5))))
    assert (kept.verb, kept.patient, kept.detail) == ("keep", "", "1 objects")


@pytest.mark.parametrize(
    "give",
    [
        lambda store, image: store.release([image], "fetch"),
        lambda store, image: store.seals(["P-1"], "whois"),
        lambda store, image: store.wraps_for([CompartmentId("P-1", IMAGE, 1)]),
        lambda store, image: store.delegation(42),
        lambda store, image: store.recovery("restore"),
    ],
    ids=["header", "seal", "wrap", "delegation", "recovery"],
)
def test_nothing_is_given_out_before_its_record_is_kept(
    store: KeyStore, images: list[ObjectId], give: Callable[[KeyStore, ObjectId], object]
) -> None:
    with pytest.raises(RuntimeError, match="inside a transaction"), store.transaction():
        give(store, images[0])


def test_names_open_for_the_care_team_alone(store: KeyStore, people: People, alice: Person) -> None:
    mine = Compartments(store, alice, people.trust)
    mine.ensure(["P-1", "P-2"], NAMES)
    seals = Seals(store, alice, mine, people.trust)
    names: dict[str, dict[str, Any]] = {
        "P-1": {"PatientName": "DOE^JANE"},
        "P-2": {"PatientName": "ÅS^Ö", "n": [1]},
    }
    seals.put(names)
    assert seals.open(["P-1", "P-2", "P-3"], "query") == names
    for name in ("bob", "carol", "rita"):
        person, own = people[name], store.acting(name)
        theirs = Seals(own, person, Compartments(own, person, people.trust), people.trust)
        assert theirs.open(["P-1", "P-2"], "query") == {}
    assert [(one.who, one.patient, one.detail) for one in store.audit.records(what="name")] == [
        ("alice", "", "query (3 patients)"),
        *((name, "", "query (2 patients)") for name in ("bob", "carol", "rita")),
    ]
    assert seals.open(["P-1"], "whois") == {"P-1": {"PatientName": "DOE^JANE"}}
    assert [one.detail for one in store.audit.records(what="P-1", who="alice")][-1] == "whois"
    assert not any("DOE" in str(one) for one in store.audit.records())
    store.drop_seal("P-1")
    assert seals.open(["P-1"], "whois") == {}


def test_a_seal_of_an_earlier_key_is_refused(
    store: KeyStore, people: People, alice: Person
) -> None:
    mine = Compartments(store, alice, people.trust)
    mine.ensure(["P-1"], NAMES)
    seals = Seals(store, alice, mine, people.trust)
    seals.put({"P-1": {"PatientName": "MISS^JANE"}})
    earlier = store.seals(["P-1"], "test")["P-1"]
    mine.rotate("P-1", NAMES)
    mine.forget()
    seals.put({"P-1": {"PatientName": "DOE^JANE"}})
    store.put_seals([earlier])
    with pytest.raises(IntegrityError) as caught:
        seals.open(["P-1"], "whois")
    assert caught.value.message == "the seal of patient P-1 is damaged, exchanged or too old"


def test_a_seal_that_somebody_signed_in_the_name_of_another_is_refused(
    store: KeyStore, people: People, alice: Person
) -> None:
    """Anybody can seal to the public key."""
    mine = Compartments(store, alice, people.trust)
    mine.ensure(["P-1"], NAMES)
    liar = replace(Person.draw("alice"), encryption_private=alice.encryption_private)
    Seals(store, liar, mine, people.trust).put({"P-1": {"PatientName": "DOE^JANE"}})
    with pytest.raises(IntegrityError) as caught:
        Seals(store, alice, mine, people.trust).open(["P-1"], "whois")
    assert caught.value.message == "the seal of patient P-1 is damaged, exchanged or too old"


def test_brokers_borrow_keys_while_jobs_last(
    store: KeyStore, people: People, images: list[ObjectId]
) -> None:
    broker = people["broker"]
    keys = [(number, one, bytes([number]) * 32) for number, one in enumerate(images)]
    lend(store, 42, {"broker": broker.encryption_public}, keys)
    with pytest.raises(AlreadyExists) as caught:
        lend(store, 42, {"broker": broker.encryption_public}, keys)
    assert caught.value.message == "the key store has a delegation of submission 42 already"
    assert [(one.who, one.verb, one.detail) for one in store.audit.records(what="42")] == [
        ("alice", "delegate", "3 keys")
    ]
    theirs = store.acting("broker")
    found = borrow(theirs, broker, 42)
    assert [(one.number, one.object_id, one.data_key) for one in found] == keys
    assert {one.manifest for one in found} == {b"manifest"}
    assert "\\x" not in repr(found[0])
    assert [one.number for one in borrow(theirs, broker, 42, [1])] == [1]
    with pytest.raises(Denied) as caught_denied:
        borrow(store.acting("bob"), people["bob"], 42)
    assert caught_denied.value.message == "no keys are lent to bob for submission 42"
    theirs.drop_delegation(42, [0, 1])
    assert [one.number for one in borrow(theirs, broker, 42)] == [2]
    assert store.delegations() == {42: [(2, images[2])]}
    theirs.drop_delegation(42, [2])
    assert store.delegations() == {}
    with pytest.raises(Denied):
        borrow(theirs, broker, 42)


def test_keys_are_lent_again_beside_those_of_other_jobs(
    store: KeyStore, people: People, images: list[ObjectId]
) -> None:
    broker = people["broker"]
    brokers = {
        "other": people["bob"].encryption_public,
        "broker": broker.encryption_public,
    }
    theirs = store.acting("broker")

    def borrowed(who: str = "broker") -> dict[tuple[int, ObjectId], bytes]:
        found = borrow(store.acting(who), people[who], 42)
        return {(one.number, one.object_id): one.data_key for one in found}

    lend_again(store, 42, brokers, [(1, images[0], b"a" * 32), (2, images[0], b"b" * 32)])
    lend_again(store, 42, brokers, [(1, images[0], b"c" * 32), (1, images[1], b"d" * 32)])
    theirs.drop_delegation(42, [3])
    lend_again(store, 42, brokers, [(3, images[2], b"e" * 32)])
    assert borrowed() == {
        (1, images[0]): b"c" * 32,
        (1, images[1]): b"d" * 32,
        (2, images[0]): b"b" * 32,
        (3, images[2]): b"e" * 32,
    }
    with pytest.raises(NotFound) as caught:
        store.acting("bob").extend_delegation(42, [])
    assert caught.value.message == "nothing is lent for submission 42"
    with store.db.write() as connection:  # the box of one job in the place of another's
        connection.execute(
            text(
                "UPDATE delegation_box SET box = (SELECT box FROM delegation_box "
                "WHERE number = 3) WHERE number = 2"
            )
        )
    with pytest.raises(IntegrityError):
        borrowed()
    theirs.drop_delegation(42, [1, 2, 3])
    assert store.delegations() == {}
    lend_again(store, 42, brokers, [(1, images[0], b"f" * 32)])
    assert borrowed() == {(1, images[0]): b"f" * 32}


def test_many_keys_at_once(store: KeyStore, people: People, alice: Person) -> None:
    """Many; tests/benchmarks/bench_keystore.py has 10 000."""
    Compartments(store, alice, people.trust).create("P-1", IMAGE)
    rows = [image(number, bytes(124)) for number in range(1100)]
    lent = [(number, row.object_id, bytes(32)) for number, row in enumerate(rows)]
    broker = people["broker"]
    store.put_headers(rows)
    assert len(store.release([row.object_id for row in rows], "submit")) == 1100
    lend(store, 1, {"broker": broker.encryption_public}, lent)
    assert len(borrow(store.acting("broker"), broker, 1)) == 1100
