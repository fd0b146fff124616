"""``medgrid ls``, ``stat``, ``mv`` and ``rm``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medgrid.actions.lfn import facts, of_file
from medgrid.catalog.patient_attributes import Given
from medgrid.crypto.keystore import KeyStore
from medgrid.model import LFN, DataClass
from tests.lab.datagrid import ME, DataGrid, measures
from tests.lab.dicoms import write_series
from tests.lab.importer import Importer
from tests.lab.niftis import write_json, write_nifti


def test_ls_prints_lfns_and_folders(any_data: DataGrid) -> None:
    for lfn in ("/trial/P-1/T1w", "/trial/P-1/T2w", "/trial/notes", "/other"):
        any_data.put(lfn)
    assert any_data.ok("ls").lines == ["/other", "/trial/"]
    assert any_data.ok("ls", "/trial/").lines == ["/trial/P-1/", "/trial/notes"]
    assert any_data.ok("ls", "/trial/P-1").lines == ["/trial/P-1/T1w", "/trial/P-1/T2w"]
    assert any_data.ok("ls", "/trial/notes").lines == ["/trial/notes"]


def test_ls_long(data: DataGrid) -> None:
    data.put("/trial/a", b"x" * 2048)
    data.put("/trial/b/c")
    rows = data.ok("ls", "-l", "/trial").rows
    assert [row[0:2] + row[3:] for row in rows] == [
        ["file", "2.0K", "1", "/trial/a"],
        ["folder", "", "", "/trial/b/"],
    ]
    first, second = data.ok("ls", "/trial", "--json").documents
    assert (first["schema"], first["size_bytes"], first["replicas"]) == ("medgrid.entry/1", 2048, 1)
    assert (second["lfn"], second["kind"]) == ("/trial/b/", "folder")


def test_what_is_said_of_visits(bring: Importer, tmp_path: Path) -> None:
    """What the session says stands beside what the date says, and both before the patient's."""
    path = write_nifti(tmp_path / "sub-01" / "ses-1" / "sub-01_ses-1_T1w.nii")
    write_json(path.with_suffix(".json"), {"StudyDate": ["2021-03-04", "2021-03-05"]})
    bring(tmp_path)
    (lfn,) = map(LFN, bring.lfns)
    known = bring.twin(lfn)
    days = known.attributes["StudyDate"]
    assert isinstance(days, list)
    patient = known.patient or ""
    said = bring.grid.catalog.patient_attributes
    said.give([Given(patient, "", "edss", 1.0), Given(patient, "", "arm", "a")], ME)
    said.give([Given(patient, "1", "edss", 2.0), Given(patient, days[0], "edss", 3.0)], ME)
    assert facts(bring.grid, lfn).said == {"arm": "a", "edss": [2.0, 3.0]}


def test_stat_finds_what_a_file_is_in_by_now(bring: Importer, tmp_path: Path) -> None:
    (first,) = write_series(tmp_path / "in", 1)
    bring(tmp_path / "in")
    (lfn,) = bring.lfns
    _, second = write_series(tmp_path / "more", 2)
    bring(second)
    assert bring.twin(lfn).version == 2
    for path in (first, second):
        assert of_file(bring.grid, str(path)) == (lfn, False)
    first.write_bytes(b"something else")
    assert of_file(bring.grid, str(first)) == (lfn, True)
    first.unlink()
    assert of_file(bring.grid, str(first)) == (lfn, False)


def test_ls_of_nothing(data: DataGrid) -> None:
    assert data.ok("ls").out == ""
    ran = data.run("ls", "/nowhere")
    assert (ran.code, ran.err) == (4, "medgrid: error: nothing lies below /nowhere\n")
    ran = data.run("ls", "nowhere")
    assert ran.code == 2
    assert ran.err.startswith("medgrid: error: 'nowhere' is not a logical file name: ")


def test_stat(any_data: DataGrid) -> None:
    item = any_data.put("/trial/T1w", b"abc", attributes={"Modality": "MR", "Rows": 256})
    lines = any_data.ok("stat", "/trial/T1w").lines
    assert "lfn: /trial/T1w" in lines
    assert f"sha256: {item.sha256}" in lines
    assert "  Modality: MR" in lines
    assert "  Rows: 256" in lines
    (document,) = any_data.ok("stat", "--json", "/trial/T1w").documents
    assert document["attributes"] == {"Modality": "MR", "Rows": 256}
    assert document["replicas"] == [
        {"se": "near", "pfn": f"{item.id[:2]}/{item.id[2:4]}/{item.id}"}
    ]
    assert (document["made_by"], document["made_into"]) == (None, [])


