"""A key store on a server whose users each have a role of their own, and try to read around it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from medgrid.crypto.care_team import CareTeam
from medgrid.crypto.compartments import Compartments
from medgrid.crypto.delegation import borrow, lend, lend_again
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.keystore_schema import metadata
from medgrid.crypto.keystore_values import Compartment, CompartmentId, GrantRow, HeaderRow, WrapRow
from medgrid.crypto.seals import Seals
from medgrid.errors import Denied, MedgridError, NotFound, UsageError
from medgrid.model import DataClass, ObjectId
from tests.crypto.people import People, Person
from tests.lab.postgres import PostgresServer

pytestmark = pytest.mark.postgres

IMAGE, NAMES = DataClass.IMAGE, DataClass.NOMINATIVE
SCAN = ObjectId("5" * 32)
RESULT = ObjectId("6" * 32)
TAKE_HEADERS = "SELECT sealed FROM keystore_take_headers(%s, ARRAY[%s])"


class Clinic:
    """A key store with a physician, a researcher, a broker and a registrar as database users."""

    def __init__(self, server: PostgresServer, database: str, people: People) -> None:
        self.server = server
        self.database = database
        self.people = people
        self.owner = KeyStore.create(server.url(database), "rita")
        self.roles = {name: f"{name}_{uuid.uuid4().hex[:8]}" for name in people}
        for name, role in self.roles.items():
            self.owner.admit(role, name, people[name].roles)
        self._open: dict[str, KeyStore] = {}

    def store(self, name: str) -> KeyStore:
        """The key store as this person's database user sees it."""
        if name not in self._open:
            url = self.server.url(self.database).replace("medgrid@", f"{self.roles[name]}@")
            self._open[name] = KeyStore.open(url, name)
        return self._open[name]

    def compartments(self, name: str) -> Compartments:
        return Compartments(self.store(name), self.people[name], self.people.trust)

    def seals(self, name: str) -> Seals:
        mine = self.compartments(name)
        return Seals(self.store(name), self.people[name], mine, self.people.trust)

    def team(self, name: str) -> CareTeam:
        mine = self.compartments(name)
        return CareTeam(self.store(name), self.people[name], mine, self.seals(name))

    def connect(self, name: str) -> psycopg.Connection[Any]:
        """A bare connection of this person's database user."""
        return psycopg.connect(
            host=str(self.server.sockets), user=self.roles[name], dbname=self.database
        )

    def close(self) -> None:
        for store in (self.owner, *self._open.values()):
            store.close()
        self.server.drop_database(self.database)
        with self.server.admin() as connection:
            for role in self.roles.values():
                connection.execute(f'DROP ROLE "{role}"'.encode())


@pytest.fixture
def clinic(postgres_server: PostgresServer, people: People) -> Iterator[Clinic]:
    """Patient P-1 in alice's care: one image, a name, a grant of the image to bob."""
    found = Clinic(postgres_server, postgres_server.make_database(), people)
    mine = found.compartments("alice")
    for data_class in (IMAGE, NAMES):
        mine.create("P-1", data_class)
    found.seals("alice").put({"P-1": {"PatientName": "DOE^JANE"}})
    store = found.store("alice")
    store.put_headers([HeaderRow(SCAN, "P-1", IMAGE, 1, None, b"to the compartment", b"manifest")])
    store.put_grant_headers([GrantRow(SCAN, "bob", time.time() + 100, "alice", b"to bob")])
    yield found
    found.close()


def test_each_reads_through_the_door_what_is_theirs(clinic: Clinic) -> None:
    given = {
        name: [one.header for one in clinic.store(name).release([SCAN], "fetch").values()]
        for name in clinic.roles
    }
    assert given == {
        "alice": [b"to the compartment"],
        "bob": [b"to bob"],
        "broker": [],
        "carol": [],
        "rita": [],
    }
    assert clinic.seals("alice").open(["P-1"], "whois") == {"P-1": {"PatientName": "DOE^JANE"}}
    for name in ("bob", "carol", "rita", "broker"):
        assert clinic.seals(name).open(["P-1"], "whois") == {}
        assert clinic.compartments(name).privates([CompartmentId("P-1", IMAGE, 1)]) == {}


