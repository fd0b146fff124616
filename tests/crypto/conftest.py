"""Key stores on both databases, and people who use them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.split_store import SplitKeyStore
from tests.crypto.people import People, Person
from tests.lab.postgres import PostgresServer


def everybody() -> People:
    """A physician, another one, a researcher, a broker, a registrar."""
    found = People()
    found.draw("alice", "physician")
    found.draw("carol", "physician")
    found.draw("bob", "researcher")
    found.draw("broker", "broker")
    found.draw("rita", "registrar")
    return found


@pytest.fixture
def people() -> People:
    """Everybody, drawn anew."""
    return everybody()


@pytest.fixture
def alice(people: People) -> Person:
    """The physician who imports."""
    return people["alice"]


@pytest.fixture
def one_store(empty_url: str) -> Iterator[KeyStore]:
    """A new key store on each kind of database, opened for alice."""
    found = KeyStore.create(empty_url, "alice")
    yield found
    found.close()


def three_urls(folder: Path) -> list[str]:
    """Addresses of three key stores that can be made."""
    return [f"sqlite:///{folder / f'keystore{place}.db'}" for place in range(3)]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres), "split"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyStore]:
    """A new key store of each kind, opened for alice; the last is three of which two are needed."""
    if request.param == "split":
        found: KeyStore = SplitKeyStore.create_all(three_urls(tmp_path), 2, "alice")
    elif request.param == "sqlite":
        found = KeyStore.create(f"sqlite:///{tmp_path / 'keystore.db'}", "alice")
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        name = server.make_database()
        found = KeyStore.create(server.url(name), "alice")
    yield found
    found.close()
    if request.param == "postgres":
        server.drop_database(name)
