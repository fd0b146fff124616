"""Somebody changes the key store behind our back: nothing of it is believed, nothing comes out.

Every byte of what is kept, every exchange of rows, every older state: what reads it refuses with
"integrity" or "denied", and gives no content.
"""

from __future__ import annotations

import copy
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from medgrid.crypto.care_team import CareTeam
from medgrid.crypto.compartments import Compartments
from medgrid.crypto.crypt4gh import (
    Encryptor,
    Manifest,
    key_id,
    new_data_key,
    open_header,
    seal_header,
)
from medgrid.crypto.delegation import borrow, lend
from medgrid.crypto.hpke import public_of
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.keystore_values import GrantRow, HeaderRow
from medgrid.crypto.recovery import drill, make_recovery
from medgrid.crypto.seals import Seals
from medgrid.errors import Denied, IntegrityError, NotFound
from medgrid.model import DataClass, ObjectId
from tests.crypto.conftest import everybody
from tests.crypto.people import People
from tests.lanes import Sample

IMAGE, NAMES = DataClass.IMAGE, DataClass.NOMINATIVE
PATIENTS = ("P-1", "P-2")
SCANS = {patient: ObjectId(f"{number:032x}") for number, patient in enumerate(PATIENTS)}
NAMES_OF = {"P-1": {"PatientName": "DOE^JANE"}, "P-2": {"PatientName": "ROE^JOE"}}


class Victim:
    """A key store with two patients: images granted to bob and lent to the broker, names sealed."""

    def __init__(self, folder: Path, people: People) -> None:
        self.people = people
        self.file = folder / "keystore.db"
        self.recovery_public, self.shares = make_recovery(2, 2)
        self.keys: dict[ObjectId, bytes] = {}
        alice, bob = people["alice"], people["bob"]
        with KeyStore.create(self.url, "alice") as store:
            mine = Compartments(store, alice, people.trust, self.recovery_public)
            carol = [("carol", people["carol"].encryption_public)]
            for data_class in (IMAGE, NAMES):
                mine.ensure(PATIENTS, data_class, carol)
            Seals(store, alice, mine, people.trust).put(NAMES_OF)
            for patient, scan in SCANS.items():
                data_key = self.keys[scan] = new_data_key()
                encryptor = Encryptor(data_key)
                assert b"".join(encryptor([scan.encode()]))
                manifest = Manifest.make(scan, encryptor.body(), "alice", alice.sign).to_bytes()
                header = seal_header(data_key, [mine.public(patient, IMAGE).public_key])
                store.put_headers([HeaderRow(scan, patient, IMAGE, 1, None, header, manifest)])
                granted = seal_header(data_key, [bob.encryption_public])
                until_s = time.time() + 1000
                store.put_grant_headers([GrantRow(scan, "bob", until_s, "alice", granted)])
            broker = {"broker": people["broker"].encryption_public}
            for submission in (1, 2):
                rows = [
                    (number, scan, self.keys[scan]) for number, scan in enumerate(SCANS.values())
                ]
                lend(store, submission, broker, rows)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.file}"

    def copy(self, folder: Path) -> Victim:
        """The same with a file of its own, and people to whom others can be added."""
        made = copy.copy(self)
        made.people = People(self.people)
        made.file = folder / self.file.name
        shutil.copyfile(self.file, made.file)
        return made

    # -- all ways to read it: each gives what it should, or raises ------------------------------

    def images(self) -> None:
        with KeyStore.open(self.url, "alice") as store:
            alice = self.people["alice"]
            mine = Compartments(store, alice, self.people.trust)
            found = store.release(list(SCANS.values()), "read")
            for patient, scan in SCANS.items():
                if scan not in found:
                    raise Denied("no header")
                one = found[scan]
                place = one.compartment
                private = alice.encryption_private if place is None else mine.private(*place)
                self._check(scan, one.header, private, one.manifest)
                mine.public(patient, IMAGE)

    def grants(self) -> None:
        bob = self.people["bob"]
        with KeyStore.open(self.url, "bob") as store:
            found = store.release(list(SCANS.values()), "read")
            for scan in SCANS.values():
                if scan not in found:
                    raise Denied("no header")
                one = found[scan]
                self._check(scan, one.header, bob.encryption_private, one.manifest)

    def _check(self, scan: ObjectId, header: bytes, private: bytes, blob: bytes) -> None:
        """What a reader does before it decrypts."""
        manifest = Manifest.from_bytes(blob)
        manifest.verify(self.people.trust(manifest.signer).signing_public, scan)
        data_key = open_header(header, private)
        if key_id(data_key) != manifest.key_id:
            raise IntegrityError("the key is not that of the manifest")
        assert data_key == self.keys[scan]

    def names(self) -> None:
        with KeyStore.open(self.url, "alice") as store:
            alice = self.people["alice"]
            mine = Compartments(store, alice, self.people.trust)
            found = Seals(store, alice, mine, self.people.trust).open(PATIENTS, "whois")
            if found.keys() != NAMES_OF.keys():
                raise Denied("no seal")
            assert found == NAMES_OF

    def publics(self) -> None:
        with KeyStore.open(self.url, "alice") as store:
            alice = self.people["alice"]
            mine = Compartments(store, alice, self.people.trust)
            for data_class in (IMAGE, NAMES):
                for one in mine.publics(PATIENTS, data_class).values():
                    assert public_of(mine.private(*one.id)) == one.public_key

    def carol(self) -> None:
        with KeyStore.open(self.url, "carol") as store:
            theirs = Compartments(store, self.people["carol"], self.people.trust)
            for patient in PATIENTS:
                for data_class in (IMAGE, NAMES):
                    theirs.private(patient, data_class, 1)

    def loans(self) -> None:
        broker = self.people["broker"]
        with KeyStore.open(self.url, "broker") as store:
            for submission in (1, 2):
                found = borrow(store, broker, submission)
                if len(found) < len(SCANS):
                    raise Denied("keys are missing")
                assert [one.data_key for one in found] == list(self.keys.values())

    def recovery(self) -> None:
        with KeyStore.open(self.url, "rita") as store:
            done = drill(store, self.shares, self.recovery_public)
            if done.problems or done.compartments != 4:
                raise IntegrityError("a drill finds problems")

    def log(self) -> None:
        with KeyStore.open(self.url, "rita") as store:
            store.audit.verify(self.people.trust).check()

    # -- the attacker ------------------------------------------------------------------------

    def run(self, *statements: str, **values: Any) -> None:
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            with connection:
                for statement in statements:
                    connection.execute(statement, values if ":" in statement else {})

    def rows(self, table: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.file)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT rowid AS id, * FROM {table}")]


