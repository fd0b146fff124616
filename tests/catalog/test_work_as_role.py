"""What people do with the catalog all day, as roles of a guarded PostgreSQL and as viewers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from medgrid.catalog import Catalog
from medgrid.catalog.access import Grant, Member
from medgrid.catalog.imported import Content, Spot
from medgrid.catalog.jobs import NewSubmission
from medgrid.catalog.objects import Naming, Registration
from medgrid.catalog.provenance import Derivation
from medgrid.catalog.query import parse
from medgrid.catalog.row_security import DatabaseUser, apply
from medgrid.catalog.scanned import ScannedFile, SeriesName
from medgrid.crypto.policy import Care
from medgrid.errors import AlreadyExists, Denied, NotFound, UsageError
from medgrid.model import (
    LFN,
    DataClass,
    GridObject,
    JobState,
    ObjectKind,
    Replica,
    Review,
    Sha256,
)
from tests.catalog.worlds import World, make_world, object_id

USERS = [
    DatabaseUser("ada", frozenset(("physician",))),
    DatabaseUser("paul", frozenset(("physician",))),
    DatabaseUser("bob", frozenset(("researcher",))),
    DatabaseUser("jane", frozenset(("patient",))),
    DatabaseUser("desk", frozenset(("registrar",))),
    DatabaseUser("broker", frozenset(("broker",))),
]

View = Callable[[str | None], Catalog]


@pytest.fixture
def world(catalog: Catalog) -> World:
    return make_world(catalog)


@pytest.fixture
def view(catalog_url: str, world: World) -> Iterator[View]:
    """Opens the catalog as somebody: their role where there are roles, else for a viewer."""
    opened: list[Catalog] = []
    is_server = catalog_url.startswith("postgresql")
    if is_server:
        apply(catalog_url, USERS)

    def open_as(name: str | None) -> Catalog:
        if is_server:
            url = catalog_url.replace("medgrid@", f"{name or 'broker'}@")
            opened.append(Catalog.open(url))
        else:
            opened.append(Catalog.open(catalog_url, name))
        assert opened[-1].viewer == name
        return opened[-1]

    yield open_as
    for one in opened:
        one.close()


def _new(
    number: int,
    lfn: str | None,
    patient: str | None = None,
    day: str = "",
    data_class: DataClass = DataClass.IMAGE,
) -> Registration:
    key = object_id(number)
    digest = Sha256(key * 2)
    return Registration(
        GridObject(
            id=key,
            lfn=LFN(lfn) if lfn else None,
            kind=ObjectKind.SERIES,
            filename="series.tar",
            size_bytes=1,
            sha256=digest,
            attributes={"StudyDate": day, "ImageType": ["A", "B"]} if day else {},
            data_class=data_class,
        ),
        (Replica(key, "s1", f"pfn-{number}", 1, digest),),
        patient=patient,
        user_attributes={"note": "x"},
    )


def test_importing_a_new_patient(view: View) -> None:
    paul, broker = view("paul"), view(None)
    paul.objects.reserve_many([(object_id(50), "s1", "pfn-50")])
    assert paul.objects.reservations("s1").keys() == {"pfn-50"}
    paul.access.add_care(Member("P-9", "jane", Care.PATIENT), Member("P-9", "paul", Care.PHYSICIAN))
    paul.objects.register(
        [
            _new(50, "/p/9/orig", "P-9", "2022-01-01", DataClass.NOMINATIVE),
            _new(51, "/p/9/image", "P-9", "2022-01-01"),
        ]
    )
    paul.objects.register([_new(52, "/p/9/more", "P-9", "2022-05-01")])
    assert paul.objects.reservations("s1") == {}
    assert [*paul.objects.select(parse("/p"), ["lfn", "visits", "ImageType"])] == [
        ("/p/9/image", 2, ["A", "B"]),
        ("/p/9/more", 2, ["A", "B"]),
    ]
    assert [*broker.objects.select(parse("/p"), ["visits"])] == [(2,), (2,)]
    assert view("ada").objects.count(parse("/p")) == 0
    assert [lfn.name for lfn in view("jane").objects.lfns(parse("/p"))] == ["image", "more"]
    paul.scanned.note([ScannedFile("k", 1, 2, 3, object_id(50), "imported")])
    paul.scanned.note([ScannedFile("k", 1, 9, 3, object_id(50), "imported")])
    assert paul.scanned.known(["k"])["k"].mtime_ns == 9
    paul.objects.reserve(object_id(53), "s1", "pfn-53")
    place = ("s1", "pfn-53")
    assert paul.objects.condemn_uploads([place]) == {place}
    paul.objects.end_condemned([place])
    assert broker.objects.reservations("s1") == {}


def test_contents_are_claimed_once_whoever_sees_them(view: View) -> None:
    """Of a patient whom one may bring data of, and of one's own."""
    desk, ada, paul = view("desk"), view("ada"), view("paul")
    of_p1 = Content(Spot(LFN("/p/1/T1w"), "P-1", ""), "d1")
    ids = [object_id(number) for number in (70, 71, 72)]

    def bring(catalog: Catalog, number: int, content: Content) -> bool:
        spot = content.spot
        one = _new(number, f"{spot.lfn}-{number}", spot.patient or None)
        made = replace(one, object=replace(one.object, digest=content.digest))
        with catalog.transaction():
            if catalog.imported.claim({content: made.object.id}):
                return False
            catalog.objects.register([made])
            return True

    assert bring(desk, 70, of_p1)
    assert not bring(ada, 71, of_p1)
    assert not bring(desk, 72, of_p1)
    assert ada.imported.held([of_p1.spot], 1) == {"d1": ids[0]}
    assert desk.imported.held([of_p1.spot], 1) == paul.imported.held([of_p1.spot], 1) == {}
    for catalog, number in ((ada, 73), (paul, 74)):
        name = catalog.viewer or ""
        own = Content(Spot(LFN("/p/volume"), "", name), "d1")
        assert bring(catalog, number, own)
        assert not bring(catalog, number + 10, own)


