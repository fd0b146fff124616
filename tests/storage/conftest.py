"""Storage of each kind: whole, and on a disk that is full after 4 MB."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from medgrid.config import Settings
from medgrid.model import StorageElement
from medgrid.storage import open_storage
from tests.lab.sshd import Sshd
from tests.storage.places import Place

KINDS = ["posix", "sftp", "sftp-only"]
SMALL_BYTES = 4_000_000


@contextmanager
def _place(kind: str, root: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    root.mkdir(mode=0o700, exist_ok=True)
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


@contextmanager
def small_disk(root: Path) -> Iterator[None]:
    """A file system that is full after 4 MB; for an ordinary user, files that cannot be larger."""
    root.mkdir(mode=0o700)
    if os.geteuid() == 0:
        size = f"size={SMALL_BYTES},mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", root], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", root], check=True)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with _place(request.param, tmp_path / "a b'ü", request) as found:
        yield found


@pytest.fixture(params=KINDS)
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    root = tmp_path / "small"
    with small_disk(root), _place(request.param, root, request) as found:
        yield found


@pytest.fixture(params=KINDS)
def read_only(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place that can be read only; the superuser needs a file system that is."""
    root = tmp_path / "small"
    with small_disk(root), _place(request.param, root, request) as found:
        if os.geteuid() == 0:
            subprocess.run(["mount", "-o", "remount,ro", root], check=True)
            yield found
        else:
            root.chmod(0o500)
            yield found
            root.chmod(0o700)
