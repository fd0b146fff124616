"""Identities in a grid home: the silent first use, and the way of a certificate."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from medgrid.actions.identity import (
    certify,
    list_identities,
    make_identity,
    pin,
    publish,
    read_request,
    revoke,
)
from medgrid.actions.identity_init import MadeKey, make_grid_identities
from medgrid.config import Settings
from medgrid.crypto.certificate import Role
from medgrid.crypto.identity_files import change_passphrase, load_identity
from medgrid.crypto.registration import change_registration_passphrase, load_registrar
from medgrid.crypto.roster import REVOKED, open_roster
from medgrid.errors import Denied, NotFound, UsageError

LATER_S = int(time.time()) + 86400


class Table(dict[str, bytes]):
    """A directory in memory."""

    def put_certificate(self, name: str, blob: bytes) -> None:
        self[name] = blob

    def certificates(self) -> dict[str, bytes]:
        return dict(self)


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "grid", user="alice")


def states(made: list[MadeKey]) -> list[tuple[str, str, str]]:
    return [(one.what, one.name, one.state) for one in made]


def test_first_use(settings: Settings, table: Table) -> None:
    keys = settings.keys_dir
    made = make_grid_identities(keys, "alice", table)
    assert states(made) == [
        ("registration", "registration", "made"),
        ("identity", "alice", "made"),
        ("identity", "broker", "made"),
    ]
    roster = open_roster(keys, table)
    assert roster.find("alice").roles == {Role.PHYSICIAN, Role.RESEARCHER, Role.REGISTRAR}
    assert roster.find("broker").roles == {Role.BROKER}
    for name in ("alice", "broker"):
        assert load_identity(keys, name).public == roster.find(name).public
    before = {file: file.read_bytes() for file in keys.rglob("*") if file.is_file()}
    assert {state for *_, state in states(make_grid_identities(keys, "alice", table))} == {"there"}
    assert {file: file.read_bytes() for file in keys.rglob("*") if file.is_file()} == before
    for file in before:
        assert file.stat().st_mode & 0o777 == 0o600


def test_several_first_uses_at_once(settings: Settings, table: Table) -> None:
    problems: list[BaseException] = []

    def work() -> None:
        try:
            make_grid_identities(settings.keys_dir, "alice", table)
        except BaseException as exc:
            problems.append(exc)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    roster = open_roster(settings.keys_dir, table)
    for name in ("alice", "broker"):
        assert load_identity(settings.keys_dir, name).public == roster.find(name).public


def test_a_user_who_is_called_broker(settings: Settings, table: Table) -> None:
    made = make_grid_identities(settings.keys_dir, "broker", table)
    assert [one.name for one in made] == ["registration", "broker"]
    roles = open_roster(settings.keys_dir, table).find("broker").roles
    assert roles == {Role.PHYSICIAN, Role.RESEARCHER, Role.REGISTRAR, Role.BROKER}


def test_a_home_that_joins_a_grid(settings: Settings, table: Table, tmp_path: Path) -> None:
    make_grid_identities(settings.keys_dir, "alice", table)
    other = Settings(home=tmp_path / "other", user="bob")
    made = make_grid_identities(other.keys_dir, "bob", table)
    assert states(made) == [
        ("registration", "registration", "missing"),
        ("identity", "bob", "uncertified"),
    ]
    assert made[0].file == other.keys_dir / "registration.pub"
    assert sorted(table) == ["alice", "broker"]
    shown = pin(settings)
    assert pin(other, shown.file).fingerprint == shown.fingerprint
    registrar = load_registrar(settings.keys_dir)
    request, file = read_request(settings.keys_dir, str(made[1].file))
    certified = certify(request, file, [Role.RESEARCHER], LATER_S, registrar)
    assert certified.file == other.keys_dir / "identities" / "bob.cert"
    assert states(make_grid_identities(other.keys_dir, "bob", table)) == [
        ("registration", "registration", "there"),
        ("identity", "bob", "there"),
        ("identity", "broker", "uncertified"),
    ]
    assert open_roster(other.keys_dir, table).find("bob").public == request.public


def test_a_registration_key_behind_a_passphrase_or_away(settings: Settings, table: Table) -> None:
    keys = settings.keys_dir
    make_grid_identities(keys, "alice", table)
    change_registration_passphrase(keys, None, b"pass")
    change_passphrase(keys, "alice", None, b"pass")
    assert {state for *_, state in states(make_grid_identities(keys, "alice", table))} == {"there"}
    (keys / "registration.key").unlink()
    assert states(make_grid_identities(keys, "carol", table)) == [
        ("registration", "registration", "there"),
        ("identity", "carol", "uncertified"),
        ("identity", "broker", "there"),
    ]


def test_a_name_that_no_identity_can_have(settings: Settings, table: Table) -> None:
    with pytest.raises(UsageError) as caught:
        make_grid_identities(settings.keys_dir, "jörg", table)
    assert caught.value.message == "'jörg' cannot be the name of an identity"
    assert not table


@pytest.fixture
def grid(settings: Settings, table: Table) -> Settings:
    """A home whose user is registrar."""
    make_grid_identities(settings.keys_dir, "alice", table)
    return settings


def certified(grid: Settings, who: Settings, name: str, *, until_s: int = LATER_S) -> Path:
    """Certificate of an identity of another home."""
    request, file = read_request(who.keys_dir, name)
    return certify(request, file, [Role.RESEARCHER], until_s, load_registrar(grid.keys_dir)).file


@pytest.fixture
def bob(grid: Settings, tmp_path: Path) -> Settings:
    other = Settings(home=tmp_path / "bob", user="bob")
    make_identity(other, "bob")
    pin(other, grid.keys_dir / "registration.pub")
    return other


def test_the_way_of_a_certificate(grid: Settings, bob: Settings, table: Table) -> None:
    file = certified(grid, bob, "bob")
    assert publish(bob.keys_dir, table, file).name == "bob"
    assert publish(bob.keys_dir, table, file).name == "bob"
    assert sorted(table) == ["alice", "bob", "broker"]
    renewed = certified(grid, bob, "bob")
    publish(bob.keys_dir, table, renewed)
    assert [name.partition("#")[0] for name in sorted(table)] == ["alice", "bob", "bob", "broker"]
    assert open_roster(bob.keys_dir, table).find("bob").blob == renewed.read_bytes()


def test_new_keys_need_the_old_ones_to_be_revoked(
    grid: Settings, bob: Settings, table: Table, tmp_path: Path
) -> None:
    old = certified(grid, bob, "bob")
    publish(bob.keys_dir, table, old)
    new = Settings(home=tmp_path / "new", user="bob")
    make_identity(new, "bob")
    too_early = certified(grid, new, "bob")
    with pytest.raises(Denied) as caught:
        publish(grid.keys_dir, table, too_early)
    assert caught.value.message == f"{too_early}: bob has a certificate for other keys"
    revoke(grid.keys_dir, table, ["bob"], lambda: load_registrar(grid.keys_dir))
    with pytest.raises(Denied) as caught:
        publish(grid.keys_dir, table, too_early)
    assert caught.value.message == f"{too_early}: the certificate of bob is revoked"
    publish(grid.keys_dir, table, certified(grid, new, "bob"))
    roster = open_roster(grid.keys_dir, table)
    assert roster.find("bob").public == load_identity(new.keys_dir, "bob").public
    assert len(roster.signers("bob")) == 2
    with pytest.raises(Denied):
        publish(grid.keys_dir, table, old)
    assert open_roster(grid.keys_dir, table).find("bob").public == roster.find("bob").public


def test_an_older_certificate_does_not_come_back(
    grid: Settings, bob: Settings, table: Table, tmp_path: Path
) -> None:
    kept = tmp_path / "old.cert"
    kept.write_bytes(certified(grid, bob, "bob").read_bytes())
    publish(bob.keys_dir, table, certified(grid, bob, "bob"))
    with pytest.raises(Denied) as caught:
        publish(bob.keys_dir, table, kept)
    assert caught.value.message == f"{kept}: the directory has a newer certificate of bob"


def test_what_is_not_published(grid: Settings, bob: Settings, table: Table, tmp_path: Path) -> None:
    make_grid_identities(tmp_path / "evil", "mallory", None)
    evil = Settings(home=tmp_path, user="x")
    foreign = tmp_path / "evil" / "identities" / "mallory.cert"
    before = dict(table)
    with pytest.raises(Denied) as caught:
        publish(grid.keys_dir, table, foreign)
    assert caught.value.message == (
        f"{foreign}: no certificate of this grid: its signature is wrong"
    )
    request = bob.keys_dir / "identities" / "bob.pub"
    with pytest.raises(Denied) as caught:
        publish(grid.keys_dir, table, request)
    assert caught.value.message == (
        f"{request}: no certificate of this grid: no medgrid.certificate/1"
    )
    with pytest.raises(NotFound) as missing:
        publish(grid.keys_dir, table, tmp_path / "none")
    assert missing.value.message == f"{tmp_path}/none: no such file"
    assert dict(table) == before
    assert evil.user == "x"


def test_a_forged_certificate_is_replaced_by_a_true_one(
    grid: Settings, bob: Settings, table: Table
) -> None:
    file = certified(grid, bob, "bob")
    table["bob"] = b"garbage"
    publish(grid.keys_dir, table, file)
    assert open_roster(grid.keys_dir, table).find("bob").blob == file.read_bytes()
    assert sorted(table) == ["alice", "bob", "broker"]


def test_revocation_without_the_grid(
    grid: Settings, bob: Settings, table: Table, tmp_path: Path
) -> None:
    publish(grid.keys_dir, table, certified(grid, bob, "bob"))
    file = tmp_path / "list"
    revoke(grid.keys_dir, None, ["bob"], lambda: load_registrar(grid.keys_dir), file=file)
    assert open_roster(bob.keys_dir, table).problem("bob") is None
    assert publish(bob.keys_dir, table, file).what == "revocations"
    problem = open_roster(bob.keys_dir, table).problem("bob")
    assert problem is not None
    assert problem.message == "the certificate of bob is revoked"


def test_an_old_list_that_was_put_back_is_repaired(
    grid: Settings, bob: Settings, table: Table
) -> None:
    publish(grid.keys_dir, table, certified(grid, bob, "bob"))

    def registrar() -> object:
        return load_registrar(grid.keys_dir)

    revoke(grid.keys_dir, table, ["broker"], lambda: load_registrar(grid.keys_dir))
    old = table[REVOKED]
    revoke(grid.keys_dir, table, ["bob"], lambda: load_registrar(grid.keys_dir))
    table[REVOKED] = old
    with pytest.raises(Denied) as caught:
        open_roster(grid.keys_dir, table)
    assert caught.value.hint is not None
    assert f"medgrid identity add {grid.keys_dir}/revoked.json" in caught.value.hint
    publish(grid.keys_dir, table, grid.keys_dir / "revoked.json")
    assert open_roster(grid.keys_dir, table).problem("bob") is not None
    assert registrar() is not None


def test_two_lists_made_at_once_are_joined(grid: Settings, bob: Settings, table: Table) -> None:
    """Another registrar's list took the place of ours: the next one has what is on either."""
    publish(grid.keys_dir, table, certified(grid, bob, "bob"))
    key = load_registrar(grid.keys_dir)
    revoke(grid.keys_dir, table, ["bob"], lambda: key)
    del table[REVOKED]
    (grid.keys_dir / "revoked.json").rename(grid.keys_dir / "mine")
    revoke(grid.keys_dir, table, ["broker"], lambda: key)
    (grid.keys_dir / "mine").rename(grid.keys_dir / "revoked.json")
    with pytest.raises(Denied):
        open_roster(grid.keys_dir, table)
    revoke(grid.keys_dir, table, ["broker"], lambda: key)
    roster = open_roster(grid.keys_dir, table)
    assert sorted(roster.revoked.entries) == ["bob", "broker"]


def test_who_is_not_there_is_not_revoked(grid: Settings, table: Table) -> None:
    with pytest.raises(NotFound) as caught:
        revoke(grid.keys_dir, table, ["broker", "bobby"], lambda: load_registrar(grid.keys_dir))
    assert caught.value.message == "no identity 'bobby'"
    assert REVOKED not in table


def test_list(grid: Settings, bob: Settings, table: Table, tmp_path: Path) -> None:
    publish(grid.keys_dir, table, certified(grid, bob, "bob"))
    revoke(grid.keys_dir, table, ["bob"], lambda: load_registrar(grid.keys_dir))
    table["eve"] = table["alice"]
    for name in ("spare", "bob"):
        make_identity(grid, name)
    found = list_identities(grid.keys_dir, table)
    assert [(one.name, one.state, one.is_here) for one in found] == [
        ("alice", "valid", True),
        ("bob", "revoked", False),
        ("broker", "valid", True),
        ("eve", "refused", False),
        ("spare", "uncertified", True),
    ]
    assert found[1].problem is not None
    assert found[1].problem.message == "this home has other keys of bob"
    assert found[3].problem is not None
    assert found[3].problem.message == (
        "what the directory has for eve is the certificate of alice"
    )