def test_the_desk_brings_data_for_others(view: View) -> None:
    desk, ada = view("desk"), view("ada")
    desk.access.add_care(Member("P-8", "ada", Care.PHYSICIAN))
    desk.objects.register([_new(60, "/p/8/image", "P-8", "2022-01-01")])
    assert ada.objects.get(LFN("/p/8/image")).owner == ""
    assert ada.objects.locate([LFN("/p/8/image")])[LFN("/p/8/image")][0].pfn == "pfn-60"
    assert not desk.objects.exists(LFN("/p/8/image"))  # and reads none of it
    with pytest.raises(Denied):
        desk.access.add_care(Member("P-8", "desk", Care.PHYSICIAN))
    assert ada.access.team("P-8") == [Member("P-8", "ada", Care.PHYSICIAN)]


def test_teams(view: View) -> None:
    ada, bob = view("ada"), view("bob")
    assert ada.access.add_care(
        Member("P-1", "paul", Care.PHYSICIAN), Member("P-1", "ada", Care.PHYSICIAN)
    ) == 1  # fmt: skip
    assert [one.identity for one in ada.access.team("P-1")] == ["ada", "jane", "paul"]
    assert view("jane").access.team("P-1") == ada.access.team("P-1")
    assert bob.access.team("P-1") == []
    assert bob.access.patients_of("ada") == []
    assert ada.access.patients_of("ada") == ["P-1"]
    assert ada.access.cares_for(["P-1", "P-2"], "ada") == {"P-1": {Care.PHYSICIAN}}
    intruder = Member("P-1", "bob", Care.PHYSICIAN)
    refused: list[Callable[[], int]] = [
        lambda: bob.access.add_care(intruder),
        lambda: view("jane").access.add_care(intruder),
        lambda: bob.access.drop_care("P-1", "ada"),
    ]
    for change in refused:
        with pytest.raises(Denied) as caught:
            change()
        assert caught.value.message == "only a physician of the patient changes who cares for them"
    assert view("paul").access.drop_care("P-1", "ada") == 1
    assert ada.access.team("P-1") == []
    assert ada.objects.count(parse("PatientID=P-1")) == 4  # her own objects


