"""Several key stores that together are one: `tests/crypto/test_keystore.py` shows that they are."""

from __future__ import annotations

import base64
import inspect
import itertools
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgrid.crypto import split_mend, split_writes
from medgrid.crypto.audit_checkpoint import Memory
from medgrid.crypto.compartments import Compartments
from medgrid.crypto.delegation import borrow, lend, lend_again
from medgrid.crypto.hpke import public_of
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.keystore_values import CompartmentId, GrantRow, HeaderRow
from medgrid.crypto.seals import Seals
from medgrid.crypto.split_mend import mend
from medgrid.crypto.split_store import SplitKeyStore, open_stores
from medgrid.crypto.splitting import Batch, batch_of, join, open_split, split
from medgrid.errors import Busy, ConfigError, IntegrityError, MedgridError, Unreachable, UsageError
from medgrid.model import DataClass, ObjectId
from tests.crypto.conftest import three_urls
from tests.crypto.people import People

IMAGE, NAMES = DataClass.IMAGE, DataClass.NOMINATIVE
SCAN = ObjectId("5" * 32)
HEADER = b"a header that opens to somebody only"


@given(st.binary(min_size=32, max_size=32), st.integers(2, 5), st.integers(0, 4))
def test_some_shares_make_the_key_again(key: bytes, threshold: int, more: int) -> None:
    shares = split(key, threshold, threshold + more)
    for some in itertools.combinations(shares, threshold):
        assert join(some, threshold) == key
    with pytest.raises(IntegrityError):
        join(shares[: threshold - 1], threshold)
    with pytest.raises(IntegrityError):
        join([shares[0]] * threshold, threshold)


def test_damaged_shares_make_nothing() -> None:
    shares = split(bytes(32), 2, 3)
    for place in range(len(shares[0])):
        changed = bytearray(shares[0])
        changed[place] ^= 1
        with pytest.raises(IntegrityError):
            join([bytes(changed), shares[1]], 2)
    for wrong in (b"", b"\0", split(bytes(32), 2, 3)[0]):
        with pytest.raises(IntegrityError) as caught:
            join([wrong, shares[1]], 2)
        assert caught.value.message == "the shares in the key stores do not make a key"


def test_what_stands_elsewhere_does_not_open() -> None:
    batch = Batch.draw()
    sealed = batch.seal(b"secret", "wrap", "P-1", 1)
    keys = {batch.id: batch.key}
    assert batch_of(sealed) == batch.id
    assert open_split(keys, sealed, "wrap", "P-1", 1) == b"secret"
    for place in (("wrap", "P-1", 2), ("wrap", "P-11"), ("seal", "P-1", 1)):
        with pytest.raises(IntegrityError):
            open_split(keys, sealed, *place)
    for number in range(len(sealed)):
        changed = bytearray(sealed)
        changed[number] ^= 1
        with pytest.raises(IntegrityError):
            open_split(keys, bytes(changed), "wrap", "P-1", 1)


# -- stores ----------------------------------------------------------------------------------------


class Hydra:
    """Three key stores of which two are needed, with something of everything in them."""

    def __init__(self, folder: Path, people: People) -> None:
        self.people = people
        self.urls = three_urls(folder)
        self.files = [Path(url.removeprefix("sqlite:///")) for url in self.urls]
        alice = people["alice"]
        with SplitKeyStore.create_all(self.urls, 2, "alice") as store:
            mine = Compartments(store, alice, people.trust)
            for data_class in (IMAGE, NAMES):
                mine.create("P-1", data_class)
            self.private = mine.private("P-1", IMAGE, 1)
            Seals(store, alice, mine, people.trust).put({"P-1": {"PatientName": "DOE^JANE"}})
            store.put_headers([HeaderRow(SCAN, "P-1", IMAGE, 1, None, HEADER, b"manifest")])
            store.put_grant_headers([GrantRow(SCAN, "bob", time.time() + 100, "alice", HEADER)])
            lend(store, 3, {"broker": people["broker"].encryption_public}, [(1, SCAN, b"k" * 32)])

    def open(self, who: str = "alice") -> KeyStore:
        return open_stores(self.urls, who)

    def check(self) -> None:
        """All of it is there."""
        people, store = self.people, self.open()
        mine = Compartments(store, people["alice"], people.trust)
        assert mine.private("P-1", IMAGE, 1) == self.private
        assert store.release([SCAN], "fetch")[SCAN].header == HEADER
        seals = Seals(store, people["alice"], mine, people.trust)
        assert seals.open(["P-1"], "whois") == {"P-1": {"PatientName": "DOE^JANE"}}
        assert store.acting("bob").release([SCAN], "fetch")[SCAN].header == HEADER
        broker = people["broker"]
        assert borrow(store.acting("broker"), broker, 3)[0].data_key == b"k" * 32
        store.close()

    def damage(self, place: int, statement: str, **values: Any) -> None:
        with sqlite3.connect(self.files[place]) as connection:
            connection.execute(statement, values)
        connection.close()

    def lose(self, place: int) -> None:
        for file in self.files[place].parent.glob(f"{self.files[place].name}*"):
            file.unlink()


