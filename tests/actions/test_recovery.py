"""Lost and found: shares of the recovery key bring back what a lost identity could open."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from medgrid.actions.identity import revoke
from medgrid.crypto.certificate import Role
from medgrid.crypto.identity_files import create_identity
from medgrid.errors import Denied, MedgridError
from tests.lab.hospital import JANE, JOHN, OTHER, Hospital

ORIGINAL = f"/trial/{JANE}/T1w.original"


@pytest.fixture
def shares(hospital: Hospital) -> list[Path]:
    """Files with the shares."""
    files = []
    for number, share in enumerate(hospital.shares, 1):
        file = hospital.folder / f"share-{number}.txt"
        file.write_text(f"{share}\n")
        files.append(file)
    return files


def lose_keys(hospital: Hospital, name: str, roles: list[Role]) -> None:
    """Somebody loses their key; the registrar revokes the old certificate, certifies a new one."""
    keys_dir = hospital.people[name].settings.keys_dir
    shutil.rmtree(keys_dir / "identities")
    create_identity(keys_dir, name, None)
    assert hospital.registrar is not None
    with hospital.keystore("alice") as store:
        registrar = hospital.registrar
        revoke(hospital.alice.settings.keys_dir, store, [name], lambda: registrar)
    hospital.certify(name, roles)


def test_a_drill_opens_everything_and_changes_nothing(
    hospital: Hospital, shares: list[Path]
) -> None:
    hospital.put("/mean", b"mean", patient=None, by="bob")
    lines = hospital.alice.ok("recovery", "show").lines
    assert lines[0].startswith("SHA256:")
    assert lines[1] == "6 of 6 keys of patients"
    ran = hospital.alice.ok("recovery", "drill", *shares[:2])
    assert (ran.out, ran.err) == ("opens 6 keys of patients, 1 other keys\n", "")
    assert hospital.carol.ok("recovery", "drill", shares[2], shares[0]).out == ran.out
    with hospital.keystore() as store:
        drills = [one.who for one in store.audit.records(what="recovery") if one.detail == "drill"]
    assert drills == ["alice", "carol"]


def test_too_few_shares_and_wrong_ones(hospital: Hospital, shares: list[Path]) -> None:
    ran = hospital.alice.run("recovery", "drill", shares[0])
    assert (ran.code, ran.err) == (
        5,
        "medgrid: error: 1 shares of the recovery key, 2 are needed\n"
        "medgrid: hint: ask the others who keep shares\n",
    )
    shares[1].write_text("academic acid " * 16)
    ran = hospital.alice.run("recovery", "drill", *shares[:2])
    assert (ran.code, ran.err.splitlines()[0]) == (
        2,
        "medgrid: error: share 2 is misspelt: a word is wrong, missing or in the wrong place",
    )
    ran = hospital.alice.run("recovery", "drill")
    assert (ran.code, ran.err) == (
        2,
        "medgrid: error: the share 1 (empty: no more) cannot be asked here\n"
        "medgrid: hint: name the files that hold the shares\n",
    )


def test_what_the_shares_would_not_bring_back_is_listed(
    hospital: Hospital, shares: list[Path]
) -> None:
    with hospital.keystore() as store:
        store.drop_wraps(OTHER, None, "recovery")
    ran = hospital.alice.run("recovery", "drill", *shares)
    assert ran.code == 3
    assert ran.out == "opens 4 keys of patients, 0 other keys\n"
    assert ran.err.splitlines()[-1] == "medgrid: error: 2 would not come back"
    ran = hospital.alice.ok("recovery", "show")
    assert ran.err == "medgrid: warning: 2 keys of patients are not wrapped to the recovery key\n"


def test_who_lost_their_keys_gets_everything_back(hospital: Hospital, shares: list[Path]) -> None:
    hospital.put("/mean", b"mean", patient=None, by="carol")
    before = hospital.carol.read(f"/trial/{OTHER}/T1w.original")
    lose_keys(hospital, "carol", [Role.PHYSICIAN, Role.RESEARCHER])
    with pytest.raises(MedgridError):
        hospital.carol.read(f"/trial/{OTHER}/T1w.original")
    (document,) = hospital.alice.ok(
        "recovery", "restore", "carol", *shares[1:], "--lost", "carol", "--json"
    ).documents
    assert document == {
        "schema": "medgrid.restored/1",
        "identity": "carol",
        "compartments": 2,
        "headers": 1,
        "patients": [],
        "problems": [],
    }
    assert hospital.carol.read(f"/trial/{OTHER}/T1w.original") == before
    assert hospital.carol.read("/mean") == b"mean"
    assert hospital.carol.ok("whois", OTHER).rows[0][1] == "DOE^JANE"
    with pytest.raises(Denied), hospital.carol.grid() as grid:
        grid.vault.key(hospital.objects[ORIGINAL].id)


def test_another_takes_over_from_who_is_gone(hospital: Hospital, shares: list[Path]) -> None:
    (document,) = hospital.carol.ok(
        "recovery", "restore", "dave", *shares, "--lost", "alice", "--json"
    ).documents
    assert document["patients"] == [JANE, JOHN]
    assert hospital.dave.read(ORIGINAL) == b"original of jane"
    assert hospital.dave.ok("team", "ls", JANE).rows == [
        ["alice", "physician"],
        ["dave", "physician"],
    ]
    hospital.dave.ok("team", "rm", JANE, "alice")
    assert hospital.dave.read(ORIGINAL) == b"original of jane"


def test_all_for_one(hospital: Hospital, shares: list[Path]) -> None:
    assert hospital.alice.run("recovery", "restore", "dave", *shares).err == (
        "medgrid: error: say --lost IDENTITY, or --all\n"
    )
    (document,) = hospital.alice.ok(
        "recovery", "restore", "dave", *shares, "--all", "--json"
    ).documents
    assert document["patients"] == [JANE, JOHN, OTHER]
    assert hospital.dave.read(f"/trial/{OTHER}/T1w") == b"twin of other"
    assert hospital.alice.run("recovery", "restore", "eve", *shares, "--all").code == 4
