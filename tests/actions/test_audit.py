"""The audit log at the prompt: whose records one sees, and what shows when it was touched."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.lab.hospital import JANE, JOHN, OTHER, Hospital

TWIN = f"/trial/{JANE}/T1w"


@pytest.fixture
def used(hospital: Hospital) -> Hospital:
    """Where bob was granted an image, and read it."""
    hospital.alice.ok("grant", "bob", TWIN)
    hospital.bob.read(TWIN)
    hospital.carol.ok("whois", OTHER)
    hospital.alice.ok("whois", JOHN)
    return hospital


def verbs(lines: list[list[str]]) -> list[tuple[str, str]]:
    return [(row[1], row[2]) for row in lines]


def test_physicians_see_what_was_done_with_their_patients(used: Hospital) -> None:
    rows = used.alice.ok("audit", "--what", TWIN).rows
    assert {row[3] for row in rows} == {TWIN}
    assert ("bob", "release") in verbs(rows)
    assert verbs(used.alice.ok("audit", "--who", "bob", "--what", JANE).rows) == [
        ("bob", "release")
    ]
    everything = used.alice.ok("audit", "--json").documents
    assert {one["patient"] for one in everything} == {"", JANE, JOHN}
    assert all(one["who"] == "alice" or one["patient"] in (JANE, JOHN) for one in everything)


def test_others_see_their_own_alone(used: Hospital) -> None:
    rows = used.bob.ok("audit").rows
    assert {row[1] for row in rows} == {"bob"}
    assert used.bob.ok("audit", "--who", "alice").out == ""
    patients = {row[4] for row in used.carol.ok("audit").rows}
    assert patients == {"", OTHER}
    assert used.carol.run("audit", "--what", TWIN).code == 4
    assert used.root.run("audit").err.splitlines()[0] == "medgrid: error: no identity 'root'"


def test_an_object_keeps_its_history_when_it_is_encrypted_anew(used: Hospital) -> None:
    used.alice.ok("rekey", TWIN)
    used.bob.read(TWIN)
    used.alice.ok("rekey", TWIN)
    rows = used.alice.ok("audit", "--what", TWIN).rows
    assert {row[3] for row in rows} == {TWIN}
    assert verbs(rows).count(("bob", "release")) == 2
    assert verbs(rows).count(("alice", "rekey")) == 2


def test_since(used: Hospital) -> None:
    assert used.alice.ok("audit", "--since", "1h").lines
    assert used.alice.ok("audit", "--since", "2100-01-01").out == ""
    ran = used.alice.run("audit", "--since", "yesterday")
    assert (ran.code, ran.err.splitlines()[0]) == (
        2,
        "medgrid: error: invalid value for '--since': 'yesterday' is no time such as 2027-06-30, "
        "2027-06-30T14:00 or 8h (ago)",
    )


def test_a_log_that_is_whole(used: Hospital) -> None:
    for who in ("alice", "bob", "carol"):
        ran = used.people[who].ok("audit", "verify")
        assert ran.out.startswith("whole: ")
    (report,) = used.alice.ok("audit", "verify", "--json").documents
    assert report["problems"] == []
    assert report["signed"] > 0


def touch(hospital: Hospital, statement: str) -> None:
    """What whoever holds the key store's file can do."""
    with hospital.keystore() as store, store.db.write() as connection:
        connection.execute(text(statement))


def test_a_changed_record_is_noticed(used: Hospital) -> None:
    touch(used, "UPDATE audit SET who = 'carol' WHERE who = 'bob'")
    ran = used.alice.run("audit", "verify")
    assert (ran.code, ran.out) == (6, "")
    assert ran.err.startswith("medgrid: error: the audit log is not whole: record ")


def test_a_cut_is_noticed_by_the_next_command(used: Hospital) -> None:
    touch(used, "DELETE FROM audit WHERE seq > 10")
    touch(used, "DELETE FROM checkpoint")
    ran = used.alice.ok("whois", JANE)
    assert ran.rows[0][1] == "DOE^JANE^Q"
    assert ran.err.startswith("medgrid: warning: the audit log is not whole: ")
    assert ran.err.endswith("medgrid: hint: 'medgrid audit verify' says more\n")
    assert used.alice.run("audit", "verify").code == 6


def test_a_copy_elsewhere(used: Hospital) -> None:
    file = used.folder / "copy"
    (document,) = used.alice.ok("audit", "copy", "--to", file, "--json").documents
    assert document["added"] > 10
    assert used.alice.ok("audit", "verify", "--against", file).out.startswith("whole: ")
    used.alice.ok("whois", JANE)
    assert used.alice.ok("audit", "copy", "--to", file, "--json").documents[0]["added"] >= 1
    touch(used, "DELETE FROM audit WHERE seq > 10")
    touch(used, "DELETE FROM checkpoint")
    (used.alice.settings.keys_dir / "audit.json").unlink()
    assert used.alice.run("audit", "verify", "--against", file).code == 6
    assert used.alice.run("audit", "copy", "--to", file).code == 6
    assert used.alice.run("audit", "verify", "--against", used.folder / "none").code == 9