@pytest.fixture(scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Victim:
    """The key store, made once; tests get copies."""
    return Victim(tmp_path_factory.mktemp("victim"), everybody())


@pytest.fixture
def victim(_template: Victim, tmp_path: Path) -> Victim:
    return _template.copy(tmp_path)


@pytest.fixture
def people(victim: Victim) -> People:
    return victim.people


def refused(read: Callable[[], None]) -> bool:
    """Whether reading is refused with exit code 5 or 6."""
    try:
        read()
    except (Denied, IntegrityError):
        return True
    return False


def test_all_is_read_when_nobody_changes_it(victim: Victim) -> None:
    for read in (
        *(victim.images, victim.grants, victim.names, victim.publics, victim.carol, victim.loans),
        *(victim.recovery, victim.log),
    ):
        read()


def wrap_reader(victim: Victim, row: dict[str, Any]) -> Callable[[], None]:
    readers = {"alice": victim.publics, "carol": victim.carol, "recovery": victim.recovery}
    return readers[row["recipient"]]


BLOBS: list[tuple[str, str, Callable[[Victim, dict[str, Any]], Callable[[], None]]]] = [
    ("compartment", "public_key", lambda victim, _: victim.publics),
    ("compartment", "signature", lambda victim, _: victim.publics),
    ("wrap", "sealed", wrap_reader),
    ("seal", "sealed", lambda victim, _: victim.names),
    ("protected", "manifest", lambda victim, _: victim.images),
    ("header", "sealed", lambda victim, _: victim.images),
    ("grant_header", "sealed", lambda victim, _: victim.grants),
    ("delegation_key", "sealed", lambda victim, _: victim.loans),
    ("delegation_box", "box", lambda victim, _: victim.loans),
    ("audit", "leaf", lambda victim, _: victim.log),
]


def changed_bytes(data: bytes, step: int) -> Iterator[bytes]:
    """One bit changed in every `step`-th byte."""
    for place in range(0, len(data), step):
        yield data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]


