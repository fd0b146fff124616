"""What a storage element says is stored is on the disk: its bytes, its name, and folders above."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from medgrid.config import Settings
from medgrid.model import Sha256, StorageElement, new_object_id
from medgrid.storage.base import physical_name
from medgrid.storage.sftp import SftpStorage
from tests.lab.durable import broken_rules, calls_of
from tests.lab.shim import Call, Shim, why_no_shim
from tests.lab.sshd import Sshd

_STORE = """
import hashlib, sys
from medgrid.model import StorageElement
from medgrid.storage.posix import PosixStorage
root, first, second = sys.argv[1:]
storage = PosixStorage(StorageElement("here", f"file://{root}", "here"))
storage.create()
storage.put(first, [b"bytes"])
storage.resume(second, lambda _: [b"bytes"], hashlib.sha256(b"bytes").hexdigest())
"""
_SHELL = """#!/bin/sh
case "$SSH_ORIGINAL_COMMAND" in
*sftp*) exec env {env} /usr/lib/openssh/sftp-server ;;
*) exec sh -c "$SSH_ORIGINAL_COMMAND" ;;
esac
"""


def names(calls: list[Call], root: Path) -> list[str]:
    """What was renamed to names below the root."""
    return [
        call.path.removeprefix(f"{root}/")
        for call in calls
        if call.name == "rename" and call.path.startswith(f"{root}/")
    ]


@pytest.fixture
def pfns() -> list[str]:
    return [physical_name(new_object_id()) for _ in range(2)]


def test_a_directory(tmp_path: Path, pfns: list[str]) -> None:
    root = tmp_path / "grid" / "storage"
    calls = calls_of(tmp_path, _STORE, root, *pfns)
    assert names(calls, root) == pfns
    assert broken_rules(calls, str(tmp_path)) == []


def test_a_host_with_sftp(tmp_path: Path, pfns: list[str], sshd: Sshd) -> None:
    reason = why_no_shim()
    if reason:
        pytest.skip(reason)
    shim = Shim(tmp_path / "shim")
    shell = sshd.directory / "shell"
    shell.write_text(
        _SHELL.format(env=" ".join(f"'{name}={value}'" for name, value in shim.env.items()))
    )
    shell.chmod(0o700)
    with (sshd.directory / "sshd_config").open("a") as config:
        config.write(f"ForceCommand {shell}\n")
    sshd.restart()
    root = tmp_path / "grid" / "storage"
    url = f"sftp{sshd.url.removeprefix('ssh')}{root}"
    settings = replace(
        Settings(tmp_path / "home"), known_hosts=str(sshd.known_hosts), identity=str(sshd.identity)
    )
    storage = SftpStorage(StorageElement("far", url, "there"), settings)
    shim.record()
    storage.create()
    storage.put(pfns[0], [b"bytes"])
    sha256 = Sha256(hashlib.sha256(b"bytes").hexdigest())
    storage.resume(pfns[1], lambda _: [b"bytes"], sha256)
    storage.close()
    calls = shim.recorded()
    assert names(calls, root) == pfns
    assert broken_rules(calls, str(tmp_path)) == []
