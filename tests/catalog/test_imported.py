"""Contents that imports have brought, on SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from medgrid.catalog import Catalog
from medgrid.catalog.access import Member
from medgrid.catalog.imported import Content, Spot
from medgrid.catalog.objects import Registration
from medgrid.crypto.policy import Care
from medgrid.errors import AlreadyExists
from medgrid.model import LFN, DataClass, GridObject, ObjectId, ObjectKind, Sha256
from tests.database.kinds import CATALOG_KIND
from tests.lab.waiting import wait_for
from tests.older.load import load

SPOT = Spot(LFN("/t/P-1/T1w"), "P-1", "")
CONTENT = Content(SPOT, "d1")


def new(number: int, lfn: str, patient: str | None = "P-1", digest: str = "d1") -> Registration:
    item = GridObject(
        ObjectId(f"{number:032x}"),
        LFN(lfn),
        ObjectKind.VOLUME,
        "image.nii",
        7,
        Sha256("0" * 64),
        data_class=DataClass.NOMINATIVE,
        owner="" if patient else "ada",
        digest=digest,
    )
    return Registration(item, (), patient)


def bring(catalog: Catalog, number: int, content: Content = CONTENT) -> ObjectId | None:
    """Claim and register as an import does; give the object that has the content already."""
    spot = content.spot
    one = new(number, f"{spot.lfn}-{number}.original", spot.patient or None, content.digest)
    with catalog.transaction():
        held = catalog.imported.claim({content: one.object.id})
        if content in held:
            return held[content]
        catalog.objects.register([one])
        return None


def test_a_content_is_claimed_once(catalog: Catalog) -> None:
    assert bring(catalog, 1) is None
    assert bring(catalog, 2) == ObjectId(f"{1:032x}")
    assert catalog.imported.held([SPOT], 7) == {"d1": ObjectId(f"{1:032x}")}
    assert catalog.imported.held([SPOT], 8) == {}
    assert catalog.imported.claim({}) == {}


def test_a_content_is_found_by_any_name_of_its_spot(catalog: Catalog) -> None:
    bring(catalog, 1)
    held, other = ObjectId(f"{1:032x}"), SPOT._replace(lfn=LFN("/0123456789"))
    assert catalog.imported.held([other, SPOT], 7) == {"d1": held}
    assert catalog.imported.held([other], 7) == {}
    assert catalog.imported.spots(held) == {SPOT}
    catalog.imported.recall(held, "d1", {SPOT: other})
    assert catalog.imported.spots(held) == {other}
    assert catalog.imported.held([other], 7) == {"d1": held}
    assert bring(catalog, 2, Content(other, "d1")) == held


def test_what_is_anothers_is_another_content(catalog: Catalog) -> None:
    lfn = LFN("/t/volume-X")
    spots = [Spot(lfn, "", "ada"), Spot(lfn, "", "bob"), Spot(lfn, "P-1", ""), Spot(lfn, "P-2", "")]
    for number, spot in enumerate(spots):
        assert bring(catalog, number, Content(spot, "d1")) is None
    assert bring(catalog, 9, Content(SPOT, "d1")) is None
    assert bring(catalog, 10, Content(spots[0], "d2")) is None


def test_what_is_gone_or_older_is_free(catalog: Catalog) -> None:
    bring(catalog, 1)
    lfn = LFN(f"{SPOT.lfn}-1.original")
    catalog.objects.remove(lfn)
    assert catalog.imported.held([SPOT], 7) == {}
    assert bring(catalog, 2) is None
    catalog.objects.register([new(3, f"{SPOT.lfn}-2.original", digest="d2")], replace=True)
    assert catalog.imported.held([SPOT], 7) == {}
    assert bring(catalog, 4) is None
    assert bring(catalog, 5) == ObjectId(f"{4:032x}")


def test_what_is_given_another_name_is_known(catalog: Catalog) -> None:
    bring(catalog, 1)
    catalog.objects.rename(LFN(f"{SPOT.lfn}-1.original"), LFN("/elsewhere"))
    assert bring(catalog, 2) == ObjectId(f"{1:032x}")


def test_what_is_not_registered_is_not_claimed(catalog: Catalog) -> None:
    class StopError(Exception):
        pass

    with pytest.raises(StopError), catalog.transaction():
        catalog.imported.claim({CONTENT: ObjectId("x")})
        raise StopError
    assert bring(catalog, 1) is None


def test_who_is_second_waits_for_the_first(catalog: Catalog, catalog_url: str) -> None:
    """It is told what the first one registered, although it asked before."""
    asks = threading.Event()
    told: list[ObjectId | None] = []

    def second() -> None:
        with closing(Catalog.open(catalog_url)) as other:
            asks.set()
            told.append(bring(other, 2))

    thread = threading.Thread(target=second)
    with catalog.transaction():
        catalog.imported.claim({CONTENT: ObjectId(f"{1:032x}")})
        thread.start()
        wait_for(asks.is_set, "the second to ask")
        catalog.objects.register([new(1, f"{SPOT.lfn}.original")])
    thread.join()
    assert told == [ObjectId(f"{1:032x}")]


def test_a_viewer_is_told_of_what_they_see(catalog: Catalog, catalog_url: str) -> None:
    bring(catalog, 1)
    catalog.access.add_care(Member("P-1", "ada", Care.PHYSICIAN))
    for name, count in (("ada", 1), ("bob", 0)):
        with closing(Catalog.open(catalog_url, name)) as view:
            assert len(view.imported.held([SPOT], 7)) == count


def test_of_a_patient_who_goes_nothing_is_remembered(catalog: Catalog) -> None:
    bring(catalog, 1)
    catalog.objects.withdraw([ObjectId(f"{1:032x}")], "P-1")
    with catalog.db.read() as connection:
        assert connection.exec_driver_sql("SELECT * FROM imported").all() == []


def test_an_lfn_that_is_taken_meanwhile(catalog: Catalog, catalog_url: str) -> None:
    """Two owners' images may be called alike: who is second tries again."""
    errors: list[AlreadyExists] = []

    def second() -> None:
        with closing(Catalog.open(catalog_url)) as other:
            try:
                other.objects.register([new(2, "/t/x", None)])
            except AlreadyExists as error:
                errors.append(error)

    thread = threading.Thread(target=second)
    with catalog.transaction():
        catalog.objects.register([new(1, "/t/x", None)])
        thread.start()
    thread.join()
    assert len(errors) == 1


