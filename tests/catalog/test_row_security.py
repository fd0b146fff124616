"""People with a role of the database who try to read around it, on a real PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql

from medgrid.catalog import Catalog
from medgrid.catalog.imported import Content, Spot
from medgrid.catalog.jobs import NewSubmission
from medgrid.catalog.patient_attributes import Given
from medgrid.catalog.provenance import Derivation
from medgrid.catalog.query import parse
from medgrid.catalog.row_policies import GUARDED, OPEN
from medgrid.catalog.row_security import DatabaseUser, apply, statements
from medgrid.catalog.schema import metadata
from medgrid.catalog.words import Held
from medgrid.errors import ConfigError, Denied, UsageError
from medgrid.model import LFN, ObjectId, Sha256
from tests.catalog.worlds import World, make_world
from tests.database.kinds import CATALOG_KIND
from tests.lab.postgres import PostgresServer

pytestmark = pytest.mark.postgres

USERS = [
    DatabaseUser("ada", frozenset(("physician",))),
    DatabaseUser("paul", frozenset(("physician",))),
    DatabaseUser("bob", frozenset(("researcher",))),
    DatabaseUser("jane", frozenset(("patient",))),
    DatabaseUser("desk", frozenset(("registrar",))),
    DatabaseUser("eve"),
    DatabaseUser("broker", frozenset(("broker",))),
]


@dataclass(frozen=True)
class Guarded:
    """A catalog with a world in it, guarded."""

    server: PostgresServer
    database: str
    world: World
    grid_id: str

    @property
    def url(self) -> str:
        """Address for the superuser."""
        return self.server.url(self.database)

    def url_of(self, role: str) -> str:
        """Address for a role."""
        return self.url.replace("medgrid@", f"{role}@")

    def connect(self, role: str) -> psycopg.Connection:
        """Plain connection, that is told nothing of medgrid."""
        return psycopg.connect(host=str(self.server.sockets), user=role, dbname=self.database)

    def group(self, group: str) -> str:
        """Name of a group role."""
        return f"medgrid_{self.grid_id}_{group}"


def _fill(catalog: Catalog) -> World:
    """World with something in every table."""
    world = make_world(catalog)
    ids = world.ids
    for owner, item, made in (("ada", "one-image", "one-later"), ("paul", "two-orig", "two-image")):
        _, jobs = catalog.jobs.create_submission(
            NewSubmission(
                algorithm=Sha256("a" * 64),
                algorithm_label="n4@1",
                owner=owner,
                items=[[ids[item]]],
                item_role="image",
                inputs={},
                parameters={"note": f"secret of {owner}"},
                name=f"name of {owner}",
            )
        )
        catalog.provenance.record(
            Derivation(
                f"d-{owner}", Sha256("a" * 64), "n4@1", {"image": [ids[item]]},
                {"out": [ids[made]]}, {"note": f"secret of {owner}"}, jobs[0],
                output_inputs={ids[made]: [ids[item]]},
            )
        )  # fmt: skip
    first, second = ids["one-orig"], ids["two-orig"]
    catalog.imported.claim(
        {
            Content(Spot(LFN("/g/one"), "P-1", ""), "secret of one"): first,
            Content(Spot(LFN("/g/two"), "P-2", ""), "secret of two"): second,
        }
    )
    catalog.imported.note_series({first: "one", second: "one"})
    arms = [Given("P-1", "", "arm", "treated"), Given("P-2", "", "arm", "secret of two")]
    catalog.patient_attributes.give(arms, "ada")
    catalog.patient_attributes.hold_codes("dose")
    catalog.patient_attributes.seal_codes("dose", {"paul": "sealed:secret of paul"}, "ada")
    catalog.merged.note("P-0", "P-2")
    catalog.words.hold([Held(first, 1, 1, "secret of one"), Held(second, 1, 1, "secret of two")])
    return world


@pytest.fixture(scope="module")
def guarded(postgres_server: PostgresServer) -> Iterator[Guarded]:
    """A catalog whose rows are guarded; tests undo what they change."""
    database = postgres_server.make_database()
    catalog = Catalog.create(postgres_server.url(database))
    world = _fill(catalog)
    for viewer in ("ada", "paul"):
        own = Catalog.open(postgres_server.url(database), viewer)
        own.datasets.save(f"set-of-{viewer}", parse("/"), freeze=True)
        own.objects.reserve(ObjectId(f"reserved by {viewer}"), "s1", f"upload-{viewer}")
        own.close()
    apply(postgres_server.url(database), USERS)
    catalog.db.optimize()
    with psycopg.connect(
        host=str(postgres_server.sockets), user="medgrid", dbname=database, autocommit=True
    ) as connection:
        connection.execute("ANALYZE")
    yield Guarded(postgres_server, database, world, catalog.grid_id)
    catalog.close()
    postgres_server.drop_database(database)
    with postgres_server.admin() as connection:
        for group in ("grid", "user", "physician", "registrar"):
            name = sql.Identifier(f"medgrid_{catalog.grid_id}_{group}")
            connection.execute(sql.SQL("DROP ROLE {}").format(name))


# -- reading ---------------------------------------------------------------------------------------

SEEN = {
    "ada": "code one-gated one-image one-later one-old one-orig",
    "jane": "code one-gated one-image one-later one-old one-orig",
    "paul": "code two-image two-orig",
    "bob": "code one-image table",
    "desk": "code",
    "eve": "code",
    "broker": "code one-gated one-image one-later one-old one-orig table two-image two-orig",
}


@pytest.mark.parametrize("role", SEEN)
def test_each_role_sees_what_policy_says(guarded: Guarded, role: str) -> None:
    with guarded.connect(role) as connection:
        found = connection.execute("SELECT lfn FROM object ORDER BY lfn").fetchall()
    assert [lfn for (lfn,) in found] == [f"/g/{word}" for word in SEEN[role].split()]


def _rows(connection: psycopg.Connection, table: str, role: str) -> list[Any]:
    question = sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))
    return connection.execute(question).fetchall()


# Rows of each table a role sees, in words; what is missing is no row at all.
TABLES: dict[str, dict[str, int]] = {
    "bob": {
        "object": 3,
        "replica": 3,
        "attribute": 6,
        "patient_attribute": 1,
        "access_grant": 4,
    },
    "paul": {
        "patient": 1,
        "object": 3,
        "replica": 3,
        "attribute": 6,
        "patient_attribute": 1,
        "sealed_codes": 1,
        "care": 1,
        "upload": 1,
        "dataset": 1,
        "dataset_member": 2,
        "derivation": 1,
        "derivation_input": 1,
        "derivation_output": 1,
        "derivation_link": 1,
        "submission": 1,
        "job": 1,
        "job_event": 1,
        "imported": 1,
        "imported_series": 1,
        "held_words": 1,
        "merged": 1,
    },
    "jane": {
        "patient": 1,
        "object": 6,
        "replica": 6,
        "attribute": 12,
        "patient_attribute": 1,
        "care": 2,
        "derivation": 1,
        "derivation_input": 1,
        "derivation_output": 1,
        "derivation_link": 1,
        "imported": 1,
        "imported_series": 1,
        "held_words": 1,
    },
    "eve": {"object": 1, "replica": 1, "attribute": 2},
    "desk": {"object": 1, "replica": 1, "attribute": 2, "merged": 1},
}


@pytest.mark.parametrize("role", TABLES)
def test_rows_of_all_tables(guarded: Guarded, role: str) -> None:
    with guarded.connect(role) as connection:
        found = {table: len(_rows(connection, table, role)) for table in GUARDED}
    assert {table: count for table, count in found.items() if count} == TABLES[role]


def test_every_table_is_guarded_or_said_to_be_open(guarded: Guarded) -> None:
    assert {*GUARDED, *OPEN} == {*metadata.tables, "alembic_version"}
    with guarded.connect("medgrid") as connection:
        rows = connection.execute(
            "SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
    assert {name for name, is_guarded in rows if is_guarded} == set(GUARDED)


SECRETS = re.compile(
    r"two-|P-2|paul|one-orig|one-later|one-gated|one-old|secret of|name of|set-of|reserved by|"
    + "|".join(f"{number:032x}" for number in (3, 4, 5, 6, 7))
)
"""What bob must not read; that his image has an original, and its id, he knows."""

AROUND = [
    # these run, and tell nothing; ";;" ends a statement
    "SELECT * FROM object o JOIN replica r ON r.object_id = o.id",
    "SELECT o.*, p.*, c.* FROM object o LEFT JOIN patient p ON true LEFT JOIN care c ON true",
    "SELECT count(*) FROM object WHERE lfn LIKE '/g/tw%'",
    "SELECT o.lfn FROM object o WHERE o.patient = 'P-' || '2'",
    "SELECT * FROM dataset, dataset_member, upload, scanned_file",
    "SELECT s, j, e, a FROM submission s, job j, job_event e, job_attempt a",
    "SELECT d, i, o, l FROM derivation d, derivation_input i, derivation_output o, "
    "derivation_link l",
    "TABLE object_version",
    "COPY object TO STDOUT",
    "COPY (SELECT * FROM derivation) TO STDOUT",
    "COPY (DELETE FROM object RETURNING *) TO STDOUT",
    "SELECT * FROM pg_stats WHERE schemaname = 'public'",
    "SELECT * FROM pg_stats_ext",
    "SELECT * FROM pg_stat_activity",
    "SELECT * FROM pg_prepared_statements",
    "EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM object",
    "DO $$ DECLARE r record; BEGIN FOR r IN SELECT * FROM object LOOP RAISE NOTICE '%', "
    "r; END LOOP; END $$",
    "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM object;; FETCH ALL FROM c",
    "PREPARE p AS SELECT * FROM object WHERE patient = $1;; EXECUTE p('P-2')",
    "SELECT count(*) FROM object WHERE CASE WHEN patient = 'P-2' THEN 1 / 0 ELSE 1 END = 1",
    "SELECT count(*) FROM object WHERE 1 / (CASE lfn WHEN '/g/two-orig' THEN 0 ELSE 1 END) = 1",
    "SELECT * FROM object WHERE lfn::int = 1",
    "SELECT * FROM object WHERE patient::int = 1 AND data_class = 'nominative'",
    "SELECT * FROM attribute WHERE text::int = 1",
    "SELECT * FROM submission WHERE name::int = 1",
    "SELECT * FROM care WHERE patient::int = 1",
    "SELECT * FROM object ORDER BY 1 / (CASE lfn WHEN '/g/two-orig' THEN 0 ELSE 1 END)",
    "DELETE FROM object WHERE patient = 'P-2' RETURNING *",
    "DELETE FROM access_grant RETURNING *",
    "DELETE FROM care RETURNING *",
    "UPDATE object SET filename = lfn WHERE patient = 'P-2' RETURNING *",
    "UPDATE access_grant SET until_s = NULL RETURNING *",
    "UPDATE job SET state = 'Cancelled' RETURNING *",
    "UPDATE dataset SET owner = 'bob' RETURNING *",
    "MERGE INTO object o USING (SELECT '{two}' AS id) g ON o.id = g.id WHEN MATCHED THEN "
    "UPDATE SET filename = o.lfn WHEN NOT MATCHED THEN DO NOTHING",
    "INSERT INTO access_grant SELECT object_id, 'bob', 'bob', '', NULL, 0 FROM "
    "access_grant ON CONFLICT DO NOTHING",
    "INSERT INTO dataset_member SELECT 'bob', name, '/g/x', '' FROM dataset",
    "INSERT INTO job SELECT * FROM job",
    "SELECT * FROM medgrid.claim_contents(ARRAY['/g/two'], ARRAY['d'], ARRAY['P-2'], ARRAY['x'])",
    "TABLE imported",
    "TABLE patient_attribute",
    "TABLE sealed_codes",
    "SELECT * FROM patient_attribute WHERE text::int = 1",
    "DELETE FROM patient_attribute RETURNING *",
    "SELECT * FROM medgrid.give_attributes(ARRAY['P-2'], ARRAY[''], ARRAY['arm'], "
    "ARRAY[NULL]::float8[], ARRAY['x'], '')",
    "UPDATE sealed_codes SET sealed = 'x' RETURNING *",
    "DELETE FROM imported RETURNING *",
    "TABLE held_words",
    "DELETE FROM held_words RETURNING *",
    "TABLE merged",
    "DELETE FROM merged RETURNING *",
    "UPDATE merged SET became = 'P-1' RETURNING *",
    "SELECT medgrid.take_over_grants('{two}', '{image}')",
    "SELECT medgrid.cares('P-2'), medgrid.is_physician('P-2'), medgrid.begins('P-2'), "
    "medgrid.attaches('P-2'), medgrid.physician_of('{two}'), medgrid.grants('{two}'), "
    "medgrid.asked_for('d-paul')",
    "GRANT ALL ON object TO bob",
]

REFUSED = [
    "INSERT INTO object (id, version, kind, filename, size_bytes, sha256, created_s, data_class,"
    " attributes, owner, review, patient)"
    " VALUES ('x', 1, 'file', 'f', 1, '', 0, 'image', '{}', 'ada', '', NULL)",
    "INSERT INTO object (id, version, kind, filename, size_bytes, sha256, created_s, data_class,"
    " attributes, owner, review, patient)"
    " VALUES ('x', 1, 'file', 'f', 1, '', 0, 'image', '{}', 'bob', '', 'P-2')",
    "INSERT INTO object (id, version, kind, filename, size_bytes, sha256, created_s, data_class,"
    " attributes, owner, review, patient)"
    " VALUES ('x', 1, 'file', 'f', 1, '', 0, 'image', '{}', '', '', 'P-1')",
    "INSERT INTO object (id, version, kind, filename, size_bytes, sha256, created_s, data_class,"
    " attributes, owner, review, patient)"
    " VALUES ('x', 1, 'file', 'f', 1, '', 0, 'image', '{}', '', '', NULL)",
    "SELECT * FROM pg_statistic",
    "SELECT * FROM submission_id_seq",
    "SELECT last_value FROM job_event_id_seq",
    "SET ROLE ada",
    "SET ROLE medgrid",
    "SET SESSION AUTHORIZATION ada",
    "SET LOCAL row_security = off;; SELECT * FROM object",
    "ALTER TABLE object DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE object NO FORCE ROW LEVEL SECURITY",
    "DROP POLICY medgrid_see ON object",
    "CREATE POLICY mine ON object USING (true)",
    "ALTER FUNCTION medgrid.cares(text) OWNER TO bob",
    "CREATE OR REPLACE FUNCTION medgrid.viewer() RETURNS text LANGUAGE sql AS 'SELECT NULL::text'",
    "CREATE FUNCTION medgrid.mine() RETURNS text LANGUAGE sql AS 'SELECT 1::text'",
    "CREATE VIEW mine AS SELECT * FROM object",
    "CREATE TEMP VIEW mine AS SELECT * FROM object;; SELECT * FROM mine",
    "CREATE TABLE mine AS SELECT * FROM object",
    "CREATE TEMP TABLE mine (id text REFERENCES object)",
    "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 "
    "AS 'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END'",
    "UPDATE object SET owner = 'bob'",
    "UPDATE object SET data_class = 'public'",
    "UPDATE object SET patient = 'P-2' WHERE owner = 'bob' RETURNING *",
    "UPDATE access_grant SET object_id = '{two}'",
    "UPDATE submission SET owner = 'bob'",
    "UPDATE patient SET visits = 0 RETURNING *",
    "TRUNCATE object CASCADE",
    "INSERT INTO care VALUES ('P-2', 'bob', 'physician')",
    "INSERT INTO care VALUES ('P-new', 'bob', 'physician')",
    "INSERT INTO access_grant VALUES ('{two}', 'bob', 'paul', '', NULL, 0)",
    "INSERT INTO access_grant VALUES ('{two}', 'bob', 'bob', '', NULL, 0)",
    "INSERT INTO access_grant VALUES ('{gated}', 'bob', 'bob', '', NULL, 0)",
    "INSERT INTO dataset VALUES ('paul', 'set-of-paul', '/', true, 0) ON CONFLICT "
    "(owner, name) DO UPDATE SET question = '/' RETURNING *",
    "INSERT INTO object_version VALUES ('/g/x', 1, '{two}', 0)",
    "INSERT INTO replica VALUES ('{two}', 's1', 'p', 1, '', 0)",
    "INSERT INTO replica VALUES ('{two}', 's1', 'pfn-two-image', 1, '', 0) ON CONFLICT "
    "(object_id, se, pfn) DO UPDATE SET pfn = 'x' RETURNING *",
    "INSERT INTO attribute VALUES ('{two}', 'volume', 0, 1, NULL)",
    "INSERT INTO derivation_output VALUES ('d-paul', 'x', 7, '{image}')",
    "INSERT INTO derivation_link VALUES ('{two}', '{image}')",
    "INSERT INTO job_event (submission, number, attempt, time_s, state, reason) VALUES "
    "(2, 1, 0, 0, '', '') RETURNING *",
    "UPDATE job_event SET reason = 'another'",
    "DELETE FROM job_event",
    "INSERT INTO patient VALUES ('P-9', 0)",
    "INSERT INTO worker_link (worker, journal_offset, info, reason) VALUES ('w', 0, '{}', '')",
    "INSERT INTO worker_health VALUES ('w', 3, 1, 0, 1e10, '')",
    "UPDATE worker_health SET outages = 0",
    "UPDATE lease SET holder = 'bob'",
    "INSERT INTO worker SELECT * FROM worker",
    "UPDATE storage_element SET url = 'file:///tmp/mine'",
    "COPY object TO PROGRAM 'cat'",
    "COPY object TO '/tmp/objects'",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT lo_import('/etc/hostname')",
    "INSERT INTO imported VALUES ('/g/two', 'd', 'P-2', '', '{image}')",
    "UPDATE imported SET object_id = '{image}'",
    "INSERT INTO patient_attribute VALUES ('P-1', '', 'x', 1, true, 1, NULL, '', 'bob', 0)",
    "UPDATE patient_attribute SET text = 'x'",
    "INSERT INTO sealed_codes VALUES ('dose', 'bob', 'x', 'bob', 0)",
    "INSERT INTO released_code VALUES ('dose', 'c', 'm', 'bob', 0)",
    "INSERT INTO held_words VALUES ('{two}', 1, 1, '')",
    "UPDATE held_words SET rule = 0",
    "INSERT INTO merged VALUES ('P-3', 'P-2', 0)",
    "UPDATE merged SET pseudonym = 'P-1'",
    "DELETE FROM word_release",
    "UPDATE word_release SET signer = 'bob'",
    "CREATE EXTENSION dblink",
]


def _filled(guarded: Guarded, statement: str) -> str:
    for word, name in (("two", "two-image"), ("image", "one-image"), ("gated", "one-gated")):
        statement = statement.replace("{" + word + "}", guarded.world.ids[name])
    return statement


def _answer(connection: psycopg.Connection, statement: str) -> str:
    """All that the server says to a statement, which is undone."""
    found: list[str] = []
    connection.add_notice_handler(lambda notice: found.append(notice.message_primary or ""))
    try:
        with connection.transaction(force_rollback=True):
            for part in statement.split(";; "):
                cursor = connection.cursor()
                if part.startswith("COPY") and "STDOUT" in part:
                    with cursor.copy(part.encode()) as copy:
                        found += [bytes(line).decode() for line in copy]
                    continue
                cursor.execute(part.encode())
                if cursor.description is not None:
                    found += [repr(row) for row in cursor.fetchall()]
    except psycopg.Error as error:
        # without the line of the statement that it shows
        found.append(re.sub(r"LINE \d+:.*\n *\^", "", str(error)))
        found += [error.diag.message_detail or "", error.diag.context or ""]
    return "\n".join(found)


@pytest.mark.parametrize("statement", [*AROUND, *REFUSED])
def test_reading_around(guarded: Guarded, statement: str) -> None:
    asked = _filled(guarded, statement)
    with guarded.connect("bob") as connection:
        answer = _answer(connection, asked)
        connection.rollback()
        told = set(SECRETS.findall(answer)) - set(SECRETS.findall(asked))
        if "access_grant" in statement:  # a grant that is not good says to whom it was given
            told -= {guarded.world.ids[word] for word in ("one-gated", "one-old")}
        assert not told, answer
        assert connection.execute("SELECT count(*) FROM object").fetchone() == (3,)
    with guarded.connect("medgrid") as connection:
        assert connection.execute("SELECT count(*) FROM object").fetchone() == (9,)
        assert connection.execute("SELECT count(*) FROM care").fetchone() == (3,)


@pytest.mark.parametrize("statement", REFUSED)
def test_refused(guarded: Guarded, statement: str) -> None:
    with (
        guarded.connect("bob") as connection,
        pytest.raises((psycopg.DatabaseError, psycopg.ProgrammingError)) as caught,
        connection.transaction(force_rollback=True),
    ):
        for part in _filled(guarded, statement).split(";; "):
            connection.execute(part.encode())
    # no privilege, row policy; taken key; not in this kind of transaction
    assert caught.value.sqlstate in ("42501", "23505", "22023", "0A000"), caught.value


def test_functions_answer_for_who_is_connected(guarded: Guarded) -> None:
    asked = _filled(guarded, AROUND[-2])
    with guarded.connect("bob") as connection:
        assert connection.execute(asked.encode()).fetchone() == (False,) * 7
    with guarded.connect("paul") as connection:
        assert connection.execute(asked.encode()).fetchone() == (
            *(True, True, False), *(True, True, True, True),
        )  # fmt: skip
    with guarded.connect("bob") as connection:
        named = connection.execute(
            "SELECT * FROM medgrid.names_taken(ARRAY['/g/two-orig', '/g/no-such'])"
        ).fetchall()
    assert named == [("/g/two-orig",)]  # as trying to register it would tell


@pytest.mark.parametrize(
    "column", ["patient", "lfn", "study_uid", "study_date", "modality", "owner"]
)
def test_estimates_tell_nothing_of_values(guarded: Guarded, column: str) -> None:
    """Estimates are made from statistics of all rows; there are none."""
    plans = []
    with guarded.connect("bob") as connection:
        for value in ("P-2", "paul", "MR", "2021-01-01", "no such"):
            question = sql.SQL("EXPLAIN SELECT * FROM object WHERE {} = {}").format(
                sql.Identifier(column), sql.Literal(value)
            )
            plan = "\n".join(str(row[0]) for row in connection.execute(question))
            plans.append(plan.replace(value, "?"))
    assert len(set(plans)) == 1, plans


# -- the administrator -----------------------------------------------------------------------------


def test_who_owns_the_tables_sees_no_rows(postgres_server: PostgresServer) -> None:
    database = postgres_server.make_database()
    dba, ana = f"dba_{database}", f"ana_{database}"
    with postgres_server.admin() as connection:
        connection.execute(f"CREATE ROLE {dba} LOGIN CREATEROLE".encode())
        connection.execute(f"ALTER DATABASE {database} OWNER TO {dba}".encode())
    url = postgres_server.url(database).replace("medgrid@", f"{dba}@")
    with psycopg.connect(
        host=str(postgres_server.sockets), user="medgrid", dbname=database
    ) as connection:
        connection.execute(f"GRANT ALL ON SCHEMA public TO {dba}".encode())
    catalog = Catalog.create(url)
    world = make_world(catalog)
    catalog.access.add_care(*_members(ana))
    grid_id = catalog.grid_id
    catalog.close()
    users = [DatabaseUser(ana, frozenset(("physician",)))]
    apply(url, users)
    apply(url, users)
    with psycopg.connect(
        host=str(postgres_server.sockets), user=dba, dbname=database
    ) as connection:
        for table in GUARDED:
            assert _rows(connection, table, dba) == []
    other = Catalog.open(url.replace(f"{dba}@", f"{ana}@"))
    assert other.objects.get(world.lfn("one-image")).patient == "P-1"
    other.close()
    postgres_server.drop_database(database)
    with postgres_server.admin() as connection:
        groups = [f"medgrid_{grid_id}_{one}" for one in ("grid", "user", "physician", "registrar")]
        for role in (*groups, ana, dba):
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def _members(name: str) -> Sequence[Any]:
    from medgrid.catalog.access import Member
    from medgrid.crypto.policy import Care

    return [Member("P-1", name, Care.PHYSICIAN)]


def test_saying_it_twice_changes_nothing(guarded: Guarded) -> None:
    def state() -> list[Any]:
        with guarded.connect("medgrid") as connection:
            return [
                connection.execute(question.encode()).fetchall()
                for question in (
                    "SELECT tablename, policyname, roles, cmd, qual, with_check FROM pg_policies"
                    " ORDER BY 1, 2",
                    "SELECT relname, relacl FROM pg_class WHERE relacl IS NOT NULL ORDER BY 1",
                    "SELECT proname, proacl, proowner FROM pg_proc"
                    " WHERE pronamespace = 'medgrid'::regnamespace ORDER BY 1",
                    "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members"
                    " ORDER BY 1, 2",
                    "SELECT datname, datacl FROM pg_database WHERE datname = current_database()",
                )
            ]

    before = state()
    planned = statements(guarded.url, USERS)
    assert state() == before
    assert apply(guarded.url, USERS) == planned
    assert state() == before


def test_who_is_not_named_any_more_is_put_out(guarded: Guarded) -> None:
    fewer = [user for user in USERS if user.name != "jane"]
    planned = statements(guarded.url, fewer)
    assert [one for one in planned if one.startswith("REVOKE") and '"jane"' in one] == [
        f'REVOKE "{guarded.group("user")}" FROM "jane"'
    ]
    apply(guarded.url, fewer)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        guarded.connect("jane")
    apply(guarded.url, USERS)
    guarded.connect("jane").close()


def test_another_database_of_the_server_is_not_theirs(
    guarded: Guarded, postgres_server: PostgresServer
) -> None:
    other = postgres_server.make_database()
    catalog = Catalog.create(postgres_server.url(other))
    make_world(catalog)
    catalog.close()
    with (
        psycopg.connect(host=str(postgres_server.sockets), user="bob", dbname=other) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT * FROM object")
    postgres_server.drop_database(other)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["ada", "ada"], "ada is named twice"),
        (["pg_monitor"], "pg_monitor cannot be the name of a role of the database"),
        (["public"], "public cannot be the name of a role of the database"),
    ],
)
def test_names_that_cannot_be(guarded: Guarded, names: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        apply(guarded.url, [DatabaseUser(name) for name in names])
    assert caught.value.message == message


def test_a_mighty_role_is_refused(guarded: Guarded) -> None:
    with pytest.raises(Denied) as caught:
        apply(guarded.url, [*USERS, DatabaseUser("medgrid")])
    assert caught.value.message == (
        "the database's role medgrid may more than a user: its rows would not be guarded"
    )
    with pytest.raises(Denied, match=r"the server refuses this user$"):
        apply(guarded.url_of("ada"), USERS)


def test_a_file_has_no_users(catalog_url: str, database: str) -> None:
    if database == "postgres":
        return
    for do in (apply, statements):
        with pytest.raises(ConfigError) as caught:
            do(catalog_url, USERS)
        assert caught.value.message == (
            "a SQLite catalog has no users: whoever can read the file can read it all"
        )


# -- opening the catalog ---------------------------------------------------------------------------


def test_the_catalog_knows_whose_role_it_is(guarded: Guarded) -> None:
    for role, viewer in (("bob", "bob"), ("broker", None), ("medgrid", None)):
        catalog = Catalog.open(guarded.url_of(role))
        assert catalog.viewer == viewer
        catalog.close()
    with pytest.raises(Denied) as caught:
        Catalog.open(guarded.url_of("bob"), "ada")
    assert caught.value.message.endswith(" is open for bob, not for ada")
    assert caught.value.hint == "connect as the role that is called like your identity"
    brokers = Catalog.open(guarded.url_of("broker"), "bob")
    assert [lfn.name for lfn in brokers.objects.lfns(parse("/"))] == ["code", "one-image", "table"]
    brokers.close()


_OF_NEW = """
SELECT tablename, policyname, concat_ws(
        ' ', cmd, CASE WHEN tablename NOT LIKE 'imported%%' THEN concat(qual, with_check) END
    ), roles::text
    FROM pg_policies WHERE tablename = ANY (%(tables)s)