@pytest.fixture
def hydra(tmp_path: Path, people: People) -> Hydra:
    return Hydra(tmp_path, people)


def test_every_method_acts_on_all_stores() -> None:
    built_of_others = {
        *("create", "open", "create_compartment", "compartment", "put_wrap", "put_seal"),
        *("is_part", "pending"),
    }
    public = {
        name
        for name, _ in inspect.getmembers(KeyStore)
        if not name.startswith("_") and name not in built_of_others
    }
    assert public - set(vars(SplitKeyStore)) == set()


def test_any_two_of_three_give_everything(hydra: Hydra, tmp_path: Path) -> None:
    hydra.check()
    for place in range(3):
        aside = tmp_path / "aside"
        hydra.files[place].rename(aside)
        hydra.check()
        aside.rename(hydra.files[place])


def test_no_more_stores_give_something_out_than_are_needed(hydra: Hydra) -> None:
    store = hydra.open()
    assert isinstance(store, SplitKeyStore)
    store.release([SCAN], "fetch")
    gave = [
        [one.verb for one in each.audit.records(what=SCAN) if one.verb == "release"]
        for each in store.stores.values()
    ]
    assert gave == [["release"], ["release"], []]


def test_keys_are_lent_again(hydra: Hydra) -> None:
    broker = hydra.people["broker"]
    lend_again(hydra.open(), 3, {"broker": broker.encryption_public}, [(2, SCAN, b"l" * 32)])
    found = borrow(hydra.open("broker"), broker, 3)
    assert [(one.number, one.data_key) for one in found] == [(1, b"k" * 32), (2, b"l" * 32)]


def test_grants_on_some_objects_are_dropped_alone(hydra: Hydra) -> None:
    store = hydra.open()
    other = ObjectId("f" * 32)
    store.put_headers([HeaderRow(other, "P-1", IMAGE, 1, None, HEADER, b"manifest")])
    store.put_grant_headers([GrantRow(other, "bob", time.time() + 100, "alice", HEADER)])
    assert store.drop_grants("bob", [other]) == 1
    assert [one.object_id for one in store.grants("bob")] == [SCAN]
    assert store.drop_grants() == 1
    assert store.grants() == []


def test_one_of_three_gives_nothing(hydra: Hydra) -> None:
    hydra.lose(1)
    hydra.lose(2)
    with pytest.raises(Unreachable) as caught:
        hydra.open()
    assert caught.value.message == (
        "1 of the key stores answer, 2 are needed: no answer from "
        f"{hydra.files[1]}, {hydra.files[2]}"
    )
    with pytest.raises(ConfigError) as caught_config:
        KeyStore.open(hydra.urls[0], "alice")
    assert caught_config.value.message == (
        f"the key store {hydra.files[0]} is one of several that together are one"
    )


