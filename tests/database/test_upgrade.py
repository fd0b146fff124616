"""Databases of older releases, full of rows, brought up to date: all of it or nothing."""

from __future__ import annotations

import ast
import json
import re
import sqlite3
import threading
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import exc, func, select, text, update

from medgrid.database import Database
from medgrid.database.upgrade import Upgraded, upgrade
from medgrid.database.version import OlderSchema, check
from medgrid.errors import ConfigError, Denied, IntegrityError
from tests.database.kinds import CATALOG_KIND, KEYSTORE_KIND, KINDS, Kind
from tests.lab.postgres import PostgresServer
from tests.lab.schemas import rows_of, schema_of
from tests.lab.waiting import PATIENCE_S, linger, wait_for
from tests.older.load import load, revisions
from tests.older.make import fill

REBUILD = {
    "catalog": """
with op.batch_alter_table("object") as batch:
    batch.alter_column("created_s", existing_type=sa.Double(), nullable=True)
""",
    "keystore": """
with op.batch_alter_table("protected") as batch:
    batch.alter_column("owner", existing_type=sa.String(), nullable=True)
""",
}
"""Migrations for which SQLite makes a table anew, by kind of database."""

both_kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@pytest.fixture
def new_url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a second database, where nothing is yet."""
    if database == "sqlite":
        yield f"sqlite:///{tmp_path / 'new.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.make_database()
    yield server.url(name)
    server.drop_database(name)


# -- what older releases made --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "before"),
    [(kind, one) for kind in KINDS for one in revisions(kind.name)],
    ids=lambda value: value.name if isinstance(value, Kind) else value,
)
def test_older_releases_are_brought_up_to_date(
    kind: Kind, before: str, empty_url: str, new_url: str
) -> None:
    load(empty_url, kind.name, before)
    rows = rows_of(empty_url)
    assert all(rows.values())

    done = kind.upgrade(empty_url)

    assert (done.before, done.after) == (before, kind.schema.revision)
    kind.create(new_url).close()
    assert schema_of(empty_url) == schema_of(new_url)
    found = rows_of(empty_url)
    for table, many in rows.items():
        columns = found[table][0].keys() & many[0].keys()
        assert _only(columns, found[table]) == _only(columns, many)
    with closing(kind.open(empty_url)) as db:
        check(db, kind.schema)


def test_numbers_of_instances_come_to_their_column(empty_url: str) -> None:
    load(empty_url, "catalog", "0001")
    statement = (
        "UPDATE object SET number_of_instances = NULL, attributes = :said WHERE id {} 'id 1'"
    )
    with closing(CATALOG_KIND.open(empty_url)) as db, db.write() as connection:
        connection.execute(
            text("INSERT INTO attribute_name VALUES ('NumberOfInstances', 'number', 'json', NULL)")
        )
        for which, said in (("=", {"FlipAngle": 12}), ("!=", {"NumberOfInstances": 192, "x": 9})):
            connection.execute(text(statement.format(which)), {"said": json.dumps(said)})

    CATALOG_KIND.upgrade(empty_url)

    rows = rows_of(empty_url)
    assert "NumberOfInstances" not in {row["name"] for row in rows["attribute_name"]}
    for row in rows["object"]:
        document = row["attributes"]
        said = json.loads(document) if isinstance(document, str) else document
        is_first = row["id"] == "id 1"
        assert row["number_of_instances"] == (None if is_first else 192)
        assert said == ({"FlipAngle": 12} if is_first else {"x": 9})


def _only(columns: Collection[str], rows: Sequence[Mapping[str, object]]) -> list[str]:
    return sorted(repr(sorted((name, row[name]) for name in columns)) for row in rows)


def test_the_first_release_is_kept_with_rows_in_every_table() -> None:
    for kind in KINDS:
        assert revisions(kind.name)[0] == "0001"


@both_kinds
def test_what_is_kept_of_a_release_has_rows_in_every_table(kind: Kind, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    kind.create(url).close()
    with closing(kind.open(url)) as db, db.write() as connection:
        fill(connection, kind.schema.tables)
    rows = rows_of(url)
    assert rows.keys() == kind.schema.tables.tables.keys()
    assert all(rows.values())
    with closing(sqlite3.connect(tmp_path / "new.db")) as file:
        assert file.execute("PRAGMA foreign_key_check").fetchall() == []


@both_kinds
def test_the_newest_migration_is_what_this_medgrid_needs(kind: Kind) -> None:
    files = sorted(path.name for path in kind.schema.migrations.glob("v*.py"))
    numbers = [int(re.match(r"v(\d{4})_", name)[1]) for name in files]  # type: ignore[index]
    assert numbers == list(range(1, len(numbers) + 1))
    assert f"{numbers[-1]:04}" == kind.schema.revision


@both_kinds
def test_migrations_import_nothing_that_changes_with_medgrid(kind: Kind) -> None:
    for path in kind.schema.migrations.glob("v*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, path.name
                names = [node.module or ""]
            for name in names:
                assert name.partition(".")[0] in ("alembic", "sqlalchemy", "json"), path.name


# -- what a database says of itself ----------------------------------------------------------------


@both_kinds
def test_an_older_one_is_refused_with_the_way_out(
    kind: Kind, empty_url: str, tmp_path: Path
) -> None:
    kind.newest(empty_url)
    later = kind.later(tmp_path, "pass")
    with closing(kind.open(empty_url)) as db:
        with pytest.raises(OlderSchema) as caught:
            check(db, later)
        assert caught.value.message == (
            f"the {db.what} {db.name} has schema {kind.schema.revision}, "
            f"this medgrid needs {later.revision}"
        )
    assert caught.value.hint == f"run 'medgrid {kind.name} upgrade'"


@both_kinds
def test_a_newer_one_is_refused(kind: Kind, empty_url: str) -> None:
    kind.newest(empty_url)
    _say_revision(kind, empty_url, "9999")
    with closing(kind.open(empty_url)) as db:
        name = f"the {db.what} {db.name}"
    for refused in (kind.create, kind.upgrade):
        with pytest.raises(ConfigError) as caught:
            refused(empty_url)
        assert caught.value.message == (
            f"{name} has schema 9999, newer than this medgrid's {kind.schema.revision}"
        )
        assert caught.value.hint == "install the newer medgrid that made it"


@both_kinds
def test_an_unknown_one_cannot_be_upgraded(kind: Kind, empty_url: str) -> None:
    kind.newest(empty_url)
    _say_revision(kind, empty_url, "0000")
    before = _state(empty_url)
    with pytest.raises(ConfigError, match=r"cannot be upgraded from schema 0000$"):
        kind.upgrade(empty_url)
    assert _state(empty_url) == before


@both_kinds
def test_nothing_is_done_twice(kind: Kind, empty_url: str) -> None:
    kind.newest(empty_url)
    before = _state(empty_url)
    newest = kind.schema.revision
    done = kind.upgrade(empty_url)
    assert (done.before, done.after) == (newest, newest)
    # also for who was killed before it could say where the copy is
    names = {path.name for path in done.copies}
    assert names == {name for name in _files_beside(empty_url) if name.endswith(".schema-0001")}
    assert _state(empty_url) == before


def test_both_kinds_may_live_in_one_database(empty_url: str, tmp_path: Path) -> None:
    for kind in KINDS:
        kind.create(empty_url).close()
    for kind in KINDS:
        kind.upgrade(empty_url, kind.later(tmp_path, REBUILD[kind.name]))
        kind.upgrade(empty_url, kind.later(tmp_path, REBUILD[kind.name]))


def _say_revision(kind: Kind, url: str, number: str) -> None:
    with closing(kind.open(url)) as db, db.write() as connection:
        connection.execute(update(kind.schema.versions()).values(version_num=number))


def _state(url: str) -> tuple[object, ...]:
    """All that an upgrade could change."""
    return schema_of(url), rows_of(url), _files_beside(url)


def _files_beside(url: str) -> set[str]:
    """Names of the files of an SQLite database, but those of its log; none on a server."""
    if not url.startswith("sqlite"):
        return set()
    path = Path(url.removeprefix("sqlite:///"))
    found = {one.name for one in path.parent.iterdir() if one.name.startswith(path.name)}
    return found - {f"{path.name}-wal", f"{path.name}-shm"}


# -- tables that are made anew ---------------------------------------------------------------------


@both_kinds
def test_a_table_that_is_made_anew_keeps_its_rows_and_theirs(
    kind: Kind, empty_url: str, tmp_path: Path
) -> None:
    kind.newest(empty_url)
    before = rows_of(empty_url)
    lines = schema_of(empty_url)

    done = kind.upgrade(empty_url, kind.later(tmp_path, REBUILD[kind.name]))

    assert done.before == kind.schema.revision < done.after
    assert rows_of(empty_url) == before
    assert (Counter(schema_of(empty_url)) - Counter(lines)).total() == 1  # the column


def test_foreign_keys_hold_during_and_after(empty_url: str, tmp_path: Path) -> None:
    CATALOG_KIND.newest(empty_url)
    later = CATALOG_KIND.later(tmp_path, REBUILD["catalog"])
    with closing(CATALOG_KIND.open(empty_url)) as db:
        upgrade(db, later)
        with db.write() as connection:
            connection.execute(text("DELETE FROM object WHERE id = 'id 1'"))
        assert {row["object_id"] for row in rows_of(empty_url)["replica"]} == {
            row["id"] for row in rows_of(empty_url)["object"]
        }
        with pytest.raises(exc.IntegrityError), db.write() as connection:
            connection.execute(text("UPDATE replica SET object_id = 'nobody'"))


def test_sqlite_keeps_its_log_triggers_indexes_and_tables_without_rowid(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    CATALOG_KIND.newest(url)
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as file:
        file.execute("CREATE TABLE seen (id)")
        file.execute(
            "CREATE TRIGGER watch AFTER INSERT ON access_grant"
            " BEGIN INSERT INTO seen VALUES (new.identity); END"
        )
        file.execute("CREATE INDEX by_hand ON access_grant (lower(identity), object_id)")
        file.execute("CREATE INDEX any_case ON access_grant (identity COLLATE NOCASE)")
        file.execute("CREATE INDEX backwards ON access_grant (until_s DESC) WHERE until_s > 1")
    before = schema_of(url)
    body = """
