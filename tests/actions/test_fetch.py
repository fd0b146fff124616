"""``medgrid fetch``."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from medgrid.actions.fetch import fetch
from medgrid.actions.transfer import ignore_bad
from medgrid.images.pack import FileStamp, Member, pack
from medgrid.model import Cause, ObjectKind
from tests.lab.datagrid import DataGrid, measures
from tests.lab.disks import small_disk


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def series(folder: Path, *contents: bytes) -> bytes:
    """A packed series."""
    folder.mkdir()
    members = []
    for number, content in enumerate(contents):
        path = folder / str(number)
        path.write_bytes(content)
        members.append(Member(str(path), FileStamp.of(path.stat())))
    return b"".join(pack(members))


class TestLfns:
    def test_an_lfn_becomes_the_file_of_that_path(self, any_data: DataGrid, out: Path) -> None:
        any_data.put("/trial/P-1/T1w", b"voxels", filename="image.nii.gz")
        for name in ("FLAIR.nii", "DWI.nii.gz"):
            any_data.put(f"/named/{name}", b"voxels", filename="image.nii.gz")
        ran = any_data.ok("fetch", "/named/FLAIR.nii", "/named/DWI.nii.gz", "--dir", out)
        assert sorted(files(out / "named")) == ["DWI.nii.gz", "FLAIR.nii.gz"]
        shutil.rmtree(out)
        any_data.put("/notes/table.csv", b"a,b", filename="table.csv")
        ran = any_data.ok(
            "fetch", "--dir", out, "-i", "-", stdin="/trial/P-1/T1w\n/notes/table.csv\n"
        )
        assert ran.lines == [f"{out}/trial/P-1/T1w.nii.gz", f"{out}/notes/table.csv"]
        assert files(out) == {"trial/P-1/T1w.nii.gz": b"voxels", "notes/table.csv": b"a,b"}

    def test_json(self, data: DataGrid, out: Path) -> None:
        data.put("/a", b"abc", filename="file")
        (document,) = data.ok("fetch", "/a", "--dir", out, "--json").documents
        assert document == {
            "schema": "medgrid.fetched/1",
            "path": f"{out}/a",
            "source": "/a",
            "role": None,
            "size_bytes": 3,
        }

    def test_a_series_is_unpacked(self, data: DataGrid, out: Path, tmp_path: Path) -> None:
        tar = series(tmp_path / "s", b"one", b"two")
        data.put("/t/T1w", tar, kind=ObjectKind.SERIES, filename="series.tar")
        assert data.ok("fetch", "/t/T1w", "--dir", out).lines == [f"{out}/t/T1w"]
        assert files(out) == {"t/T1w/IM000001.dcm": b"one", "t/T1w/IM000002.dcm": b"two"}
        assert data.ok("fetch", "/t/T1w", "--dir", out, "--packed").lines == [f"{out}/t/T1w.tar"]
        assert (out / "t/T1w.tar").read_bytes() == tar

        before = (out / "t/T1w").stat()
        assert data.ok("fetch", "/t/T1w", "--dir", out).lines == [f"{out}/t/T1w"]
        assert (out / "t/T1w").stat() == before, "it was there"
        for name in ("IM000001.dcm", "notes"):
            (out / "t/T1w" / name).write_bytes(b"mine"[:3])
            ran = data.run("fetch", "/t/T1w", "--dir", out)
            assert (ran.code, ran.err.splitlines()) == (
                2,
                [
                    f"medgrid: error: {out}/t/T1w exists already and has other content",
                    "medgrid: hint: say --force to write into it",
                ],
            )
            (out / "t/T1w/IM000001.dcm").write_bytes(b"one")
        (out / "t/T1w/IM000001.dcm").write_bytes(b"mine")
        data.ok("fetch", "/t/T1w", "--dir", out, "--force")
        assert files(out / "t/T1w") == {
            "IM000001.dcm": b"one",
            "IM000002.dcm": b"two",
            "notes": b"min",
        }

    def test_a_series_that_is_no_tar_leaves_nothing(self, data: DataGrid, out: Path) -> None:
        data.put("/s", b"no tar at all" * 100, kind=ObjectKind.SERIES, filename="series.tar")
        ran = data.run("fetch", "/s", "--dir", out)
        assert ran.code == 6
        assert ran.err.startswith("medgrid: error: the packed files cannot be unpacked")
        assert list(out.iterdir()) == []

    def test_nothing_is_written_over_but_by_force(self, data: DataGrid, out: Path) -> None:
        data.put("/a", b"theirs", filename="file")
        out.mkdir()
        (out / "a").write_bytes(b"mine")
        ran = data.run("fetch", "/a", "--dir", out)
        assert (ran.code, ran.out, ran.err) == (
            2,
            "",
            f"medgrid: error: {out}/a exists already\n"
            "medgrid: hint: say --force to write over it\n",
        )
        assert files(out) == {"a": b"mine"}
        data.ok("fetch", "/a", "--dir", out, "--force")
        assert files(out) == {"a": b"theirs"}

    def test_what_is_there_already_counts_as_fetched(self, data: DataGrid, out: Path) -> None:
        data.put("/a", b"same", filename="file")
        data.put("/b", b"theirs", filename="file")
        ran = data.ok("fetch", "/a", "--dir", out)

        def as_it_was() -> tuple[int, ...]:  # but for when it was read, which comparing does
            found = (out / "a").stat()
            return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns

        before = as_it_was()
        assert data.ok("fetch", "/a", "--dir", out).out == ran.out
        (out / "b").write_bytes(b"mine!!")
        ran = data.run("fetch", "/a", "/b", "--dir", out)
        assert (ran.code, ran.lines) == (3, [f"{out}/a"])
        assert files(out) == {"a": b"same", "b": b"mine!!"}
        assert as_it_was() == before

    def test_the_next_replica_serves_when_one_is_bad(self, data: DataGrid, out: Path) -> None:
        data.put("/a", b"content", filename="file", se="far")
        data.ok("replica", "add", "/a", "--se", "near")
        data.file_of("/a", "far").write_bytes(b"CONTENT")
        ran = data.run("fetch", "/a", "--dir", out)
        assert ran.code == 0
        assert ran.err.startswith("medgrid: warning: replica at far is not usable: ")
        assert files(out) == {"a": b"content"}

    @pytest.mark.parametrize("stored", [b"CONTENT", b"cont", b"content and more", None])
    def test_bytes_that_are_not_right_are_not_released(
        self, data: DataGrid, out: Path, stored: bytes | None
    ) -> None:
        data.put("/a", b"content", filename="file")
        if stored is None:
            data.file_of("/a").unlink()
        else:
            data.file_of("/a").write_bytes(stored)
        ran = data.run("fetch", "/a", "--dir", out)
        assert ran.code == (4 if stored is None else 6)
        assert ran.err.splitlines()[-1].startswith(
            "medgrid: error: /a: no replica is usable (tried near): storage element near: "
        )
        assert files(out) == {}

    def test_what_does_not_exist(self, data: DataGrid, out: Path) -> None:
        data.put("/a", b"x", filename="file")
        ran = data.run("fetch", "/none", "/a", "1.1", "-x", "--dir", out)
        assert ran.code == 2
        ran = data.run("fetch", "--dir", out, "--", "/none", "/a", "1.1", "-x")
        assert ran.lines == [f"{out}/a"]
        assert ran.code == 3
        assert ran.err.splitlines()[-1] == "medgrid: error: 3 of 4 failed"
        ran = data.run("fetch", "/none", "--dir", out)
        assert ran.code == 4

    def test_an_object_without_replica(self, data: DataGrid, out: Path) -> None:
        data.put("/a")
        data.ok("replica", "rm", "/a", "--se", "near", "--force")
        ran = data.run("fetch", "/a", "--dir", out)
        assert (ran.code, ran.err) == (
            4,
            "medgrid: error: /a: no storage element that is switched on has a replica\n"
            "medgrid: hint: see 'medgrid replica ls /a'\n",
        )

    def test_a_folder_that_cannot_be_written(self, data: DataGrid, tmp_path: Path) -> None:
        data.put("/a", b"x", filename="file")
        (tmp_path / "file").touch()
        ran = data.run("fetch", "/a", "--dir", tmp_path / "file" / "sub")
        assert (ran.code, ran.err) == (
            2,
            f"medgrid: error: {tmp_path}/file/sub: cannot be made: not a directory\n",
        )

    def test_a_full_disk_leaves_nothing(self, data: DataGrid, out: Path) -> None:
        data.put("/big", bytes(6_000_000), filename="file")
        with small_disk(out):
            ran = data.run("fetch", "/big", "--dir", out)
            assert ran.code == 7
            assert ran.err.startswith(f"medgrid: error: {out}/big: cannot be written: ")
            assert files(out) == {}

    @pytest.mark.parametrize("name", ["a b", 'it\'s "x"', "Ünïcødé-脳", "-dash", "$(x)"])
    def test_names_of_all_kinds(self, data: DataGrid, out: Path, name: str) -> None:
        data.put(f"/t/{name}", b"x", filename="file")
        data.ok("fetch", f"/t/{name}", "--dir", out)
        assert files(out) == {f"t/{name}": b"x"}

    def test_a_name_that_no_file_can_have(self, data: DataGrid, out: Path) -> None:
        data.put("/" + "x" * 300, b"x", filename="file")
        ran = data.run("fetch", "/" + "x" * 300, "--dir", out)
        assert ran.code == 2
        assert ran.err.endswith(": cannot be written: file name too long\n")
        assert files(out) == {}

    def test_when_it_is_stopped_nothing_half_written_is_left(
        self, data: DataGrid, out: Path
    ) -> None:
        words = [f"/{n}" for n in range(8)]
        for word in words:
            data.put(word, os.urandom(3_000_000), filename="file")
        with data.grid() as grid:
            results = fetch(grid, words, out, on_bad=ignore_bad)
            next(results)
            results.close()  # as when the user types Ctrl-C
        found = files(out)
        assert all(len(content) == 3_000_000 for content in found.values())
        assert not any(name.startswith(".") for name in found)
        assert not any(thread.name.startswith("fetch") for thread in threading.enumerate())


class TestJobs:
    def test_outputs_go_to_a_folder_of_the_job(self, any_data: DataGrid, out: Path) -> None:
        items = [any_data.put(f"/t/{n}").id for n in range(2)]
        (job,) = any_data.submit([items])
        any_data.end(
            job,
            {
                "measures": measures({"ncc": 0.5}, {"ncc": 0.7}),
                "report": [("report.txt", b"fine")],
            },
            stdout="hello\n",
        )
        ran = any_data.ok("fetch", str(job), "--dir", out)
        assert ran.lines == [
            f"{out}/{job}/stdout.txt",
            f"{out}/{job}/m-1.json",
            f"{out}/{job}/m-2.json",
            f"{out}/{job}/report.txt",
        ]
        assert files(out / str(job)) == {
            "m-1.json": b'{"ncc": 0.5}',
            "m-2.json": b'{"ncc": 0.7}',
            "report.txt": b"fine",
            "stdout.txt": b"hello\n",
        }

    def test_outputs_of_one_name(self, data: DataGrid, out: Path) -> None:
        (job,) = data.submit([[data.put("/t/1").id]])
        data.end(
            job,
            {
                "measures": [("x.json", b"1"), ("x.json", b"2")],
                "report": [("x.json", b"3"), ("stderr.txt", b"4")],
            },
            stderr="warned",
        )
        data.ok("fetch", str(job), "--dir", out)
        assert files(out / str(job)) == {
            "measures/1/x.json": b"1",
            "measures/2/x.json": b"2",
            "report/x.json": b"3",
            "stderr.txt": b"4",
        }

    def test_jobs_that_are_not_done_are_listed(self, data: DataGrid, out: Path) -> None:
        done, waiting, failed = data.submit([[data.put(f"/t/{n}").id] for n in range(3)])
        data.end(done, {"report": [("report.txt", b"fine")]})
        data.end(failed, cause=Cause.EXIT, stderr="no such file\n")
        ran = data.run("fetch", str(done.submission), "--dir", out)
        assert ran.lines == [f"{out}/{done}/report.txt", f"{out}/{failed}/stderr.txt"]
        assert (ran.code, ran.err) == (
            3,
            f"medgrid: warning: job {waiting} is Submitted, not done yet\n"
            f"medgrid: warning: job {failed} failed (Done): exit code 1\n"
            "medgrid: error: 2 of 3 failed\n",
        )
        assert (out / str(failed) / "stderr.txt").read_text() == "no such file\n"

    def test_one_job_that_is_not_done(self, data: DataGrid, out: Path) -> None:
        waiting, failed = data.submit([[data.put(f"/t/{n}").id] for n in range(2)])
        data.end(failed, cause=Cause.EXIT, stderr="oh")
        ran = data.run("fetch", str(waiting), "--dir", out)
        assert (ran.code, ran.out, ran.err) == (
            3,
            "",
            f"medgrid: error: job {waiting} is Submitted, not done yet\n"
            f"medgrid: hint: wait for it with 'medgrid status {waiting} --wait'\n",
        )
        ran = data.run("fetch", str(failed), "--dir", out)
        assert (ran.code, ran.err) == (
            8,
            f"medgrid: error: job {failed} failed (Done): exit code 1\n"
            f"medgrid: hint: see 'medgrid explain {failed}'\n",
        )

    def test_ids_from_a_file(self, data: DataGrid, out: Path, tmp_path: Path) -> None:
        jobs = data.submit([[data.put(f"/t/{n}").id] for n in range(3)])
        for job in jobs:
            data.end(job, {"report": [("report.txt", b"fine")]})
        (tmp_path / "ids").write_text("".join(f"{job}\n" for job in jobs))
        ran = data.ok("fetch", "-i", tmp_path / "ids", "--dir", out)
        assert ran.lines == [f"{out}/{job}/report.txt" for job in jobs]
