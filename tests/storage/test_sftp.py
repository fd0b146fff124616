"""What is special about storage over SFTP."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from medgrid.config import Settings
from medgrid.errors import ConfigError, Denied, Unreachable
from medgrid.model import StorageElement, new_object_id
from medgrid.storage.base import physical_name
from medgrid.storage.sftp import SftpStorage
from medgrid.transport.sftp import SftpSession
from tests.lab.sshd import Sshd

CONTENT = bytes(range(256)) * 4000

_TALKING_SHELL = """#!/bin/sh
case "$SSH_ORIGINAL_COMMAND" in
*sftp*) exec /usr/lib/openssh/sftp-server ;;
*) echo Welcome; exec sh -c "$SSH_ORIGINAL_COMMAND" ;;
esac
"""


_POOR_SHELL = """#!/bin/sh
case "$SSH_ORIGINAL_COMMAND" in
*sftp*) exec /usr/lib/openssh/sftp-server ;;
*sha256sum*) echo asked >> "$0.log"; PATH=/nowhere ;;
esac
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def settings(tmp_path: Path, sshd: Sshd) -> Settings:
    return Settings(
        home=tmp_path / "grid", known_hosts=str(sshd.known_hosts), identity=str(sshd.identity)
    )


@pytest.fixture
def element(sshd: Sshd, root: Path) -> StorageElement:
    return StorageElement("far", f"sftp{sshd.url.removeprefix('ssh')}{root}", "there")


@pytest.fixture
def storage(element: StorageElement, settings: Settings) -> Iterator[SftpStorage]:
    found = SftpStorage(element, settings)
    yield found
    found.close()


def test_the_hosts_own_programs_are_used(
    storage: SftpStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pfn = physical_name(new_object_id())
    storage.put(pfn, [CONTENT])
    monkeypatch.setattr(SftpSession, "read", None)  # many times slower
    with storage.open(pfn) as stream:
        assert stream.read() == CONTENT
    with storage.open(pfn) as stream:
        stream.seek(70_000)
        assert stream.read() == CONTENT[70_000:]
    assert storage.digest(pfn) == hashlib.sha256(CONTENT).hexdigest()
    assert list(storage.walk()) == [(pfn, len(CONTENT))]
    assert storage._refused == set()


def test_no_file_name_is_on_a_remote_command_line(
    storage: SftpStorage, root: Path, sshd: Sshd
) -> None:
    pfn = physical_name(new_object_id())
    storage.put(pfn, [bytes(30_000_000)])
    with storage.open(pfn) as stream:
        stream.read(1)
        lines = [_command_line(process) for process in Path("/proc").iterdir()]
    assert "cat\0" in lines
    assert not any(pfn in line or str(root) in line for line in lines if "pytest" not in line)


def _command_line(process: Path) -> str:
    try:
        line = (process / "cmdline").read_text()
        return "" if str(os.getpid()) == process.name or "sshd" in line else line
    except OSError:
        return ""


def give_shell(sshd: Sshd, script: str) -> Path:
    """Let a script do whatever clients ask for; its path."""
    shell = sshd.directory / "shell"
    shell.write_text(script)
    shell.chmod(0o700)
    with (sshd.directory / "sshd_config").open("a") as config:
        config.write(f"ForceCommand {shell}\n")
    sshd.restart()
    return shell


def test_a_program_that_a_host_lacks_is_asked_for_once(storage: SftpStorage, sshd: Sshd) -> None:
    shell = give_shell(sshd, _POOR_SHELL)
    pfn = physical_name(new_object_id())
    storage.put(pfn, [CONTENT])
    for _ in range(2):
        assert storage.digest(pfn) == hashlib.sha256(CONTENT).hexdigest()
    assert Path(f"{shell}.log").read_text() == "asked\n"


def test_a_shell_that_talks_does_no_harm(storage: SftpStorage, sshd: Sshd) -> None:
    give_shell(sshd, _TALKING_SHELL)
    pfn = physical_name(new_object_id())
    storage.put(pfn, [CONTENT])
    with storage.open(pfn) as stream:
        assert stream.read() == CONTENT
    assert list(storage.walk()) == [(pfn, len(CONTENT))]
    assert len(storage._refused) == 3


def test_a_connection_that_breaks_while_reading(storage: SftpStorage, sshd: Sshd) -> None:
    pfn = physical_name(new_object_id())
    storage.put(pfn, [bytes(60_000_000)])
    with pytest.raises(Unreachable) as error, storage.open(pfn) as stream:
        stream.read(10)
        sshd.drop_connections()
        while stream.read(1_000_000):
            pass
    assert error.value.message.endswith("the connection was lost")
    with storage.open(pfn) as stream:
        assert stream.read(10) == bytes(10)


def test_a_connection_that_breaks_while_writing(
    storage: SftpStorage, sshd: Sshd, root: Path
) -> None:
    pfn = physical_name(new_object_id())

    def source() -> Iterator[bytes]:
        for turn in range(50):
            if turn == 25:
                sshd.drop_connections()
            yield bytes(1_000_000)

    with pytest.raises(Unreachable) as error:
        storage.put(pfn, source())
    assert error.value.message.endswith("the connection was lost")
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_a_server_that_went_and_came_back(storage: SftpStorage, sshd: Sshd) -> None:
    pfn = physical_name(new_object_id())
    storage.put(pfn, [b"abc"])
    sshd.close()
    with pytest.raises(Unreachable):
        storage.size(pfn)
    sshd.start()
    assert storage.size(pfn) == 3


def test_a_host_whose_key_is_not_known(element: StorageElement, tmp_path: Path) -> None:
    storage = SftpStorage(element, Settings(home=tmp_path / "grid"))
    with pytest.raises(Denied) as error:
        storage.check()
    assert "is not known" in error.value.message


def test_a_url_without_a_directory(element: StorageElement, settings: Settings) -> None:
    with pytest.raises(ConfigError) as error:
        SftpStorage(replace(element, url="sftp://host/"), settings)
    assert error.value.message == (
        "storage element far: 'sftp://host/' names no absolute directory"
    )
    assert error.value.hint == "write sftp://user@host/data/medgrid"