with op.batch_alter_table("access_grant", recreate="always") as batch:
    batch.alter_column("until_s", existing_type=sa.Double(), nullable=True)
"""
    CATALOG_KIND.upgrade(url, CATALOG_KIND.later(tmp_path, body))
    assert schema_of(url) == before
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@both_kinds
def test_views_and_triggers_of_ones_own_come_back(kind: Kind, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'made.db'}"
    kind.older(url)
    table, other = {"catalog": ("object", "grid"), "keystore": ("protected", "store")}[kind.name]
    with closing(sqlite3.connect(tmp_path / "made.db")) as file:
        file.executescript(f"""
            CREATE TABLE seen (id);
            CREATE VIEW "my view" AS SELECT * FROM {table}, {other};
            CREATE VIEW of_it AS SELECT * FROM "my view";
            CREATE TRIGGER into_it INSTEAD OF INSERT ON of_it
                BEGIN INSERT INTO seen SELECT count(*) FROM {table}; END;
            CREATE TRIGGER elsewhere AFTER INSERT ON seen
                BEGIN UPDATE {table} SET owner = owner; UPDATE {other} SET rowid = rowid; END;
        """)
    question = "SELECT name, sql FROM sqlite_master WHERE type IN ('view', 'trigger') ORDER BY name"
    with closing(sqlite3.connect(tmp_path / "made.db")) as file:
        before = file.execute(question).fetchall()
    kind.upgrade(url)
    kind.upgrade(url, kind.later(tmp_path, REBUILD[kind.name]))
    with closing(sqlite3.connect(tmp_path / "made.db")) as file:
        assert file.execute(question).fetchall() == before
        file.execute("INSERT INTO of_it DEFAULT VALUES")
        assert file.execute("SELECT * FROM seen").fetchall() == [(3,)]


def test_what_a_key_store_drops_is_in_its_file_no_more(tmp_path: Path) -> None:
    path = tmp_path / "keystore.db"
    url = f"sqlite:///{path}"
    KEYSTORE_KIND.newest(url)
    secrets = [row["sealed"] for row in rows_of(url)["wrap"]]
    assert all(secret in path.read_bytes() for secret in secrets)
    later = KEYSTORE_KIND.later(tmp_path, 'op.drop_table("wrap")', 'changes_rows_of = ("wrap",)')
    done = KEYSTORE_KIND.upgrade(url, later)
    for secret in secrets:
        assert secret in done.copies[-1].read_bytes()
        assert secret not in path.read_bytes()


# -- what goes wrong -------------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("last", ["raise RuntimeError", "op.execute('SELECT nothing')"])
def test_a_migration_that_fails_in_the_middle_changes_nothing(
    kind: Kind, last: str, empty_url: str, tmp_path: Path
) -> None:
    kind.newest(empty_url)
    before = _state(empty_url)
    body = f"""{REBUILD[kind.name]}
