"""Bytes on their way: which replica, what a killed process leaves, files of this host."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medgrid.actions.files import LocalDiskFull, atomic_file
from medgrid.actions.transfer import BadReplica, Uploads, fetch_file, nearest, read_small
from medgrid.crypto.vault import Whose
from medgrid.errors import AlreadyExists, Denied, IntegrityError, NotFound
from medgrid.model import LFN, DataClass, ObjectId, Replica, Sha256, StorageElement, new_object_id
from medgrid.storage.base import physical_name
from tests.lab.datagrid import ME, DataGrid, kept_keys
from tests.lab.disks import read_only_disk, small_disk
from tests.lab.prompt import ROOT


def test_near_replicas_come_first(data: DataGrid) -> None:
    object_id = new_object_id()
    with data.grid() as grid:
        places = grid.catalog.places
        for name, url, enabled in (
            ("a-remote", "sftp://host/data", True),
            ("off", "file:///off", False),
            ("z-site", "sftp://host2/data", True),
        ):
            places.put_se(StorageElement(name, url, "here", enabled))
        replicas = [
            Replica(object_id, se, "x", 1, Sha256("0" * 64))
            for se in ("z-site", "off", "gone", "a-remote", "far", "near")
        ]
        found = [one.se for one in nearest(grid, replicas)]
    assert found == ["far", "near", "a-remote", "z-site"]


def test_every_bad_replica_is_told(data: DataGrid, tmp_path: Path) -> None:
    data.put("/a", b"content", se="far")
    data.ok("replica", "add", "/a", "--se", "near")
    data.file_of("/a", "far").write_bytes(b"CONTENT")
    data.file_of("/a", "near").unlink()
    told: list[BadReplica] = []
    with data.grid() as grid:
        item = grid.catalog.objects.get(LFN("/a"))
        replicas = grid.catalog.objects.replicas([item.id])[item.id]
        with pytest.raises(Exception) as error:
            fetch_file(grid, item, replicas, tmp_path / "a", on_bad=told.append)
    assert [(bad.replica.se, type(bad.error)) for bad in told] == [
        ("far", IntegrityError),
        ("near", NotFound),
    ]
    assert str(error.value).startswith("/a: no replica is usable (tried far, near): ")
    assert not (tmp_path / "a").exists()


def test_small_objects_are_verified_too(data: DataGrid) -> None:
    data.put("/a", b"content")
    with data.grid() as grid:
        item = grid.catalog.objects.get(LFN("/a"))
        replicas = grid.catalog.objects.replicas([item.id])[item.id]
        assert read_small(grid, item, replicas) == b"content"
        with pytest.raises(IntegrityError) as error:
            read_small(grid, item, replicas, limit_bytes=6)
        assert error.value.message == "/a: expected at most 6 bytes, found 7"
        data.file_of("/a").write_bytes(b"CONTENT")
        with pytest.raises(IntegrityError):
            read_small(grid, item, replicas)


_UPLOAD = """
import sys, time
from medgrid.actions.grid import Grid
from medgrid.actions.transfer import Uploads
from medgrid.model import new_object_id

def slowly():
    yield b"half"
    print("writing", flush=True)
    time.sleep(60)

with Grid() as grid, Uploads(grid) as uploads:
    if sys.argv[1] == "during":
        uploads.put(new_object_id(), "near", slowly())
    uploads.put(new_object_id(), "near", [b"whole"])
    print("written", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("when", "kinds"),
    [("during", ["HALF-DONE", "TEMPORARY"]), ("after", ["HALF-DONE"])],
)
def test_what_a_killed_upload_leaves_is_found(data: DataGrid, when: str, kinds: list[str]) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", _UPLOAD, when], env=environ, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert len(data.stored("near")) == 1
    assert data.ok("ls").out == ""
    ran = data.ok("fsck", "--min-age", "0", "--repair")
    assert sorted(row[0] for row in ran.rows) == kinds
    assert data.stored("near") == []
    assert data.ok("fsck", "--min-age", "0").out == ""