def test_granting_and_revoking(view: View, world: World) -> None:
    ada, bob, paul = view("ada"), view("bob"), view("paul")
    later, image = world.ids["one-later"], world.ids["one-image"]
    ada.access.grant(Grant(later, "bob", "ada", None, "ms"), Grant(image, "bob", "ada", None, "ms"))
    ada.access.grant(Grant(later, "bob", "ada", 1e12, "ms"))
    assert [lfn.name for lfn in bob.objects.lfns(parse("PatientID=P-1"))] == [
        "one-image",
        "one-later",
    ]
    (found,) = bob.access.grants("bob", dataset="ms", ids=[later])
    assert (found.until_s, found.granted_by, found.dataset) == (1e12, "ada", "ms")
    assert paul.access.grants("bob") == []
    assert paul.access.revoke("bob") == []
    for wrong in (
        Grant(world.ids["two-image"], "bob", "ada"),
        Grant(object_id(99), "bob", "ada"),
    ):
        with pytest.raises(NotFound, match=rf"^no object {wrong.object_id}$"):
            ada.access.grant(wrong)
    with pytest.raises(Denied, match=r"^only a physician of the patient grants data$"):
        bob.access.grant(Grant(later, "paul", "bob"))
    with pytest.raises(Denied, match=r"^only a physician of the patient grants data$"):
        ada.access.grant(Grant(later, "bob", "paul"))
    gone = ada.access.revoke("bob", dataset="ms")
    assert {one.object_id for one in gone} == {later, image}
    assert [lfn.name for lfn in bob.objects.lfns(parse("PatientID=P-1"))] == ["one-image"]
    assert len(ada.access.revoke("bob", ids=[image])) == 1
    assert bob.objects.count(parse("PatientID=P-1")) == 0


def test_new_versions_are_granted_as_the_one_before(view: View, world: World) -> None:
    ada, bob, paul = view("ada"), view("bob"), view("paul")
    lfn, first = world.lfn("one-image"), world.ids["one-image"]

    def register(number: int, review: Review = Review.NONE) -> None:
        one = _new(number, lfn, "P-1", "2020-01-01")
        made = replace(one.object, owner="ada", review=review)
        ada.objects.register([replace(one, object=made)], replace=True)

    register(80)
    ada.access.inherit([object_id(80)])
    (before,) = bob.access.grants("bob", ids=[first])
    (now,) = bob.access.grants("bob", ids=[object_id(80)])
    assert now == replace(before, object_id=object_id(80))
    assert (bob.objects.get(lfn).version, bob.objects.get(lfn, 1).id) == (2, first)
    # one that needs a review waits, as somebody is granted what the LFN names
    register(81, Review.NEEDED)
    assert ada.objects.get(lfn).version == bob.objects.get(lfn).version == 2
    assert ada.objects.waiting([lfn])[lfn].version == 3
    assert ada.objects.waiting().keys() == {lfn}
    assert bob.objects.waiting() == paul.objects.waiting([lfn]) == {}
    ada.objects.promote([lfn])
    assert ada.objects.get(lfn).version == 2
    ada.objects.set_review([object_id(81)], Review.RELEASED)
    ada.objects.promote([lfn])
    with suppress(NotFound):
        paul.access.inherit([object_id(81)])
    assert ada.access.grants(ids=[object_id(81)]) == []
    ada.access.inherit([object_id(81)])
    assert (bob.objects.get(lfn).version, ada.objects.waiting([lfn])) == (3, {})
    assert [version for version, _ in bob.objects.versions(lfn)] == [1, 2]
    assert ada.objects.version_lfns([first, object_id(81)]) == {first: lfn}
    # what is of another patient is not handed on
    other = replace(_new(82, lfn, "P-9", "2020-01-01").object, owner="ada")
    broker = view(None)
    broker.objects.register(
        [replace(_new(82, lfn, "P-9", "2020-01-01"), object=other)], replace=True
    )
    broker.access.inherit([object_id(82)])
    assert broker.access.grants(ids=[object_id(82)]) == []