def other_lengths(data: bytes) -> tuple[bytes, ...]:
    return (b"", data[:-1], data + b"\0", data[1:])


@pytest.mark.parametrize(("table", "column", "reader"), BLOBS)
def test_no_changed_byte_is_believed(
    victim: Victim,
    table: str,
    column: str,
    reader: Callable[[Victim, dict[str, Any]], Callable[[], None]],
    sample: Sample,
) -> None:
    """Every byte of the first row, some of the others."""
    update = f"UPDATE {table} SET {column} = :value WHERE rowid = :id"
    believed = []
    for number, row in enumerate(victim.rows(table)[:4]):
        read = reader(victim, row)
        data = row[column]
        bytes_ = sample(changed_bytes(data, 29 if number else 1), 4 if number else 24)
        for changed in (*bytes_, *other_lengths(data)):
            victim.run(update, value=changed, id=row["id"])
            if not refused(read):
                believed.append((number, changed))
        victim.run(update, value=row[column], id=row["id"])
        read()
    assert believed == []


@pytest.mark.parametrize(("table", "column", "reader"), BLOBS)
def test_text_in_place_of_bytes_is_refused(
    victim: Victim,
    table: str,
    column: str,
    reader: Callable[[Victim, dict[str, Any]], Callable[[], None]],
) -> None:
    row = victim.rows(table)[0]
    victim.run(f"UPDATE {table} SET {column} = CAST({column} AS TEXT) WHERE rowid = {row['id']}")
    assert refused(reader(victim, row))


FIELDS: list[tuple[str, str, Any, str]] = [
    ("compartment", "signer", "carol", "publics"),
    ("compartment", "signer", "bob", "publics"),
    ("compartment", "signer", "nobody", "publics"),
    ("compartment", "patient", "P-9", "images"),
    ("compartment", "revision", 2, "publics"),
    ("wrap", "revision", 2, "publics"),
    ("wrap", "patient", "P-9", "publics"),
    ("seal", "revision", 2, "names"),
    ("seal", "patient", "P-9", "names"),
    ("protected", "patient", "P-9", "images"),
    ("protected", "data_class", "nominative", "images"),
    ("protected", "data_class", "nominative", "grants"),
    ("header", "revision", 2, "images"),
    ("header", "recipient", "alice", "images"),
    ("grant_header", "until_us", 0, "grants"),
    ("delegation_box", "number", 7, "loans"),
    ("delegation_box", "submission", 7, "loans"),
    ("delegation_key", "submission", 7, "loans"),
    ("audit", "who", "nobody", "log"),
    ("audit", "detail", "other", "log"),
    ("audit", "time_us", 1, "log"),
]


@pytest.mark.parametrize(("table", "column", "value", "reader"), FIELDS)
def test_a_changed_field_is_refused(
    victim: Victim, table: str, column: str, value: Any, reader: str
) -> None:
    first = victim.rows(table)[0]["id"]
    victim.run(f"UPDATE {table} SET {column} = :value WHERE rowid = {first}", value=value)
    assert refused(getattr(victim, reader))


def exchange(table: str, column: str, one: str, two: str) -> list[str]:
    """Give two rows each other's value."""
    return [
        f"CREATE TEMP TABLE kept AS SELECT {column} AS value FROM {table} WHERE {one}",
        f"UPDATE {table} SET {column} = (SELECT {column} FROM {table} WHERE {two}) WHERE {one}",
        f"UPDATE {table} SET {column} = (SELECT value FROM kept) WHERE {two}",
        "DROP TABLE kept",
    ]


def at(**columns: Any) -> str:
    return " AND ".join(f"{name} = {value!r}" for name, value in columns.items())


def wrap_at(patient: str, data_class: str, recipient: str) -> str:
    return at(patient=patient, data_class=data_class, recipient=recipient)


