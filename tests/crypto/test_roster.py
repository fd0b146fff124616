"""The directory of certificates is believed as far as the pin reaches, and no farther."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from medgrid.crypto import roster
from medgrid.crypto.certificate import Certificate, Request, Role
from medgrid.crypto.identity import Identity
from medgrid.crypto.private_file import locked
from medgrid.crypto.registration import (
    Registrar,
    change_registration_passphrase,
    create_registration,
    load_pin,
    load_registrar,
    pin_fingerprint,
    put_pin,
    registration_is_locked,
)
from medgrid.crypto.revocation import Revocation, RevocationList
from medgrid.crypto.roster import REVOKED, archive_name, open_roster
from medgrid.crypto.signed import seal
from medgrid.errors import AlreadyExists, ConfigError, Denied, IntegrityError, NotFound
from tests.lab.waiting import PATIENCE_S

ALICE = Identity.from_secret("alice", b"a" * 32)
BOB = Identity.from_secret("bob", b"b" * 32)
LATER_S = int(time.time()) + 86400


class Table(dict[str, bytes]):
    """A directory in memory, which anybody may change."""

    def put_certificate(self, name: str, blob: bytes) -> None:
        self[name] = blob

    def certificates(self) -> dict[str, bytes]:
        return dict(self)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def registrar(keys: Path) -> Registrar:
    return create_registration(keys, None)


def certificate(
    registrar: Registrar, who: Identity, role: Role = Role.PHYSICIAN, *, serial: int | None = None
) -> Certificate:
    return Certificate.issue(Request.of(who), [role], LATER_S, registrar.sign, serial=serial)


@pytest.fixture
def table(registrar: Registrar) -> Table:
    found = (certificate(registrar, ALICE), certificate(registrar, BOB, Role.RESEARCHER))
    return Table({one.name: one.blob for one in found})


def test_find(keys: Path, table: Table) -> None:
    roster = open_roster(keys, table)
    assert roster.find("alice").public == ALICE.public
    assert roster.find("bob", Role.PHYSICIAN, Role.RESEARCHER).public == BOB.public
    assert [found.name for found in roster.with_role(Role.RESEARCHER)] == ["bob"]
    assert roster.names() == ["alice", "bob"]
    with pytest.raises(Denied) as caught:
        roster.find("bob", Role.PHYSICIAN)
    assert caught.value.message == "bob is no physician of this grid"
    for name in ("carol", REVOKED, "alice#1"):
        with pytest.raises(NotFound) as absent:
            roster.find(name)
        assert absent.value.message == f"no identity {name!r}"


def test_a_key_swapped_in_the_directory_is_refused(keys: Path, table: Table) -> None:
    """Whoever owns the database cannot have data sealed to a key of their own."""
    mallory = Registrar.from_secret(b"m" * 32)
    table["alice"] = certificate(mallory, Identity.from_secret("alice", b"m" * 32)).blob
    with pytest.raises(Denied) as caught:
        open_roster(keys, table).find("alice")
    assert caught.value.message == (
        "what the directory has for alice is no certificate of this grid: its signature is wrong"
    )
    table["alice"] = table["bob"]
    roster = open_roster(keys, table)
    for find in (roster.find, roster.signers):
        with pytest.raises(Denied) as caught:
            find("alice")
        assert caught.value.message == (
            "what the directory has for alice is the certificate of bob"
        )
    assert roster.problem("alice") is not None
    assert roster.problem("bob") is None


def test_ones_own_keys(keys: Path, table: Table) -> None:
    roster = open_roster(keys, table)
    assert roster.check_own(ALICE.public).public == ALICE.public
    with pytest.raises(Denied) as caught:
        roster.check_own(Identity.from_secret("alice", b"z" * 32).public)
    assert caught.value.message == "the grid knows other keys of alice than this home has"


def test_an_ended_certificate(keys: Path, registrar: Registrar) -> None:
    """It gives no right any more, but what was signed with it stays good."""
    serial = 1_600_000_000_000_000
    ended = Certificate.issue(
        Request.of(ALICE), [Role.PHYSICIAN], 1_600_000_100, registrar.sign, serial=serial
    )
    roster = open_roster(keys, Table(alice=ended.blob))
    with pytest.raises(Denied) as caught:
        roster.find("alice")
    assert caught.value.message == "the certificate of alice ended on 2020-09-13"
    assert [one.public for one in roster.signers("alice")] == [ALICE.public]


def revoke(table: Table, registrar: Registrar, name: str, *, compromised: bool = False) -> None:
    old = RevocationList()
    if REVOKED in table:
        old = RevocationList.verified(table[REVOKED], registrar.public)
    now = time.time_ns() // 1000
    entry = Revocation(now, now if compromised else 0)
    table[REVOKED] = old.followed_by({name: entry}, old.number + 1, registrar.sign).blob


def test_revoked(keys: Path, table: Table, registrar: Registrar) -> None:
    revoke(table, registrar, "alice")
    roster = open_roster(keys, table)
    with pytest.raises(Denied) as caught:
        roster.find("alice")
    assert caught.value.message == "the certificate of alice is revoked"
    assert [one.public for one in roster.signers("alice")] == [ALICE.public]
    assert roster.find("bob").public == BOB.public
    table["alice"] = certificate(registrar, ALICE).blob
    assert open_roster(keys, table).find("alice").public == ALICE.public


def test_compromised_keys_sign_nothing_any_more(
    keys: Path, table: Table, registrar: Registrar
) -> None:
    table[archive_name(certificate(registrar, ALICE, serial=1))] = table["alice"]
    revoke(table, registrar, "alice", compromised=True)
    with pytest.raises(Denied) as caught:
        open_roster(keys, table).signers("alice")
    assert caught.value.message == "the keys of alice were revoked as compromised"
    new = Identity.from_secret("alice", b"n" * 32)
    table["alice"] = certificate(registrar, new).blob
    (found,) = open_roster(keys, table).signers("alice")
    assert found.public == new.public
    revoke(table, registrar, "alice")
    (found,) = open_roster(keys, table).signers("alice")
    assert found.public == new.public


def test_earlier_keys_verify_what_they_signed(
    keys: Path, table: Table, registrar: Registrar
) -> None:
    old = Certificate.verified(table["alice"], registrar.public)
    new = Identity.from_secret("alice", b"n" * 32)
    table[archive_name(old)] = old.blob
    table["alice"] = certificate(registrar, new).blob
    table["alice#7"] = b"garbage"
    table["alice#8"] = table["bob"]
    roster = open_roster(keys, table)
    assert [one.public for one in roster.signers("alice")] == [new.public, ALICE.public]
    for who in (new, ALICE):
        roster.check_signature("alice", b"said", who.sign(b"said"), Role.PHYSICIAN)
    with pytest.raises(IntegrityError) as wrong:
        roster.check_signature("alice", b"said", BOB.sign(b"said"))
    assert wrong.value.message == "the signature of alice is wrong"
    with pytest.raises(Denied) as caught:
        roster.check_signature("alice", b"said", new.sign(b"said"), Role.BROKER)
    assert caught.value.message == "alice is no broker of this grid"
    assert roster.find("alice").public == new.public
    assert roster.names() == ["alice", "bob"]


def test_an_old_list_of_revocations_is_refused(
    keys: Path, table: Table, registrar: Registrar
) -> None:
    revoke(table, registrar, "bob")
    first = table[REVOKED]
    revoke(table, registrar, "alice")
    open_roster(keys, table)
    second = table[REVOKED]
    table[REVOKED] = first
    with pytest.raises(Denied) as caught:
        open_roster(keys, table)
    assert caught.value.message == (
        "the directory's list of revocations is number 1, but number 2 was seen before"
    )
    del table[REVOKED]
    with pytest.raises(Denied) as caught:
        open_roster(keys, table)
    assert caught.value.message == (
        "the directory's list of revocations is number 0, but number 2 was seen before"
    )
    assert (keys / "revoked.json").read_bytes() == second
    table[REVOKED] = second
    open_roster(keys, table)
    (keys / "revoked.json").write_bytes(bytes(1 << 17))
    with pytest.raises(ConfigError) as large:
        open_roster(keys, table)
    assert large.value.message == f"{keys / 'revoked.json'}: too large to be a list"


@pytest.mark.parametrize(
    "entry",
    [
        {"serial": 1},
        {"serial": 1, "compromised": 0, "reason": "left"},
        {"serial": 1, "compromised": "0"},
        {"serial": True, "compromised": 0},
        ["serial", "compromised"],
        "serial",
        None,
    ],
)
def test_a_signed_list_with_other_fields_is_refused(registrar: Registrar, entry: Any) -> None:
    """Such as one that a later medgrid signed."""
    fields = {"number": 1, "revoked": {"alice": entry}}
    with pytest.raises(Denied, match="its fields are not the expected ones"):
        RevocationList.verified(
            seal("medgrid.revocations/1", fields, registrar.sign), registrar.public
        )


def test_a_list_that_forgets_is_refused(keys: Path, table: Table, registrar: Registrar) -> None:
    revoke(table, registrar, "alice")
    open_roster(keys, table)
    del table[REVOKED]
    revoke(table, registrar, "bob")
    for _ in range(2):
        with pytest.raises(Denied) as caught:
            open_roster(keys, table)
        assert "does not follow the one seen before" in caught.value.message
        revoke(table, registrar, "bob")


def test_a_list_that_forgets_what_came_meanwhile_is_refused(
    keys: Path, table: Table, registrar: Registrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands at once: one saw a list, and the other one that does not follow it."""
    forgetful = RevocationList().followed_by({"bob": Revocation(1)}, 2, registrar.sign)
    other = RevocationList().followed_by({"alice": Revocation(1)}, 1, registrar.sign)

    @contextmanager
    def late(folder: Path) -> Iterator[None]:
        with locked(folder):
            (keys / "revoked.json").write_bytes(other.blob)
            (keys / "revoked.json").chmod(0o600)
            yield

    monkeypatch.setattr(roster, "locked", late)
    table[REVOKED] = forgetful.blob
    with pytest.raises(Denied) as caught:
        open_roster(keys, table)
    assert "does not follow the one seen before" in caught.value.message
    assert (keys / "revoked.json").read_bytes() == other.blob


