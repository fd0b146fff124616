"""The audit log: what is written, and what is noticed when somebody changes it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, text, update

from medgrid.crypto.audit_checkpoint import Memory
from medgrid.crypto.audit_record import Event, Record
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.keystore_schema import audit, checkpoint
from medgrid.crypto.merkle import check_consistency, check_inclusion, root_of
from medgrid.errors import ConfigError, IntegrityError
from tests.crypto.people import People, Person
from tests.lab.waiting import PATIENCE_S


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    """What alice's client remembers."""
    return Memory(tmp_path / "audit.checkpoint")


@pytest.fixture
def log(one_store: KeyStore, alice: Person, memory: Memory) -> KeyStore:
    """A store whose log has ten records, eight of them under checkpoints."""
    store = one_store
    store.audit.append(*(Event("release", f"{number:032x}", "P-1") for number in range(5)))
    store.audit.checkpoint(alice, memory)
    store.audit.append(*(Event("grant", f"{number:032x}", "P-2", "größe") for number in range(3)))
    store.audit.checkpoint(alice, memory)
    store.acting("bob").audit.append(Event("release"), Event("release"))
    return store


def problems(store: KeyStore, people: People, memory: Memory | None = None) -> list[str]:
    return store.audit.verify(people.trust, memory).problems


def test_records_say_who_did_what(log: KeyStore) -> None:
    found = list(log.audit.records())
    assert [one.seq for one in found] == list(range(10))
    assert abs(found[0].time_s - time.time()) < PATIENCE_S
    assert found[7] == Record(7, found[7].time_us, "alice", "grant", f"{2:032x}", "P-2", "größe")
    assert [one.seq for one in log.audit.records(who="bob")] == [8, 9]
    assert [one.seq for one in log.audit.records(what="P-2")] == [5, 6, 7]
    assert [one.seq for one in log.audit.records(what="grant", who="bob")] == []
    assert [one.seq for one in log.audit.records(what=f"{2:032x}")] == [2, 7]
    assert [one.seq for one in log.audit.records(since_s=found[5].time_s)] == [5, 6, 7, 8, 9]
    some = {"P-2", f"{2:032x}", "nothing"}
    assert [one.seq for one in log.audit.records(what=some)] == [2, 5, 6, 7]
    assert [one.seq for one in log.audit.records(who="bob", since_s=0.0)] == [8, 9]
    assert list(log.audit.records(what=[])) == []


def test_both_databases_hash_the_same_bytes(log: KeyStore) -> None:
    leaves = [leaf for rows in log.audit.leaves() for _, leaf in rows]
    assert leaves == [one.leaf() for one in log.audit.records()]
    assert log.audit.root() == root_of(leaves)
    assert log.audit.root(3) == root_of(leaves[:3])


def test_a_log_nobody_touched_is_whole(log: KeyStore, people: People, memory: Memory) -> None:
    report = log.audit.verify(people.trust, memory)
    report.check()
    assert (report.size, report.signed, report.root) == (10, 8, log.audit.root())


def test_proofs_are_for_others_to_check(log: KeyStore) -> None:
    third = list(log.audit.records())[2]
    check_inclusion(third.leaf(), 2, 8, log.audit.inclusion(2, 8), log.audit.root(8))
    proof = log.audit.consistency(5)
    check_consistency(5, log.audit.root(5), 10, log.audit.root(), proof)


@pytest.mark.parametrize("column", ["time_us", "who", "verb", "thing", "patient", "detail"])
def test_a_changed_field_is_found(log: KeyStore, people: People, column: str) -> None:
    value = 5 if column == "time_us" else "nobody"
    with log.db.write() as connection:
        connection.execute(update(audit).where(audit.c.seq == 3).values({column: value}))
    assert problems(log, people) == ["record 3 was changed"]
    with pytest.raises(IntegrityError) as caught:
        log.audit.verify(people.trust).check()
    assert caught.value.message == "the audit log is not whole: record 3 was changed"


