"""What was lost, at the prompt of a grid of one person: what is promised comes back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.lab.dicoms import pydicom_file
from tests.lab.prompt import Prompt


@pytest.fixture
def alice(prompt: Prompt, tmp_path: Path) -> Prompt:
    """Alice's grid, with one image; her key has a passphrase."""
    prompt.env["MEDGRID_USER"] = "alice"
    prompt.ok("init")
    folder = tmp_path / "mr"
    folder.mkdir()
    shutil.copy(pydicom_file("MR_small.dcm"), folder)
    prompt.ok("import", folder, "--to", "/trial")
    prompt.ok("passphrase", "--new-passphrase-file", secret(tmp_path, "right"))
    return prompt


def secret(folder: Path, passphrase: str) -> Path:
    """A file with a passphrase."""
    file = folder / f"{passphrase}.txt"
    file.write_text(f"{passphrase} passphrase\n")
    file.chmod(0o600)
    return file


def image(prompt: Prompt) -> str:
    return prompt.ok("query", "Modality=MR").lines[0]


def test_a_forgotten_passphrase(alice: Prompt, tmp_path: Path) -> None:
    lfn, out = image(alice), tmp_path / "out"
    ran = alice("--passphrase-file", secret(tmp_path, "wrong"), "fetch", lfn, "--dir", out)
    assert (ran.code, ran.err) == (5, "medgrid: error: wrong passphrase for identity alice\n")
    assert not [path for path in out.rglob("*") if path.is_file()]
    ran = alice("identity", "create", "alice", "--no-passphrase")
    assert ran.code == 2
    assert ran.err.splitlines()[1].endswith(
        "if its passphrase is forgotten, move it away and see 'medgrid recovery restore --help'"
    )

    keys, shares = alice.home / "keys", alice.home / "keys" / "recovery"
    for file in (keys / "identities").glob("alice.*"):
        file.unlink()
    alice.ok("identity", "revoke", "alice")
    assert alice("identity", "create", "alice", "--no-passphrase").code == 0
    request = keys / "identities" / "alice.pub"
    roles = [word for role in ("physician", "registrar") for word in ("--role", role)]
    alice.ok("identity", "certify", request, *roles)
    alice.ok("identity", "add", request.with_suffix(".cert"))
    ran = alice("fetch", lfn, "--dir", out)
    assert ran.code == 6
    assert "see 'medgrid recovery restore --help'" in ran.err
    assert not [path for path in out.rglob("*") if path.is_file()]

    share_files = [shares / "share-1.txt", shares / "share-3.txt"]
    ran = alice("recovery", "restore", "alice", share_files[0], "--lost", "alice")
    assert (ran.code, ran.err.splitlines()[0]) == (
        5,
        "medgrid: error: 1 shares of the recovery key, 2 are needed",
    )
    alice.ok("recovery", "restore", "alice", *share_files, "--lost", "alice")
    alice.ok("fetch", lfn, "--dir", out)
    assert [path for path in out.rglob("*") if path.is_file()]
    patient = lfn.split("/")[2]
    assert alice.ok("whois", patient).rows[0][:2] == [patient, "CompressedSamples^MR1"]
    alice.ok("audit", "verify")
    alice.ok("recovery", "drill", *share_files)


def test_a_lost_registration_key(alice: Prompt, tmp_path: Path) -> None:
    """Nobody new can be certified; what is certified goes on."""
    (alice.home / "keys" / "registration.key").unlink()
    alice.env["MEDGRID_PASSPHRASE_FILE"] = str(secret(tmp_path, "right"))
    alice.ok("fetch", image(alice), "--dir", tmp_path / "out")
    bob = Prompt(tmp_path / "bob")
    bob.ok("identity", "pin", alice.home / "keys" / "registration.pub")
    assert bob("identity", "create", "bob", "--no-passphrase").code == 0
    request = bob.home / "keys" / "identities" / "bob.pub"
    ran = alice("identity", "certify", request, "--role", "researcher")
    assert (ran.code, ran.err) == (
        9,
        f"medgrid: error: {alice.home}/keys/registration.key: no such registration key\n",
    )


def test_the_only_key_store_is_lost(alice: Prompt, tmp_path: Path) -> None:
    """Nothing can be opened any more, and medgrid says so and makes nothing up."""
    alice.env["MEDGRID_PASSPHRASE_FILE"] = str(secret(tmp_path, "right"))
    lfn = image(alice)
    for file in alice.home.glob("keystore.db*"):
        file.unlink()
    ran = alice("fetch", lfn, "--dir", tmp_path / "out")
    assert ran.code == 9, ran.err
    assert "keystore.db" in ran.err
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not (alice.home / "keystore.db").exists()


def test_a_damaged_key_store(alice: Prompt, tmp_path: Path) -> None:
    alice.env["MEDGRID_PASSPHRASE_FILE"] = str(secret(tmp_path, "right"))
    lfn = image(alice)
    file = alice.home / "keystore.db"
    file.write_bytes(file.read_bytes()[:20_000])
    ran = alice("fetch", lfn, "--dir", tmp_path / "out")
    assert ran.code in (5, 6, 9), ran
    assert "Traceback" not in ran.err
    assert str(file) in ran.err
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
