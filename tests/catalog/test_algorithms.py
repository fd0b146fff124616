"""Algorithms in the catalog, on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from medgrid.catalog import Catalog
from medgrid.catalog.provenance import Derivation
from medgrid.errors import AlreadyExists, NotFound, UsageError
from medgrid.model import Algorithm, ObjectId, Sha256

DESCRIPTOR = {"name": "n4", "inputs": [{"id": "b"}, {"id": "a"}], "bins": 1.5, "text": "é\u2028"}


def algorithm(version: str = "1", created_s: float = 1.0, name: str = "n4") -> Algorithm:
    digest = Sha256((name.encode().hex() + version.encode().hex()).ljust(64, "0"))
    return Algorithm(name, version, digest, DESCRIPTOR, created_s=created_s)


def test_what_is_added_comes_back(catalog: Catalog) -> None:
    store = catalog.algorithms
    assert store.add(algorithm(), ObjectId("0" * 32))
    assert store.get(algorithm().digest) == algorithm()
    assert store.find("n4@1") == algorithm()
    assert store.all() == [algorithm()]
    assert store.bundle_object(algorithm().digest) == "0" * 32


def test_adding_the_same_again_changes_nothing(catalog: Catalog) -> None:
    catalog.algorithms.add(algorithm(), ObjectId("0" * 32))
    assert not catalog.algorithms.add(algorithm(created_s=9), ObjectId("1" * 32))
    assert catalog.algorithms.get(algorithm().digest).created_s == 1
    assert catalog.algorithms.bundle_object(algorithm().digest) == "0" * 32


def test_a_version_never_changes_its_meaning(catalog: Catalog) -> None:
    catalog.algorithms.add(algorithm())
    with pytest.raises(AlreadyExists) as error:
        catalog.algorithms.add(Algorithm("n4", "1", Sha256("f" * 64), DESCRIPTOR))
    assert error.value.message == "n4@1 exists already with another descriptor or other code"
    assert error.value.hint == "raise its tool-version, so that older results keep their meaning"


def test_a_name_alone_is_the_newest(catalog: Catalog) -> None:
    for version, created_s in (("1", 1.0), ("3", 3.0), ("2", 2.0)):
        catalog.algorithms.add(algorithm(version, created_s))
    catalog.algorithms.add(algorithm(name="bias"))
    assert str(catalog.algorithms.find("n4")) == "n4@3"
    assert list(map(str, catalog.algorithms.all())) == ["bias@1", "n4@3", "n4@2", "n4@1"]


def test_what_is_not_there(catalog: Catalog) -> None:
    for version in "21":
        catalog.algorithms.add(algorithm(version))

    def missing(label: str) -> tuple[str, str | None]:
        with pytest.raises(NotFound) as error:
            catalog.algorithms.find(label)
        return error.value.message, error.value.hint

    assert missing("n44") == ("no algorithm 'n44'", "did you mean n4?")
    assert missing("zzz") == ("no algorithm 'zzz'", "see 'medgrid algorithm ls'")
    assert missing("n4@7") == ("no algorithm 'n4@7'", "versions are 1, 2")
    with pytest.raises(NotFound):
        catalog.algorithms.get(Sha256("a" * 64))
    assert catalog.algorithms.bundle_object(Sha256("a" * 64)) is None


def test_one_that_was_never_used_can_go(catalog: Catalog) -> None:
    catalog.algorithms.add(algorithm(), ObjectId("0" * 32))
    assert catalog.algorithms.remove(algorithm().digest) == "0" * 32
    assert catalog.algorithms.all() == []
    with pytest.raises(NotFound):
        catalog.algorithms.remove(algorithm().digest)


def test_one_that_made_something_stays(catalog: Catalog) -> None:
    catalog.algorithms.add(algorithm())
    catalog.provenance.record(
        Derivation(
            id="d" * 32,
            algorithm=algorithm().digest,
            algorithm_label="n4@1",
            parameters={},
            job=None,
            worker="w1",
            started_s=1.0,
            ended_s=2.0,
            exit_code=0,
            inputs={},
            outputs={"out": (ObjectId("0" * 32),)},
        )
    )
    with pytest.raises(UsageError) as error:
        catalog.algorithms.remove(algorithm().digest)
    assert error.value.message == "n4@1 is named by 1 derivation"
    assert error.value.hint == "it stays, so that what it made can be explained"
