"""Private files: checked when read, whole or not at all when written, also when the writer dies."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from medgrid.crypto.identity_files import change_passphrase, create_identity, load_identity
from medgrid.crypto.private_file import (
    create_private,
    locked,
    read_passphrase,
    read_private,
    replace_private,
)
from medgrid.crypto.registration import (
    change_registration_passphrase,
    create_registration,
    load_registrar,
)
from medgrid.errors import ConfigError, Denied

STEPS = ("open", "write", "fsync", "link", "replace", "rename", "unlink")
DIED = 99


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do `work` in a process that is killed before its system call `step`; say whether."""
    child = os.fork()
    if child == 0:
        _die_at(step)
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, DIED)
    return code == DIED


def _die_at(step: int) -> None:
    left = step

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left == 0:
                os._exit(DIED)
            left -= 1
            return call(*args, **kwargs)

        return counted

    for name in STEPS:
        setattr(os, name, dying(getattr(os, name)))


def test_a_passphrase_change_that_is_killed(tmp_path: Path) -> None:
    """Whenever it is killed, the key is there under the old passphrase or under the new one."""
    secret = create_identity(tmp_path, "alice", b"old").encryption_private
    file = tmp_path / "identities" / "alice.c4gh"
    original = file.read_bytes()
    results = []
    for step in range(100):
        file.write_bytes(original)
        was_killed = killed_at(
            step, lambda: change_passphrase(tmp_path, "alice", lambda: b"old", b"new")
        )
        found = []
        for passphrase in (b"old", b"new"):
            try:
                identity = load_identity(tmp_path, "alice", lambda given=passphrase: given)  # type: ignore[misc]
            except Denied:
                continue
            assert identity.encryption_private == secret
            found.append(passphrase)
        assert len(found) == 1
        results += found
        if not was_killed:
            break
    assert not was_killed
    assert {*results} == {b"old", b"new"}
    assert results == sorted(results, reverse=True)
    assert len(list(file.parent.glob(".draft.*"))) > 1
    for draft in file.parent.glob(".draft.*"):
        os.utime(draft, (0, 0))
    with locked(file.parent):
        pass
    assert {one.name for one in file.parent.iterdir()} == {".lock", "alice.c4gh", "alice.pub"}


def test_a_creation_that_is_killed(tmp_path: Path) -> None:
    """There is no identity then, or a whole one; the next try is not in its way."""
    for step in range(100):
        keys = tmp_path / str(step)
        was_killed = killed_at(step, lambda keys=keys: create_identity(keys, "alice", None))  # type: ignore[misc]
        if not (keys / "identities" / "alice.c4gh").exists():
            create_identity(keys, "alice", None)
        load_identity(keys, "alice")
        if not was_killed:
            break
    assert not was_killed
    assert step > 5


def test_a_registration_key_that_is_killed(tmp_path: Path) -> None:
    registrar = create_registration(tmp_path, None)
    for step in range(100):
        was_killed = killed_at(step, lambda: change_registration_passphrase(tmp_path, None, b"new"))
        assert load_registrar(tmp_path, lambda: b"new") == registrar
        if not was_killed:
            break
        change_registration_passphrase(tmp_path, lambda: b"new", None)
    assert not was_killed


def test_what_is_there_stays(tmp_path: Path) -> None:
    file = tmp_path / "key"
    assert create_private(file, b"one")
    assert not create_private(file, b"two")
    assert file.read_bytes() == b"one"
    replace_private(file, b"three")
    assert read_private(file, "key") == b"three"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_modes(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"x")
    file.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        read_private(file, "key")
    assert caught.value.message == f"{file}: others can read it"
    assert caught.value.hint == f"chmod 600 {file}"


def test_a_public_file_may_be_read_but_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "pin"
    file.write_bytes(b"x")
    file.chmod(0o644)
    assert read_private(file, "pin", public=True) == b"x"
    file.chmod(0o664)
    with pytest.raises(ConfigError) as caught:
        read_private(file, "pin", public=True)
    assert caught.value.message == f"{file}: others can change it"
    assert caught.value.hint == f"chmod 644 {file}"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for file, message in (
        (tmp_path / "none", "no such key"),
        (tmp_path, "cannot be read: Is a directory"),
        (Path("/dev/zero"), "others can read it"),
    ):
        with pytest.raises(ConfigError) as caught:
            read_private(file, "key")
        assert caught.value.message == f"{file}: {message}"
    large = tmp_path / "large"
    large.write_bytes(bytes(70_000))
    large.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        read_private(large, "key")
    assert caught.value.message == f"{large}: too large to be a key"


def test_a_passphrase_file(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    for data, expected in (
        (b"secret", b"secret"),
        (b"secret\n", b"secret"),
        (b"a b \r\nmore\n", b"a b "),
        ("grün\n".encode(), "grün".encode()),
    ):
        file.write_bytes(data)
        file.chmod(0o600)
        assert read_passphrase(file) == expected
    file.write_bytes(b"\nsecret")
    with pytest.raises(ConfigError) as caught:
        read_passphrase(file)
    assert caught.value.message == f"{file}: its first line is empty, expected a passphrase"


def test_a_passphrase_from_a_pipe() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"secret\n")
    os.close(writer)
    assert read_passphrase(Path(f"/dev/fd/{reader}")) == b"secret"
    os.close(reader)


def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (create_private, replace_private):
        with pytest.raises(ConfigError) as caught:
            write(tmp_path / "key", b"x")
        assert caught.value.message == (
            f"{tmp_path}/key: cannot be written: No space left on device"
        )
    assert list(tmp_path.iterdir()) == []