def test_what_was_removed_leaves_a_mark(view: View, world: World) -> None:
    ada, desk, paul = view("ada"), view("desk"), view("paul")
    name = SeriesName("P-1", "1.1", "1.P-1")
    assert ada.removed.series([name], "ada") == {}
    ada.removed.note({world.ids[one]: world.lfn(one) for one in ("one-orig", "one-image")})
    ada.objects.remove(world.lfn("one-orig"))
    assert ada.removed.series([name], "ada")[name].lfn == world.lfn("one-orig")
    assert paul.removed.series([name], "paul") == {}
    assert ada.removed.contents("P-1", "") == desk.removed.contents(None, "desk") == {}
    ada.removed.forget([name], [])
    assert ada.removed.series([name], "ada") == {}


def test_one_patient_becomes_another(view: View, world: World) -> None:
    ada, desk, paul, broker = view("ada"), view("desk"), view("paul"), view(None)
    broker.access.add_care(Member("P-7", "ada", Care.PHYSICIAN))
    broker.access.add_care(Member("P-8", "ada", Care.PHYSICIAN))
    ada.merged.note("P-7", "P-1")
    assert ada.merged.check("P-7", "P-1")
    ada.merged.note("P-7", "P-1")
    for one in (ada, broker):
        assert one.merged.all() == {"P-7": "P-1"}
    assert paul.merged.all() == {}
    # those who import for others must know, and see no other rows
    assert desk.merged.all() == ({"P-7": "P-1"} if broker.db.is_sqlite is False else {})
    for old, new, who in (("P-8", "P-2", ada), ("P-1", "P-2", paul), ("P-1", "P-2", ada)):
        with pytest.raises(Denied):
            who.merged.note(old, new)
    for old, new in (("P-1", "P-7"), ("P-1", "P-1"), ("P-8", "P-7"), ("P-7", "P-8")):
        with pytest.raises(UsageError):
            ada.merged.note(old, new)
    # P-8 was another's before: all follow
    broker.access.add_care(Member("P-6", "paul", Care.PHYSICIAN))
    broker.merged.note("P-6", "P-1")
    ada.merged.note("P-1", "P-8")
    assert broker.merged.all() == dict.fromkeys(("P-1", "P-6", "P-7"), "P-8")
    # marks follow, too
    ada.removed.note({world.ids["one-orig"]: LFN("/m/one")})
    name = SeriesName("P-1", "1.1", "1.P-1")
    assert name in ada.removed.series([name], "ada")
    ada.removed.pass_on("P-1", "P-8")
    assert ada.removed.series([name], "ada") == {}
    assert name._replace(patient="P-8") in ada.removed.series([name._replace(patient="P-8")], "ada")


def test_grants_are_taken_over_by_who_may_grant_both(view: View, world: World) -> None:
    ada, paul, broker = view("ada"), view("paul"), view(None)
    old, ended, other = (world.ids[one] for one in ("one-image", "one-old", "two-image"))
    broker.access.add_care(Member("P-7", "ada", Care.PHYSICIAN))
    ada.objects.register([_new(60, "/p/7/image", "P-7", "2022-01-01")])
    (before,) = broker.access.grants(ids=[old])
    for one in (old, ended, old):
        ada.access.take_over(one, object_id(60))
    assert broker.access.grants(ids=[object_id(60)]) == [replace(before, object_id=object_id(60))]
    with suppress(Denied, NotFound):
        paul.access.take_over(old, other)
    assert all(one.identity != "bob" for one in broker.access.grants(ids=[other]))


