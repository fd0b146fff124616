"""Key stores on both databases, and people who use them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from medgrid.crypto.keystore import KeyStore
from tests.crypto.people import People, Person


@pytest.fixture
def people() -> People:
    """A physician, another one, a researcher, a broker, a registrar."""
    everybody = People()
    everybody.draw("alice", "physician")
    everybody.draw("carol", "physician")
    everybody.draw("bob", "researcher")
    everybody.draw("broker", "broker")
    everybody.draw("rita", "registrar")
    return everybody


@pytest.fixture
def alice(people: People) -> Person:
    """The physician who imports."""
    return people["alice"]


@pytest.fixture
def store(empty_url: str) -> Iterator[KeyStore]:
    """A new key store, opened for alice."""
    found = KeyStore.create(empty_url, "alice")
    yield found
    found.close()
