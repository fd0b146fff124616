"""``medgrid replica``."""

from __future__ import annotations

import pytest

from medgrid.actions.replica import add_replica
from medgrid.actions.transfer import Uploads
from medgrid.model import LFN, DataClass, StorageElement
from tests.lab.datagrid import DataGrid
from tests.lab.disks import small_disk


@pytest.fixture
def lfn(data: DataGrid) -> str:
    data.put("/a", b"content")
    return "/a"


def test_add_copies_and_ls_lists(any_data: DataGrid) -> None:
    any_data.put("/a", b"content")
    any_data.put("/b")
    any_data.ok("replica", "add", "-", "--se", "far", stdin="/a\n/b\n")
    rows = any_data.ok("replica", "ls", "/a", "/b").rows
    assert [row[:3] for row in rows] == [
        ["/a", "near", "7"],
        ["/a", "far", "7"],
        ["/b", "near", "5"],
        ["/b", "far", "5"],
    ]
    assert any_data.file_of("/a", "far").read_bytes() == b"content"
    (near, far) = any_data.ok("replica", "ls", "--json", "/a").documents
    assert (near["schema"], near["se"], far["se"]) == ("medgrid.replica/1", "near", "far")


def test_add_says_what_is_wrong(data: DataGrid, lfn: str) -> None:
    for words, code, message in (
        ((lfn, "--se", "near"), 2, "/a has a replica at near"),
        (("/none", "--se", "far"), 4, "no LFN /none"),
        ((lfn, "--se", "fat"), 4, "no storage element 'fat'"),
        ((lfn,), 2, "missing option '--se'"),
    ):
        ran = data.run("replica", "add", *words)
        assert ran.code == code
        assert ran.err.startswith(f"medgrid: error: {message}")
    assert data.replicas(lfn) == ["near"]
    assert data.stored("far") == []


def test_add_to_a_disk_that_is_not_mounted(any_data: DataGrid) -> None:
    any_data.put("/a", b"content", data_class=DataClass.IMAGE)
    root = any_data.root("far")
    root.rename(root.with_name("away"))
    for _ in range(2):
        ran = any_data.run("replica", "add", "/a", "--se", "far")
        assert ran.code != 0
        assert f"storage element far: its root directory {root} is not there" in ran.err
    root.with_name("away").rename(root)
    any_data.ok("replica", "add", "/a", "--se", "far")
    assert any_data.replicas("/a") == ["near", "far"]
    assert len(any_data.stored("far")) == 1


def test_add_takes_the_next_replica_when_one_is_bad(data: DataGrid, lfn: str) -> None:
    third = data.home.parent / "third"
    third.mkdir()
    with data.grid() as grid:
        grid.catalog.places.put_se(StorageElement("third", third.as_uri(), "here"))
    data.ok("replica", "add", lfn, "--se", "far")
    data.file_of(lfn, "far").write_bytes(b"CONTENT")
    ran = data.run("replica", "add", lfn, "--se", "third")
    assert ran.code == 0
    assert ran.err.startswith(
        "medgrid: warning: replica at far is not usable: storage element far: "
    )
    assert data.replicas(lfn) == ["near", "far", "third"]
    assert data.file_of(lfn, "third").read_bytes() == b"content"


def test_add_from_a_corrupt_replica_leaves_nothing(data: DataGrid, lfn: str) -> None:
    data.file_of(lfn).write_bytes(b"CONTENT")
    ran = data.run("replica", "add", lfn, "--se", "far")
    assert ran.code == 6
    assert ran.err.splitlines()[-1].startswith(
        "medgrid: error: /a: no replica is usable (tried near): storage element near: "
    )
    assert data.replicas(lfn) == ["near"]
    assert data.stored("far") == []
    with data.grid() as grid:
        assert grid.catalog.objects.reservations("far") == {}


def test_add_to_a_full_disk_leaves_nothing(data: DataGrid) -> None:
    data.put("/big", bytes(6_000_000))
    data.root("far").rmdir()
    with small_disk(data.root("far")):
        ran = data.run("replica", "add", "/big", "--se", "far")
        assert ran.code == 7
        assert ran.err.startswith("medgrid: error: storage element far: writing ")
        assert ran.err.endswith(
            "medgrid: hint: make room there, or name another storage element with --se\n"
        )
        assert data.stored("far") == []
        assert data.replicas("/big") == ["near"]
        with data.grid() as grid:
            assert grid.catalog.objects.reservations("far") == {}


def test_bytes_of_an_upload_that_the_catalog_refuses_are_taken_back(data: DataGrid) -> None:
    data.put("/a")
    with data.grid() as grid:
        with pytest.raises(RuntimeError), Uploads(grid) as uploads:
            objects = grid.catalog.objects
            item = objects.get(LFN("/a"))
            uploads.copy(item, objects.replicas([item.id])[item.id], "far")
            assert len(data.stored("far")) == 1
            raise RuntimeError
        assert grid.catalog.objects.reservations("far") == {}
        assert data.stored("far") == []
        add_replica(grid, LFN("/a"), "far")


def test_rm(data: DataGrid, lfn: str) -> None:
    data.ok("replica", "add", lfn, "--se", "far")
    data.ok("replica", "rm", lfn, "--se", "near")
    assert data.replicas(lfn) == ["far"]
    assert data.stored("near") == []


def test_rm_keeps_the_last_one(data: DataGrid, lfn: str) -> None:
    ran = data.run("replica", "rm", lfn, "--se", "near")
    assert (ran.code, ran.err) == (
        2,
        "medgrid: error: /a has no replica but the one at near\n"
        "medgrid: hint: copy it first with 'medgrid replica add', or lose its bytes with "
        "--force\n",
    )
    assert data.file_of(lfn).read_bytes() == b"content"
    ran = data.run("replica", "rm", lfn, "--se", "far")
    assert (ran.code, ran.err) == (
        4,
        "medgrid: error: /a has no replica at far\nmedgrid: hint: its replicas are at near\n",
    )
    data.ok("replica", "rm", lfn, "--se", "near", "--force")
    assert data.stored("near") == []
    assert data.ok("replica", "ls", lfn).out == ""


def test_verify(data: DataGrid, lfn: str) -> None:
    data.ok("replica", "add", lfn, "--se", "far")
    rows = data.ok("replica", "verify", lfn).rows
    assert [row[:3] for row in rows] == [["/a", "near", "ok"], ["/a", "far", "ok"]]

    data.file_of(lfn, "far").write_bytes(b"CONTENT")
    ran = data.run("replica", "verify", lfn)
    assert [row[:3] for row in ran.rows] == [["/a", "near", "ok"], ["/a", "far", "CORRUPT"]]
    assert (ran.code, ran.err) == (
        6,
        "medgrid: error: 1 of 2 replicas are not what the catalog says\n"
        "medgrid: hint: 'medgrid fsck --deep --repair' copies them anew from a good replica\n",
    )
    data.file_of(lfn, "far").unlink()
    ran = data.run("replica", "verify", lfn, "--json")
    assert [one["verdict"] for one in ran.documents] == ["ok", "LOST"]
    assert ran.code == 6

    data.root("far").rename(data.root("away"))
    ran = data.run("replica", "verify", lfn)
    assert [row[2] for row in ran.rows] == ["ok", "unreachable"]
    assert ran.code == 3