def test_the_server_says_who_asks(clinic: Clinic) -> None:
    url = str(clinic.store("bob").db.url)
    with pytest.raises(Denied) as caught:
        KeyStore.open(url, "alice")
    assert caught.value.message == (
        f"the key store {clinic.store('bob').db.name} knows this user of the database as bob, "
        "not alice"
    )
    with pytest.raises(Denied):
        clinic.store("bob").acting("alice")
    with clinic.connect("bob") as connection:
        connection.execute("SELECT set_config('medgrid.who', 'alice', false)")
        assert connection.execute("SELECT keystore_me()").fetchone() == ("bob",)
        with pytest.raises(psycopg.Error):
            connection.execute("SET SESSION AUTHORIZATION medgrid")


def test_a_stranger_gets_nothing(clinic: Clinic, postgres_server: PostgresServer) -> None:
    clinic.owner.expel(clinic.roles["carol"])
    url = postgres_server.url(clinic.database).replace("medgrid@", f"{clinic.roles['carol']}@")
    with pytest.raises(Denied):
        KeyStore.open(url, "carol")
    with clinic.connect("carol") as connection, pytest.raises(psycopg.Error):
        connection.execute("SELECT keystore_ask('headers', '{}', '')")


def test_beside_a_schema_called_like_the_owner_rights_are_taken(clinic: Clinic) -> None:
    with clinic.owner.db.write() as connection:
        connection.exec_driver_sql("CREATE SCHEMA medgrid")
    clinic.owner.expel(clinic.roles["carol"])
    with (
        clinic.connect("carol") as theirs,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"^permission denied for func"),
    ):
        theirs.execute("SELECT keystore_ask('headers', '{}', '')")


def test_no_secret_column_can_be_read(clinic: Clinic) -> None:
    secrets = [
        ("wrap", "sealed"),
        ("header", "sealed"),
        ("grant_header", "sealed"),
        ("seal", "sealed"),
        ("delegation_key", "sealed"),
        ("delegation_box", "box"),
        ("share", "share"),
        ("audit", "who"),
        ("audit", "leaf"),
        ("member_role", "identity"),
        ("ticket", "identity"),
    ]
    for name in clinic.roles:
        with clinic.connect(name) as connection:
            connection.autocommit = True
            for table, column in secrets:
                for question in (
                    f"SELECT {column} FROM {table}",
                    f"SELECT * FROM {table}",
                    f"COPY {table} TO STDOUT",
                    f"TABLE {table}",
                    f"DELETE FROM {table} RETURNING {column}",
                    f"UPDATE {table} SET {column} = NULL",
                ):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        connection.execute(question.encode()).fetchall()


def test_no_table_is_forgotten(clinic: Clinic) -> None:
    with clinic.server.admin() as admin:
        admin.execute("SELECT 1")
    with psycopg.connect(
        host=str(clinic.server.sockets), user="medgrid", dbname=clinic.database
    ) as connection:
        guarded = {
            name
            for (name,) in connection.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relrowsecurity"
            )
        }
        public = connection.execute(
            "SELECT proname FROM pg_proc WHERE starts_with(proname, 'keystore_') "
            "AND has_function_privilege('public', oid, 'EXECUTE')"
        ).fetchall()
    assert guarded == {*metadata.tables, "ticket"}
    assert public == []


def test_what_concerns_others_is_absent(clinic: Clinic) -> None:
    tables = ("compartment", "wrap", "seal", "protected", "header", "grant_header", "delegation")
    keys = {"compartment": "patient", "wrap": "patient", "seal": "patient"}
    seen = {}
    for name in clinic.roles:
        with clinic.connect(name) as connection:
            for table in tables:
                column = keys.get(table, "submission" if table == "delegation" else "object_id")
                count = connection.execute(
                    f"SELECT count({column}) FROM {table}".encode()
                ).fetchone()
                if count != (0,):
                    seen[name, table] = count and count[0]
    assert seen == {
        **{("alice", table): 1 for table in ("seal", "protected", "header", "grant_header")},
        **{("alice", table): 2 for table in ("compartment", "wrap")},
        **{("bob", table): 1 for table in ("protected", "header", "grant_header")},
        ("broker", "compartment"): 2,
        ("rita", "compartment"): 2,
    }


