"""``medgrid fsck``."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from medgrid.actions.fsck import Finding, Kind, Orders, check_grid
from medgrid.actions.transfer import Uploads
from medgrid.catalog.objects import Registration
from medgrid.catalog.row_security import DatabaseUser, apply
from medgrid.model import LFN, GridObject, ObjectId, ObjectKind, new_object_id
from medgrid.storage.base import physical_name
from tests.lab.datagrid import ME, DataGrid
from tests.lab.hospital import OTHER, Hospital

OLD = (1_000_000_000, 1_000_000_000)


def leave(data: DataGrid, pfn: str, content: bytes = b"left", *, old: bool = True) -> Path:
    """A file that the catalog does not know."""
    path = data.root("near") / pfn
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if old:
        os.utime(path, OLD)
    return path


def test_a_sound_grid(any_data: DataGrid) -> None:
    any_data.put("/a")
    any_data.ok("replica", "add", "/a", "--se", "far")
    assert any_data.ok("fsck").out == ""
    assert any_data.ok("fsck", "--deep", "--repair").out == ""
    assert len(any_data.stored("near")) == 1


def test_lost_and_corrupt_replicas_are_copied_anew(any_data: DataGrid) -> None:
    for lfn in ("/lost", "/short", "/wrong"):
        any_data.put(lfn, b"content")
        any_data.ok("replica", "add", lfn, "--se", "far")
    any_data.file_of("/lost").unlink()
    any_data.file_of("/short", "far").write_bytes(b"cont")
    any_data.file_of("/wrong").write_bytes(b"CONTENT")

    ran = any_data.run("fsck")
    assert sorted(row[:3] for row in ran.rows) == [
        ["CORRUPT", "far", "/short"],
        ["LOST", "near", "/lost"],
    ]
    assert (ran.code, ran.err) == (
        6,
        "medgrid: error: data are at risk: 2 bad of 6 replicas\n"
        "medgrid: hint: 'medgrid fsck --repair' mends what has a good replica\n",
    )

    ran = any_data.run("fsck", "--deep", "--dry-run")
    assert sorted((row[2], row[5]) for row in ran.rows) == [
        ("/lost", "would be copied anew from far"),
        ("/short", "would be copied anew from near"),
        ("/wrong", "would be copied anew from far"),
    ]
    assert ran.code == 6

    ran = any_data.ok("fsck", "--deep", "--repair", "--json")
    assert [one["action"] for one in ran.documents] == ["copied anew"] * 3
    for lfn in ("/lost", "/short", "/wrong"):
        assert any_data.file_of(lfn).read_bytes() == b"content"
        assert any_data.file_of(lfn, "far").read_bytes() == b"content"
    assert any_data.ok("fsck", "--deep").out == ""


def test_what_no_replica_can_mend_is_said(data: DataGrid) -> None:
    data.put("/only")
    data.put("/none")
    data.ok("replica", "rm", "/none", "--se", "near", "--force")
    data.file_of("/only").unlink()
    ran = data.run("fsck", "--repair")
    assert [(row[0], row[2], row[5]) for row in ran.rows] == [
        ("LOST", "/only", "nothing: there is no other replica"),
        ("NO-REPLICA", "/none", ""),
    ]
    assert (ran.code, ran.err) == (6, "medgrid: error: data are at risk: 2 bad of 1 replicas\n")
    assert data.ok("ls").lines == ["/none", "/only"]


def test_leftovers_are_listed_and_deleted_when_old(data: DataGrid) -> None:
    data.put("/a")
    dark = leave(data, physical_name(new_object_id()))
    stale = leave(data, ".tmp/0123456789abcdef")
    young = leave(data, physical_name(ObjectId("ff" * 16)), old=False)
    writing = leave(data, ".tmp/ffff", old=False)

    ran = data.ok("fsck", "near")
    assert sorted(row[0] for row in ran.rows) == ["DARK", "DARK", "TEMPORARY"]
    ran = data.ok("fsck", "--dry-run")
    assert sorted(row[5] for row in ran.rows) == [
        "left: it is too young",
        "would be deleted",
        "would be deleted",
    ]
    assert dark.exists()
    data.ok("fsck", "--repair")
    assert not dark.exists()
    assert not stale.exists()
    assert young.exists()
    assert writing.exists()
    data.ok("fsck", "--repair", "--min-age", "0")
    assert len(data.stored("near")) == 1


def test_an_upload_that_never_ended(data: DataGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    object_id = new_object_id()
    pfn = physical_name(object_id)
    with data.grid() as grid:
        grid.catalog.objects.reserve(object_id, "near", pfn)
    path = leave(data, pfn)
    assert data.ok("fsck").out == ""
    ran = data.ok("fsck", "--min-age", "0")
    assert [row[0] for row in ran.rows] == ["HALF-DONE"]
    ran = data.ok("fsck", "--min-age", "0", "--repair")
    assert [row[5] for row in ran.rows] == ["deleted"]
    assert not path.exists()
    with data.grid() as grid:
        assert grid.catalog.objects.reservations("near") == {}


def test_a_place_that_is_not_there_is_not_an_empty_one(data: DataGrid) -> None:
    data.put("/a")
    data.root("near").rename(data.root("away"))
    ran = data.run("fsck", "--repair")
    assert ran.out == ""
    assert (ran.code, ran.err) == (
        3,
        "medgrid: warning: storage element near: its root directory "
        f"{data.root('near')} is not there\n"
        "medgrid: error: 1 of 2 failed\n",
    )
    ran = data.run("fsck", "near")
    assert (ran.code, ran.err.splitlines()[-1]) == (
        7,
        "medgrid: hint: mount its disk; where the place is new, 'medgrid se check near --create' "
        "makes it",
    )
    data.ok("se", "check", "near", "--create")
    shutil.rmtree(data.root("near"))
    data.root("away").rename(data.root("near"))
    data.ok("fsck")
    ran = data.run("fsck", "nowhere")
    assert (ran.code, ran.err.splitlines()[0]) == (
        4,
        "medgrid: error: no storage element 'nowhere'",
    )


def test_beside_imports_and_removals_nothing_is_found_or_touched(data: DataGrid) -> None:
    stop = threading.Event()
    errors: list[BaseException] = []

    def come_and_go() -> None:
        try:
            with data.grid() as grid:
                turn = 0
                while not stop.is_set():
                    turn += 1
                    lfn = LFN(f"/busy/{turn}")
                    with Uploads(grid) as uploads:
                        object_id = new_object_id()
                        replica = uploads.put(object_id, "near", [b"x"])
                        item = GridObject(object_id, lfn, ObjectKind.FILE, "x", 1, replica.sha256)
                        grid.catalog.objects.register([Registration(item, (replica,))])
                    if turn % 2:
                        for one in grid.catalog.objects.remove(lfn):
                            grid.storage(one.se).delete(one.pfn)
        except BaseException as error:
            errors.append(error)

    worker = threading.Thread(target=come_and_go)
    worker.start()
    found: list[Finding] = []
    try:
        with data.grid() as grid:
            for _ in range(10):
                check_grid(grid, ["near"], found.append, Orders(deep=True, mend=True))
    finally:
        stop.set()
        worker.join()
    assert errors == []
    assert [one for one in found if one.kind in (Kind.LOST, Kind.CORRUPT, Kind.DARK)] == []
    assert data.ok("fsck", "--deep").out == ""


def test_what_the_user_does_not_see_is_not_dark(hospital: Hospital) -> None:
    """Whoever runs it, all objects count; those of others are named by number only."""
    item = hospital.objects[f"/trial/{OTHER}/T1w"]
    before = hospital.stored()
    for path in before:
        os.utime(path, OLD)
    for who in ("alice", "bob"):
        assert hospital.people[who].ok("fsck", "--deep", "--repair").out == ""
    assert hospital.stored() == before
    (body,) = [path for path in before if path.name == item.id]
    body.unlink()
    assert hospital.alice.run("fsck").rows == [
        [
            "LOST",
            "near",
            f"object {item.id}",
            str(body.relative_to(hospital.root_of("near"))),
            "not there",
            "nothing: there is no other replica",
        ]
    ]
    assert hospital.carol.run("fsck").rows[0][2] == f"/trial/{OTHER}/T1w"


@pytest.mark.parametrize("database", [pytest.param("postgres", marks=pytest.mark.postgres)])
def test_where_the_server_shows_a_part_only_nothing_is_checked(any_data: DataGrid) -> None:
    any_data.put("/a")
    url = any_data.settings.catalog_url
    apply(url, [DatabaseUser(ME, frozenset({"physician"}))])
    any_data.monkeypatch.setenv("MEDGRID_CATALOG", url.replace("medgrid@", f"{ME}@"))
    ran = any_data.run("fsck", "--repair", "--min-age", "0")
    assert (ran.code, ran.out, ran.err) == (
        5,
        "",
        "medgrid: error: the catalog shows me a part of what it has: the rest would be DARK\n"
        "medgrid: hint: connect as a role that sees all, as brokers do\n",
    )
    assert len(any_data.stored("near")) == 1