def test_what_older_catalogs_hold_is_entered(empty_url: str) -> None:
    """By the LFN that it came to, without the number that follows one which was taken."""
    load(empty_url, "catalog", "0001")
    rows = {
        "a": ("/t/P-1/T1w.original", "d1", "P-1"),
        "b": ("/t/P-1/T1w-2.original", "d2", "P-1"),
        "c": ("/t/P-1/T1w-3.original", "d1", "P-1"),  # two imports at once made it
        "d": ("/t/P-1/echo-2.original", "d3", "P-1"),
        "e": ("/t/volume-X.original", "d4", None),
        "f": ("/t/volume-Y", "d5", None),
        "g": ("/t/unknown.original", None, None),
    }
    insert = (
        "INSERT INTO object (id, lfn, version, kind, filename, size_bytes, sha256, created_s,"
        " data_class, owner, digest, review, patient, attributes) VALUES"
        " ({id}, {lfn}, 1, 'volume', 'f', 1, '', 0, 'nominative', {owner}, {digest}, '', {patient},"
        " '{{}}')"
    )

    def quoted(value: str | None) -> str:
        return "NULL" if value is None else f"'{value}'"

    with closing(CATALOG_KIND.open(empty_url)) as db, db.write() as connection:
        connection.exec_driver_sql("INSERT INTO patient VALUES ('P-1', 0)")
        for key, (lfn, digest, patient) in rows.items():
            words = {
                "id": key,
                "lfn": lfn,
                "owner": "" if patient else "ada",
                "digest": digest,
                "patient": patient,
            }
            connection.exec_driver_sql(
                insert.format(**{name: quoted(value) for name, value in words.items()})
            )
    CATALOG_KIND.upgrade(empty_url)
    with closing(CATALOG_KIND.open(empty_url)) as db, db.read() as connection:
        found = connection.exec_driver_sql(
            "SELECT lfn, digest, patient, owner, object_id FROM imported ORDER BY object_id"
        ).all()
    assert [tuple(row) for row in found] == [
        ("/t/P-1/T1w", "d1", "P-1", "", "a"),
        ("/t/P-1/T1w", "d2", "P-1", "", "b"),
        ("/t/P-1/echo-2", "d3", "P-1", "", "d"),
        ("/t/volume-X", "d4", "", "ada", "e"),
    ]
