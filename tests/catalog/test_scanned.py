"""What the importer remembers of files, on SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

from medgrid.catalog import Catalog
from medgrid.catalog.objects import Registration
from medgrid.catalog.scanned import ScannedFile, SeriesName
from medgrid.model import LFN, GridObject, ObjectId, ObjectKind, Sha256

REFUSED = ScannedFile("k0", 1, 2, 3, None, "1 failed empty file")


def series(catalog: Catalog, number: int, lfn: str, *, again: bool = False) -> ObjectId:
    object_id = ObjectId(f"{number:032x}")
    item = GridObject(
        object_id, LFN(lfn), ObjectKind.SERIES, "series.tar", 1, Sha256("0" * 64), created_s=number
    )
    catalog.objects.register([Registration(item, (), "P-1", "1.2", "1.2.3")], replace=again)
    return object_id


def test_files_are_known_by_key(catalog: Catalog) -> None:
    object_id = series(catalog, 1, "/a/T1w")
    file = ScannedFile("k1", 2**40, 2**62, 2**62, object_id, "")
    catalog.scanned.note([REFUSED, file])
    assert catalog.scanned.known(["k0", "k1", "k2"]) == {"k0": REFUSED, "k1": file}
    assert catalog.scanned.known([]) == {}


def test_noting_again_replaces(catalog: Catalog) -> None:
    catalog.scanned.note([REFUSED])
    changed = replace(REFUSED, size_bytes=9, outcome="")
    catalog.scanned.note([changed])
    assert catalog.scanned.known(["k0"]) == {"k0": changed}


def test_files_of_a_removed_object_are_forgotten(catalog: Catalog) -> None:
    object_id = series(catalog, 1, "/a/T1w")
    catalog.scanned.note([ScannedFile("k1", 1, 1, 1, object_id, "")])
    catalog.objects.remove(LFN("/a/T1w"))
    assert catalog.scanned.known(["k1"]) == {}


def test_files_of_an_older_version_stay_known(catalog: Catalog) -> None:
    first = series(catalog, 1, "/a/T1w")
    catalog.scanned.note([ScannedFile("k1", 1, 1, 1, first, "")])
    second = series(catalog, 2, "/a/T1w", again=True)
    assert catalog.scanned.known(["k1"])["k1"].object_id == first
    assert catalog.scanned.series(["1.2.3"]) == {SeriesName("P-1", "1.2", "1.2.3"): second}


def test_series_are_found_by_uid(catalog: Catalog) -> None:
    object_id = series(catalog, 1, "/a/T1w")
    assert catalog.scanned.series(["1.2.3", "9"]) == {SeriesName("P-1", "1.2", "1.2.3"): object_id}
    assert catalog.scanned.series([]) == {}


def test_many_files_go_in_one_transaction(catalog: Catalog) -> None:
    files = [replace(REFUSED, key=f"k{number}") for number in range(5000)]
    catalog.scanned.note(files)
    assert len(catalog.scanned.known(file.key for file in files)) == 5000


def test_each_reader_has_a_memory_of_their_own(catalog: Catalog) -> None:
    """What older releases noted for all stays known, but not what is nobody's and another's."""
    own, other = (ObjectId(f"{number:032x}") for number in (7, 8))
    for object_id, owner in ((own, "ada"), (other, "bob")):
        lfn, digest = LFN(f"/o/{owner}"), Sha256("0" * 64)
        item = GridObject(object_id, lfn, ObjectKind.VOLUME, "f", 1, digest, owner=owner)
        catalog.objects.register([Registration(item, ())])
    of_patient = series(catalog, 1, "/a/T1w")
    files = {
        key: ScannedFile(key, 1, 2, 3, object_id, "")
        for key, object_id in (("k1", own), ("k2", other), ("k3", of_patient))
    }
    catalog.scanned.note([REFUSED, *files.values()])
    assert catalog.scanned.known(["k0", *files], "ada").keys() == {"k0", "k1", "k3"}
    changed = replace(REFUSED, size_bytes=9)
    catalog.scanned.note([changed], "ada")
    assert catalog.scanned.known(["k0"], "ada") == {"k0": changed}
    assert catalog.scanned.known(["k0"], "bob") == {"k0": REFUSED}
