"""Storage of each kind: whole, and on a disk that is full after 4 MB."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from medgrid.config import Settings
from medgrid.model import StorageElement
from medgrid.storage import open_storage
from tests.lab.disks import read_only_disk, small_disk
from tests.lab.sshd import Sshd
from tests.storage.places import Place

KINDS = ["posix", "sftp", "sftp-only"]


@contextmanager
def _place(kind: str, root: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    if not root.exists():
        root.mkdir(mode=0o700)
    settings = Settings(home=root.parent / "grid")
    element = StorageElement("near", root.as_uri(), "here")
    if kind != "posix":
        server: Sshd = request.getfixturevalue("sshd")
        if kind == "sftp-only":
            with (server.directory / "sshd_config").open("a") as config:
                config.write("ForceCommand internal-sftp\n")
            server.restart()
        settings = replace(
            settings, known_hosts=str(server.known_hosts), identity=str(server.identity)
        )
        url = server.url.replace("ssh:", "sftp:") + quote(str(root))
        element = StorageElement("far", url, "there")
    storage = open_storage(element, settings)
    yield Place(storage, root, kind == "posix")
    storage.close()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with _place(request.param, tmp_path / "a b'ü", request) as found:
        yield found


@pytest.fixture(params=KINDS)
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place that is full after 4 MB."""
    if request.param != "posix" and os.geteuid() != 0:
        pytest.skip("another process is full only where its file system is: needs root")
    root = tmp_path / "small"
    with small_disk(root), _place(request.param, root, request) as found:
        yield found


@pytest.fixture(params=KINDS)
def read_only(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place that can be read only."""
    root = tmp_path / "small"
    with read_only_disk(root), _place(request.param, root, request) as found:
        yield found