def test_a_changed_record_with_its_hash_is_found(
    log: KeyStore, people: People, memory: Memory
) -> None:
    with log.db.write() as connection:
        row = connection.execute(select(audit).where(audit.c.seq == 3)).one()
        forged = Record(3, row.time_us, "bob", row.verb, row.thing, row.patient, row.detail)
        connection.execute(
            update(audit).where(audit.c.seq == 3).values(who="bob", leaf=forged.leaf())
        )
    assert problems(log, people) == [
        "the first 5 records are not those that alice signed",
        "the first 8 records are not those that alice signed",
    ]
    with log.db.write() as connection:
        connection.execute(delete(checkpoint))
    assert problems(log, people) == []
    assert problems(log, people, memory) == ["the first 8 records are not those that alice signed"]


def test_a_deleted_record_is_found(log: KeyStore, people: People) -> None:
    with log.db.write() as connection:
        connection.execute(delete(audit).where(audit.c.seq == 3))
    assert problems(log, people) == [
        "records are missing or misplaced before record 4",
        "the first 5 records are not those that alice signed",
        "the first 8 records are not those that alice signed",
    ]


def test_swapped_records_are_found(log: KeyStore, people: People) -> None:
    with log.db.write() as connection:
        for old, new in ((3, -1), (4, 3), (-1, 4)):
            connection.execute(update(audit).where(audit.c.seq == old).values(seq=new))
    assert problems(log, people)[:2] == ["record 3 was changed", "record 4 was changed"]


def test_an_inserted_record_is_found(log: KeyStore, people: People) -> None:
    with log.db.write() as connection:
        connection.execute(text("UPDATE audit SET seq = seq + 100 WHERE seq >= 3"))
        connection.execute(text("UPDATE audit SET seq = seq - 99 WHERE seq >= 100"))
        record = Record(3, 1, "alice", "release", "", "", "")
        row = {name: getattr(record, name) for name in Record.__slots__}
        connection.execute(insert(audit).values(**row, leaf=record.leaf()))
    assert problems(log, people)[:2] == ["record 4 was changed", "record 5 was changed"]


def test_a_cut_tail_is_found(log: KeyStore, people: People, alice: Person, memory: Memory) -> None:
    with log.db.write() as connection:
        connection.execute(delete(audit).where(audit.c.seq >= 7))
    cut = "its end is cut off: alice signed 8 records, and there are 7"
    assert problems(log, people) == [cut]
    with log.db.write() as connection:
        connection.execute(delete(checkpoint).where(checkpoint.c.size == 8))
    assert problems(log, people) == []
    assert problems(log, people, memory) == [cut]
    with pytest.raises(IntegrityError) as caught:
        log.audit.checkpoint(alice, memory)
    assert caught.value.message == (
        "the audit log is not whole: its end is cut off since the checkpoint of 8 records"
    )
    log.audit.append(Event("release"), Event("release"))
    assert problems(log, people, memory) == ["the first 8 records are not those that alice signed"]
    assert log.audit.checkpoint(alice, memory).root != log.audit.root()
    assert problems(log, people) == ["the first 9 records are not those that alice signed"]


def test_a_forged_checkpoint_is_found(log: KeyStore, people: People) -> None:
    with log.db.write() as connection:
        connection.execute(
            update(checkpoint).where(checkpoint.c.size == 5).values(root=log.audit.root(4))
        )
    assert problems(log, people) == ["the checkpoint of 5 records was not signed by alice"]
    del people["alice"]
    assert set(problems(log, people)) == {"alice has no certificate of this grid"}


def test_what_is_remembered_is_private_and_checked(
    log: KeyStore, people: People, memory: Memory, tmp_path: Path
) -> None:
    file = tmp_path / "audit.checkpoint"
    assert file.stat().st_mode & 0o777 == 0o600
    kept = json.loads(file.read_text())
    assert list(kept) == [log.store_id]
    for text_ in ("no JSON", "[]", json.dumps({log.store_id: {}})):
        file.write_text(text_)
        with pytest.raises(ConfigError) as caught:
            log.audit.verify(people.trust, memory)
        assert caught.value.message == (
            f"{file}: not the audit checkpoints that medgrid remembered"
        )
    kept[log.store_id]["size"] = 7
    file.write_text(json.dumps(kept))
    with pytest.raises(ConfigError):
        memory.recall(log.store_id)