op.create_table("made", sa.Column("id", sa.Integer(), primary_key=True))
{last}
"""
    with pytest.raises((RuntimeError, IntegrityError)):
        kind.upgrade(empty_url, kind.later(tmp_path, body))
    assert _state(empty_url) == before


def test_a_migration_that_breaks_a_foreign_key_changes_nothing(
    database: str, empty_url: str, tmp_path: Path
) -> None:
    CATALOG_KIND.newest(empty_url)
    before = _state(empty_url)
    body = """op.execute("UPDATE storage_element SET name = name || '!'")"""
    with pytest.raises(IntegrityError) as caught:
        CATALOG_KIND.upgrade(empty_url, CATALOG_KIND.later(tmp_path, body))
    name = CATALOG_KIND.open(empty_url).name
    why = {
        "sqlite": "3 rows of replica would name no row of storage_element, "
        "3 rows of upload would name no row of storage_element",
        "postgres": "the database refuses a step (ForeignKeyViolation)",
    }[database]
    assert caught.value.message == (
        f"the catalog {name} cannot be upgraded from schema {CATALOG_KIND.schema.revision}: {why}"
    )
    assert caught.value.hint == "nothing was changed; please report this"
    assert _state(empty_url) == before


def test_rows_that_were_broken_before_are_said_and_stay(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    CATALOG_KIND.newest(url)
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as file:
        file.executescript("""
            UPDATE replica SET se = 'gone' WHERE rowid < 3;
            CREATE TABLE mine (id REFERENCES object (id));
            INSERT INTO mine VALUES ('nobody');
        """)
    before = rows_of(url)
    more = """op.execute("UPDATE replica SET se = 'gone'")"""
    with pytest.raises(IntegrityError) as caught:
        CATALOG_KIND.upgrade(url, CATALOG_KIND.later(tmp_path, more))
    added = ": 1 rows of replica would name no row of storage_element"
    assert caught.value.message.endswith(added)
    assert rows_of(url) == before

    done = CATALOG_KIND.upgrade(url, CATALOG_KIND.later(tmp_path, REBUILD["catalog"]))
    assert done.broken == (
        "1 rows of mine name no row of object",
        "2 rows of replica name no row of storage_element",
    )
    assert rows_of(url) == before


@both_kinds
def test_rows_that_a_migration_loses_unsaid_come_back(
    kind: Kind, empty_url: str, tmp_path: Path
) -> None:
    kind.newest(empty_url)
    before = _state(empty_url)
    table = {"catalog": "quota", "keystore": "share"}[kind.name]
    body = f"""op.execute("DELETE FROM {table}")"""
    with pytest.raises(IntegrityError) as caught:
        kind.upgrade(empty_url, kind.later(tmp_path, body))
    assert caught.value.message.endswith(f": {table} had 3 rows and would have 0")
    assert _state(empty_url) == before

    said = kind.later(tmp_path, body, f'changes_rows_of = ("{table}",)')
    kind.upgrade(empty_url, said)
    assert rows_of(empty_url)[table] == []


def test_who_is_second_waits_and_finds_it_done(empty_url: str, tmp_path: Path) -> None:
    CATALOG_KIND.newest(empty_url)
    body = f"""
