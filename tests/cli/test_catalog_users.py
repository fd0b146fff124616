"""``medgrid catalog users``: a PostgreSQL catalog for many, from the prompt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.lab.postgres import PostgresServer
from tests.lab.prompt import Prompt

CONFIG = Path(__file__).parents[2] / "config" / "algorithms"

pytestmark = pytest.mark.postgres


@pytest.fixture
def alice(prompt: Prompt, postgres_server: PostgresServer) -> Iterator[Prompt]:
    """The home of Alice, who made the grid; its catalog is on the server."""
    database = postgres_server.make_database()
    prompt.env["MEDGRID_USER"] = "alice"
    prompt.env["MEDGRID_CATALOG"] = postgres_server.url(database)
    prompt.ok("init")
    yield prompt
    prompt("broker", "stop")
    with psycopg.connect(
        host=str(postgres_server.sockets), user="medgrid", dbname=database
    ) as connection:
        grid_id = connection.execute("SELECT grid_id FROM grid").fetchone()
    postgres_server.drop_database(database)
    assert grid_id is not None
    with postgres_server.admin() as connection:
        for group in ("grid", "user", "physician", "registrar"):
            name = sql.Identifier(f"medgrid_{grid_id[0]}_{group}")
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(name))


def _roles(server: PostgresServer, prompt: Prompt) -> set[str]:
    with server.admin() as connection:
        rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'medgrid\\_%'")
        return {name for (name,) in rows}


@pytest.mark.slow
def test_the_whole_way(alice: Prompt, postgres_server: PostgresServer, tmp_path: Path) -> None:
    before = _roles(postgres_server, alice)
    planned = alice.ok("catalog", "users", "--dry-run").out
    assert 'ALTER TABLE "public"."object" FORCE ROW LEVEL SECURITY;\n' in planned
    assert _roles(postgres_server, alice) == before
    ran = alice.ok("catalog", "users")
    assert ran.rows == [["alice", "physician, registrar, researcher"], ["broker", "broker"]]
    assert len(_roles(postgres_server, alice) - before) == 4
    assert alice.ok("catalog", "users", "--json").documents == [
        {
            "schema": "medgrid.catalog-users/1",
            "users": [
                {"name": "alice", "roles": ["physician", "registrar", "researcher"]},
                {"name": "broker", "roles": ["broker"]},
            ],
        }
    ]
    # from now on Alice works as her own role
    admin = alice.env["MEDGRID_CATALOG"]
    alice.env["MEDGRID_CATALOG"] = admin.replace("medgrid@", "alice@")
    (tmp_path / "notes.txt").write_text("mine")
    alice.ok("register", tmp_path / "notes.txt", "--to", "/alice/", "--meta", "weight=2.5")
    assert alice.ok("query", "weight>2").lines == ["/alice/notes.txt"]
    assert alice.ok("query", "/", "--save", "all", "--freeze").code == 0
    alice.ok("mv", "/alice/notes.txt", "/alice/kept")
    assert alice.ok("ls", "/alice").lines == ["/alice/kept"]
    ran = alice("catalog", "users")
    assert ran.code == 5
    # her job is run by a broker that has its own role
    alice.env["MEDGRID_BROKER_AUTOSTART"] = "no"
    broker = Prompt(alice.home, {**alice.env, "MEDGRID_BROKER_IDLE_S": "1"})
    broker.env["MEDGRID_CATALOG"] = admin.replace("medgrid@", "broker@")
    assert alice.ok("algorithm", "add", CONFIG / "checksum.json").lines == ["checksum@1"]
    (job,) = alice.ok("submit", "checksum", "/alice/kept").lines
    for _ in range(100):
        broker.ok("broker", "once")
        if alice.ok("status", job).rows[0][1] == "Done":
            break
    assert alice.ok("status", job).rows[0][1] == "Done"
    alice.ok("fetch", job, "--dir", tmp_path / "out")
    alice.ok("register", job, "--to", "/alice/sums/")
    assert len(alice.ok("query", "derived_from=/alice/kept").lines) == 1
    # Bob has a role, and sees nothing of hers
    bob = Prompt(alice.home, {**alice.env, "MEDGRID_USER": "bob"})
    request = alice.ok("identity", "create", "bob", "--no-passphrase").rows[0][2]
    alice.ok("identity", "certify", request, "--role", "researcher")
    alice.ok("identity", "add", request.replace(".pub", ".cert"))
    alice.env["MEDGRID_CATALOG"] = admin
    assert ["bob", "researcher"] in alice.ok("catalog", "users").rows
    bob.env["MEDGRID_CATALOG"] = admin.replace("medgrid@", "bob@")
    assert bob.ok("query", "/").lines == []
    ran = bob("stat", "/alice/kept")
    missing = bob("stat", "/alice/none")
    assert (ran.code, ran.err.replace("kept", "none")) == (4, missing.err)
    with psycopg.connect(bob.env["MEDGRID_CATALOG"].replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT lfn FROM object").fetchall() == []
    bob.env["MEDGRID_CATALOG"] = admin.replace("medgrid@", "alice@")
    ran = bob("query", "/")
    assert ran.code == 5
    assert " is open for alice, not for bob\n" in ran.err


def test_a_file_has_no_users(grid_prompt: Prompt) -> None:
    for words in (["users"], ["users", "--dry-run"]):
        ran = grid_prompt("catalog", *words)
        assert (ran.code, ran.out) == (9, "")
        assert ran.err == (
            "medgrid: error: a SQLite catalog has no users: whoever can read the file can read it"
            " all\nmedgrid: hint: keys still protect the content; use PostgreSQL where users are"
            " many\n"
        )
