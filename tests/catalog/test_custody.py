"""What physicians do with objects that are there: review, new keys, a patient who goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from medgrid.catalog import Catalog
from medgrid.catalog.access import Grant
from medgrid.catalog.objects import Registration
from medgrid.catalog.query import parse
from medgrid.catalog.scanned import ScannedFile
from medgrid.catalog.schema import attribute, object_version, patient, scanned_file
from medgrid.errors import Busy, Denied, NotFound
from medgrid.model import (
    LFN,
    DataClass,
    GridObject,
    ObjectId,
    ObjectKind,
    Replica,
    Review,
    Sha256,
)
from tests.catalog.worlds import World, make_world, object_id

NEW = object_id(0xABC)
SHA = Sha256("f" * 64)


@pytest.fixture
def world(catalog: Catalog) -> World:
    return make_world(catalog)


def as_(catalog: Catalog, who: str) -> Catalog:
    return Catalog(catalog.db, catalog.grid_id, who)


def test_a_review_is_for_physicians_of_the_patient(catalog: Catalog, world: World) -> None:
    gated = world.ids["one-gated"]
    for who, error in (("paul", NotFound), ("bob", NotFound), ("jane", Denied)):
        with pytest.raises(error):
            as_(catalog, who).objects.set_review([gated], Review.RELEASED)
    assert catalog.objects.by_ids([gated])[gated].review is Review.NEEDED
    as_(catalog, "ada").objects.set_review([gated], Review.RELEASED)
    assert catalog.objects.by_ids([gated])[gated].review is Review.RELEASED
    assert as_(catalog, "bob").objects.exists(world.lfn("one-gated"))
    with pytest.raises(NotFound):
        catalog.objects.set_review([gated, NEW], Review.NEEDED)


def test_an_object_gets_another_key(catalog: Catalog, world: World) -> None:
    objects = catalog.objects
    item = objects.by_ids([world.ids["one-image"]])[world.ids["one-image"]]
    (old,) = objects.replicas([item.id])[item.id]
    objects.reserve(NEW, "s1", f"ab/cd/{NEW}")
    objects.rekey(item, NEW, SHA, [Replica(item.id, "s1", f"ab/cd/{NEW}", old.size_bytes, SHA)])
    after = objects.by_ids([item.id])[item.id]
    assert (after.key_id, after.sha256, after.lfn) == (NEW, SHA, item.lfn)
    assert [one.pfn for one in objects.replicas([item.id])[item.id]] == [f"ab/cd/{NEW}"]
    assert list(objects.reservations("s1")) == [old.pfn]
    assert [(one.se, one.pfn) for one in objects.left_behind([after])] == [("s1", old.pfn)]
    with pytest.raises(Busy, match="was encrypted anew by somebody else"):
        objects.rekey(item, object_id(0xDEF), SHA, [])
    # a copy that is being made is no leftover
    objects.reserve(item.id, "s1", f"xx/{NEW}")
    assert [one.pfn for one in objects.left_behind([after])] == [old.pfn]
    objects.end_left_behind(objects.left_behind([after]))
    assert objects.left_behind([after]) == []
    with pytest.raises(Denied):
        as_(catalog, "bob").objects.rekey(after, object_id(0xDEF), SHA, [])


def test_a_patient_goes(catalog: Catalog, world: World) -> None:
    objects = catalog.objects
    catalog.datasets.save("all", parse("/"), freeze=True)
    mine = objects.of_patient("P-1")
    assert {one.lfn for one in mine} == {
        world.lfn(word) for word in ("one-orig", "one-image", "one-later", "one-gated", "one-old")
    }
    ids = [*(one.id for one in mine), world.ids["table"]]
    objects.set_attributes(world.ids["one-later"], {"canary": "canary"})
    objects.withdraw(ids, "P-1")
    left = objects.of_patient("P-1")
    assert {one.id for one in left} == set(ids)
    assert {(one.lfn, one.filename, one.digest) for one in left} == {(None, "withdrawn", None)}
    assert all(dict(one.attributes) == {"PatientID": "P-1"} for one in left)
    assert catalog.access.grants(ids=ids) == []
    members = catalog.datasets.get("all").members
    assert set(members or ()) == {world.lfn("two-image"), world.lfn("code")}
    assert not catalog.objects.forget_patient("P-1")
    stored = {one for one, many in objects.replicas(ids).items() if many}
    assert stored
    objects.forget(ids)  # what has bytes stays
    assert {one.id for one in objects.of_patient("P-1")} == stored
    for many in objects.replicas(ids).values():
        for one in many:
            objects.remove_replica(one.object_id, one.se, one.pfn)
    objects.forget(ids)
    assert objects.of_patient("P-1") == []
    assert objects.forget_patient("P-1")
    assert catalog.access.team("P-1") == []
    with catalog.db.read() as connection:
        assert "P-1" not in connection.scalars(select(patient.c.pseudonym)).all()
    assert objects.exists(LFN("/g/two-image"))


def test_of_a_patient_who_goes_nothing_is_remembered(catalog: Catalog, world: World) -> None:
    """Neither older versions of what they had nor which files it came from."""
    objects, lfn = catalog.objects, world.lfn("one-later")
    item = objects.get(lfn)
    objects.register([Registration(replace(item, id=NEW), (), "P-1")], replace=True)
    catalog.scanned.note([ScannedFile("key", 1, 1, 1, item.id, "")])
    assert (objects.get(lfn).id, objects.get(lfn, 1).id) == (NEW, item.id)
    objects.withdraw([item.id, NEW], "P-1")
    assert catalog.scanned.known(["key"]) == {}
    for version in (None, 1):
        with pytest.raises(NotFound):
            objects.get(lfn, version)
    with catalog.db.read() as connection:
        for table in (object_version, scanned_file, attribute):
            kept = select(table.c.object_id).where(table.c.object_id.in_([item.id, NEW]))
            assert connection.execute(kept).all() == []


def test_of_a_patient_one_sees_ones_own(catalog: Catalog, world: World) -> None:
    assert [one.id for one in as_(catalog, "bob").objects.of_patient("P-1")] == [
        ObjectId(world.ids["one-image"])
    ]
    assert as_(catalog, "paul").objects.of_patient("P-1") == []


def test_visits_are_counted_anew_when_an_lfn_names_another_image(catalog: Catalog) -> None:
    def bring(number: int, lfn: str, patient: str, day: str, review: Review = Review.NONE) -> None:
        item = GridObject(
            id=object_id(number),
            lfn=LFN(lfn),
            kind=ObjectKind.SERIES,
            filename="f",
            size_bytes=1,
            sha256=Sha256(f"{number:064x}"),
            attributes={"StudyDate": day},
            data_class=DataClass.IMAGE,
            owner="ada",
            review=review,
        )
        catalog.objects.register([Registration(item, patient=patient)], replace=True)

    def visits() -> set[tuple[Any, ...]]:
        return set(catalog.objects.select(parse("PatientID is known"), ["PatientID", "visits"]))

    bring(1, "/w/a", "P-1", "2020-01-01")
    bring(2, "/w/b", "P-1", "2020-01-01")
    assert visits() == {("P-1", 1)}
    catalog.access.grant(Grant(object_id(1), "bob", "ada"))
    bring(3, "/w/a", "P-1", "2021-01-01", Review.NEEDED)
    catalog.objects.set_review([object_id(3)], Review.RELEASED)
    assert visits() == {("P-1", 1)}, "it waits"
    catalog.objects.promote([LFN("/w/a")])
    assert visits() == {("P-1", 2)}
    bring(4, "/w/a", "P-2", "2021-01-01")
    assert visits() == {("P-1", 1), ("P-2", 1)}