import pathlib, time
with open({str(tmp_path / "begun")!r}, "a") as begun:
    begun.write("begun ")
while not pathlib.Path({str(tmp_path / "go-on")!r}).exists():
    time.sleep(0.01)
{REBUILD["catalog"]}
"""
    later = CATALOG_KIND.later(tmp_path, body)
    done: list[Upgraded] = []
    first, second = (
        threading.Thread(target=lambda: done.append(CATALOG_KIND.upgrade(empty_url, later)))
        for _ in range(2)
    )
    first.start()
    wait_for((tmp_path / "begun").exists, "the first to begin")
    second.start()
    linger(0.5, "who does not wait upgrades now")
    (tmp_path / "go-on").touch()
    first.join()
    second.join()
    assert (tmp_path / "begun").read_text() == "begun "
    assert sorted((one.before, one.after) for one in done) == [
        (CATALOG_KIND.schema.revision, later.revision),
        (later.revision, later.revision),
    ]


@pytest.mark.postgres
@both_kinds
def test_who_is_second_on_a_server_waits_and_finds_it_done(
    kind: Kind, postgres_server: PostgresServer
) -> None:
    name = postgres_server.make_database()
    url = postgres_server.url(name)
    before = kind.older(url)
    holds, go_on = threading.Event(), threading.Event()
    done: list[Upgraded] = []

    def run() -> None:
        with closing(kind.open(url)) as db:
            done.append(upgrade(db, kind.schema, wait))

    def wait() -> None:
        holds.set()
        assert go_on.wait(PATIENCE_S)

    def somebody_waits() -> bool:
        question = f"SELECT FROM pg_stat_activity WHERE datname = '{name}'"
        with postgres_server.admin() as admin:
            found = admin.execute(f"{question} AND wait_event_type = 'Lock'".encode())
            return found.fetchone() is not None

    first, second = (threading.Thread(target=run) for _ in range(2))
    first.start()
    try:
        wait_for(holds.is_set, "the first to hold the tables")
        second.start()
        wait_for(somebody_waits, "the second to wait")
    finally:
        go_on.set()
        first.join()
    second.join()
    newest = kind.schema.revision
    assert sorted((one.before, one.after) for one in done) == [(before, newest), (newest, newest)]
    postgres_server.drop_database(name)


def test_who_reads_meanwhile_keeps_no_upgrade_waiting(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    CATALOG_KIND.newest(f"sqlite:///{path}")
    later = CATALOG_KIND.later(tmp_path, "pass")
    db = Database(f"sqlite:///{path}", busy_timeout_s=1_000)
    run = threading.Thread(target=lambda: upgrade(db, later))
    with closing(db), closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM grid").fetchall()
        run.start()
        try:
            wait_for(lambda: not run.is_alive(), "the upgrade to end")
        finally:
            reader.rollback()
            run.join()
        check(db, later)


# -- what is particular to a server ----------------------------------------------------------------


@pytest.mark.postgres
@both_kinds
@pytest.mark.parametrize("has_table", [True, False])
def test_who_does_not_own_the_tables_is_told_who_does(
    kind: Kind, has_table: bool, postgres_server: PostgresServer
) -> None:
    name, role = postgres_server.make_database(), f"user_{uuid.uuid4().hex[:8]}"
    url = postgres_server.url(name)
    kind.older(url)
    with closing(kind.open(url)) as db, db.write() as connection:
        connection.execute(text(f'CREATE ROLE "{role}" LOGIN'))
        connection.execute(text(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{role}"'))
        connection.execute(text(f'GRANT CREATE ON SCHEMA public TO "{role}"'))
    theirs = url.replace("medgrid@", f"{role}@")
    with closing(kind.open(theirs)) as db:
        if has_table:
            with db.write() as connection:
                connection.execute(text("CREATE TABLE of_hers (id integer)"))
        shown = f"the {db.what} {db.name}"
    with pytest.raises(Denied) as caught:
        kind.upgrade(theirs)
    assert caught.value.message == (
        f"{shown} cannot be upgraded from schema 0001: its tables belong to medgrid"
    )
    assert caught.value.hint == f"their owner runs 'medgrid {kind.name} upgrade'"
    postgres_server.drop_database(name)
    with postgres_server.admin() as admin:
        admin.execute(f"DROP ROLE {role}".encode())


@pytest.mark.postgres
def test_the_owner_changes_rows_that_policies_hide_from_it(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    name, owner = postgres_server.make_database(), f"owner_{uuid.uuid4().hex[:8]}"
    url = postgres_server.url(name).replace("medgrid@", f"{owner}@")
    with postgres_server.admin() as admin:
        admin.execute(f"CREATE ROLE {owner} LOGIN".encode())
        admin.execute(f"ALTER DATABASE {name} OWNER TO {owner}".encode())
    CATALOG_KIND.newest(url)
    with (
        closing(CATALOG_KIND.open(postgres_server.url(name))) as others,
        others.write() as connection,
    ):
        connection.execute(text("CREATE TABLE of_others (id integer)"))
    db = CATALOG_KIND.open(url)
    with db.write() as connection:
        connection.execute(text("ALTER TABLE object ENABLE ROW LEVEL SECURITY"))
        connection.execute(text("ALTER TABLE object FORCE ROW LEVEL SECURITY"))
        seen = select(func.count()).select_from(CATALOG_KIND.schema.tables.tables["object"])
        assert connection.scalar(seen) == 0
    CATALOG_KIND.upgrade(
        url, CATALOG_KIND.later(tmp_path, """op.execute("UPDATE object SET suffix = 'seen'")""")
    )
    with db.read() as connection:
        assert connection.scalar(seen) == 0
    assert [row["suffix"] for row in rows_of(postgres_server.url(name))["object"]] == ["seen"] * 3
    db.close()
    postgres_server.drop_database(name)
    with postgres_server.admin() as admin:
        admin.execute(f"DROP ROLE {owner}".encode())


@pytest.mark.postgres
@both_kinds
@pytest.mark.parametrize("more", ["", "CREATE TABLE medgrid.mine (id integer)"])
def test_a_schema_called_like_the_role_changes_nothing(
    kind: Kind, more: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    name = postgres_server.make_database()
    url = postgres_server.url(name)
    kind.older(url)
    with closing(kind.open(url)) as db, db.write() as connection:
        if kind is CATALOG_KIND:  # functions of a key store say where they are
            connection.execute(text('ALTER SCHEMA public RENAME TO "Theirs"'))
        connection.execute(
            text(f"""ALTER DATABASE {name} SET search_path = "$user", public, "Theirs" """)
        )
        connection.execute(text(f"CREATE SCHEMA medgrid; {more}"))
    before = rows_of(url)
    table = {"catalog": "quota", "keystore": "share"}[kind.name]
    with pytest.raises(IntegrityError, match=rf": {table} had 3 rows and would have 0$"):
        kind.upgrade(url, kind.later(tmp_path, f"""op.execute("DELETE FROM {table}")"""))
    assert rows_of(url) == before
    kind.upgrade(url)
    with closing(kind.open(url)) as db:
        check(db, kind.schema)
        with db.read() as connection:
            places = "SELECT DISTINCT pronamespace::regnamespace::text, proconfig[1] FROM pg_proc"
            found = connection.execute(
                text(f"{places} WHERE starts_with(proname, 'keystore_found')")
            ).all()
    expected = [("public", "search_path=public, pg_temp")]
    assert found == ([] if kind is CATALOG_KIND else expected)
    postgres_server.drop_database(name)


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("body", "why"),
    [
        (
            'op.drop_column("store", "created_us")',
            "view mine depends on column created_us of table store",
        ),
        (
            'op.alter_column("store", "created_us", type_=sa.Numeric())',
            'rule _RETURN on view mine depends on column "created_us"',
        ),
    ],
)
def test_a_view_that_is_in_the_way_is_named(
    body: str, why: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    name = postgres_server.make_database()
    url = postgres_server.url(name)
    KEYSTORE_KIND.newest(url)
    with closing(KEYSTORE_KIND.open(url)) as db, db.write() as connection:
        connection.execute(text("CREATE VIEW mine AS SELECT created_us FROM store"))
        shown = db.name
    before = _state(url)
    with pytest.raises(ConfigError) as caught:
        KEYSTORE_KIND.upgrade(url, KEYSTORE_KIND.later(tmp_path, body))
    assert caught.value.message == (
        f"the key store {shown} cannot be upgraded from schema 0002: {why}"
    )
    assert caught.value.hint == (
        "drop views of your own, say the same again, and make them again; nothing was changed"
    )
    assert _state(url) == before
    postgres_server.drop_database(name)


@pytest.mark.postgres
def test_users_of_a_key_store_may_see_which_schema_it_has(postgres_server: PostgresServer) -> None:
    name, role = postgres_server.make_database(), f"user_{uuid.uuid4().hex[:8]}"
    url = postgres_server.url(name)
    KEYSTORE_KIND.older(url)
    with closing(KEYSTORE_KIND.open(url)) as db, db.write() as connection:
        connection.execute(text(f'CREATE ROLE "{role}" LOGIN'))
        connection.execute(text(f'GRANT SELECT (version) ON store TO "{role}"'))
        connection.execute(
            text("INSERT INTO member_role VALUES (:role, 'who', '')"), {"role": role}
        )
    with closing(KEYSTORE_KIND.open(url.replace("medgrid@", f"{role}@"))) as theirs:
        with pytest.raises(OlderSchema):
            check(theirs, KEYSTORE_KIND.schema)
        KEYSTORE_KIND.upgrade(url)
        check(theirs, KEYSTORE_KIND.schema)
    with postgres_server.admin() as admin:
        postgres_server.drop_database(name)
        admin.execute(f"DROP ROLE {role}".encode())
