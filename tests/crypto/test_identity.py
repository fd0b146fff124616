"""Identities: one secret makes both keys, and no text shows them."""

from __future__ import annotations

import pickle
import subprocess
import traceback
from pathlib import Path

import crypt4gh.keys
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from medgrid.crypto.identity import Identity, check_identity_name
from medgrid.crypto.identity_files import (
    adopt_ssh_key,
    change_passphrase,
    create_identity,
    identity_is_locked,
    identity_names,
    load_identity,
    load_request,
)
from medgrid.errors import AlreadyExists, ConfigError, Denied, IntegrityError, UsageError
from tests.lab.waiting import PATIENCE_S

SECRET = bytes(range(32))


def test_the_signing_key_is_derived() -> None:
    identity = Identity.from_secret("alice", SECRET)
    seed = HKDF(SHA256(), 32, None, b"medgrid signing").derive(SECRET)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    assert identity.public.signing_public == public
    assert identity.encryption_private == SECRET


def test_what_is_signed_is_verified() -> None:
    identity = Identity.from_secret("alice", SECRET)
    signature = identity.sign(b"message")
    identity.public.verify(b"message", signature)
    for message, tried in (
        (b"massage", signature),
        (b"message", signature[:-1] + b"x"),
        (b"", b""),
    ):
        with pytest.raises(IntegrityError) as caught:
            identity.public.verify(message, tried)
        assert caught.value.message == "the signature of alice is wrong"


def test_no_text_shows_a_private_key() -> None:
    identity = Identity.from_secret("alice", SECRET)
    for text in (repr(identity), str(identity), f"{identity}", f"{[identity]}"):
        assert SECRET.hex() not in text
        assert repr(SECRET)[2:-1] not in text
        assert "encryption_private" not in text
    with pytest.raises(TypeError):
        pickle.dumps(identity)


@pytest.mark.parametrize("name", ["alice", "a", "uid-1000", "x@hospital.example", "A.b_c+d-e"])
def test_names(name: str) -> None:
    assert check_identity_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".revoked", "recovery", "-x", "a#1", "a/b", "..", "a b", "ä", "x" * 64, "a\n"]
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_identity_name(name)


def test_an_identity_is_kept_and_found(tmp_path: Path) -> None:
    made = create_identity(tmp_path / "keys", "alice", b"pass")
    folder = tmp_path / "keys" / "identities"
    assert sorted(file.name for file in folder.iterdir()) == [".lock", "alice.c4gh", "alice.pub"]
    assert [file.stat().st_mode & 0o777 for file in folder.iterdir()] == [0o600] * 3
    assert folder.stat().st_mode & 0o777 == 0o700
    loaded = load_identity(tmp_path / "keys", "alice", lambda: b"pass")
    assert loaded == made
    assert loaded.encryption_private == made.encryption_private
    assert load_request(tmp_path / "keys", "alice") == made.public
    assert identity_names(tmp_path / "keys") == ["alice"]


def test_the_crypt4gh_package_opens_an_identity(tmp_path: Path) -> None:
    made = create_identity(tmp_path, "alice", b"pass")
    file = str(tmp_path / "identities" / "alice.c4gh")
    assert crypt4gh.keys.get_private_key(file, lambda: "pass") == made.encryption_private


def test_an_existing_key_stays(tmp_path: Path) -> None:
    create_identity(tmp_path, "alice", None)
    folder = tmp_path / "identities"
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(AlreadyExists) as caught:
        create_identity(tmp_path, "alice", b"other")
    assert caught.value.message == "there is an identity alice already"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_passphrase_is_asked_for_only_when_there_is_one(tmp_path: Path) -> None:
    create_identity(tmp_path, "alice", None)

    def ask() -> bytes:
        raise AssertionError

    load_identity(tmp_path, "alice", ask)
    assert not identity_is_locked(tmp_path, "alice")


def test_a_wrong_passphrase_is_denied(tmp_path: Path) -> None:
    create_identity(tmp_path, "alice", b"pass")
    assert identity_is_locked(tmp_path, "alice")
    with pytest.raises(Denied) as caught:
        load_identity(tmp_path, "alice", lambda: bytes([104, 117, 110]))
    assert caught.value.message == "wrong passphrase for identity alice"
    assert "hun" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(Denied) as caught:
        load_identity(tmp_path, "alice")
    assert caught.value.message == "identity alice is behind a passphrase, and none is given"


