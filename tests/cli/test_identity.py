"""``medgrid identity``: who is who, from one person to many."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from medgrid.actions.identity_init import make_grid_identities
from medgrid.crypto.keystore import KeyStore
from medgrid.model import DataClass
from tests.lab.prompt import Prompt
from tests.lab.waiting import PATIENCE_S

ROLES = "physician, researcher, patient, broker, registrar"


@pytest.fixture
def registrar(prompt: Prompt) -> Prompt:
    """The home of Alice, who made the grid and has its registration key."""
    prompt.env["MEDGRID_USER"] = "alice"
    prompt.ok("init")
    return prompt


@pytest.fixture
def bob(registrar: Prompt, tmp_path: Path) -> Prompt:
    """A home of Bob's, with the pin."""
    other = Prompt(tmp_path / "bob", {"MEDGRID_USER": "bob"})
    other.ok("identity", "pin", registrar.home / "keys" / "registration.pub")
    return other


def test_an_empty_home_becomes_somebody(prompt: Prompt) -> None:
    """Nothing else is needed: neither a catalog nor a key store."""
    ran = prompt("identity", "create", "carol", "--no-passphrase")
    assert ran.code == 0
    assert ran.err == (
        "medgrid: warning: identity carol has no passphrase: file modes alone protect it\n"
        "medgrid: hint: 'medgrid passphrase' sets one\n"
    )
    ((name, fingerprint, request),) = ran.rows
    assert name == "carol"
    assert fingerprint.startswith("SHA256:")
    assert request == f"{prompt.home}/keys/identities/carol.pub"
    for path in (prompt.home, prompt.home / "keys", Path(request).parent):
        assert path.stat().st_mode & 0o777 == 0o700
    for path in Path(request).parent.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def test_the_whole_way(registrar: Prompt, bob: Prompt) -> None:
    ((_, shown, request),) = bob.ok("identity", "create", "bob", "--no-passphrase").rows
    ran = registrar.ok(
        "identity", "certify", request, "--role", "researcher", "--until", "2099-12-31"
    )
    certificate = request.replace(".pub", ".cert")
    assert ran.rows == [["bob", "researcher", "2099-12-31", shown, certificate]]
    ran = registrar.ok("identity", "add", certificate, "--json")
    assert ran.documents == [
        {
            "schema": "medgrid.identity/1",
            "what": "certificate",
            "name": "bob",
            "state": "added",
        }
    ]
    rows = registrar.ok("identity", "ls").rows
    assert [row[:4] + row[5:] for row in rows] == [
        ["alice", "valid", "physician,registrar,researcher", rows[0][3], "yes"],
        ["bob", "valid", "researcher", "2099-12-31", "no"],
        ["broker", "valid", "broker", rows[2][3], "yes"],
    ]
    assert rows[1][4] == shown
    ran = registrar("identity", "revoke", "bob")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert registrar.ok("identity", "ls").rows[1][1] == "revoked"
    ran = registrar("identity", "add", certificate)
    assert (ran.code, ran.err) == (
        5,
        f"medgrid: error: {certificate}: the certificate of bob is revoked\n"
        "medgrid: hint: the registrar can certify bob again\n",
    )


def test_list_as_json(registrar: Prompt) -> None:
    documents = registrar.ok("identity", "ls", "--json").documents
    assert documents[0] == {
        "schema": "medgrid.identity/1",
        "name": "alice",
        "state": "valid",
        "roles": ["physician", "registrar", "researcher"],
        "until": documents[0]["until"],
        "until_s": documents[0]["until_s"],
        "fingerprint": documents[0]["fingerprint"],
        "here": True,
        "problem": None,
    }


