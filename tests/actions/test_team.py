"""Care teams, and the names that they alone can ask for."""

from __future__ import annotations

import json

import pytest

from medgrid.crypto.certificate import Role
from medgrid.errors import Denied
from medgrid.model import DataClass
from tests.lab.hospital import JANE, JOHN, OTHER, Hospital

ORIGINAL = f"/trial/{JANE}/T1w.original"
NO_JANE = "medgrid: error: no patient P-JANE\nmedgrid: hint: 'medgrid team ls' shows yours\n"


def test_patients_in_my_care(hospital: Hospital) -> None:
    assert hospital.alice.ok("team", "ls").rows == [[JANE, "physician"], [JOHN, "physician"]]
    assert hospital.carol.ok("team", "ls").rows == [[OTHER, "physician"]]
    assert hospital.bob.ok("team", "ls").out == ""


def test_a_new_member_reads_all_and_a_dropped_one_nothing(hospital: Hospital) -> None:
    alice, dave = hospital.alice, hospital.dave
    assert dave.ok("query", "/").lines == ["/code/mask"]
    assert alice.ok("team", "add", JANE, "dave").out == ""
    assert alice.ok("team", "ls", JANE).rows == [["alice", "physician"], ["dave", "physician"]]
    assert dave.read(ORIGINAL) == b"original of jane"
    assert dave.ok("whois", JANE).rows == [[JANE, "DOE^JANE^Q", "19510304", "H-4711"]]
    ran = alice.ok("team", "rm", JANE, "dave")
    assert (ran.out, ran.err) == (
        "",
        "medgrid: warning: what dave has read stays read, and keys that dave may have kept open "
        "what was stored until now: 'medgrid rekey --patient P-JANE' makes new ones\n",
    )
    assert dave.run("whois", JANE).err == NO_JANE
    assert dave.ok("query", "/").lines == ["/code/mask"]
    with hospital.keystore("dave") as store:
        assert store.compartments_of("dave") == []
        assert store.release([hospital.objects[ORIGINAL].id], "read") == {}
    assert alice.read(ORIGINAL) == b"original of jane"
    assert alice.ok("whois", JANE).rows[0][1] == "DOE^JANE^Q"


def test_what_comes_after_a_member_left_is_under_a_new_key(hospital: Hospital) -> None:
    hospital.alice.ok("team", "add", JANE, "dave")
    hospital.alice.ok("team", "rm", JANE, "dave")
    new = hospital.put("/trial/new", b"new")
    with hospital.keystore("alice") as store:
        assert store.release([new.id], "read")[new.id].revision == 2
    assert hospital.alice.read("/trial/new") == b"new"


def test_one_can_leave_oneself(hospital: Hospital) -> None:
    ran = hospital.alice.run("team", "rm", JANE, "alice")
    assert (ran.code, ran.err) == (
        2,
        "medgrid: error: alice is the only physician of P-JANE\n"
        "medgrid: hint: add another first with 'medgrid team add'\n",
    )
    hospital.alice.ok("team", "add", JANE, "dave")
    hospital.alice.ok("team", "rm", JANE, "alice")
    assert hospital.alice.run("whois", JANE).err == NO_JANE
    assert hospital.dave.ok("whois", JANE).rows[0][1] == "DOE^JANE^Q"
    hospital.put("/trial/new", b"new", by="dave")
    assert hospital.dave.read("/trial/new") == b"new"


def test_a_patient_reads_their_own_and_changes_nothing(hospital: Hospital) -> None:
    hospital.alice.ok("team", "add", JANE, "paula", "--role", "patient")
    paula = hospital.paula
    assert paula.read(ORIGINAL) == b"original of jane"
    assert paula.ok("whois", JANE).rows[0][1] == "DOE^JANE^Q"
    assert paula.ok("team", "ls", JANE).rows == [["alice", "physician"], ["paula", "patient"]]
    for words in (("add", JANE, "dave"), ("rm", JANE, "alice")):
        ran = paula.run("team", *words)
        assert (ran.code, ran.err) == (
            5,
            f"medgrid: error: {JANE}: only a physician of the patient may\n",
        )