def test_frozen_datasets_follow_an_lfn_that_is_gone(view: View, world: World) -> None:
    ada = view("ada")
    members = set(ada.datasets.save("all", parse("/g"), freeze=True).members or ())
    gone, other, new = world.lfn("one-image"), world.lfn("one-later"), LFN("/g/elsewhere")
    assert members >= {gone, other}
    ada.datasets.follow(gone, other)  # which it has already
    assert set(ada.datasets.get("all").members or ()) == members - {gone}
    ada.objects.rename(other, new)
    ada.datasets.follow(new, gone)
    assert ada.datasets.changed("all") == ([gone], [])
    assert set(ada.datasets.get("all").members or ()) == members - {other}


def test_a_researchers_day(view: View, world: World) -> None:
    bob, broker = view("bob"), view(None)
    image = world.ids["one-image"]
    bob.datasets.save("mine", parse("Modality=MR"), freeze=True)
    assert bob.datasets.get("mine").members == ("/g/one-image",)
    number, ids = bob.jobs.create_submission(
        NewSubmission(
            algorithm=Sha256("a" * 64), algorithm_label="n4@1", owner="bob",
            items=[[image], [image]], item_role="image", inputs={}, parameters={},
        )
    )  # fmt: skip
    assert bob.jobs.counts([str(number)]) == {JobState.SUBMITTED: 2}
    assert bob.jobs.cancel([str(ids[1])]) == {ids[1]: (JobState.SUBMITTED, JobState.CANCELLED)}
    assert view("paul").jobs.resubmit([ids[1]]) == set()
    assert bob.jobs.resubmit(ids) == {ids[1]}
    assert bob.jobs.counts([str(number)]) == {JobState.SUBMITTED: 2}
    bob.jobs.cancel([str(ids[1])])
    assert bob.health.all() == {}
    assert bob.leases.holder("broker") is None
    assert bob.jobs.desk.links() == {}
    # the broker runs the other, and registers its output for bob
    made = _new(70, None, "P-1")
    broker.objects.register(
        [Registration(_owned(made.object, "bob"), made.replicas, patient="P-1")]
    )
    broker.provenance.record(
        Derivation(
            "d", Sha256("a" * 64), "n4@1", {"image": [image]}, {"out": [object_id(70)]}, job=ids[0]
        )
    )
    assert [one.object_id for one in bob.jobs.job(ids[0]).outputs] == [object_id(70)]
    bob.objects.name_many([Naming(object_id(70), LFN("/bob/out"), {"PatientID": "P-1", "v": 2.5})])
    assert [*bob.objects.select(parse("v>1"), ["lfn", "derived_from", "job", "visits"])] == [
        ("/bob/out", "/g/one-image", str(ids[0]), 1)
    ]
    bob.objects.set_attributes(object_id(70), {"v": 3, "EchoTime": 2})
    bob.objects.add_replica(Replica(object_id(70), "s1", "pfn-two", 1, Sha256("0" * 64)))
    bob.objects.remove_replica(object_id(70), "s1", "pfn-70")
    bob.objects.rename(LFN("/bob/out"), LFN("/bob/better"))
    bob.objects.register([_new(71, "/bob/better")], replace=True)
    assert bob.objects.versions(LFN("/bob/better")) == [(1, object_id(70))]
    for lfn in ("/g/two-image", "/g/two-image/x", "/g"):
        with pytest.raises(AlreadyExists):
            bob.objects.register([_new(72, lfn)])
    with pytest.raises(AlreadyExists, match=r"^/g/two-image already exists$"):
        bob.objects.rename(LFN("/bob/better"), LFN("/g/two-image"))
    assert {one.pfn for one in bob.objects.remove(LFN("/bob/better"))} == {"pfn-71", "pfn-two"}
    assert bob.jobs.clear([ids[0]]) == set()
    bob.datasets.save("mine", parse("/"), replace=True)
    bob.datasets.remove("mine")


def _owned(item: GridObject, owner: str) -> GridObject:
    from dataclasses import replace

    return replace(item, owner=owner)