def test_stat_says_what_differs_in_a_series(data: DataGrid) -> None:
    several = {
        "EchoTime": [5, 10.25],
        "ImageType": [["ORIGINAL", "M"], ["ORIGINAL", "P"]],
        "XRayTubeCurrent": [100, 289],
        "PixelSpacing": [0.5, 1 / 3],
        "MTState": True,
        "Varies": ["EchoTime", "ImageType", "XRayTubeCurrent"],
        "VariesWidely": ["XRayTubeCurrent"],
    }
    data.put("/trial/T1w", attributes=several)
    lines = data.ok("stat", "/trial/T1w").lines
    for line in (
        "  EchoTime: 5, 10.25 (2 values)",
        r"  ImageType: ORIGINAL\M, ORIGINAL\P (2 values)",
        "  XRayTubeCurrent: 100, 289 (least and greatest of many values)",
        "  PixelSpacing: 0.5, 0.3333333333333333",
        "  MTState: true",
    ):
        assert line in lines
    (document,) = data.ok("stat", "--json", "/trial/T1w").documents
    assert document["attributes"] == several
    shown = data.ok("query", "EchoTime=5", "--columns", "EchoTime,ImageType").rows
    assert shown == [["/trial/T1w", "5,10.25", r"ORIGINAL\M,ORIGINAL\P"]]


def test_stat_of_many_of_which_one_is_missing(data: DataGrid) -> None:
    data.put("/a")
    data.put("/b")
    ran = data.run("stat", "-", stdin="/a\n/none\n/b\n")
    assert [line for line in ran.lines if line.startswith("lfn")] == ["lfn: /a", "lfn: /b"]
    assert (ran.code, ran.err) == (
        3,
        "medgrid: warning: no LFN /none\nmedgrid: error: 1 of 3 failed\n",
    )
    ran = data.run("stat", "/none")
    assert (ran.code, ran.err) == (
        4,
        "medgrid: error: no LFN /none\nmedgrid: hint: see 'medgrid ls' and 'medgrid query'\n",
    )


@pytest.mark.parametrize(
    "name", ["with space", 'it\'s "quoted"', "Ünïcødé-脳", "-starts-with-minus", "$(reboot)"]
)
def test_names_of_all_kinds(data: DataGrid, name: str) -> None:
    lfn = f"/trial/{name}"
    data.put(lfn)
    assert data.ok("ls", "/trial").lines == [lfn]
    assert json.loads(data.ok("stat", "--json", lfn).out)["lfn"] == lfn
    data.ok("mv", lfn, "/moved/")
    assert data.ok("ls", "/moved").lines == [f"/moved/{name}"]
    data.ok("rm", "--yes", f"/moved/{name}")
    assert data.stored("near") == []


def test_mv(any_data: DataGrid) -> None:
    for lfn in ("/a/x", "/a/y/z", "/b/k"):
        any_data.put(lfn)
    any_data.ok("mv", "/a/x", "/a/renamed")
    assert any_data.ok("ls", "/a").lines == ["/a/renamed", "/a/y/"]
    any_data.ok("mv", "/a/renamed", "/b")
    assert any_data.ok("ls", "/b").lines == ["/b/k", "/b/renamed"]
    ran = any_data.ok("mv", "/a", "/new", "--json")
    assert ran.documents == [{"schema": "medgrid.moved/1", "lfn": "/a/y/z", "to": "/new/y/z"}]
    assert any_data.ok("ls").lines == ["/b/", "/new/"]


def test_mv_that_cannot_be(data: DataGrid) -> None:
    for lfn in ("/a/x", "/a/y", "/c/a/y"):
        data.put(lfn)
    for words, code, message in (
        (("/none", "/x"), 4, "nothing lies below /none"),
        (("/a/x", "/a/y"), 2, "/a/y already exists"),
        (("/a/x", "relative"), 2, "'relative' is not a logical file name: it does not start with"),
        (("/a", "/a/b"), 2, "/a cannot go into itself"),
        (("/a", "/c"), 2, "/c/a/y already exists"),
        (("/", "/c"), 2, "'/' cannot be moved"),
    ):
        ran = data.run("mv", *words)
        assert ran.code == code
        assert ran.err.startswith(f"medgrid: error: {message}")
    assert data.ok("ls", "/a").lines == ["/a/x", "/a/y"]