def test_a_forged_list_is_refused(keys: Path, table: Table, registrar: Registrar) -> None:
    revoke(table, registrar, "alice")
    blob = table[REVOKED]
    for place in range(0, len(blob), 3):
        table[REVOKED] = blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]
        with pytest.raises(Denied):
            open_roster(keys, table)
    assert not (keys / "revoked.json").exists()


def test_entries_never_leave_the_list(registrar: Registrar) -> None:
    first = RevocationList().followed_by({"a": Revocation(9, 7)}, 1, registrar.sign)
    entries = {"a": Revocation(5), "b": Revocation(1)}
    second = first.followed_by(entries, 2, registrar.sign)
    assert second.entries == {"a": Revocation(9, 7), "b": Revocation(1)}
    assert second.number == 2
    assert RevocationList.verified(second.blob, registrar.public) == second
    assert second.covers(first)
    assert not first.covers(second)


def test_a_home_without_a_pin(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_roster(tmp_path, Table())
    assert caught.value.message == f"{tmp_path}/registration.pub: no such pin"


def test_the_pin(keys: Path, registrar: Registrar) -> None:
    file = keys / "registration.pub"
    assert load_pin(keys) == registrar.public
    words = ["ssh-keygen", "-lf", str(file)]
    shown = subprocess.run(
        words, check=True, capture_output=True, text=True, timeout=PATIENCE_S
    ).stdout
    assert shown.split()[1] == pin_fingerprint(registrar.public)
    assert not put_pin(keys, registrar.public)
    with pytest.raises(Denied) as caught:
        put_pin(keys, bytes(32))
    assert caught.value.message == "another registration key is pinned here"
    file.chmod(0o622)
    with pytest.raises(ConfigError) as wrong:
        load_pin(keys)
    assert wrong.value.message == f"{file}: others can change it"
    file.chmod(0o600)
    file.write_text("ssh-ed25519 AAAA\n")
    with pytest.raises(ConfigError) as wrong:
        load_pin(keys)
    assert wrong.value.message == f"{file}: not the public half of a registration key"


def test_the_registration_key(keys: Path) -> None:
    made = create_registration(keys, b"pass")
    assert registration_is_locked(keys)
    assert load_registrar(keys, lambda: b"pass") == made
    assert "signer" not in repr(made)
    with pytest.raises(Denied) as caught:
        load_registrar(keys, lambda: b"wrong")
    assert caught.value.message == "wrong passphrase for the registration key"
    with pytest.raises(Denied) as caught:
        load_registrar(keys)
    assert caught.value.message == (
        "the registration key is behind a passphrase, and none is given"
    )
    with pytest.raises(AlreadyExists):
        create_registration(keys, None)
    change_registration_passphrase(keys, lambda: b"pass", None)
    assert not registration_is_locked(keys)
    assert load_registrar(keys) == made
    assert (keys / "registration.key").stat().st_mode & 0o777 == 0o600


def test_the_registration_key_elsewhere(keys: Path, tmp_path: Path) -> None:
    made = create_registration(keys, None)
    stick = tmp_path / "stick.key"
    (keys / "registration.key").rename(stick)
    assert load_registrar(keys, file=stick) == made
    with pytest.raises(ConfigError) as caught:
        load_registrar(keys)
    assert caught.value.message == f"{keys}/registration.key: no such registration key"
    with pytest.raises(AlreadyExists):
        create_registration(keys, None)
    create_registration(tmp_path / "other", None)
    with pytest.raises(Denied) as denied:
        load_registrar(keys, file=tmp_path / "other" / "registration.key")
    assert denied.value.message == "the registration key is another than the one pinned here"