def test_nothing_is_given_in_the_transaction_that_asks(clinic: Clinic) -> None:
    with clinic.connect("bob") as connection:
        asked = connection.execute(
            "SELECT keystore_ask('headers', ARRAY[%s], 'sly')", [SCAN]
        ).fetchone()
        assert asked is not None
        connection.execute("SAVEPOINT here")
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
            connection.execute(TAKE_HEADERS, [asked[0], SCAN])
        assert "nothing is given out without a record" in str(caught.value)
        connection.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(TAKE_HEADERS, [asked[0], SCAN])
    assert "sly" not in [one.detail for one in clinic.owner.audit.records()]


def test_a_ticket_is_for_one_person_and_for_what_was_asked(clinic: Clinic) -> None:
    with clinic.connect("alice") as connection:
        connection.autocommit = True
        asked = connection.execute(
            "SELECT keystore_ask('headers', ARRAY[%s], 'fetch')", [SCAN]
        ).fetchone()
        wraps = connection.execute("SELECT keystore_ask('wraps', ARRAY['P-9'], '')").fetchone()
        assert asked is not None and wraps is not None
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM keystore_take_wraps(%s, ARRAY['P-1'])", wraps)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM keystore_take_seals(%s, ARRAY['P-9'])", wraps)
        with clinic.connect("bob") as other, pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute(TAKE_HEADERS, [asked[0], SCAN])
        found = connection.execute(TAKE_HEADERS, [asked[0], SCAN]).fetchall()
        assert found == [(b"to the compartment",)]