def test_an_interrupted_upload_leaves_nothing(data: DataGrid) -> None:
    with data.grid() as grid:
        with pytest.raises(KeyboardInterrupt), Uploads(grid) as uploads:
            uploads.put(new_object_id(), "near", [b"x"])
            raise KeyboardInterrupt
        assert grid.catalog.objects.reservations("near") == {}
    assert data.stored("near") == []


def test_places_are_reserved_ahead_and_given_back(
    data: DataGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted: list[str] = []
    counts: list[int] = []
    with data.grid() as grid:
        far, objects = grid.storage("far"), grid.catalog.objects
        delete, reserve_many = far.delete, objects.reserve_many

        def noted_delete(pfn: str) -> bool:
            deleted.append(pfn)
            return delete(pfn)

        def noted_reserve(new: list[tuple[ObjectId, str, str]]) -> None:
            counts.append(len(new))
            reserve_many(new)

        monkeypatch.setattr(far, "delete", noted_delete)
        monkeypatch.setattr(objects, "reserve_many", noted_reserve)
        with Uploads(grid) as uploads:
            ids = [one for _ in range(100) for one in uploads.new_ids(2, "far")]
            standing = grid.whole.objects.reservations("far")
            assert {physical_name(one) for one in ids} <= standing.keys()
            copy = uploads.put(ids[5], "far", [b"x"])
        assert grid.whole.objects.reservations("far") == {}
    assert counts == [2, 2, 4, 8, 16, 32, 64, 64, 64]
    assert len(set(ids)) == 200
    assert deleted == [copy.pfn]
    assert data.stored("far") == []


def test_what_is_taken_back_leaves_no_key(data: DataGrid) -> None:
    object_id = new_object_id()
    with data.grid() as grid:
        with pytest.raises(KeyboardInterrupt), Uploads(grid) as uploads:
            made = uploads.seal(object_id, "near", [b"x"], Whose(DataClass.IMAGE, None, (ME,)))
            grid.keep([made.sealing])
            assert kept_keys(data.settings) == {object_id}
            raise KeyboardInterrupt
        with pytest.raises(Denied):  # nor in memory
            grid.vault.key(object_id)
    assert kept_keys(data.settings) == set()
    assert data.stored("near") == []


def test_what_another_took_back_keeps_its_key(data: DataGrid) -> None:
    """Who deletes the bytes destroys the key: here fsck, which may still be about it."""
    theirs, own = new_object_id(), new_object_id()
    with data.grid() as grid, pytest.raises(KeyboardInterrupt), Uploads(grid) as uploads:
        for object_id in (theirs, own):
            made = uploads.seal(object_id, "near", [b"x"], Whose(DataClass.IMAGE, None, (ME,)))
            grid.keep([made.sealing])
        grid.catalog.objects.condemn_uploads([("near", physical_name(theirs))])
        raise KeyboardInterrupt
    assert kept_keys(data.settings) == {theirs}


class TestAtomicFile:
    def test_it_appears_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        with atomic_file(path) as stream:
            stream.write(b"abc")
            assert not path.exists()
        assert path.read_bytes() == b"abc"
        assert [one.name for one in tmp_path.iterdir()] == ["a"]

    def test_what_came_meanwhile_is_not_written_over(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        with pytest.raises(AlreadyExists), atomic_file(path):
            path.write_bytes(b"mine")
        assert path.read_bytes() == b"mine"
        assert [one.name for one in tmp_path.iterdir()] == ["a"]

    def test_a_failure_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"old")
        with pytest.raises(RuntimeError), atomic_file(tmp_path / "a", force=True) as stream:
            stream.write(b"new")
            raise RuntimeError
        assert (tmp_path / "a").read_bytes() == b"old"
        assert [one.name for one in tmp_path.iterdir()] == ["a"]

    def test_a_full_disk(self, tmp_path: Path) -> None:
        root = tmp_path / "small"
        with small_disk(root):
            with pytest.raises(LocalDiskFull), atomic_file(root / "a") as stream:
                stream.write(bytes(8_000_000))
            assert list(root.iterdir()) == []

    def test_a_folder_that_refuses(self, tmp_path: Path) -> None:
        with read_only_disk(tmp_path / "small") as root:
            with pytest.raises(Denied) as error, atomic_file(root / "a"):
                pass
            assert error.value.message.startswith(f"{root}/a: cannot be written: ")