def test_a_copy_grows(
    log: KeyStore, people: People, alice: Person, memory: Memory, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.jsonl"
    assert log.audit.copy_to(copy) == 10
    assert log.audit.copy_to(copy) == 0
    log.audit.append(Event("grant"))
    log.audit.checkpoint(alice, memory)
    assert log.audit.copy_to(copy) == 1
    lines = copy.read_text().splitlines()
    assert len(lines) == 1 + 11 + 3
    assert log.audit.verify(people.trust, copies=[copy]).problems == []
    with copy.open("a") as stream:
        stream.write('{"record":{"seq":11')
    assert log.audit.verify(people.trust, copies=[copy]).problems == []
    assert log.audit.copy_to(copy) == 0
    assert copy.read_text().splitlines() == lines


def test_a_copy_tells_what_was_there(log: KeyStore, people: People, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    log.audit.copy_to(copy)
    with log.db.write() as connection:
        connection.execute(delete(audit).where(audit.c.seq >= 8))
        connection.execute(delete(checkpoint))
        record = Record(7, 1, "carol", "grant", "", "", "")
        connection.execute(
            update(audit)
            .where(audit.c.seq == 7)
            .values(time_us=1, who="carol", thing="", patient="", detail="", leaf=record.leaf())
        )
    assert log.audit.verify(people.trust).problems == []
    found = log.audit.verify(people.trust, copies=[copy]).problems
    assert found == [
        f"record 7 differs; the copy has: alice grant {2:032x} P-2 größe",
        "record 8 is in the copy alone: bob release",
        "record 9 is in the copy alone: bob release",
        "the first 8 records are not those that alice signed",
    ]
    before = copy.read_bytes()
    with pytest.raises(IntegrityError):
        log.audit.copy_to(copy)
    assert copy.read_bytes() == before


def test_what_is_no_copy_is_refused(log: KeyStore, people: People, tmp_path: Path) -> None:
    file = tmp_path / "copy.jsonl"
    with pytest.raises(ConfigError):
        log.audit.verify(people.trust, copies=[file])
    file.write_text('{"schema":"other"}\n')
    with pytest.raises(IntegrityError) as caught:
        log.audit.verify(people.trust, copies=[file])
    assert caught.value.message == f"{file}: not a copy of an audit log"
    file.unlink()
    log.audit.copy_to(file)
    text_ = file.read_text()
    file.write_text(text_.replace('"seq":3', '"seq":"3"'))
    with pytest.raises(IntegrityError) as caught:
        log.audit.verify(people.trust, copies=[file])
    assert caught.value.message == f"{file}: line 5 of the copy of the audit log is damaged"
    file.write_text(text_.replace(log.store_id, "0" * 32))
    assert log.audit.verify(people.trust, copies=[file]).problems[0] == (
        "the copy is one of another key store's log"
    )


def test_a_long_log_is_signed_on_and_verified(
    one_store: KeyStore, people: People, alice: Person, memory: Memory
) -> None:
    """Longer than what one statement reads; tests/benchmarks/bench_keystore.py has 100 000."""
    store = one_store
    store.audit.append(*(Event("release", f"{n:032x}", "P-1", "x") for n in range(5100)))
    store.audit.checkpoint(alice, memory)
    store.audit.append(Event("release"))
    store.audit.checkpoint(alice, memory)
    report = store.audit.verify(people.trust, memory)
    assert (report.size, report.signed, report.problems) == (5101, 5101, [])


@pytest.mark.parametrize(("name", "value"), [("root", "00" * 32), ("store_id", "another")])
def test_a_remembered_checkpoint_that_was_changed_is_refused(
    alice: Person, memory: Memory, tmp_path: Path, name: str, value: str
) -> None:
    store = KeyStore.create(f"sqlite:///{tmp_path / 'keystore.db'}", "alice")
    store.audit.append(Event("release"))
    store.audit.checkpoint(alice, memory)
    file = tmp_path / "audit.checkpoint"
    found = json.loads(file.read_text())
    found[store.store_id][name] = value
    file.write_text(json.dumps(found))
    with pytest.raises(ConfigError) as caught:
        memory.recall(store.store_id)
    assert caught.value.message == f"{file}: not the audit checkpoints that medgrid remembered"
    store.close()