def test_whoever_has_one_database_has_no_secret(hydra: Hydra) -> None:
    with sqlite3.connect(hydra.files[0]) as connection:
        secrets = [
            bytes(row[0])
            for table, column in (
                *(("wrap", "sealed"), ("header", "sealed"), ("grant_header", "sealed")),
                *(("seal", "sealed"), ("delegation_key", "sealed"), ("delegation_box", "box")),
            )
            for row in connection.execute(f"SELECT {column} FROM {table}")
        ]
        shares = dict(connection.execute("SELECT batch, share FROM share"))
    connection.close()
    assert len(secrets) == 7
    candidates = [part[1:] for part in shares.values()]
    candidates += [
        bytes(a ^ b for a, b in zip(one, two, strict=True))
        for one, two in itertools.combinations(candidates, 2)
    ]
    candidates += [bytes(32), *(bytes(reversed(one)) for one in candidates)]
    for sealed in secrets:
        batch = batch_of(sealed)
        with pytest.raises(IntegrityError):
            join([shares[batch]], 2)
        for key in candidates:
            for table in ("wrap", "header", "grant_header"):
                with pytest.raises(IntegrityError):
                    open_split({batch: key}, sealed, table, SCAN, "bob")
    for file in hydra.files[0].parent.glob(f"{hydra.files[0].name}*"):
        data = file.read_bytes()
        for needle in (HEADER, base64.b64encode(HEADER)[:24], HEADER.hex().encode()):
            assert needle not in data


def test_nothing_is_written_while_a_store_is_missing(hydra: Hydra) -> None:
    before = [file.read_bytes() for file in hydra.files[:2]]
    hydra.lose(2)
    store = hydra.open()
    with pytest.raises(Unreachable) as caught:
        store.put_certificate("bob", b"new")
    assert caught.value.message == (
        f"nothing can be written while a key store is missing: {hydra.files[2]}"
    )
    assert caught.value.hint is not None
    assert store.certificates() == {}
    store.close()
    assert [file.read_bytes() for file in hydra.files[:2]] == before


def test_a_lost_store_is_made_again(hydra: Hydra, tmp_path: Path) -> None:
    stolen = tmp_path / "stolen.db"
    shutil.copy(hydra.files[0], stolen)
    hydra.lose(0)
    assert mend(hydra.urls, "alice") == [str(hydra.files[0])]
    hydra.check()
    hydra.lose(1)
    hydra.check()
    assert mend(hydra.urls, "alice") == [str(hydra.files[1])]
    hydra.check()
    with hydra.open() as store:
        store.put_certificate("bob", b"new")
        assert store.certificates() == {"bob": b"new"}
        assert [one.detail for one in store.audit.records(what="mend")] == [
            "1 of 3 key stores",
            "1 of 3 key stores",
        ]

    def shares(file: Path) -> dict[bytes, bytes]:
        with sqlite3.connect(file) as connection:
            found = dict(connection.execute("SELECT batch, share FROM share"))
        connection.close()
        return found

    old, new = shares(stolen), shares(hydra.files[2])
    for batch in old.keys() & new.keys():
        with pytest.raises(IntegrityError):
            join([old[batch], new[batch]], 2)


def test_an_interrupted_mend_is_done_again(hydra: Hydra, monkeypatch: pytest.MonkeyPatch) -> None:
    hydra.lose(1)

    def fail(*_: Any) -> Any:
        raise KeyboardInterrupt

    for name in ("_users", "_keys", "_agreed_rows"):
        with monkeypatch.context() as patch:
            patch.setattr(split_mend, name, fail)
            with pytest.raises(KeyboardInterrupt):
                mend(hydra.urls, "alice")
    mend(hydra.urls, "alice")
    hydra.check()


def test_another_database_is_not_overwritten(hydra: Hydra, tmp_path: Path) -> None:
    hydra.lose(0)
    other = KeyStore.create(hydra.urls[0], "alice")
    other.put_certificate("bob", b"blob")
    other.close()
    with pytest.raises(ConfigError) as caught:
        hydra.open()
    assert caught.value.message == "these 3 key stores do not belong together"


@pytest.mark.parametrize("made", [1, 3])
@pytest.mark.parametrize("placed", [0, 1])
def test_what_was_interrupted_before_all_were_made_goes_on(
    made: int, placed: int, tmp_path: Path
) -> None:
    urls = three_urls(tmp_path)
    if placed:
        SplitKeyStore.create_all(urls, 2, "alice").close()
    for url in urls[placed:made]:
        Path(url.removeprefix("sqlite:///")).unlink(missing_ok=True)
        KeyStore.create(url, "alice").close()
    with SplitKeyStore.create_all(urls, 2, "alice") as store:
        store.put_certificate("bob", b"blob")
    with open_stores(urls, "alice") as store:
        assert store.certificates() == {"bob": b"blob"}