def test_the_certificate_must_say_it(hospital: Hospital) -> None:
    ran = hospital.alice.run("team", "add", JANE, "bob")
    assert (ran.code, ran.err) == (
        5,
        "medgrid: error: the certificate of bob does not say physician\n"
        "medgrid: hint: it says researcher\n",
    )
    ran = hospital.alice.run("team", "add", JANE, "eve")
    assert (ran.code, ran.err.splitlines()[0]) == (4, "medgrid: error: no identity 'eve'")
    hospital.certify("dave", [Role.RESEARCHER])
    assert hospital.alice.run("team", "add", JANE, "dave").code == 5
    with hospital.keystore() as store:
        members = store.members(JANE, DataClass.NOMINATIVE)
    assert members == {1: ["alice", "recovery"]}


@pytest.mark.parametrize("who", ["bob", "carol", "paula"])
def test_a_patient_of_others_does_not_exist(hospital: Hospital, who: str) -> None:
    person = hospital.people[who]
    for words in (["team", "ls"], ["team", "add"], ["team", "rm"], ["whois"]):
        rest = ["carol"] if words[-1] in ("add", "rm") else []
        for patient in (JANE, "P-NOBODY"):
            ran = person.run(*words, patient, *rest)
            assert (ran.code, ran.out) == (4, "")
            assert ran.err == NO_JANE.replace(JANE, patient)


def test_whoever_administers_the_catalog_learns_no_name(hospital: Hospital) -> None:
    """A row of the catalog makes nobody a member: the key store has no key for them."""
    from medgrid.catalog.access import Member
    from medgrid.crypto.policy import Care

    with hospital.catalog() as catalog:
        catalog.access.add_care(Member(JANE, "carol", Care.PHYSICIAN))
    ran = hospital.carol.run("whois", JANE)
    assert (ran.code, ran.out) == (4, "")
    with pytest.raises(Denied, match="the key store has no key of object"):
        hospital.carol.read(ORIGINAL)
    assert hospital.carol.run("team", "add", JANE, "dave").err == NO_JANE


def test_whois_is_audited_and_says_all_with_json(hospital: Hospital) -> None:
    ran = hospital.alice.run("whois", JANE, OTHER, JOHN)
    assert ran.code == 3
    assert [row[0] for row in ran.rows] == [JANE, JOHN]
    assert ran.err == ("medgrid: warning: no patient P-OTHER\nmedgrid: error: 1 of 3 failed\n")
    with hospital.keystore() as store:
        asked = [one.patient for one in store.audit.records(who="alice", what="name")]
    assert asked[-2:] == [JANE, JOHN]
    document = json.loads(hospital.alice.ok("whois", JANE, "--json").out)
    assert document == {
        "schema": "medgrid.named/1",
        "patient": JANE,
        "names": {
            "PatientName": "DOE^JANE^Q",
            "PatientBirthDate": "19510304",
            "PatientID": "H-4711",
        },
    }


def test_who_has_no_identity_is_nobody(hospital: Hospital) -> None:
    for patient in (JANE, "P-NOBODY"):
        ran = hospital.root.run("whois", patient)
        assert (ran.code, ran.err) == (
            4,
            "medgrid: error: no identity 'root'\nmedgrid: hint: see 'medgrid identity ls'\n",
        )


def test_an_interrupted_removal_is_finished_by_the_next(hospital: Hospital) -> None:
    hospital.alice.ok("team", "add", JANE, "dave")
    from medgrid.actions.team import care_team

    with hospital.alice.grid() as grid:
        care_team(grid).drop(JANE, "dave")  # killed before the catalog heard of it
    hospital.alice.ok("team", "rm", JANE, "dave")
    assert hospital.alice.ok("team", "ls", JANE).rows == [["alice", "physician"]]