A, B = SCANS.values()
EXCHANGES = [
    (
        "wrap",
        "sealed",
        wrap_at("P-1", "image", "alice"),
        wrap_at("P-2", "image", "alice"),
        "publics",
    ),
    (
        "wrap",
        "sealed",
        wrap_at("P-1", "image", "alice"),
        wrap_at("P-1", "nominative", "alice"),
        "publics",
    ),
    ("wrap", "sealed", wrap_at("P-1", "image", "alice"), wrap_at("P-1", "image", "carol"), "carol"),
    (
        "wrap",
        "sealed",
        wrap_at("P-1", "image", "alice"),
        wrap_at("P-1", "image", "recovery"),
        "recovery",
    ),
    (
        "compartment",
        "public_key",
        at(patient="P-1", data_class="image"),
        at(patient="P-2", data_class="image"),
        "publics",
    ),
    (
        "compartment",
        "signature",
        at(patient="P-1", data_class="image"),
        at(patient="P-1", data_class="nominative"),
        "publics",
    ),
    ("seal", "sealed", at(patient="P-1"), at(patient="P-2"), "names"),
    ("header", "sealed", at(object_id=A), at(object_id=B), "images"),
    ("protected", "manifest", at(object_id=A), at(object_id=B), "images"),
    ("protected", "patient", at(object_id=A), at(object_id=B), "images"),
    ("grant_header", "sealed", at(object_id=A), at(object_id=B), "grants"),
    ("delegation_key", "sealed", at(submission=1), at(submission=2), "loans"),
    ("delegation_box", "box", at(submission=1, number=0), at(submission=1, number=1), "loans"),
    ("delegation_box", "box", at(submission=1, number=0), at(submission=2, number=0), "loans"),
    ("audit", "detail", at(seq=1), at(seq=9), "log"),
    ("audit", "leaf", at(seq=1), at(seq=9), "log"),
]


@pytest.mark.parametrize(("table", "column", "one", "two", "reader"), EXCHANGES)
def test_exchanged_rows_are_refused(
    victim: Victim, table: str, column: str, one: str, two: str, reader: str
) -> None:
    victim.run(*exchange(table, column, one, two))
    assert refused(getattr(victim, reader))


def test_a_header_and_its_manifest_of_another_object_are_refused(victim: Victim) -> None:
    for table, column in (
        ("header", "sealed"),
        ("protected", "manifest"),
        ("protected", "patient"),
    ):
        victim.run(*exchange(table, column, at(object_id=A), at(object_id=B)))
    assert refused(victim.images)


def test_a_copied_grant_is_for_nobody_else(victim: Victim, people: People) -> None:
    people.draw("eve", "researcher")
    victim.run("UPDATE grant_header SET recipient = 'eve'")
    with KeyStore.open(victim.url, "eve") as store:
        for one in store.release([A, B], "read").values():
            with pytest.raises((Denied, IntegrityError)):
                open_header(one.header, people["eve"].encryption_private)
    victim.run("UPDATE wrap SET recipient = 'eve' WHERE recipient = 'alice'")
    with KeyStore.open(victim.url, "eve") as store:
        for one in store.release([A, B], "read").values():
            assert one.compartment is not None or one.recipient == "eve"
        with pytest.raises(IntegrityError):
            Compartments(store, people["eve"], people.trust).private("P-1", IMAGE, 1)


def test_a_key_put_in_by_another_member_is_not_taken(victim: Victim, people: People) -> None:
    """Whoever can write may wrap a key of theirs; the compartment's own public key betrays it."""
    eve = people.draw("eve", "physician")
    with KeyStore.open(victim.url, "eve") as store:
        Compartments(store, eve, people.trust).create(
            "P-9", IMAGE, [("alice", people["alice"].encryption_public)]
        )
    victim.run(
        "DELETE FROM compartment WHERE patient = 'P-1' AND data_class = 'image'",
        "DELETE FROM wrap WHERE patient = 'P-1' AND data_class = 'image'",
        "UPDATE compartment SET patient = 'P-1' WHERE patient = 'P-9'",
        "UPDATE wrap SET patient = 'P-1' WHERE patient = 'P-9'",
    )
    assert refused(victim.publics)
    assert refused(victim.images)


