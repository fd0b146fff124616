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