def test_stores_that_do_not_belong_together_are_refused(hydra: Hydra, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    others = three_urls(tmp_path / "other")
    SplitKeyStore.create_all(others, 2, "alice").close()
    for urls in (
        [*hydra.urls[:2], others[2]],
        [hydra.urls[0], hydra.urls[1]],
        [*hydra.urls, others[0]],
        [hydra.urls[0], hydra.urls[0], hydra.urls[1]],
    ):
        with pytest.raises(ConfigError) as caught:
            SplitKeyStore.open_all(urls, "alice")
        assert caught.value.message == f"these {len(urls)} key stores do not belong together"


@pytest.mark.parametrize(("threshold", "count"), [(1, 3), (4, 3), (2, 1), (0, 0)])
def test_some_ways_to_split_are_refused(threshold: int, count: int, tmp_path: Path) -> None:
    urls = three_urls(tmp_path)[:count]
    with pytest.raises(UsageError) as caught:
        SplitKeyStore.create_all(urls, threshold)
    assert caught.value.message == f"{threshold} of {count} key stores: not possible"
    assert list(tmp_path.iterdir()) == []


CHANGES = [
    "UPDATE wrap SET sealed = zeroblob(120)",
    "UPDATE header SET sealed = substr(sealed, 1, 60) || zeroblob(1) || substr(sealed, 62)",
    "UPDATE share SET share = zeroblob(33)",
    "DELETE FROM wrap",
    "DELETE FROM header",
    "UPDATE compartment SET public_key = zeroblob(32)",
    "DELETE FROM protected",
    "UPDATE protected SET manifest = 'other'",
]


@pytest.mark.parametrize("statement", CHANGES)
@pytest.mark.parametrize("place", [0, 1])
def test_a_store_that_lies_is_found_out(hydra: Hydra, place: int, statement: str) -> None:
    hydra.damage(place, statement)
    with pytest.raises(IntegrityError):
        hydra.check()


# -- writes that are interrupted -------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here."""


def crashing(calls: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """Do what `real` does so many times, then crash."""
    left = itertools.count(1)

    def call(*args: Any, **options: Any) -> Any:
        if next(left) > calls:
            raise Crash
        return real(*args, **options)

    return call


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody waits long for a write that was interrupted."""
    monkeypatch.setattr(split_writes, "_STALE_S", 0.0)
    yield


@pytest.mark.parametrize("calls", range(4))
def test_an_interrupted_write_is_all_or_nothing(
    hydra: Hydra, monkeypatch: pytest.MonkeyPatch, hasty: None, calls: int
) -> None:
    store = hydra.open()
    with monkeypatch.context() as patch:
        patch.setattr(split_writes, "_finish", crashing(calls, split_writes._finish))
        patch.setattr(split_writes.SplitWrites, "_forget", lambda *_: None)
        if calls < 3:
            with pytest.raises(Crash):
                store.put_headers(
                    [HeaderRow(SCAN, "P-1", IMAGE, 1, None, b"new", b"new")], replace=True
                )
        else:
            store.put_headers(
                [HeaderRow(SCAN, "P-1", IMAGE, 1, None, b"new", b"new")], replace=True
            )
    store.close()
    with hydra.open() as after:
        found = after.release([SCAN], "fetch")[SCAN]
        assert (found.header, found.manifest) == (
            (HEADER, b"manifest") if calls == 0 else (b"new", b"new")
        )
        after.put_certificate("bob", b"more")
    for place in range(3):
        hydra.lose(place)
        mend(hydra.urls, "alice")
        with hydra.open() as after:
            assert after.release([SCAN], "fetch")[SCAN].header == found.header


def test_a_write_that_another_undid_meanwhile_says_so(
    hydra: Hydra, monkeypatch: pytest.MonkeyPatch, hasty: None
) -> None:
    """A writer that stood still for long is taken for one that was interrupted."""
    finish = split_writes._finish
    overtaken: list[bool] = []

    def stand_still(*args: Any) -> None:
        if not overtaken:
            overtaken.append(True)
            with hydra.open("alice"):
                pass
        finish(*args)

    monkeypatch.setattr(split_writes, "_finish", stand_still)
    with hydra.open() as store, pytest.raises(Busy) as caught:
        store.put_certificate("bob", b"blob")
    assert caught.value.message == (
        "a write to the key stores took too long, and was undone by another"
    )
    for file in hydra.files:
        with sqlite3.connect(file) as connection:
            for table in ("pending", "certificate"):
                question = f"SELECT count(*) FROM {table}"
                assert connection.execute(question).fetchone() == (0,)
        connection.close()
    hydra.check()


def test_a_failed_write_leaves_nothing(hydra: Hydra) -> None:
    store = hydra.open()
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.drop([SCAN])
        store.drop_wraps("P-1")
        raise ZeroDivisionError
    with store.transaction():
        store.put_certificate("bob", b"blob")
        with pytest.raises(MedgridError):
            store.put_headers([HeaderRow(SCAN, "P-1", IMAGE, 1, None, b"twice", b"manifest")])
    assert store.certificates() == {"bob": b"blob"}
    store.close()
    hydra.check()
    for file in hydra.files:
        with sqlite3.connect(file) as connection:
            assert connection.execute("SELECT count(*) FROM pending").fetchone() == (0,)
        connection.close()


def test_a_pending_write_that_was_exchanged_is_refused(hydra: Hydra, hasty: None) -> None:
    for place in range(3):
        hydra.damage(
            place,
            "INSERT INTO pending VALUES ('w', 'alice', 0, :change)",
            change=b'[[["admit",["me","alice",["physician"]],{"dict":[]}]]]',
        )
    hydra.damage(0, "INSERT INTO applied VALUES ('w', 'alice')")
    with pytest.raises(IntegrityError) as caught:
        hydra.open()
    assert caught.value.message == "an interrupted write in the key store is damaged"


def test_one_transaction_is_of_one_identity(hydra: Hydra) -> None:
    with hydra.open() as store:
        assert store.acting("alice") is store
        other = store.acting("bob")
        with store.transaction(), pytest.raises(RuntimeError):
            other.put_certificate("bob", b"blob")


def test_all_logs_are_verified(hydra: Hydra, people: People, tmp_path: Path) -> None:
    memory = Memory(tmp_path / "audit.checkpoint")
    with hydra.open() as store:
        store.audit.checkpoint(people["alice"], memory)
        store.release([SCAN], "fetch")
        store.audit.checkpoint(people["alice"], memory)
        copied = store.audit.copy_to(tmp_path / "copy")
        assert copied == sum(1 for file in hydra.files for _ in rows(file))
        report = store.audit.verify(people.trust, memory, [tmp_path / "copy"])
        assert report.problems == []
    hydra.damage(1, "DELETE FROM audit WHERE seq >= 4")
    with hydra.open() as store:
        found = store.audit.verify(people.trust, memory, [tmp_path / "copy"]).problems
    assert found and all(one.startswith("store 2: ") for one in found)


def rows(file: Path) -> Iterator[Any]:
    with sqlite3.connect(file) as connection:
        yield from connection.execute("SELECT seq FROM audit").fetchall()
    connection.close()


def test_two_writers_take_turns(hydra: Hydra) -> None:
    import threading

    failed: list[BaseException] = []

    def write(name: str) -> None:
        try:
            with hydra.open(name) as store:
                for number in range(5):
                    store.put_certificate(f"{name}{number}", name.encode())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=[name]) for name in ("alice", "bob", "carol")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with hydra.open() as store:
        assert len(store.certificates()) == 15


def test_a_server_among_them_may_stop(postgres_server: Any, tmp_path: Path, people: People) -> None:
    name = postgres_server.make_database()
    urls = [*three_urls(tmp_path)[:2], postgres_server.url(name)]
    with SplitKeyStore.create_all(urls, 2, "alice") as store:
        mine = Compartments(store, people["alice"], people.trust)
        made = mine.create("P-1", IMAGE)
    with open_stores(urls, "alice") as store:
        postgres_server.drop_database(name)
        mine = Compartments(store, people["alice"], people.trust)
        assert public_of(mine.private("P-1", IMAGE, 1)) == made.public_key
        assert store.compartments_of() == [CompartmentId("P-1", IMAGE, 1)]
        with pytest.raises(MedgridError):
            store.put_certificate("bob", b"blob")
    with open_stores(urls, "alice") as store:
        assert store.certificates() == {}