DELETED = [
    ("compartment", "publics"),
    ("compartment", "images"),
    ("compartment", "log"),
    ("wrap", "publics"),
    ("wrap", "recovery"),
    ("seal", "names"),
    ("protected", "images"),
    ("header", "images"),
    ("grant_header", "grants"),
    ("delegation_key", "loans"),
    ("delegation_box", "loans"),
]


@pytest.mark.parametrize(("table", "reader"), DELETED)
def test_what_was_deleted_is_not_made_up(victim: Victim, table: str, reader: str) -> None:
    victim.run(f"DELETE FROM {table}")
    assert refused(getattr(victim, reader))


# -- older states ----------------------------------------------------------------------------------


@pytest.fixture
def rotated(
    victim: Victim, people: People
) -> Iterator[tuple[Victim, dict[str, list[dict[str, Any]]]]]:
    """The same after carol was dropped and P-1 got another name, and the rows from before."""
    before = {name: victim.rows(name) for name in ("compartment", "wrap", "seal")}
    alice = people["alice"]
    with KeyStore.open(victim.url, "alice") as store:
        mine = Compartments(store, alice, people.trust, victim.recovery_public)
        seals = Seals(store, alice, mine, people.trust)
        for patient in PATIENTS:
            CareTeam(store, alice, mine, seals).drop(patient, "carol")
    yield victim, before


def roll_back(victim: Victim, table: str, rows: list[dict[str, Any]]) -> None:
    victim.run(f"DELETE FROM {table}")
    for row in rows:
        names = [name for name in row if name != "id"]
        values = ", ".join(f":{name}" for name in names)
        victim.run(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})", **row)


def test_rotated_keys_are_read(rotated: tuple[Victim, Any]) -> None:
    victim, _ = rotated
    for read in (victim.images, victim.names, victim.publics, victim.log):
        read()
    assert refused(victim.carol)


@pytest.mark.parametrize(
    ("table", "readers"),
    [
        ("compartment", ["publics", "names", "log"]),
        ("wrap", ["publics", "names"]),
        ("seal", ["names", "log"]),
    ],
)
def test_an_older_table_is_refused(
    rotated: tuple[Victim, dict[str, list[dict[str, Any]]]], table: str, readers: list[str]
) -> None:
    victim, before = rotated
    roll_back(victim, table, before[table])
    for reader in readers:
        assert refused(getattr(victim, reader)), reader


def test_an_older_state_of_all_keys_shows_in_the_log(
    rotated: tuple[Victim, dict[str, list[dict[str, Any]]]], people: People
) -> None:
    victim, before = rotated
    for table, rows in before.items():
        roll_back(victim, table, rows)
    with KeyStore.open(victim.url, "rita") as store:
        problems = store.audit.verify(people.trust).problems
    assert problems == [
        *(
            f"patient {patient} had a key ({data_class} 2) that is gone from the key store"
            for patient in PATIENTS
            for data_class in ("image", "nominative")
        ),
        *(
            f"the seal of patient {patient} is not the one that was kept last"
            for patient in PATIENTS
        ),
    ]


def test_an_older_seal_of_the_same_key_shows_in_the_log(victim: Victim, people: People) -> None:
    before = victim.rows("seal")
    alice = people["alice"]
    with KeyStore.open(victim.url, "alice") as store:
        mine = Compartments(store, alice, people.trust)
        Seals(store, alice, mine, people.trust).put({"P-1": {"PatientName": "NEW^NAME"}})
    roll_back(victim, "seal", before)
    with KeyStore.open(victim.url, "rita") as store:
        assert store.audit.verify(people.trust).problems == [
            "the seal of patient P-1 is not the one that was kept last"
        ]


def test_nothing_is_found_is_not_nothing_is_wrong(victim: Victim, people: People) -> None:
    victim.run("DELETE FROM compartment", "DELETE FROM wrap")
    with KeyStore.open(victim.url, "alice") as store, pytest.raises(NotFound) as caught:
        Compartments(store, people["alice"], people.trust).public("P-1", IMAGE)
    assert caught.value.message == "patient P-1 has no keys for image data"
    assert refused(victim.log)