def test_rm(any_data: DataGrid) -> None:
    any_data.put("/a/x")
    any_data.put("/a/y")
    any_data.put("/b")
    any_data.ok("rm", "--yes", "-", stdin="/a/x\n")
    assert any_data.ok("ls", "/a").lines == ["/a/y"]
    assert len(any_data.stored("near")) == 2
    any_data.ok("rm", "-y", "-r", "/a", "/b")
    assert any_data.ok("ls").lines == []
    assert any_data.stored("near") == []


def test_rm_destroys_the_key_while_others_have_the_store_open(data: DataGrid) -> None:
    item = data.put("/a", data_class=DataClass.IMAGE)
    (url,) = data.settings.keystore_urls
    folder = data.settings.home
    with KeyStore.open(url, ME) as store:
        header = store.release([item.id], "test")[item.id].header
        assert any(header in path.read_bytes() for path in folder.glob("keystore.db*"))
        data.ok("rm", "--yes", "/a")
        assert not any(header[-64:] in path.read_bytes() for path in folder.glob("keystore.db*"))
        assert store.release([item.id], "test") == {}


def test_rm_is_all_or_nothing(data: DataGrid) -> None:
    data.put("/a")
    data.put("/folder/b")
    for words, code, error in (
        (("/a", "/none", "/gone"), 4, "no LFN /none (and 1 more)\nmedgrid: hint: nothing was rem"),
        (("/a", "/folder"), 2, "/folder is a folder\nmedgrid: hint: say -r for all that is below"),
    ):
        ran = data.run("rm", "--yes", *words)
        assert ran.code == code
        assert ran.err.startswith(f"medgrid: error: {error}")
    assert data.ok("ls").lines == ["/a", "/folder/"]
    assert len(data.stored("near")) == 2


def test_rm_asks_and_where_nobody_can_answer_refuses(data: DataGrid) -> None:
    data.put("/a")
    ran = data.run("rm", "/a")
    assert (ran.code, ran.err) == (
        2,
        "medgrid: error: remove /a and the bytes of all copies? cannot be asked here\n"
        "medgrid: hint: say --yes to go on\n",
    )
    assert data.ok("ls").lines == ["/a"]


def test_rm_of_an_empty_list(data: DataGrid) -> None:
    data.ok("rm", "--yes", "-")
    ran = data.run("rm", "--yes")
    assert (ran.code, ran.err.splitlines()[0]) == (2, "medgrid: error: no LFN given")


def test_rm_where_the_bytes_cannot_be_reached(data: DataGrid) -> None:
    data.put("/a")
    data.put("/b", se="far")
    data.root("near").rename(data.root("gone"))
    ran = data.run("rm", "--yes", "/a", "/b")
    assert ran.code == 3
    assert ran.err == (
        "medgrid: warning: bytes of /a at near: storage element near: its root directory "
        f"{data.root('near')} is not there\n"
        "medgrid: error: 1 of 3 failed\n"
        "medgrid: hint: 'medgrid fsck --repair' removes them later\n"
    )
    assert data.ok("ls").lines == []
    assert data.stored("far") == []


def test_rm_of_an_input_of_an_open_job(any_data: DataGrid, tmp_path: Path) -> None:
    item, shared = any_data.put("/a"), any_data.put("/source")
    any_data.put("/b")
    (job,) = any_data.submit([[item.id]], shared.id)
    for lfn in ("/a", "/source"):
        ran = any_data.run("rm", "--yes", "/b", lfn)
        assert (ran.code, ran.err) == (
            2,
            f"medgrid: error: {lfn} is an input of job {job}, which has not ended\n"
            "medgrid: hint: nothing was removed; wait for the job, cancel it, or say --force\n",
        )
    assert any_data.ok("ls").lines == ["/a", "/b", "/source"]
    (tmp_path / "a").write_text("new")
    any_data.ok("register", tmp_path / "a", "--to", "/a", "--replace")
    assert any_data.run("rm", "--yes", "/a").code == 2  # the job has the older version
    any_data.ok("rm", "--yes", "--force", "/a")
    any_data.end(job, {"measures": measures({"ncc": 1})})
    any_data.ok("rm", "--yes", "/source", "/b")
