"""Fixtures ``place`` (every engine) and ``local_place``."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from medgrid.config import Settings
from medgrid.model import Worker
from tests.lab.hosts import Lab
from tests.lab.sshd import Sshd
from tests.workers.places import Place, agent_here, local_shell, oldest_python


def settings_for(home: Path, **more: object) -> Settings:
    """Settings with short time-outs."""
    return Settings(home=home, connect_timeout_s=5, keepalive_s=5, **more)  # type: ignore[arg-type]


@pytest.fixture
def local_place(tmp_path: Path) -> Iterator[Place]:
    """An agent on this host."""
    with agent_here(settings_for(tmp_path / "grid")) as place:
        yield place


@pytest.fixture
def ssh_place(tmp_path: Path, sshd: Sshd) -> Iterator[Place]:
    """An agent on this host, over SSH."""
    settings = settings_for(
        tmp_path / "grid", known_hosts=str(sshd.known_hosts), identity=str(sshd.identity)
    )
    root = tmp_path / "agent of ssh"  # a space, to see that nothing splits it
    worker = Worker("shelled", sshd.url, "site", slots=2, options={"root": str(root)})
    place = Place(worker, settings, f"'{root}'", local_shell)
    yield place
    place.close()


@pytest.fixture
def oldest_place(tmp_path: Path, sshd: Sshd) -> Iterator[Place]:
    """An agent on this host, over SSH, in the oldest Python that it supports."""
    python = oldest_python()
    if python is None:
        pytest.skip("no python3.8 on the PATH or of pyenv")
    settings = settings_for(
        tmp_path / "grid", known_hosts=str(sshd.known_hosts), identity=str(sshd.identity)
    )
    root = str(tmp_path / "agent")
    options = {"root": root, "python": python}
    worker = Worker("old", sshd.url, "site", slots=2, options=options)
    place = Place(worker, settings, root, local_shell)
    yield place
    place.close()


@pytest.fixture
def lab_place(tmp_path: Path, hosts: Lab) -> Iterator[Place]:
    """An agent on a host of its own."""
    host = hosts.host(1)
    settings = settings_for(
        tmp_path / "grid", known_hosts=str(hosts.known_hosts), identity=str(hosts.identity)
    )
    root = f"/home/grid/{secrets.token_hex(4)}"
    worker = Worker("remote", host.url, "site", slots=2, options={"root": root})
    place = Place(worker, settings, root, host.exec)
    yield place
    host.restore()
    place.close()
    host.exec(f"rm -rf {root}")


@pytest.fixture(
    params=[
        "local",
        pytest.param("ssh", marks=pytest.mark.sshd),
        pytest.param("oldest", marks=[pytest.mark.sshd, pytest.mark.slow]),
        pytest.param("lab", marks=[pytest.mark.sshd, pytest.mark.lab, pytest.mark.slow]),
    ]
)
def place(request: pytest.FixtureRequest) -> Place:
    """Every engine in turn."""
    found: Place = request.getfixturevalue(f"{request.param}_place")
    return found