def test_a_swapped_key_is_shown(registrar: Prompt, bob: Prompt) -> None:
    store = KeyStore.open(f"sqlite:///{registrar.home}/keystore.db", "alice")
    store.put_certificate("alice", store.certificates()["broker"])
    store.close()
    ran = registrar("identity", "ls")
    assert ran.code == 0
    assert ran.rows[0] == ["alice", "refused", "", "", "", "yes"]
    assert ran.err == (
        "medgrid: warning: what the directory has for alice is the certificate of broker\n"
        "medgrid: hint: somebody changed the directory; tell the grid's registrar\n"
    )


def test_a_name_that_is_taken(registrar: Prompt) -> None:
    """Said before a passphrase is asked for."""
    for words in ((), ("--no-passphrase",), ("--from-ssh", "none")):
        ran = registrar("identity", "create", "alice", *words)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err == (
            "medgrid: error: there is an identity alice already\n"
            f"medgrid: hint: its key is {registrar.home}/keys/identities/alice.c4gh; if its "
            "passphrase is forgotten, move it away and see 'medgrid recovery restore --help'\n"
        )


def test_words_that_are_refused(registrar: Prompt, tmp_path: Path) -> None:
    file = tmp_path / "x.pub"
    file.write_text("{}\n")
    for words, code, message in (
        ("create ../x --no-passphrase", 2, "'../x' cannot be the name of an identity"),
        ("create recovery", 2, "no identity can be called recovery"),
        ("create x", 2, "the new passphrase of identity x cannot be asked here"),
        (
            f"create x --from-ssh {file} --no-passphrase",
            2,
            "an OpenSSH key keeps the passphrase that it has",
        ),
        (f"create x --from-ssh {tmp_path}/y", 2, f"{tmp_path}/y: no such key"),
        (f"certify {file}", 2, f"missing option '--role'; choose from {ROLES}"),
        (
            f"certify {file} --role patient",
            5,
            f"{file}: no request for a certificate: no medgrid.identity-request/1",
        ),
        ("certify nobody --role patient", 4, "nobody: no such file, and no identity of this home"),
        (
            "certify alice --role patient --until 2020-01-01",
            2,
            "a certificate must end in the future",
        ),
        (
            "certify alice --role patient --until soon",
            2,
            "invalid value for '--until': 'soon' is no date such as 2027-06-30",
        ),
        (
            f"certify alice --role patient --key {tmp_path}/none",
            9,
            f"{tmp_path}/none: no such registration key",
        ),
        (f"add {file}", 5, f"{file}: no certificate of this grid: no medgrid.certificate/1"),
        ("revoke nobody", 4, "no identity 'nobody'"),
        (f"pin {file}", 9, f"{file}: not the public half of a registration key"),
    ):
        ran = registrar("identity", *words.split())
        told = ran.err.splitlines()[0].removeprefix("medgrid: error: ")
        assert (ran.code, told) == (code, message), words
        assert ran.out == ""
    assert len(registrar.ok("identity", "ls").rows) == 2
    assert not (tmp_path / "x.cert").exists()


def test_many_requests_of_which_some_fail(registrar: Prompt, tmp_path: Path) -> None:
    ran = registrar("identity", "certify", "alice", "nobody", "--role", "patient", "-o", tmp_path)
    assert ran.code == 3
    assert [row[0] for row in ran.rows] == ["alice"]
    assert ran.err == (
        "medgrid: warning: nobody: no such file, and no identity of this home\n"
        "medgrid: error: 1 of 2 failed\n"
    )
    assert (tmp_path / "alice.cert").exists()


