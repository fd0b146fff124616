"""``medgrid register``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from sqlalchemy import event

from medgrid.actions.register import Meta, parse_meta, register
from medgrid.errors import UsageError
from medgrid.model import LFN, Cause, GridObject, JobId
from tests.lab.datagrid import DataGrid, measures
from tests.lab.dicoms import pydicom_file
from tests.lab.disks import small_disk


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n")
    return path


def get(data: DataGrid, lfn: str) -> GridObject:
    with data.grid() as grid:
        return grid.catalog.objects.get(LFN(lfn))


def nothing_is_registered(data: DataGrid) -> bool:
    with data.grid() as grid:
        reserved = grid.catalog.objects.reservations("near")
    return data.ok("ls").out == "" and data.stored("near") == [] and reserved == {}


class TestFiles:
    def test_a_file_becomes_the_lfn(self, any_data: DataGrid, table: Path) -> None:
        ran = any_data.ok(
            "register",
            table,
            "--to",
            "/notes/table.csv",
            *("--meta", "site=A", "--meta", "volume=1432.5:ml", "--meta", "seen=2021-03-04"),
        )
        assert ran.lines == ["/notes/table.csv"]
        item = get(any_data, "/notes/table.csv")
        assert (item.kind, item.filename, item.size_bytes) == ("table", "table.csv", 8)
        assert item.attributes == {"site": "A", "volume": 1432.5, "seen": "2021-03-04"}
        assert any_data.read("/notes/table.csv") == b"a,b\n1,2\n"
        assert any_data.ok("query", "volume>1400 and site=A").lines == ["/notes/table.csv"]

    def test_files_go_into_a_folder(self, data: DataGrid, table: Path, tmp_path: Path) -> None:
        names = ['it\'s "x".txt', "a b", "Ünïcødé-脳.json", "-dash"]
        for name in names:
            (tmp_path / name).write_text("{}")
        ran = data.ok(
            "register", table, *(tmp_path / name for name in names), "--to", "/notes", "--se", "far"
        )
        assert ran.lines == ["/notes/table.csv", *(f"/notes/{name}" for name in names)]
        assert len(data.stored("far")) == 5
        assert data.ok("register", tmp_path / "a b", "--to", "/new/").lines == ["/new/a b"]
        data.ok("register", tmp_path / "-dash", "--to", "/notes/sub/x")
        ran = data.ok("register", tmp_path / "-dash", "--to", "/notes/sub", "--json")
        assert ran.documents[0]["lfn"] == "/notes/sub/-dash"

    def test_a_volume_brings_its_geometry(self, data: DataGrid, tmp_path: Path) -> None:
        image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.diag([1, 2, 3, 1]))
        nibabel.save(image, tmp_path / "x.nii.gz")
        data.ok("register", tmp_path / "x.nii.gz", "--to", "/x")
        item = get(data, "/x")
        assert (item.kind, item.filename) == ("volume", "image.nii.gz")
        assert (item.attributes["Columns"], item.attributes["VoxelSizeZ"]) == (4, 3)

    def test_an_lfn_that_exists(self, data: DataGrid, table: Path) -> None:
        data.ok("register", table, "--to", "/t")
        (stored,) = data.stored("near")
        table.write_text("new")
        ran = data.run("register", table, "--to", "/t")
        assert (ran.code, ran.err) == (
            2,
            "medgrid: error: /t already exists\n"
            "medgrid: hint: choose another LFN, or ask for a new version with --replace\n",
        )
        assert data.stored("near") == [stored]
        data.ok("register", table, "--to", "/t", "--replace")
        assert get(data, "/t").version == 2
        assert data.read("/t") == b"new"
        assert len(data.stored("near")) == 2

    def test_below_an_lfn_nothing_can_lie(self, data: DataGrid, table: Path) -> None:
        data.ok("register", table, "--to", "/t")
        ran = data.run("register", table, "--to", "/t/x")
        assert ran.code == 2
        assert ran.err.startswith("medgrid: error: /t is an object, nothing can lie below it\n")
        assert len(data.stored("near")) == 1
        with data.grid() as grid:
            assert grid.catalog.objects.reservations("near") == {}

    @pytest.mark.parametrize(
        ("name", "content", "code", "message"),
        [
            ("x.dcm", b"", 2, "x.dcm is a DICOM file"),
            ("x", b"\0" * 128 + b"DICM", 2, "x is a DICOM file"),
            ("x.nii", b"short", 6, "x.nii is not a usable NIfTI file: too short for a NIfTI hea"),
            ("x.nii.gz", b"x" * 400, 6, "x.nii.gz is not a usable NIfTI file: compressed data is"),
        ],
    )
    def test_files_that_cannot_be(
        self,
        data: DataGrid,
        table: Path,
        tmp_path: Path,
        name: str,
        content: bytes,
        code: int,
        message: str,
    ) -> None:
        (tmp_path / name).write_bytes(content)
        ran = data.run("register", table, tmp_path / name, "--to", "/t")
        assert ran.code == code
        assert ran.err.startswith(f"medgrid: error: {tmp_path}/{message}")
        assert nothing_is_registered(data)

    def test_real_dicom(self, data: DataGrid) -> None:
        ran = data.run("register", pydicom_file("CT_small.dcm"), "--to", "/t")
        assert ran.code == 2
        assert ran.err.endswith(
            "medgrid: hint: bring it in with 'medgrid import', which packs series and removes "
            "names\n"
        )

    def test_sources_that_are_not_there(self, data: DataGrid, tmp_path: Path) -> None:
        for source, code, message in (
            (tmp_path / "none", 2, f"{tmp_path}/none: cannot be read: no such file or directory"),
            (tmp_path, 2, f"{tmp_path} is a folder"),
            ("/dev/null", 2, "/dev/null is not a file"),
            ("42", 4, "there is no submission 42"),
            ("42.7", 4, "there is no submission 42"),
        ):
            ran = data.run("register", source, "--to", "/t")
            assert (ran.code, ran.err.splitlines()[0]) == (code, f"medgrid: error: {message}")
        assert nothing_is_registered(data)

    def test_two_files_of_one_name(self, data: DataGrid, table: Path, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        twin = tmp_path / "sub" / "table.csv"
        twin.touch()
        ran = data.run("register", table, twin, "--to", "/t")
        assert (ran.code, ran.err) == (
            2,
            f"medgrid: error: {table} and {twin} would both become /t/table.csv\n",
        )

    def test_a_full_disk_leaves_nothing(self, data: DataGrid, table: Path, tmp_path: Path) -> None:
        big = tmp_path / "big"
        big.write_bytes(bytes(6_000_000))
        data.root("near").rmdir()
        with small_disk(data.root("near")):
            ran = data.run("register", table, big, "--to", "/t")
            assert ran.code == 7
            assert nothing_is_registered(data)

    @pytest.mark.parametrize(
        ("meta", "message"),
        [
            ("x", "'x' is no metadata"),
            ("x=", "metadata 'x' has no value"),
            ("=1", "'' is not an attribute name"),
            ("a-b=1", "'a-b' is not an attribute name"),
            ("lfn=1", "'lfn' is a word of the question language, no attribute name"),
        ],
    )
    def test_metadata_that_cannot_be(
        self, data: DataGrid, table: Path, meta: str, message: str
    ) -> None:
        ran = data.run("register", table, "--to", "/t", "--meta", meta)
        assert (ran.code, ran.err.splitlines()[0]) == (2, f"medgrid: error: {message}")
        assert nothing_is_registered(data)

    def test_metadata_of_another_type(self, data: DataGrid, table: Path) -> None:
        data.ok("register", table, "--to", "/t", "--meta", "volume=1:ml")
        for meta in ("volume=much", "volume=1:mm3"):
            ran = data.run("register", table, "--to", "/u", "--meta", meta)
            assert ran.code == 2
            assert ran.err.startswith("medgrid: error: attribute 'volume' is ")
        assert data.ok("ls").lines == ["/t"]
        assert len(data.stored("near")) == 1


def test_parse_meta() -> None:
    words = ["a=1", "b=1.5e3:ml", 'c="1"', "d=10:30:00", "e=a=b:c", "f=-.5", "g=2021-03-04"]
    assert parse_meta(words) == Meta(
        {
            "a": 1,
            "b": 1500.0,
            "c": "1",
            "d": "10:30:00",
            "e": "a=b:c",
            "f": -0.5,
            "g": "2021-03-04",
        },
        {"b": "ml"},
    )
    with pytest.raises(UsageError):
        parse_meta(["a=1", "a=2"])


PATIENTS: Mapping[str, Mapping[str, Any]] = {
    "A": {"PatientID": "P-A", "PatientSex": "F", "StudyDate": "2020-01-01", "Modality": "MR"},
    "B": {"PatientID": "P-B", "PatientSex": "M", "StudyDate": "2021-01-01", "Modality": "MR"},
}


class TestJobs:
    @pytest.fixture
    def job(self, data: DataGrid) -> JobId:
        return self.done(data)

    def done(self, data: DataGrid, *, report: bool = True) -> JobId:
        """A job of two patients' images against a third image."""
        items = [data.put(f"/t/{n}", attributes=PATIENTS[n]).id for n in ("A", "B")]
        source = data.put("/t/source", attributes={"PatientID": "P-S"}).id
        (job,) = data.submit([items], source)
        outputs = {"measures": measures({"ncc": 0.5, "nmi": 1.25}, {"ncc": 0.75, "nmi": None})}
        data.end(job, {**outputs, **({"report": [("report.txt", b"ok")]} if report else {})})
        return job

    def test_outputs_get_names_measures_and_patients(self, any_data: DataGrid) -> None:
        job = self.done(any_data)
        ran = any_data.ok("register", str(job.submission), "--to", "/results", "--meta", "batch=3")
        assert ran.lines == [
            f"/results/{job}/measures-1",
            f"/results/{job}/measures-2",
            f"/results/{job}/report",
        ]
        first, second, report = (get(any_data, lfn).attributes for lfn in ran.lines)
        assert first == {
            "PatientID": "P-A",
            "PatientSex": "F",
            "StudyDate": "2020-01-01",
            "ncc": 0.5,
            "nmi": 1.25,
            "batch": 3,
        }
        assert second == {
            "PatientID": "P-B",
            "PatientSex": "M",
            "StudyDate": "2021-01-01",
            "ncc": 0.75,
            "batch": 3,
        }
        assert report == {"batch": 3}
        assert any_data.ok("query", "algorithm=measure and nmi>1.2").lines == ran.lines[:1]

    def test_a_volume_that_a_job_made_has_geometry(self, data: DataGrid, tmp_path: Path) -> None:
        image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4))
        nibabel.save(image, tmp_path / "x.nii.gz")
        (job,) = data.submit([[data.put("/t/A", attributes=PATIENTS["A"]).id]])
        outputs = [("x.nii.gz", (tmp_path / "x.nii.gz").read_bytes()), ("y.nii", b"no NIfTI")]
        data.end(job, {"report": outputs})
        first, second = data.ok("register", str(job), "--to", "/r").lines
        attributes = get(data, first).attributes
        assert (attributes["Columns"], attributes["PatientID"]) == (4, "P-A")
        assert "Columns" not in get(data, second).attributes

    def test_one_role(self, data: DataGrid, job: JobId) -> None:
        ran = data.ok("register", str(job), "--to", "/r/", "--role", "report", "--json")
        assert [one["lfn"] for one in ran.documents] == [f"/r/{job}/report"]
        ran = data.run("register", str(job), "--to", "/r", "--role", "pictures")
        assert (ran.code, ran.err) == (
            2,
            "medgrid: error: no output of these jobs is called 'pictures'\n"
            "medgrid: hint: outputs are measures, report\n",
        )

    def test_the_bytes_go_where_asked(self, data: DataGrid, job: JobId) -> None:
        data.ok("register", str(job), "--to", "/r", "--se", "far")
        assert len(data.stored("far")) == 3
        assert data.replicas(f"/r/{job}/report") == ["near", "far"]
        assert data.ok("fsck", "--deep").out == ""

    def test_a_second_time(self, data: DataGrid, job: JobId) -> None:
        data.ok("register", str(job), "--to", "/r")
        ran = data.run("register", str(job), "--to", "/other")
        assert (ran.code, ran.err) == (
            2,
            f"medgrid: error: output measures of job {job} is already registered as "
            f"/r/{job}/measures-1\n",
        )

    def test_a_name_that_is_taken_stops_it_before_anything_changes(
        self, data: DataGrid, job: JobId
    ) -> None:
        data.put(f"/r/{job}/report")
        before = data.stored("near")
        ran = data.run("register", str(job), "--to", "/r", "--se", "far")
        assert (ran.code, ran.err.splitlines()[0]) == (
            2,
            f"medgrid: error: /r/{job}/report already exists",
        )
        assert data.ok("ls", f"/r/{job}").lines == [f"/r/{job}/report"]
        assert (data.stored("near"), data.stored("far")) == (before, [])
        data.ok("register", str(job), "--to", "/r", "--replace")
        assert get(data, f"/r/{job}/report").version == 2

    def test_jobs_that_failed_or_are_not_done(self, data: DataGrid) -> None:
        good, failed, waiting = data.submit([[data.put(f"/t/{n}").id] for n in range(3)])
        data.end(good, {"measures": measures({"ncc": 1})})
        data.end(failed, cause=Cause.EXIT)
        ran = data.run("register", str(good.submission), "--to", "/r")
        assert ran.lines == [f"/r/{good}/measures-1"]
        assert (ran.code, ran.err) == (
            3,
            f"medgrid: warning: job {failed} failed (Done): exit code 1\n"
            f"medgrid: warning: job {waiting} is Submitted, not done yet\n"
            "medgrid: error: 2 of 3 failed\n",
        )
        ran = data.run("register", str(failed), "--to", "/r")
        assert ran.code == 8

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"no JSON", ": not valid JSON: expecting value at line 1 column 1"),
            (b"[" * 3000, ": nested more than 64 deep"),
            (b"[1]", " is not a JSON object"),
            (json.dumps({"ncc": "high"}).encode(), ": ncc is not a number"),
        ],
    )
    def test_measures_that_cannot_be_read(
        self, data: DataGrid, content: bytes, reason: str
    ) -> None:
        (job,) = data.submit([[data.put("/t/1").id]])
        data.end(job, {"measures": [("m.json", content)]})
        ran = data.run("register", str(job), "--to", "/r")
        assert (ran.code, ran.err) == (
            6,
            f"medgrid: error: output measures of job {job} (m.json){reason}\n",
        )
        assert data.ok("ls").lines == ["/t/"]

    def test_jobs_and_files_together(self, data: DataGrid, job: JobId, table: Path) -> None:
        ran = data.ok("register", "-", "--to", "/r", stdin=f"{job}\n{table}\n")
        assert ran.lines[0] == "/r/table.csv"
        assert len(ran.lines) == 4

    def test_many_outputs_take_few_transactions(self, data: DataGrid) -> None:
        jobs = data.submit([[data.put(f"/t/{n}", attributes=PATIENTS["A"]).id] for n in range(12)])
        for number, job in enumerate(jobs):
            data.end(job, {"measures": measures({"ncc": number})})
        begun: list[str] = []
        with data.grid() as grid:
            event.listen(
                grid.catalog.db.engine,
                "before_cursor_execute",
                lambda _1, _2, statement, *_: begun.append(statement),
            )
            done, failures = register(grid, [str(jobs[0].submission)], "/r", se="far")
        assert (len(done), failures) == (12, [])
        assert sum("BEGIN IMMEDIATE" in statement for statement in begun) == 2
        assert len(data.ok("query", "ncc>=6 and PatientID=P-A").lines) == 6
        assert len(data.stored("far")) == 12
