"""``medgrid import`` at the prompt: what is printed where, exit codes, interruption."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
from pathlib import Path

import pydicom
import pytest

from medgrid.crypto.pseudonym import load_key, pseudonym
from medgrid.images.patient import PatientKeys
from tests.lab.dicoms import encoded, instance, pydicom_file, write_series
from tests.lab.niftis import write_bids, write_json, write_nifti
from tests.lab.prompt import Prompt
from tests.lab.waiting import PATIENCE_S, wait_for

SERIES = 520  # more than are registered at once, in lines of more than a pipe holds
FEW = 100  # take longer than a signal


def patient(prompt: Prompt, patient_id: str = "PAT-4711") -> str:
    return pseudonym(load_key(prompt.home / "keys"), patient_id)


def study(prompt: Prompt) -> str:
    """Folder of the patient's study."""
    keys = PatientKeys.of(load_key(prompt.home / "keys"), patient(prompt))
    return f"/trial/{keys.pseudonym}/{keys.told_day('2021-03-04T185059')}"


def test_lfns_on_stdout_and_a_summary_on_stderr(grid_prompt: Prompt, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 3)
    ran = grid_prompt.ok("import", tmp_path / "in", "--to", "/trial")
    assert ran.out == f"{study(grid_prompt)}/T1w\n"
    assert ran.err == "new: 1 object from 3 files\n"
    ran = grid_prompt.ok("import", tmp_path / "in", "--to", "/trial")
    assert (ran.out, ran.err) == ("", "new: nothing; unchanged: 3 files\n")
    ran = grid_prompt.ok("-q", "import", tmp_path / "in", "--to", "/trial")
    assert (ran.out, ran.err) == ("", ""), "cron mails what is said"


