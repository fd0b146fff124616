"""Whoever runs the database server, and writes down every statement, learns no patient's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.patient import write_patient
from tests.lab.postgres import PostgresServer, new_server, remove_server
from tests.lab.prompt import Prompt
from tests.lab.searching import Search
from tests.lab.waiting import wait_for

pytestmark = pytest.mark.postgres


@pytest.fixture
def nosy_server() -> Iterator[PostgresServer]:
    """A server of this test's own, whose log has all statements with their values."""
    server = new_server()
    with server.admin() as connection:
        for name in ("log_statement = 'all'", "log_parameter_max_length = -1"):
            connection.execute(f"ALTER SYSTEM SET {name}".encode())
        connection.execute("SELECT pg_reload_conf()")
    yield server
    remove_server(server)


@pytest.mark.slow
def test_the_servers_disk_and_log_name_nobody(nosy_server: PostgresServer, tmp_path: Path) -> None:
    names = [nosy_server.make_database() for _ in range(2)]
    catalog, keystore = map(nosy_server.url, names)
    alice = Prompt(
        tmp_path / "alice",
        {"MEDGRID_USER": "alice", "MEDGRID_CATALOG": catalog, "MEDGRID_KEYSTORE": keystore},
    )
    alice.env["MEDGRID_BROKER_AUTOSTART"] = "0"
    traces = write_patient(tmp_path / "in")
    alice.ok("init")
    assert alice("import", tmp_path / "in", "--to", "/trial").code == 3
    originals = alice.ok("query", "class=nominative").lines
    assert len(originals) == 7
    patients = sorted({lfn.split("/")[2] for lfn in originals})
    assert len(traces.canaries.named_in([alice.ok("whois", "--json", *patients).out])) >= 20
    name = "^".join(list(traces.canaries.words)[:2])
    question = f"PatientName='{name}'"
    assert alice.ok("query", "-", stdin=question).lines
    assert alice("query", "-", "--explain", stdin=question).code == 0
    alice.ok("fetch", *originals, "--dir", tmp_path / "out")
    alice.ok("rekey", originals[0])
    alice.ok("audit")
    with nosy_server.admin() as admin:
        admin.execute("SELECT 'the last word'")
    log_file = nosy_server.directory / "log"
    wait_for(lambda: b"the last word" in log_file.read_bytes(), "the log to be written")

    search = Search(traces.canaries)
    assert search.in_files(nosy_server.directory / "data") == []
    log = (nosy_server.directory / "log").read_bytes()
    assert b"INSERT INTO object" in log
    assert patients[0].encode() in log, "values are in the log"
    assert search("log", log) == []
    assert search.searched_bytes > 20_000_000
    assert search("planted", f"... {name} ...".encode()) != []
