"""Sites, storage elements and workers, on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from medgrid.catalog import Catalog
from medgrid.errors import NotFound, UsageError
from medgrid.model import Site, SiteClass, StorageElement, Worker

HOSP = Site("hospA", SiteClass.COMPUTE)
STORE = StorageElement("store1", "sftp://grid@host/data", "hospA", options={"jump": "ssh://g@j"})
W1 = Worker(
    "w1",
    "ssh://grid@host:22",
    "hospA",
    slots=8,
    tags=frozenset({"python", "gpu"}),
    memory_bytes=2**40,
    options={"root": "/scratch"},
)


@pytest.fixture
def places(catalog: Catalog) -> Catalog:
    catalog.places.put_site(HOSP)
    catalog.places.put_se(STORE)
    catalog.places.put_worker(W1)
    return catalog


def test_what_is_put_comes_back(places: Catalog) -> None:
    assert places.places.sites() == [HOSP]
    assert places.places.ses() == [STORE]
    assert places.places.workers() == [W1]
    assert places.places.se("store1") == STORE
    assert places.places.worker("w1") == W1


def test_putting_again_changes(places: Catalog) -> None:
    changed = Worker("w1", "local:", "hospA", slots=2, enabled=False)
    places.places.put_worker(changed)
    assert places.places.workers() == [changed]


def test_unknown_names_get_the_nearest_as_a_hint(places: Catalog) -> None:
    with pytest.raises(NotFound) as caught:
        places.places.se("stor1")
    assert caught.value.message == "no storage element 'stor1'"
    assert caught.value.hint == "did you mean store1?"
    with pytest.raises(NotFound) as caught:
        places.places.worker("zzz")
    assert caught.value.hint == "there is w1"
    with pytest.raises(NotFound, match="no site 'nowhere'"):
        places.places.put_se(StorageElement("s2", "file:///x", "nowhere"))


def test_a_site_in_use_stays(places: Catalog) -> None:
    with pytest.raises(UsageError) as caught:
        places.places.remove_site("hospA")
    assert caught.value.message == "site 'hospA' is in use by storage element store1"
    places.places.remove_se("store1")
    with pytest.raises(UsageError) as caught:
        places.places.remove_site("hospA")
    assert caught.value.message == "site 'hospA' is in use by worker w1"
    places.places.remove_worker("w1")
    places.places.remove_site("hospA")
    assert places.places.sites() == []
