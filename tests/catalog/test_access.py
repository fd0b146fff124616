"""Care teams and grants as the grid's own processes see them, and what policy is told of them."""

from __future__ import annotations

import time

import pytest

from medgrid.catalog import Catalog
from medgrid.catalog.about import about
from medgrid.catalog.access import Grant, Member
from medgrid.crypto.policy import Care, Kind, Thing, Verb, Who, may
from medgrid.errors import NotFound
from medgrid.model import DataClass, Review
from tests.catalog.worlds import World, make_world, object_id


@pytest.fixture
def world(catalog: Catalog) -> World:
    return make_world(catalog)


def test_a_team_comes_and_goes(catalog: Catalog) -> None:
    assert catalog.access.add_care() == 0
    team = [
        Member("P-1", "ada", Care.PATIENT),
        Member("P-1", "ada", Care.PHYSICIAN),
        Member("P-1", "bob", Care.PHYSICIAN),
    ]
    assert catalog.access.add_care(*team, team[0]) == 3
    assert catalog.access.add_care(*team) == 0
    assert catalog.access.team("P-1") == team
    assert catalog.access.teams(["P-1", "P-2"]) == {"P-1": team}
    assert catalog.access.patients_of("ada") == ["P-1"]
    assert catalog.access.patients_of("bob", Care.PATIENT) == []
    assert catalog.access.cares_for(["P-1", "P-2"], "ada") == {"P-1": {*Care}}
    assert catalog.access.without_team(["P-1", "P-2"]) == {"P-2"}
    assert catalog.access.drop_care("P-1", "ada", Care.PATIENT) == 1
    assert catalog.access.drop_care("P-1", "ada") == 1
    assert catalog.access.drop_care("P-1", "ada") == 0
    assert catalog.access.team("P-1") == team[2:]


def test_grants(catalog: Catalog, world: World) -> None:
    later, image = world.ids["one-later"], world.ids["one-image"]
    catalog.access.grant()
    catalog.access.grant(Grant(later, "bob", "ada"), Grant(later, "bob", "ada", 5.0, "ms"))
    catalog.access.grant(Grant(later, "bob", "ada", 7.0, "ms"))
    alone, with_dataset = catalog.access.grants("bob", ids=[later])
    assert (alone.dataset, alone.until_s, alone.is_open(1e12)) == (None, None, True)
    assert (with_dataset.dataset, with_dataset.until_s) == ("ms", 7.0)
    assert with_dataset.is_open(6.9)
    assert not with_dataset.is_open(7.0)
    assert catalog.access.grants(granted_by="ada", dataset="ms") == [with_dataset]
    assert catalog.access.grants(granted_by="paul") == []
    assert catalog.access.revoke("bob", dataset="ms") == [with_dataset]
    assert catalog.access.revoke("bob", dataset="ms") == []
    assert catalog.access.revoke("bob", granted_by="paul") == []
    assert [one.object_id for one in catalog.access.revoke("bob", ids=[image])] == [image]
    assert len(catalog.access.revoke("bob")) == 4
    with pytest.raises(NotFound, match=rf"^no object {object_id(99)}$"):
        catalog.access.grant(Grant(later, "bob", "ada"), Grant(object_id(99), "bob", "ada"))
    assert catalog.access.grants("bob") == []


def test_a_grant_goes_with_its_object(catalog: Catalog, world: World) -> None:
    catalog.objects.remove(world.lfn("one-image"))
    assert catalog.access.grants("bob", ids=[world.ids["one-image"]]) == []


def test_policy_is_told_what_it_needs(catalog: Catalog, world: World) -> None:
    items = catalog.objects.by_ids(world.ids.values()).values()
    things = catalog.access.things(items, "bob")
    image = things[world.ids["one-image"]]
    assert image.grant_until_s is not None
    assert image == Thing(
        Kind.DERIVATIVE,
        DataClass.IMAGE,
        owner="ada",
        patient="P-1",
        granted=True,
        grant_until_s=image.grant_until_s,
    )
    assert things[world.ids["one-gated"]].review is Review.NEEDED
    assert {word: things[key].kind for word, key in world.ids.items()} == {
        "one-orig": Kind.ORIGINAL,
        "one-image": Kind.DERIVATIVE,
        "one-later": Kind.RESULT,
        "one-gated": Kind.RESULT,
        "one-old": Kind.RESULT,
        "two-orig": Kind.ORIGINAL,
        "two-image": Kind.DERIVATIVE,
        "table": Kind.SUMMARY,
        "code": Kind.PUBLIC,
    }
    catalog.access.grant(Grant(world.ids["one-image"], "bob", "ada"))
    again = catalog.access.things(items, "bob")[world.ids["one-image"]]
    assert (again.granted, again.grant_until_s) == (True, None)  # the longest counts
    assert may(Who("bob"), Verb.READ, again, time.time())
    assert catalog.access.things(items, "jane")[world.ids["one-orig"]].care == {Care.PATIENT}
    patients = catalog.access.patient_things(["P-1", "P-7"], "ada")
    assert patients["P-1"].care == {Care.PHYSICIAN}
    assert patients["P-1"].has_team
    assert not patients["P-7"].has_team


@pytest.mark.parametrize(
    ("viewer", "counts"),
    [
        (None, {"patients": 2, "objects": 9, "lfns": 9, "replicas": 9, "datasets": 1}),
        ("ada", {"patients": 1, "objects": 6, "lfns": 6, "replicas": 6, "datasets": 0}),
        ("bob", {"patients": 1, "objects": 3, "lfns": 3, "replicas": 3, "datasets": 0}),
        ("eve", {"patients": 0, "objects": 1, "lfns": 1, "replicas": 1, "datasets": 0}),
    ],
)
def test_what_is_not_seen_is_not_counted(
    catalog: Catalog, catalog_url: str, world: World, viewer: str | None, counts: dict[str, int]
) -> None:
    from medgrid.catalog.query import parse

    catalog.datasets.save("all", parse("/"))
    facts = about(catalog_url, viewer)
    assert {name: facts[name] for name in counts} == counts
    assert facts["derivations"] == 0
