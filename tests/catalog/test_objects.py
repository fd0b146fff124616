"""Objects, LFNs, attributes, replicas and uploads, on SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from medgrid.catalog import Catalog
from medgrid.catalog.objects import Registration
from medgrid.catalog.query import parse
from medgrid.errors import AlreadyExists, Busy, NotFound, UsageError
from medgrid.model import (
    LFN,
    GridObject,
    ObjectId,
    ObjectKind,
    Replica,
    Sha256,
    Site,
    StorageElement,
    new_object_id,
)


def registration(
    lfn: str | None, *, patient: str | None = None, meta: dict[str, Any] | None = None, **read: Any
) -> Registration:
    """An object with one replica, what was read in its file, and what a user said of it."""
    item = GridObject(
        id=new_object_id(),
        lfn=None if lfn is None else LFN(lfn),
        kind=ObjectKind.SERIES,
        filename="series.tar",
        size_bytes=10,
        sha256=Sha256("0" * 64),
        attributes=read,
    )
    copy = Replica(item.id, "s1", f"00/{item.id}", 10, item.sha256)
    return Registration(item, (copy,), patient=patient, user_attributes=meta or {})


@pytest.fixture
def grid(catalog: Catalog) -> Catalog:
    """A catalog with two storage elements."""
    catalog.places.put_site(Site("here"))
    for name in ("s1", "s2"):
        catalog.places.put_se(StorageElement(name, f"file:///{name}", "here"))
    return catalog


def test_what_is_registered_comes_back(grid: Catalog) -> None:
    new = registration(
        "/trial/P-1/T1w",
        patient="P-1",
        meta={"brain_volume": 1432.5, "rater": "B"},
        Modality="MR",
        Rows=256,
        PatientAge=45.5,
        StudyDate="2021-03-04",
        EchoTime=[4.6, 9.2],
        ImageType=["ORIGINAL", "PRIMARY"],
        FlipAngle=9,
        SliceTiming={"nested": [1, 2]},
        Manufacturer="",
        SeriesNumber=3,
    )
    grid.objects.register([new])
    found = grid.objects.get(LFN("/trial/P-1/T1w"))
    assert found.attributes == {
        "PatientID": "P-1",
        "Modality": "MR",
        "Rows": 256,
        "PatientAge": 45.5,
        "StudyDate": "2021-03-04",
        "EchoTime": [4.6, 9.2],
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "FlipAngle": 9,
        "SliceTiming": {"nested": [1, 2]},
        "SeriesNumber": 3,
        "brain_volume": 1432.5,
        "rater": "B",
    }
    assert (found.id, found.version, found.kind) == (new.object.id, 1, ObjectKind.SERIES)
    assert found.created_s > 1e9
    assert grid.objects.by_ids([found.id, ObjectId("absent")]) == {found.id: found}
    assert grid.objects.get_many([LFN("/trial/P-1/T1w"), LFN("/no")]) == {found.lfn: found}
    (copy,) = grid.objects.replicas([found.id])[found.id]
    assert (copy.se, copy.pfn) == ("s1", f"00/{found.id}")


def test_a_value_that_does_not_fit_its_column_is_kept_to_be_read(grid: Catalog) -> None:
    grid.objects.register([registration("/a", Rows="many", PatientAge=True, StudyDate="soon")])
    assert grid.objects.get(LFN("/a")).attributes == {
        "Rows": "many",
        "PatientAge": True,
        "StudyDate": "soon",
    }
    assert grid.objects.count(parse("Rows is known")) == 0


def test_registering_is_all_or_nothing(grid: Catalog) -> None:
    grid.objects.register([registration("/a/b")])
    for lfns, message in (
        (["/new", "/a/b"], "/a/b already exists"),
        (["/new", "/new"], "/new is given to two objects"),
        (["/new", "/a"], "/a is a folder"),
        (["/new", "/a/b/c"], "/a/b is an object, nothing can lie below it"),
        (["/new", "/new/x"], "/new would be an object and a folder"),
    ):
        with pytest.raises((AlreadyExists, UsageError)) as caught:
            grid.objects.register([registration(lfn) for lfn in lfns])
        assert caught.value.message == message
        assert caught.value.exit_code == 2
    assert list(grid.objects.lfns(parse("/"))) == ["/a/b"]


def test_a_replaced_lfn_keeps_its_versions(grid: Catalog) -> None:
    old, new = registration("/a", Rows=1), registration("/a", Rows=2)
    grid.objects.register([old])
    grid.objects.register([new], replace=True)
    assert grid.objects.get(LFN("/a")).attributes == {"Rows": 2}
    assert grid.objects.get(LFN("/a")).version == 2
    assert grid.objects.get(LFN("/a"), 2).id == new.object.id
    assert grid.objects.get(LFN("/a"), 1).id == old.object.id
    assert grid.objects.versions(LFN("/a")) == [(1, old.object.id)]
    assert grid.objects.count(parse("Rows=1")) == 0
    with pytest.raises(NotFound) as caught:
        grid.objects.get(LFN("/a"), 3)
    assert caught.value.message == "/a has no version 3"
    gone = grid.objects.remove(LFN("/a"))
    assert {copy.object_id for copy in gone} == {old.object.id, new.object.id}
    assert grid.objects.by_ids([old.object.id, new.object.id]) == {}


def test_an_output_gets_its_name_later(grid: Catalog) -> None:
    output, other = registration(None), registration(None)
    grid.objects.register([output, other])
    assert grid.objects.count(parse("/")) == 0
    grid.objects.name(output.object.id, LFN("/out"), {"nmi": 1.25, "PatientID": "P-1"})
    assert grid.objects.get(LFN("/out")).attributes == {"nmi": 1.25, "PatientID": "P-1"}
    with pytest.raises(AlreadyExists, match=r"^/out already exists$"):
        grid.objects.name(other.object.id, LFN("/out"))
    with pytest.raises(AlreadyExists, match=r"is already named /out$"):
        grid.objects.name(output.object.id, LFN("/out2"))
    with pytest.raises(NotFound, match=r"^no object 00$"):
        grid.objects.name(ObjectId("00"), LFN("/out3"))
    assert [
        copy.object_id for copy in grid.objects.discard([output.object.id, other.object.id])
    ] == [other.object.id]
    assert grid.objects.exists(LFN("/out"))


def test_user_attributes_have_one_type_and_unit_in_a_grid(grid: Catalog) -> None:
    a, b = registration("/a"), registration("/b", Rows=1, FlipAngle=3)
    grid.objects.register([a, b])
    grid.objects.set_attributes(a.object.id, {"volume": 3, "when": "2020-01-31"}, {"volume": "ml"})
    for values, units, message in (
        ({"volume": "big"}, {}, "attribute 'volume' is a number in this grid, found 'big'"),
        ({"volume": 2}, {"volume": "l"}, "attribute 'volume' is in ml in this grid, not in l"),
        ({"when": "soon"}, {}, "attribute 'when' is a date in this grid, found 'soon'"),
        ({"Rows": "x"}, {}, "Rows is a number, found 'x'"),
        ({"rows": 1}, {}, "attribute 'rows' differs from Rows by case only"),
        ({"lfn": 1}, {}, "'lfn' is a word of the question language, no attribute name"),
        ({"Varies": 1}, {}, "'Varies' is a word of the question language, no attribute name"),
        ({"a b": 1}, {}, "'a b' is not an attribute name"),
    ):
        with pytest.raises(UsageError) as caught:
            grid.objects.set_attributes(b.object.id, values, units)
        assert caught.value.message == message
    grid.objects.set_attributes(b.object.id, {"Rows": 5, "FlipAngle": 4, "volume": [1, 2.5]})
    assert grid.objects.get(LFN("/b")).attributes == {"Rows": 5, "FlipAngle": 4, "volume": [1, 2.5]}
    grid.objects.set_attributes(b.object.id, {"Rows": None, "FlipAngle": None, "volume": None})
    assert grid.objects.get(LFN("/b")).attributes == {}
    with pytest.raises(NotFound, match=r"^no object 00$"):
        grid.objects.set_attributes(ObjectId("00"), {"x": 1})


def test_visits_are_distinct_days_of_a_patient(grid: Catalog) -> None:
    day1: dict[str, Any] = {"StudyDate": "2020-01-01"}
    day2: dict[str, Any] = {"StudyDate": "2020-02-01"}
    grid.objects.register(
        [
            registration("/p1/a", patient="P-1", **day1),
            registration("/p1/b", patient="P-1", **day1),
            registration("/p1/c", patient="P-1", **day2),
            registration("/p2/a", patient="P-2", session="01"),
            registration("/p2/b", patient="P-2", session="02"),
            registration("/p2/c", patient="P-2", session="03"),
            registration("/none"),
        ]
    )
    assert list(grid.objects.lfns(parse("visits=2"))) == ["/p1/a", "/p1/b", "/p1/c"]
    assert list(grid.objects.lfns(parse("visits>2"))) == ["/p2/a", "/p2/b", "/p2/c"]
    assert list(grid.objects.lfns(parse("visits is unknown"))) == ["/none"]
    grid.objects.remove(LFN("/p1/c"))
    assert list(grid.objects.lfns(parse("visits=1"))) == ["/p1/a", "/p1/b"]


def test_a_visit_is_a_day_or_else_a_session(grid: Catalog) -> None:
    read: list[dict[str, Any]] = [
        *({"session": "1"}, {"session": "2"}, {"session": "2"}, {"session": "2021-01-01"}),
        *({"StudyDate": "2021-01-01", "session": "3"}, {"StudyDate": "2021-01-02"}, {"Rows": 1}),
    ]
    for number, attributes in enumerate(read):
        grid.objects.register([registration(f"/p/{number}", patient="P-1", **attributes)])
    assert set(grid.objects.select(parse("/p/"), ["visits"])) == {(4,)}


def test_folders(grid: Catalog) -> None:
    grid.objects.register(
        [registration(lfn) for lfn in ("/a/b/c", "/a/b/d/e", "/a/b-1", "/a/b0", "/x")]
    )
    assert grid.objects.list() == ["/a/", "/x"]
    assert grid.objects.list("/a") == ["/a/b-1", "/a/b/", "/a/b0"]
    assert grid.objects.list("/a/b/") == ["/a/b/c", "/a/b/d/"]
    with pytest.raises(NotFound, match=r"^nothing lies below /q$"):
        grid.objects.list("/q")
    with pytest.raises(NotFound) as caught:
        grid.objects.get(LFN("/a/b"))
    assert (caught.value.message, caught.value.hint) == (
        "/a/b is a folder",
        "see 'medgrid ls /a/b'",
    )
    with pytest.raises(NotFound, match=r"^no LFN /q$"):
        grid.objects.get(LFN("/q"))


def test_several_values_of_a_column_are_set_and_taken_away(grid: Catalog) -> None:
    new = registration("/a", EchoTime=[4.6, 9.2])
    grid.objects.register([new, registration("/b", EchoTime=2)])
    for value, asked in ((5.0, "EchoTime=5"), ([1, 2], "EchoTime=1"), ([3], "EchoTime=3")):
        grid.objects.set_attributes(new.object.id, {"EchoTime": value})
        shown = value[0] if value == [3] else value
        assert grid.objects.get(LFN("/a")).attributes["EchoTime"] == shown
        assert list(grid.objects.lfns(parse(asked))) == ["/a"]
        assert list(grid.objects.lfns(parse("EchoTime in (4.6, 9.2)"))) == []
    grid.objects.set_attributes(new.object.id, {"EchoTime": None})
    assert list(grid.objects.lfns(parse("EchoTime is known"))) == ["/b"]
    (row,) = grid.objects.select(parse("/b"), ["EchoTime"])
    assert row == (2,)


def test_each_entry_of_a_folder_is_listed_once(grid: Catalog) -> None:
    names = ("a", "a b", "a-", "a0", "b", "ab", "é", "\U0001f9e0", "\uffee", "~")
    lfns = {f"/f/{name}/{below}" for name in names[::2] for below in ("x/y", "z")}
    lfns |= {f"/f/{name}" for name in names[1::2]} | {"/f!", "/f0", "/e"}
    grid.objects.register([registration(lfn) for lfn in sorted(lfns)])
    below = sorted(lfn for lfn in lfns if lfn.startswith("/f/"))
    entries = dict.fromkeys("/f/" + "".join(lfn[3:].partition("/")[:2]) for lfn in below)
    assert grid.objects.list("/f") == list(entries)
    assert grid.objects.below("/f") == below
    assert grid.objects.is_folder("/f")
    assert not grid.objects.is_folder("/f0")
    assert grid.objects.below("/") == sorted(lfns)


def test_many_are_renamed_or_none(grid: Catalog) -> None:
    names = {LFN(f"/a/{word}"): LFN(f"/b/{word}") for word in "xyz"}
    grid.objects.register([registration(lfn) for lfn in (*names, "/b/y/taken")])
    grid.datasets.save("d", parse("/a/"), freeze=True)
    with pytest.raises(AlreadyExists, match=r"^/b/y is a folder$"):
        grid.objects.rename_many(names)
    with pytest.raises(NotFound, match=r"^no LFN /a/none$"):
        grid.objects.rename_many({**names, LFN("/a/none"): LFN("/c")})
    assert grid.objects.below("/a") == list(names)
    grid.objects.remove(LFN("/b/y/taken"))
    grid.objects.rename_many(names)
    assert grid.objects.below("/") == list(names.values())
    assert grid.datasets.get("d").members == tuple(names.values())


def test_many_are_removed_or_none(grid: Catalog) -> None:
    old, new, other = registration("/a"), registration("/a"), registration("/b")
    grid.objects.register([old, other])
    grid.objects.register([new], replace=True)
    contents = {LFN("/a"): [new.object.id, old.object.id], LFN("/b"): [other.object.id]}
    assert grid.objects.contents([LFN("/b"), LFN("/a"), LFN("/none")]) == contents
    with pytest.raises(NotFound, match=r"^no LFN /none$"):
        grid.objects.remove_many([LFN("/a"), LFN("/none")])
    gone = grid.objects.remove_many([LFN("/a"), LFN("/b")])
    assert {lfn: {one.object_id for one in many} for lfn, many in gone.items()} == {
        lfn: set(ids) for lfn, ids in contents.items()
    }
    assert grid.objects.list() == []


def test_renaming(grid: Catalog) -> None:
    old, new = registration("/a"), registration("/a")
    grid.objects.register([old])
    grid.objects.register([new], replace=True)
    grid.datasets.save("d", parse("/a"), freeze=True)
    grid.objects.register([registration("/taken")])
    grid.objects.rename(LFN("/a"), LFN("/b/c"))
    assert grid.objects.get(LFN("/b/c")).id == new.object.id
    assert grid.objects.get(LFN("/b/c"), 1).id == old.object.id
    assert list(grid.objects.lfns(parse("dataset:d"))) == ["/b/c"]
    with pytest.raises(AlreadyExists, match=r"^/taken already exists$"):
        grid.objects.rename(LFN("/b/c"), LFN("/taken"))
    with pytest.raises(AlreadyExists, match=r"^/b is a folder$"):
        grid.objects.rename(LFN("/taken"), LFN("/b"))
    with pytest.raises(NotFound, match=r"^no LFN /a$"):
        grid.objects.rename(LFN("/a"), LFN("/z"))


def test_replicas_are_found_by_lfn(grid: Catalog) -> None:
    first, second = registration("/trial/a"), registration("/trial/b")
    grid.objects.register([first, second])
    more = Replica(first.object.id, "s2", "00/more", 10, Sha256("0" * 64), created_s=9e9)
    grid.objects.add_replica(more)
    grid.objects.remove_replica(second.object.id, "s1", second.replicas[0].pfn)
    found = grid.objects.locate([LFN("/trial/a"), LFN("/trial/b"), LFN("/trial/none")])
    assert {lfn: [copy.se for copy in copies] for lfn, copies in found.items()} == {
        "/trial/a": ["s1", "s2"],
        "/trial/b": [],
    }
    assert found[LFN("/trial/a")][1] == more


def test_replicas_and_uploads(grid: Catalog) -> None:
    new = registration("/a")
    object_id = new.object.id
    grid.objects.reserve(object_id, "s1", new.replicas[0].pfn)
    assert list(grid.objects.reservations("s1")) == [new.replicas[0].pfn]
    grid.objects.register([new])
    assert grid.objects.reservations("s1") == {}
    copy = Replica(object_id, "s2", "x/y", 10, new.object.sha256, 5.0)
    grid.objects.add_replica(copy)
    grid.objects.add_replica(copy)
    assert [one.se for one in grid.objects.replicas([object_id])[object_id]] == ["s2", "s1"]
    assert list(grid.objects.replicas_on("s2")) == [copy]
    assert grid.objects.count(parse("replicas=2 and se=s2 and se_site=here")) == 1
    with pytest.raises(UsageError, match=r"^storage element 's2' is in use by 1 replicas$"):
        grid.places.remove_se("s2")
    grid.objects.remove_replica(object_id, "s2", "x/y")
    assert grid.objects.count(parse("se=s2")) == 0
    grid.places.remove_se("s2")
    grid.objects.reserve(object_id, "s1", "tmp")
    assert grid.objects.condemn_uploads([("s1", "tmp")]) == {("s1", "tmp")}
    with pytest.raises(Busy, match=r"^tmp at s1 is being deleted$"):
        grid.objects.reserve(object_id, "s1", "tmp")
    grid.objects.end_condemned([("s1", "tmp")])
    assert grid.objects.reservations("s1") == {}
    with pytest.raises(NotFound, match=r"^no object 00$"):
        grid.objects.add_replica(Replica(ObjectId("00"), "s1", "p", 1, Sha256("0" * 64)))


def test_who_deletes_bytes_holds_their_place(grid: Catalog) -> None:
    objects = grid.objects
    new, other = registration("/a"), registration("/b")
    objects.register([new])
    replica = ("s1", new.replicas[0].pfn)
    (copy,) = other.replicas
    objects.reserve(other.object.id, copy.se, copy.pfn)
    free = ("s1", "stranger")
    assert objects.condemn([replica, (copy.se, copy.pfn), free]) == {free}
    assert objects.condemn([free]) == set()
    assert objects.known_at("s1", [replica[1], copy.pfn, "stranger", "none"]) == {
        replica[1],
        copy.pfn,
        "stranger",
    }
    with pytest.raises(Busy, match=r"^stranger at s1 is being deleted$"):
        objects.reserve(ObjectId("00"), *free)
    objects.end_condemned([free, replica, (copy.se, copy.pfn)])
    assert list(objects.reservations("s1")) == [copy.pfn]

    # what was reserved again is another reservation
    ((_, since_s),) = objects.reservations("s1").values()
    assert objects.condemn_uploads([(copy.se, copy.pfn)], since_s - 1) == set()
    assert objects.condemn_uploads([(copy.se, copy.pfn)], since_s) == {(copy.se, copy.pfn)}
    with pytest.raises(Busy, match=r"^an upload to s1 was given up meanwhile: its reservation is"):
        objects.register([other], uploaded=True)
    assert not objects.exists(LFN("/b"))
    objects.end_condemned([(copy.se, copy.pfn)])
    with pytest.raises(Busy, match=r"^an upload to s1 was given up meanwhile: its reservation is"):
        objects.register([other], uploaded=True)
    objects.reserve(other.object.id, copy.se, copy.pfn)
    objects.register([other], uploaded=True)
    assert [(one.se, one.pfn) for one in objects.remove(LFN("/b"))] == [(copy.se, copy.pfn)]
    with pytest.raises(Busy, match=r" at s1 is being deleted$"):
        objects.reserve(other.object.id, copy.se, copy.pfn)