def test_an_identity_that_is_not_here(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_identity(tmp_path, "bob")
    assert caught.value.message == "there is no identity bob here"


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    create_identity(tmp_path, "alice", None)
    file = tmp_path / "identities" / "alice.c4gh"
    file.chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        load_identity(tmp_path, "alice")
    assert caught.value.message == f"{file}: others can read it"
    assert caught.value.hint == f"chmod 600 {file}"


def test_a_key_that_was_exchanged_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "identities"
    create_identity(tmp_path, "alice", None)
    create_identity(tmp_path, "mallory", None)
    (folder / "mallory.c4gh").replace(folder / "alice.c4gh")
    with pytest.raises(Denied) as caught:
        load_identity(tmp_path, "alice")
    assert (
        caught.value.message == "the key of identity alice is another than the one it was made with"
    )


@pytest.mark.parametrize(("old", "new"), [(None, b"new"), (b"old", b"new"), (b"old", None)])
def test_a_passphrase_is_changed(tmp_path: Path, old: bytes | None, new: bytes | None) -> None:
    made = create_identity(tmp_path, "alice", old)
    change_passphrase(tmp_path, "alice", lambda: old or b"", new)
    assert identity_is_locked(tmp_path, "alice") == (new is not None)
    found = load_identity(tmp_path, "alice", lambda: new or b"")
    assert found.encryption_private == made.encryption_private


def test_a_wrong_passphrase_changes_nothing(tmp_path: Path) -> None:
    create_identity(tmp_path, "alice", b"old")
    file = tmp_path / "identities" / "alice.c4gh"
    before = file.read_bytes()
    with pytest.raises(Denied):
        change_passphrase(tmp_path, "alice", lambda: b"wrong", b"new")
    assert file.read_bytes() == before
    assert sorted(file.name for file in file.parent.iterdir()) == [
        ".lock",
        "alice.c4gh",
        "alice.pub",
    ]


@pytest.fixture(scope="module", params=["", "pass"])
def ssh_key(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key as ssh-keygen makes it, without and with a passphrase."""
    file = tmp_path_factory.mktemp("ssh") / "id_ed25519"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", request.param, "-f", str(file)]
    subprocess.run(words, check=True, timeout=PATIENCE_S)
    return file


def test_an_openssh_key_is_an_identity(tmp_path: Path, ssh_key: Path) -> None:
    """Its encryption key is the one that the crypt4gh package makes of it."""
    made = adopt_ssh_key(tmp_path, "alice", ssh_key, lambda: b"pass")
    assert made.encryption_private == crypt4gh.keys.get_private_key(str(ssh_key), lambda: "pass")
    assert made.public.encryption_public == crypt4gh.keys.get_public_key(f"{ssh_key}.pub")
    assert load_identity(tmp_path, "alice", lambda: b"pass") == made
    found = {file.name for file in (tmp_path / "identities").iterdir()}
    assert found == {".lock", "alice.identity", "alice.pub"}
    with pytest.raises(UsageError) as caught:
        change_passphrase(tmp_path, "alice", None, b"new")
    assert caught.value.hint == f"say 'ssh-keygen -p -f {ssh_key}'"


def test_a_wrong_passphrase_of_an_openssh_key(tmp_path: Path) -> None:
    file = tmp_path / "key"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "pass", "-f", str(file)]
    subprocess.run(words, check=True, timeout=PATIENCE_S)
    with pytest.raises(Denied) as caught:
        adopt_ssh_key(tmp_path, "alice", file, lambda: b"wrong")
    assert caught.value.message == "wrong passphrase for identity alice"
    assert not (tmp_path / "identities").exists()


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_other_openssh_keys_are_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "key"
    words = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(file)]
    subprocess.run(words, check=True, timeout=PATIENCE_S)
    with pytest.raises(UsageError) as caught:
        adopt_ssh_key(tmp_path, "alice", file)
    assert caught.value.message == f"{file}: not an ed25519 key"


def test_an_openssh_key_that_was_exchanged_is_refused(tmp_path: Path) -> None:
    for name in ("key", "other"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(words, check=True, timeout=PATIENCE_S)
    adopt_ssh_key(tmp_path, "alice", tmp_path / "key")
    (tmp_path / "other").replace(tmp_path / "key")
    with pytest.raises(Denied) as caught:
        load_identity(tmp_path, "alice")
    assert (
        caught.value.message == "the key of identity alice is another than the one it was made with"
    )