def test_functions_inside_are_not_for_users(clinic: Clinic) -> None:
    with clinic.connect("alice") as connection:
        connection.autocommit = True
        for call in (
            "keystore_openable(ARRAY['x'])",
            "keystore_boxes(ARRAY['1'])",
            "keystore_check(0, 'headers', ARRAY['x'])",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT {call}".encode())


def test_names_that_hide_the_stores_own_change_nothing(clinic: Clinic) -> None:
    with clinic.connect("bob") as connection:
        connection.execute("CREATE TEMP TABLE member_role (role_name text, identity text)")
        connection.execute("INSERT INTO member_role VALUES (session_user, 'alice')")
        connection.execute("SET search_path = pg_temp, public")
        assert connection.execute("SELECT public.keystore_me()").fetchone() == ("bob",)


def test_nobody_writes_for_others(clinic: Clinic) -> None:
    people = clinic.people
    id_ = CompartmentId("P-1", IMAGE, 1)

    def make_one(name: str, patient: str, revision: int, signer: str) -> None:
        one = Compartment(CompartmentId(patient, IMAGE, revision), b"k" * 32, signer, b"s")
        clinic.store(name).create_compartments([one])

    def header(owner: str, patient: str | None) -> HeaderRow:
        return HeaderRow(RESULT, patient, IMAGE, 1, None if patient else owner, b"h", b"m")

    until_s = time.time() + 100
    lend(clinic.store("alice"), 7, {}, [])
    attempts: list[Callable[[], None]] = [
        lambda: clinic.store("bob").put_certificate("bob", b"better"),
        lambda: clinic.store("alice").put_document("revocations", b"none"),
        lambda: make_one("bob", "P-2", 1, "bob"),
        lambda: make_one("carol", "P-2", 1, "alice"),
        lambda: make_one("carol", "P-1", 2, "carol"),
        lambda: clinic.store("bob").put_wraps([WrapRow(id_, "bob", b"mine")]),
        lambda: clinic.store("carol").put_wraps([WrapRow(id_, "carol", b"mine")]),
        lambda: clinic.store("bob").put_seal("P-1", 1, b"false"),
        lambda: clinic.store("bob").put_headers([header("bob", "P-1")]),
        lambda: clinic.store("bob").put_headers([header("alice", None)]),
        lambda: clinic.store("bob").put_headers(
            [HeaderRow(SCAN, "P-1", IMAGE, 1, "bob", b"h", b"manifest")]
        ),
        lambda: clinic.store("bob").put_headers(
            [HeaderRow(SCAN, "P-1", IMAGE, 1, "bob", b"h", b"manifest")], replace=True
        ),
        lambda: clinic.store("bob").put_grant_headers(
            [GrantRow(SCAN, "bob", until_s, "bob", b"longer")]
        ),
        lambda: clinic.store("carol").put_grant_headers(
            [GrantRow(SCAN, "carol", until_s, "alice", b"x")]
        ),
        lambda: lend(clinic.store("bob"), 7, {}, []),
        lambda: clinic.store("bob").admit("bob2", "alice", ["physician"]),
    ]
    for number, attempt in enumerate(attempts):
        with pytest.raises(MedgridError) as caught:
            attempt()
        assert caught.value.exit_code in (2, 5), number
    assert clinic.store("bob").drop_wraps("P-1") == 0
    assert clinic.store("carol").drop_grants("bob") == 0
    clinic.store("bob").drop([SCAN])
    clinic.store("bob").drop_seal("P-1")
    clinic.store("bob").drop_delegation(7)
    assert list(clinic.store("alice").release([SCAN], "still there")) == [SCAN]
    assert clinic.seals("alice").open(["P-1"], "still there")
    assert people["alice"].name in clinic.store("alice").members("P-1", IMAGE)[1]


def test_the_care_team_grows_and_shrinks(clinic: Clinic) -> None:
    carol = clinic.people["carol"]
    assert clinic.team("alice").add("P-1", "carol", carol.encryption_public) == 2
    assert list(clinic.store("carol").release([SCAN], "fetch")) == [SCAN]
    assert clinic.seals("carol").open(["P-1"], "whois")
    done = clinic.team("carol").drop("P-1", "alice")
    assert [one.compartment.id.revision for one in done] == [2, 2]
    assert clinic.store("alice").release([SCAN], "fetch") == {}
    assert clinic.compartments("alice").privates([CompartmentId("P-1", IMAGE, 1)]) == {}
    with pytest.raises(Denied):
        clinic.store("alice").put_wraps([WrapRow(CompartmentId("P-1", IMAGE, 1), "alice", b"w")])


def test_a_patient_reads_and_changes_nothing(clinic: Clinic) -> None:
    jane = clinic.people.draw("jane", "patient")
    clinic.roles["jane"] = f"jane_{uuid.uuid4().hex[:8]}"
    clinic.owner.admit(clinic.roles["jane"], "jane", jane.roles)
    clinic.team("alice").add("P-1", "jane", jane.encryption_public)
    assert list(clinic.store("jane").release([SCAN], "fetch")) == [SCAN]
    assert clinic.seals("jane").open(["P-1"], "whois") == {"P-1": {"PatientName": "DOE^JANE"}}
    clinic.store("jane").drop([SCAN])
    assert clinic.store("jane").drop_wraps("P-1") == 0
    assert list(clinic.store("jane").release([SCAN], "fetch")) == [SCAN]
    seen = {(one.who, one.verb) for one in clinic.store("jane").audit.records(what="P-1")}
    assert {("alice", "compartment"), ("jane", "release"), ("jane", "name")} <= seen


def test_brokers_keep_results_for_their_owners(clinic: Clinic) -> None:
    broker, bob = clinic.people["broker"], clinic.store("bob")
    lend(bob, 3, {"broker": broker.encryption_public}, [(1, SCAN, b"k" * 32)])
    found = borrow(clinic.store("broker"), broker, 3)
    assert [(one.data_key, one.manifest) for one in found] == [(b"k" * 32, b"manifest")]
    lend_again(bob, 3, {"broker": broker.encryption_public}, [(2, SCAN, b"l" * 32)])
    found = borrow(clinic.store("broker"), broker, 3)
    assert [(one.number, one.data_key) for one in found] == [(1, b"k" * 32), (2, b"l" * 32)]
    with pytest.raises(NotFound):
        clinic.store("carol").extend_delegation(3, [])
    with pytest.raises(Denied):
        borrow(clinic.store("carol"), clinic.people["carol"], 3)
    clinic.store("broker").put_headers(
        [HeaderRow(RESULT, None, IMAGE, None, "bob", b"to bob", b"m")]
    )
    clinic.store("broker").put_headers(
        [HeaderRow(ObjectId("7" * 32), "P-1", IMAGE, 1, None, b"to P-1", b"m")]
    )
    clinic.store("broker").drop_delegation(3)
    assert bob.release([RESULT], "fetch")[RESULT].header == b"to bob"
    assert clinic.store("broker").release([RESULT, ObjectId("7" * 32)], "peep") == {}
    assert list(clinic.store("alice").release([ObjectId("7" * 32)], "fetch"))
    bob.drop([RESULT])
    assert bob.release([RESULT], "fetch") == {}


def test_a_registrar_brings_data_in_for_others(clinic: Clinic) -> None:
    alice, rita = clinic.people["alice"], clinic.store("rita")
    mine = clinic.compartments("rita")
    with rita.transaction():
        for data_class in (IMAGE, NAMES):
            mine.ensure(["P-2"], data_class, [("alice", alice.encryption_public)])
        assert rita.drop_wraps("P-2", None, "rita") == 2
    clinic.seals("rita").put({"P-2": {"PatientName": "ROE^JOE"}})
    scans = [ObjectId(f"{number:032x}") for number in range(2)]
    rita.put_headers(
        [
            HeaderRow(scan, patient, IMAGE, 1, None, b"h", b"m")
            for scan, patient in zip(scans, ("P-1", "P-2"), strict=True)
        ]
    )
    assert clinic.store("alice").members("P-2", IMAGE) == {1: ["alice"]}
    assert clinic.seals("alice").open(["P-2"], "whois") == {"P-2": {"PatientName": "ROE^JOE"}}
    assert list(clinic.store("alice").release(scans, "fetch")) == scans
    assert rita.release(scans, "peep") == {}
    assert clinic.seals("rita").open(["P-2"], "peep") == {}
    for attempt in (
        lambda: rita.put_wraps([WrapRow(CompartmentId("P-2", IMAGE, 1), "rita", b"again")]),
        lambda: rita.put_seal("P-2", 1, b"false"),
        lambda: clinic.compartments("rita").rotate("P-2", IMAGE),
    ):
        with pytest.raises(MedgridError):
            attempt()


def test_records_are_for_those_they_concern(clinic: Clinic) -> None:
    clinic.store("bob").release([SCAN], "fetch")
    clinic.store("carol").release([SCAN], "try")

    def details(name: str) -> set[str]:
        return {one.detail for one in clinic.store(name).audit.records()}

    assert "fetch" in details("bob") and "try" not in details("bob")
    assert "fetch" in details("alice") and "try" not in details("alice")
    assert {"fetch", "try"} <= details("rita")

    def found(name: str, **asked: Any) -> list[str]:
        records = list(clinic.store(name).audit.records(**asked))
        assert [one.seq for one in records] == sorted(one.seq for one in records)
        return [one.detail for one in records if one.verb in ("release", "refuse")]

    assert found("bob", what=SCAN) == found("bob", who="bob") == ["fetch"]
    assert found("bob", who="carol") == []
    assert found("rita", since_s=0.0)[-2:] == ["fetch", "try"]
    assert found("rita", what={SCAN, "nothing"}, who="carol") == ["try"]
    assert found("rita", since_s=4e9) == []
    report = clinic.store("bob").audit.verify(clinic.people.trust)
    assert report.problems == []
    assert report.root == clinic.owner.audit.root()


def test_a_file_knows_no_users(tmp_path: Any, alice: Person) -> None:
    store = KeyStore.create(f"sqlite:///{tmp_path / 'keystore.db'}", "alice")
    with pytest.raises(UsageError) as caught:
        store.admit("alice", "alice", alice.roles)
    store.close()
    assert caught.value.message == (
        f"the key store {tmp_path / 'keystore.db'} is a file, and knows no users"
    )