def test_broken_files_are_listed_and_the_rest_goes_in(grid_prompt: Prompt, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_series(folder, 1)
    shutil.copy(pydicom_file("MR_truncated.dcm"), folder / "cut off\n.dcm")
    shutil.copy(pydicom_file("test-SR.dcm"), folder)
    (folder / "bad\udce9.dcm").write_bytes(b"hello")
    ran = grid_prompt("import", folder, "--to", "/trial")
    assert ran.code == 3
    assert sorted(line.endswith(".original") for line in ran.lines) == [False, True]
    assert sorted(ran.err.splitlines()) == sorted(
        [
            f"medgrid: error: {folder}/bad\\xe9.dcm: not a DICOM file",
            f"medgrid: error: {folder}/cut off\\n.dcm: ends within its pixel data",
            "new: 2 objects from 2 files; failed: 2 files",
            "for the care team alone: 1 without a twin: not an image (Comprehensive SR Storage)",
            "medgrid: error: 2 files could not be imported",
            "medgrid: hint: the reasons stand above",
        ]
    )


def test_tables_about_people(grid_prompt: Prompt, tmp_path: Path) -> None:
    root = write_bids(tmp_path / "in")
    table = root / "participants.tsv"
    table.write_text(
        "participant_id\tage\tarm\tremarks\n"
        "sub-01\t34\ttreated\tfell ill\nsub-02\t93\ttreated\tn/a\nsub-03\t50\tplacebo\tn/a\n"
        "sub-04\t50\tplacebo\tn/a\n"
    )
    ran = grid_prompt.ok("import", root, "--to", "/trial")
    assert ran.err.splitlines()[:3] == [
        "participants.tsv: column remarks left out: names, ids or remarks, by its name",
        "participants.tsv: nobody in the grid: row 3, row 4",
        "new: 4 objects from 9 files; attributes of patients: 2 values",
    ]
    assert len(grid_prompt.ok("query", "arm=treated and suffix=T1w").lines) == 2
    assert grid_prompt.ok("-q", "import", root, "--to", "/trial").err == ""
    table.write_text("participant_id\tarm\nsub-01\tplacebo\nsub-02\tplacebo\n")
    ran = grid_prompt.ok("import", root, "--to", "/trial", "--json")
    _, told, summary = (json.loads(line) for line in ran.err.splitlines())  # first the README
    assert (told["schema"], told["table"]) == ("medgrid.table/1", "participants.tsv")
    assert [one["name"] for one in told["changed"]] == ["arm", "arm"]
    assert (summary["tables"], summary["attributes"]) == (1, 2)


def test_columns_that_are_left_out(grid_prompt: Prompt, tmp_path: Path) -> None:
    root = write_bids(tmp_path / "in")
    (root / "participants.tsv").write_text("participant_id\tarm\nsub-01\ta\nsub-02\ta\n")
    words = ("import", root, "--to", "/trial", "--dry-run", "--leave-out")
    ran = grid_prompt.ok(*words, "arm")
    assert ran.err.startswith("participants.tsv: column arm left out: as it was asked for\n")
    ran = grid_prompt(*words, "amr")
    assert ran.code == 3
    assert ran.err.startswith(
        "medgrid: error: --leave-out amr: no table has this column: nothing was taken of any\n"
    )


def test_json(grid_prompt: Prompt, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 1)
    (tmp_path / "in" / "bad\udce9.dcm").write_bytes(b"hello")
    ran = grid_prompt("import", tmp_path / "in", "--to", "/trial", "--json")
    assert ran.code == 3
    (document,) = ran.documents
    assert document["schema"] == "medgrid.import/1"
    assert document["lfn"] == f"{study(grid_prompt)}/T1w"
    assert document["kind"] == "series"
    failure, summary, error = (json.loads(line) for line in ran.err.splitlines())
    assert failure == {
        "schema": "medgrid.import-failure/1",
        "path": f"{tmp_path}/in/bad\\xe9.dcm",
        "reason": "not a DICOM file",
    }
    assert summary == {
        "schema": "medgrid.import-summary/1",
        "new": 1,
        "versions": 0,
        "files": 2,
        "imported": 1,
        "unchanged": 0,
        "known": 0,
        "failed": 1,
        "failed_before": 0,
        "damaged": 0,
        "removed": 0,
        "doubts": 0,
        "warnings": 0,
        "tables": 0,
        "attributes": 0,
        "left_out": {},
        "without_twin": {},
    }
    assert error["exit_code"] == 3


@pytest.mark.parametrize(
    ("words", "code", "err"),
    [
        (
            ["import", "{in}/gone", "--to", "/trial"],
            4,
            "medgrid: error: '{in}/gone' does not exist\nmedgrid: hint: name a file or a folder\n",
        ),
        (
            ["import", "{in}", "--to", "/trial"],
            4,
            "medgrid: error: no images below '{in}': no files\n",
        ),
        (
            ["import", "{in}", "--to", "trial"],
            2,
            "medgrid: error: 'trial' is not a logical file name: it does not start with '/'\n"
            "medgrid: hint: an LFN looks like /trial/P-7F3K/2021-03-04/T1w\n",
        ),
        (
            ["import", "{in}"],
            2,
            "medgrid: error: missing option '--to'\nmedgrid: hint: see 'medgrid import --help'\n",
        ),
        (
            ["import", "--to", "/trial"],
            2,
            "medgrid: error: missing argument 'PATH...'\n"
            "medgrid: hint: see 'medgrid import --help'\n",
        ),
        (
            ["import", "{in}", "--to", "/trial", "--se", "locl"],
            4,
            "medgrid: error: no storage element 'locl'\nmedgrid: hint: did you mean local?\n",
        ),
    ],
)
def test_errors(grid_prompt: Prompt, tmp_path: Path, words: list[str], code: int, err: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    ran = grid_prompt(*(word.replace("{in}", str(folder)) for word in words))
    assert (ran.code, ran.out) == (code, "")
    assert ran.err == err.replace("{in}", str(folder))


def test_without_a_grid(prompt: Prompt, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 1)
    ran = prompt("import", tmp_path / "in", "--to", "/trial")
    assert ran.code == 9
    assert ran.err.splitlines()[0] == f"medgrid: error: no grid at {prompt.home}"
    assert not prompt.home.exists()


def test_a_path_that_begins_with_a_dash(grid_prompt: Prompt, tmp_path: Path) -> None:
    write_series(tmp_path / "-rf", 1)
    ran = grid_prompt.start("import", "--to", "/trial", "--", "-rf", cwd=tmp_path)
    out, err = ran.communicate(timeout=PATIENCE_S)
    assert (ran.returncode, len(out.splitlines())) == (0, 1), err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Series of two instances each."""
    return write_many(tmp_path / "many", SERIES)


def write_many(whole: Path, count: int) -> Path:
    whole.mkdir()
    for series in range(count):
        inner = whole / f"s{series:03d}"
        inner.mkdir()
        for number in (1, 2):
            ds = instance(number, series=str(series + 1), SeriesDescription=f"s{series:03d}")
            (inner / f"{number}").write_bytes(encoded(ds))
    return whole


def everything(prompt: Prompt) -> list[str]:
    return prompt.ok("ls", study(prompt)).lines


def twins(prompt: Prompt) -> list[str]:
    return [lfn for lfn in everything(prompt) if not lfn.endswith(".original")]


def stored(prompt: Prompt) -> int:
    return sum(path.is_file() for path in (prompt.home / "storage").rglob("*"))


def test_killed_while_it_stores_the_next_import_goes_on(
    grid_prompt: Prompt, tmp_path: Path
) -> None:
    folder = write_many(tmp_path / "many", FEW)
    ran = grid_prompt.start("import", folder, "--to", "/trial")
    wait_for(lambda: stored(grid_prompt) > 0, "something to be stored")
    ran.send_signal(signal.SIGKILL)
    out, _ = ran.communicate(timeout=PATIENCE_S)
    assert out == "", "it was not done"
    again = grid_prompt.ok("import", folder, "--to", "/trial")
    assert len(again.lines) == FEW
    assert len(everything(grid_prompt)) == 2 * FEW
    assert grid_prompt.ok("import", folder, "--to", "/trial").out == ""


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 100])
def test_killed_at_any_point_the_next_import_goes_on(
    grid_prompt: Prompt, folder: Path, after: int
) -> None:
    ran = grid_prompt.start("import", folder, "--to", "/trial")
    assert ran.stdout is not None
    for _ in range(after):
        assert ran.stdout.readline()
    ran.send_signal(signal.SIGKILL)
    ran.communicate(timeout=PATIENCE_S)
    done = len(twins(grid_prompt))
    assert after <= done < SERIES
    assert len(everything(grid_prompt)) == 2 * done, "each with its original"
    again = grid_prompt.ok("import", folder, "--to", "/trial")
    assert len(again.lines) == SERIES - done
    assert len(everything(grid_prompt)) == 2 * SERIES
    assert grid_prompt.ok("import", folder, "--to", "/trial").out == ""


def test_control_c_ends_it_clean(grid_prompt: Prompt, tmp_path: Path) -> None:
    ran = grid_prompt.start("import", write_many(tmp_path / "many", FEW), "--to", "/trial")
    wait_for(lambda: stored(grid_prompt) > 0, "something to be stored")
    ran.send_signal(signal.SIGINT)
    _, err = ran.communicate(timeout=PATIENCE_S)
    assert ran.returncode == 130
    assert err == "medgrid: error: interrupted\n"
    there = grid_prompt("ls", study(grid_prompt)).lines
    assert stored(grid_prompt) == len(there), "nothing is half there"


def test_control_c_while_processes_read(grid_prompt: Prompt, tmp_path: Path) -> None:
    data = encoded(instance())
    (tmp_path / "in").mkdir()
    for number in range(1200):
        path = tmp_path / "in" / str(number)
        path.write_bytes(data)
    ran = grid_prompt.start("import", tmp_path / "in", "--to", "/trial", "--jobs", "2")
    below = Path(f"/proc/{ran.pid}/task/{ran.pid}/children")
    wait_for(lambda: len(below.read_text().split()) >= 2, "two processes to read")
    children = below.read_text().split()
    ran.send_signal(signal.SIGINT)
    out, err = ran.communicate(timeout=PATIENCE_S)
    assert (ran.returncode, out) == (130, "")
    assert err == "medgrid: error: interrupted\n"
    wait_for(
        lambda: not any(Path(f"/proc/{child}").exists() for child in children),
        "the processes that read to end",
    )


@pytest.mark.slow
def test_two_imports_at_once_bring_each_series_once(grid_prompt: Prompt, folder: Path) -> None:
    few = 100
    for series in sorted(folder.iterdir())[few:]:
        shutil.rmtree(series)
    both = [grid_prompt.start("import", folder, "--to", "/trial") for _ in range(2)]
    ended = [ran.communicate(timeout=PATIENCE_S) for ran in both]
    assert {ran.returncode for ran in both} <= {0, 3}
    lines = [line for out, _ in ended for line in out.splitlines()]
    assert len(lines) == len(set(lines)) == few
    assert len(everything(grid_prompt)) == 2 * few
    for _, err in ended:
        for line in err.splitlines():
            if line.startswith("medgrid: error: /"):
                assert line.endswith("another import brings what it belongs to; import again")
    assert grid_prompt.ok("import", folder, "--to", "/trial").out == ""


WORDS = ("Zweistein", "Albertine", "KX-99871", "19610203")


def test_no_trace_of_the_patient_in_the_grids_files(grid_prompt: Prompt, tmp_path: Path) -> None:
    source = tmp_path / "in"
    named = "Zweistein Albertine KX-99871"
    with pydicom.config.disable_value_validation():
        values = {
            "PatientName": "Zweistein^Albertine",
            "PatientID": "KX-99871",
            "PatientBirthDate": "19610203",
            "SeriesDescription": f"T1w {named}",
            "StudyDescription": named.upper(),
            "ProtocolName": "zweistein_albertine",
            "Manufacturer": f"M {named}",
            "ImageComments": named,
            "InstitutionName": named,
            "StationName": named,
            "StudyInstanceUID": "1.2.99871.5",
            "BodyPartExamined": "ZWEISTEIN",
            "AccessionNumber": "KX-99871",
        }
        write_series(source / named, 3, **values)
        (source / named / "IM9.dcm").write_bytes(encoded(instance(9, **values))[:900])
    volume = source / "Zweistein_Albertine_KX-99871.nii.gz"
    write_nifti(volume, descrip="Zweistein Albertine")
    fields = {
        "PatientID": "KX-99871",
        "PatientName": "Zweistein^Albertine",
        "SeriesDescription": named,
    }
    write_json(volume.with_name("Zweistein_Albertine_KX-99871.json"), fields)
    bids = write_bids(source / "bids")
    (bids / "sub-01").rename(bids / "sub-Zweistein")
    for path in list((bids / "sub-Zweistein").rglob("sub-01*")):
        path.rename(path.with_name(path.name.replace("sub-01", "sub-Zweistein")))
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    grid_prompt.env = {"TMPDIR": str(scratch)}
    ran = grid_prompt("--debug", "import", source, "--to", "/trial", "--nifti")
    assert ran.code == 3
    assert len(ran.lines) == 7, ran.out
    for line in ran.lines:
        assert not any(word.lower() in line.lower() for word in WORDS), line
    needles = [form for word in WORDS for form in forms(word)]
    objects = 0
    for root, folders, files in os.walk(grid_prompt.home):
        for name in (*folders, *files):
            assert not any(word.lower() in name.lower() for word in WORDS), name
        for name in files:
            if Path(root).is_relative_to(grid_prompt.home / "storage"):
                objects += 1
            data = (Path(root) / name).read_bytes().lower()
            for needle in needles:
                assert needle not in data, (name, needle)
    assert objects == 2 * 7 - 1, "originals and twins; what was converted is from a twin"
    assert list(scratch.iterdir()) == []


def forms(word: str) -> list[bytes]:
    """A word as it could lie in a file, in lower case."""
    plain = [word.lower(), word.upper(), word]
    found = {text.encode(code) for text in plain for code in ("utf-8", "utf-16-le", "utf-16-be")}
    found |= {text.encode().hex().encode() for text in plain}
    for text in plain:
        for shift in range(3):
            coded = base64.b64encode(b"\0" * shift + text.encode())
            found.add(coded[4 : len(text) * 4 // 3 - 1])
    return [form.lower() for form in found]