UNION ALL SELECT relname, relacl::text, relrowsecurity::text, relforcerowsecurity::text
    FROM pg_class WHERE relname = ANY (%(tables)s)
UNION ALL SELECT c.relname, a.attname, a.attacl::text, a.attstattarget::text
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    WHERE c.relname = ANY (%(tables)s)
UNION ALL SELECT proname, proacl::text, proowner::regrole::text, prosrc
    FROM pg_proc WHERE proname = ANY (%(functions)s)
ORDER BY 1, 2
"""
_NEW = {
    "tables": [
        *("imported", "imported_series"),
        *("patient_attribute", "sealed_codes", "released_code", "removed"),
        *("held_words", "word_release", "merged"),
    ],
    "functions": [
        *("claim_contents", "inherit_grants"),
        *("give_attributes", "reads_codes", "seals_codes", "take_over_grants"),
    ],
}


def test_an_upgrade_guards_its_new_tables(postgres_server: PostgresServer) -> None:
    """As `catalog users` would: users have what they need at once, and no more."""
    database = postgres_server.make_database()
    url = postgres_server.url(database)
    catalog = Catalog.create(url)
    _fill(catalog)
    apply(url, USERS)
    guarded = Guarded(postgres_server, database, World(), catalog.grid_id)
    with guarded.connect("medgrid") as connection:
        expected = connection.execute(_OF_NEW, _NEW).fetchall()
        for table in _NEW["tables"]:
            connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier(table)))
        for function in _NEW["functions"]:
            connection.execute(
                sql.SQL("DROP FUNCTION medgrid.{} CASCADE").format(sql.Identifier(function))
            )
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
    catalog.close()
    CATALOG_KIND.upgrade(url)
    with guarded.connect("medgrid") as connection:
        found = connection.execute(_OF_NEW, _NEW).fetchall()
    assert [_words(row) for row in found] == [_words(row) for row in expected]
    postgres_server.drop_database(database)
    with postgres_server.admin() as connection:
        for group in ("grid", "user", "physician", "registrar"):
            name = sql.Identifier(guarded.group(group))
            connection.execute(sql.SQL("DROP ROLE {}").format(name))


def _words(row: Sequence[str | None]) -> list[list[str]]:
    """A row without its order and white space."""
    return [sorted(re.split(r"[\s,{}()]+", word or "")) for word in row]