def test_an_offline_registration_key(registrar: Prompt, tmp_path: Path) -> None:
    """The key on a stick certifies and revokes in a home that has nothing else."""
    stick, away = tmp_path / "stick.key", Prompt(tmp_path / "away")
    (registrar.home / "keys" / "registration.key").rename(stick)
    registrar.ok("identity", "create", "carol", "--no-passphrase")
    request = tmp_path / "carol.pub"
    (registrar.home / "keys" / "identities" / "carol.pub").rename(request)
    ran = registrar("identity", "certify", request, "--role", "patient")
    assert ran.code == 9
    assert ran.err == (
        f"medgrid: error: {registrar.home}/keys/registration.key: no such registration key\n"
    )
    away.ok("identity", "certify", request, "--role", "patient", "--key", stick)
    registrar.ok("identity", "add", tmp_path / "carol.cert")
    assert not (away.home / "keys").exists()
    registrar.ok("identity", "revoke", "broker", "--key", stick)
    (registrar.home / "keys" / "revoked.json").rename(tmp_path / "list")
    away.ok("identity", "revoke", "carol", "--key", stick, "-o", tmp_path / "list")
    assert registrar.ok("identity", "ls").rows[-1][:2] == ["carol", "valid"]
    registrar.ok("identity", "add", tmp_path / "list")
    rows = registrar.ok("identity", "ls").rows
    assert [row[:2] for row in rows[1:]] == [["broker", "revoked"], ["carol", "revoked"]]


def test_what_a_revoked_one_still_has_is_told(registrar: Prompt) -> None:
    store = KeyStore.open(f"sqlite:///{registrar.home}/keystore.db", "alice")
    store.put_wrap("P-1", DataClass.IMAGE, 1, "broker", b"sealed")
    store.close()
    ran = registrar("identity", "revoke", "broker")
    assert (ran.code, ran.err) == (
        0,
        "medgrid: warning: broker still has grants on 0 objects and keys of 1 patients\n"
        "medgrid: hint: take them back with 'medgrid revoke' and 'medgrid team rm'\n",
    )


def test_a_pin_stays(registrar: Prompt, bob: Prompt, tmp_path: Path) -> None:
    pin = registrar.ok("identity", "pin", "--json").documents[0]
    assert pin == {
        "schema": "medgrid.pin/1",
        "fingerprint": bob.ok("identity", "pin").rows[0][0],
        "file": f"{registrar.home}/keys/registration.pub",
        "new": False,
    }
    make_grid_identities(tmp_path / "evil", "mallory")
    ran = bob("identity", "pin", tmp_path / "evil" / "registration.pub")
    assert (ran.code, ran.err) == (
        5,
        "medgrid: error: another registration key is pinned here\n"
        f"medgrid: hint: the pin is {bob.home}/keys/registration.pub; a home belongs to one grid\n",
    )
    assert bob.ok("identity", "pin").rows[0][0] == pin["fingerprint"]


def test_an_openssh_key(prompt: Prompt, tmp_path: Path) -> None:
    file, passphrase = tmp_path / "id_ed25519", tmp_path / "passphrase"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "open sesame", "-f", str(file)]
    subprocess.run(words, check=True, timeout=PATIENCE_S)
    create = ("identity", "create", "alice", "--from-ssh", file)
    ran = prompt(*create)
    assert (ran.code, ran.err.splitlines()[0]) == (
        2,
        "medgrid: error: the passphrase of identity alice cannot be asked here",
    )
    passphrase.write_text("wrong\n")
    passphrase.chmod(0o600)
    prompt.env["MEDGRID_PASSPHRASE_FILE"] = str(passphrase)
    ran = prompt(*create)
    assert (ran.code, ran.err) == (5, "medgrid: error: wrong passphrase for identity alice\n")
    assert not (prompt.home / "keys" / "identities" / "alice.pub").exists()
    passphrase.write_text("open sesame\n")
    ran = prompt(*create)
    assert (ran.code, ran.err) == (0, "")
    pointer = json.loads((prompt.home / "keys" / "identities" / "alice.identity").read_text())
    assert pointer["ssh_key"] == str(file)
    assert not (prompt.home / "keys" / "identities" / "alice.c4gh").exists()


def test_help_says_the_first_sentence(prompt: Prompt) -> None:
    listed = prompt.ok("identity", "--help").out.partition("Commands:")[2]
    assert "..." not in listed
