"""Parts of a broker, with a real agent and a real storage element: ``place``, ``storages``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medgrid.broker.storages import Storages
from medgrid.config import Settings
from medgrid.model import StorageElement
from tests.workers.places import Place, agent_here


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An agent on this host."""
    with agent_here(Settings(home=tmp_path / "grid")) as found:
        yield found


@pytest.fixture
def element(tmp_path: Path) -> StorageElement:
    """A directory on this host."""
    (tmp_path / "se").mkdir()
    return StorageElement("local", f"file://{tmp_path}/se", "site")


@pytest.fixture
def storages(place: Place, element: StorageElement) -> Iterator[Storages]:
    """The storage elements of a grid that has this one."""
    found = Storages(place.settings)
    found.replace({element.name: element})
    yield found
    found.close()
