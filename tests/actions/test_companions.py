"""What belongs to an image comes in with it, and is beside it wherever it goes."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from medgrid.actions.fetch import Fetched, fetch
from medgrid.actions.lfn import move
from medgrid.actions.transfer import ignore_bad
from medgrid.actions.vocabulary import release_words
from medgrid.images.nifti import geometry
from medgrid.model import GridObject
from tests.lab.importer import Importer
from tests.lab.niftis import B_VALUES, B_VECTORS, write_dwi, write_json, write_nifti

VOLUMES = 4


def write_bold(root: Path) -> Path:
    """A BIDS dataset of one functional run with events and a recording; gives the image."""
    folder = root / "sub-4711" / "func"
    name = "sub-4711_task-rest"
    write_json(root / "dataset_description.json", {"Name": "Trial", "BIDSVersion": "1.10.0"})
    image = write_nifti(folder / f"{name}_bold.nii.gz", (4, 5, 6, 3))
    (folder / f"{name}_events.tsv").write_text(
        "onset\tduration\ttrial_type\trater\tday\tid\n"
        "0.5\t1\tgo\tDr Meier\t20210304\t4711\n"
        "2\tn/a\tgo\tDr Meier\t20210304\t4711\n"
        "4\t1\tno_go_left\tDr Smith\t20210305\t12\n"
    )
    write_json(
        root / "task-rest_events.json",
        {"rater": {"Description": "Anna Meier rates"}, "StartTime": -1.5},
    )
    (folder / f"{name}_recording-cardiac_physio.tsv.gz").write_bytes(
        gzip.compress(b"1.5\t2048\n-2e3\tMeier\n")
    )
    write_json(
        folder / f"{name}_recording-cardiac_physio.json",
        {"SamplingFrequency": 50, "Columns": ["cardiac", "Annas belt"], "Note": "Anna"},
    )
    return image


def beside(bring: Importer, item: GridObject) -> dict[str, Any]:
    """Companions of an image, JSON read."""
    found = bring.parts(item)
    assert next(iter(found)).startswith("image.nii"), "the image is the first one"
    return {
        name: json.loads(data) if name.endswith(".json") else data
        for name, data in found.items()
        if not name.startswith("image.nii")
    }


def fetched(bring: Importer, folder: Path, *lfns: str, **options: Any) -> list[Any]:
    return list(fetch(bring.grid, lfns, folder, on_bad=ignore_bad, **options))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_gradients_and_side_cars_are_kept_with_the_image(bring: Importer, tmp_path: Path) -> None:
    image = write_dwi(tmp_path / "in")
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.imported, summary.failed, summary.left_out) == (1, 5, 0, {})
    (lfn,) = bring.lfns
    twin, original = bring.twin(lfn), bring.original(lfn)
    assert (twin.filename, original.filename) == ("image.nii.gz.tar", "image.nii.gz.tar")
    assert bring.parts(original)["image.nii.gz"] == image.read_bytes()
    gradients = {"image.bval": B_VALUES, "image.bvec": B_VECTORS}
    said = {"EchoTime": 0.08, "FlipAngle": 90}
    assert beside(bring, twin) == {**gradients, "image.json": said}
    everything = {**said, "InstitutionName": "St E", "PatientName": "Meier^Anna"}
    assert beside(bring, original) == {**gradients, "image.json": everything}
    with io.BytesIO(bring.parts(twin)["image.nii.gz"]) as stream:
        shape = geometry(stream, twin.size_bytes, compressed=True)
    assert shape["NumberOfTimepoints"] == VOLUMES
    assert twin.attributes["EchoTime"] == 80
    assert twin.attributes["DiffusionBValue"] == [0, 1000, 2000]
    assert bring(tmp_path / "in").unchanged == 5


def test_tables_have_numbers_and_known_words(bring: Importer, tmp_path: Path) -> None:
    write_bold(tmp_path / "in")
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.failed, summary.damaged, summary.left_out) == (1, 0, 0, {})
    (lfn,) = bring.lfns
    found = beside(bring, bring.twin(lfn))
    assert found["events.json"] == {"StartTime": -1.5}
    rows = [row.split("\t") for row in found["events.tsv"].decode().splitlines()]
    assert rows[0][:3] == ["onset", "duration", "trial_type"]
    assert [row[:3] for row in rows[1:]] == [
        ["0.5", "1", "go"],
        ["2", "n/a", "go"],
        ["4", "1", "no_go_left"],
    ]
    raters = [row[3] for row in rows]
    assert all(one.startswith("word-") for one in raters)
    assert raters[1] == raters[2] != raters[3], "equal words stay equal"
    assert [row[4:] for row in rows[1:]] == [["n/a", "n/a"], ["n/a", "n/a"], ["n/a", "12"]]
    recording = found["recording-cardiac_physio.tsv.gz"]
    cells = gzip.decompress(recording).decode().split()
    assert cells[:3] == ["1.5", "2048", "-2e3"]
    assert cells[3].startswith("word-")
    columns = found["recording-cardiac_physio.json"].pop("Columns")
    assert found["recording-cardiac_physio.json"] == {"SamplingFrequency": 50}
    assert columns[0] == "cardiac"
    assert columns[1].startswith("word-")
    for content in bring.parts(bring.twin(lfn)).values():
        assert b"Meier" not in content
        assert b"Anna" not in content
    assert b"Dr Meier" in beside(bring, bring.original(lfn))["events.tsv"]


def test_fetch_puts_companions_beside_the_image(bring: Importer, tmp_path: Path) -> None:
    write_dwi(tmp_path / "a")
    write_bold(tmp_path / "b")
    bring(tmp_path / "a", tmp_path / "b")
    out = tmp_path / "out"
    for _ in range(2):  # what is there with the same content counts as fetched
        results = fetched(bring, out, *bring.lfns)
        assert all(isinstance(one, Fetched) for one in results), results
    assert sorted(files(out)) == [
        "dwi.bval",
        "dwi.bvec",
        "dwi.json",
        "dwi.nii.gz",
        "task-rest_bold.nii.gz",
        "task-rest_events.json",
        "task-rest_events.tsv",
        "task-rest_recording-cardiac_physio.json",
        "task-rest_recording-cardiac_physio.tsv.gz",
    ]
    assert files(out)["dwi.bval"] == B_VALUES
    (bval,) = out.rglob("dwi.bval")
    bval.write_bytes(b"mine")
    (failure,) = fetched(bring, out, *[one for one in bring.lfns if one.endswith("dwi")])
    assert failure.error.message == f"{bval} exists already"
    assert bval.read_bytes() == b"mine"
    assert not list(out.rglob(".medgrid-*"))
    fetched(bring, out, *bring.lfns, force=True)
    assert bval.read_bytes() == B_VALUES
    fetched(bring, tmp_path / "packed", *bring.lfns, packed=True)
    assert sorted(files(tmp_path / "packed")) == ["dwi.nii.gz.tar", "task-rest_bold.nii.gz.tar"]


def test_a_companion_that_changes_or_comes_late_makes_a_version(
    bring: Importer, tmp_path: Path
) -> None:
    image = write_nifti(tmp_path / "in" / "sub-01" / "dwi" / "sub-01_dwi.nii.gz", (4, 5, 6, 4))
    bring(tmp_path / "in")
    (lfn,) = bring.lfns
    assert bring.twin(lfn).filename == "image.nii.gz"
    bval = image.with_name("sub-01_dwi.bval")
    bval.write_bytes(B_VALUES)
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.versions, summary.imported, bring.lfns) == (1, 1, 2, [lfn])
    assert beside(bring, bring.twin(lfn)) == {"image.bval": B_VALUES}
    assert bring(tmp_path / "in").unchanged == 2
    os.utime(bval)
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.known, summary.unchanged) == (0, 2, 0), "the same content"
    assert bring(tmp_path / "in").unchanged == 2
    bval.write_bytes(B_VALUES.replace(b"2000", b"3000"))
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.versions, bring.lfns) == (1, 1, [lfn])
    assert bring.twin(lfn).version == 3
    write_json(tmp_path / "in" / "dwi.json", {"EchoTime": 0.08})
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.versions) == (1, 1), "a side-car higher up"
    assert bring.twin(lfn).attributes["EchoTime"] == 80


def test_an_image_that_was_moved_gets_its_version_there(bring: Importer, tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "sub-01" / "dwi" / "sub-01_dwi.nii", (4, 5, 6, VOLUMES))
    bring(tmp_path)
    move(bring.grid, "/trial", "/moved")
    image.with_suffix(".bval").write_bytes(B_VALUES)
    summary = bring(tmp_path)
    assert (summary.new, summary.versions) == (1, 1)
    (lfn,) = bring.lfns
    assert lfn.startswith("/moved/")
    # whose it is, a side-car may say otherwise
    write_json(image.with_suffix(".json"), {"FlipAngle": 9})
    plain = write_nifti(tmp_path / "x.nii")
    bring(tmp_path)
    write_json(plain.with_suffix(".json"), {"PatientID": "PAT-4711"})
    summary = bring(tmp_path)
    assert (summary.new, summary.versions) == (1, 0)
    assert bring.new[0].patient == bring.patient()


def test_an_image_that_came_without_them_from_elsewhere(bring: Importer, tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "a" / "x.nii", (4, 5, 6, VOLUMES))
    bring(tmp_path / "a")
    lfns = bring.lfns
    copy = tmp_path / "b" / "y.nii"
    copy.parent.mkdir()
    copy.write_bytes(image.read_bytes())
    copy.with_suffix(".bval").write_bytes(B_VALUES)
    summary = bring(tmp_path / "b")
    assert (summary.new, summary.versions, bring.lfns) == (1, 1, lfns)


def test_a_side_car_above_what_is_imported(bring: Importer, tmp_path: Path) -> None:
    image = write_dwi(tmp_path / "in")
    for what in (tmp_path / "in" / "sub-01", image):
        bring(what, to=f"/trial/{what.name[:3]}")
        write_json(tmp_path / "in" / "dwi.json", {"EchoTime": 0.09, "FlipAngle": len(what.name)})
        summary = bring(what, to=f"/trial/{what.name[:3]}")
        assert summary.new == 1
        assert bring.new[0].attributes["FlipAngle"] == len(what.name)
        summary = bring(what, to=f"/trial/{what.name[:3]}")
        assert (summary.new, summary.known, bring.left_out) == (0, 0, [])


def test_a_plain_folder(bring: Importer, tmp_path: Path) -> None:
    write_nifti(tmp_path / "in" / "x.nii.gz", (4, 5, 6, VOLUMES))
    (tmp_path / "in" / "x.bvals").write_bytes(B_VALUES)
    (tmp_path / "in" / "x.bvec").write_bytes(B_VECTORS)
    write_json(tmp_path / "in" / "x.json", {"FlipAngle": 9})
    (tmp_path / "in" / "y.bval").write_bytes(B_VALUES)
    (tmp_path / "in" / "notes.txt").write_text("hello")
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.imported) == (1, 4)
    left_out = [
        (str(tmp_path / "in" / "notes.txt"), "neither DICOM nor NIfTI"),
        (str(tmp_path / "in" / "y.bval"), "belongs to no image that was imported"),
    ]
    assert bring.left_out == left_out
    (lfn,) = bring.lfns
    names = ["image.bval", "image.bvec", "image.json"]
    assert list(beside(bring, bring.twin(lfn))) == names
    expected = ["x.bvals", "x.bvec", "x.json", "x.nii.gz"]
    assert sorted(Path(one).name for one in bring.files[lfn]) == expected
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.unchanged, summary.failed) == (0, 4, 0)
    assert bring.left_out == left_out, "they are named again"
    write_nifti(tmp_path / "in" / "y.nii", (4, 5, 6, VOLUMES))
    assert (bring(tmp_path / "in").imported, bring.left_out) == (2, left_out[:1])


@pytest.mark.parametrize(
    ("name", "content", "reason", "is_in_twin"),
    [
        (
            "x.bval",
            b"0 1000 1000\n",
            "holds 3 numbers, expected 4, as its image has 4 volumes",
            True,
        ),
        (
            "x.bvec",
            B_VALUES * 2,
            "holds 8 numbers, expected 3 x 4, as its image has 4 volumes",
            True,
        ),
        (
            "x.bval",
            b"0 1000 Meier 2000\n",
            "stays with the original alone: it holds something else than numbers",
            False,
        ),
        (
            "x.bval",
            b"0 1000 1000 19700101\n",
            "stays with the original alone: it holds numbers that are no gradients",
            False,
        ),
    ],
)
def test_a_damaged_companion_is_named(
    bring: Importer, tmp_path: Path, name: str, content: bytes, reason: str, is_in_twin: bool
) -> None:
    write_nifti(tmp_path / "in" / "x.nii.gz", (4, 5, 6, VOLUMES))
    (tmp_path / "in" / name).write_bytes(content)
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.failed, summary.damaged) == (1, 0, 1)
    assert [(Path(one.path).name, one.reason) for one in bring.damaged] == [(name, reason)]
    (lfn,) = bring.lfns
    kept = f"image.{name[2:]}"
    assert beside(bring, bring.original(lfn)) == {kept: content}
    assert bring.twin(lfn).filename == ("image.nii.gz.tar" if is_in_twin else "image.nii.gz")
    assert bring(tmp_path / "in").damaged == 0, "it was told"


def test_what_cannot_be_a_companion(bring: Importer, tmp_path: Path) -> None:
    for name in ("x", "y"):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", (4, 5, 6, VOLUMES), seed=ord(name))
    with (tmp_path / "in" / "x.bval").open("wb") as stream:
        stream.truncate(2 * 1024**3)
    (tmp_path / "b").write_bytes(B_VALUES)
    (tmp_path / "in" / "y.bval").symlink_to(tmp_path / "b")
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.failed) == (2, 1)
    assert bring.reasons == [("x.bval", "larger than 16 MiB, and left out")]
    assert bring.left_out == [(str(tmp_path / "in" / "y.bval"), "symbolic link")]
    summary = bring(tmp_path / "in")
    assert (summary.failed, summary.failed_before, summary.unchanged) == (0, 1, 2)


def test_a_companion_waits_for_its_image(bring: Importer, tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "in" / "x.nii", (4, 5, 6, VOLUMES))
    whole = image.read_bytes()
    image.with_suffix(".bval").write_bytes(B_VALUES)
    image.write_bytes(whole[:-9])
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.failed) == (0, 1)
    bval = str(image.with_suffix(".bval"))
    assert bring.left_out == [(bval, "belongs to no image that was imported")]
    image.with_suffix(".nii.gz").write_bytes(gzip.compress(whole)[:-9])
    image.unlink()
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.failed) == (0, 1), "found while its voxels are read"
    assert bring.left_out == [(bval, "belongs to an image that could not be imported")]
    image.with_suffix(".nii.gz").write_bytes(gzip.compress(whole))
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.imported, bring.left_out) == (1, 2, [])


def test_references_are_called_as_the_grid_calls_images(bring: Importer, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "sub-01" / "ses-pre" / "fmap"
    write_nifti(folder / "sub-01_ses-pre_dir-AP_epi.nii.gz")
    slice_times = [round(0.011 * number, 3) for number in range(72)]
    said: Mapping[str, Any] = {
        "IntendedFor": ["bids::sub-01/ses-pre/func/sub-01_ses-pre_task-rest_run-1_bold.nii.gz"],
        "Sources": "bids:raw:sub-01/ses-pre/anat/sub-01_ses-pre_T1w.nii.gz",
        "SliceTiming": slice_times,
        "MTState": True,
        "B0FieldIdentifier": "f1",
        "VolumeTiming": list(range(2000)),
    }
    write_json(folder / "sub-01_ses-pre_dir-AP_epi.json", said)
    bring(tmp_path / "in")
    (lfn,) = bring.lfns
    twin = bring.twin(lfn)
    found = beside(bring, twin)["image.json"]
    assert found == {
        **said,
        "IntendedFor": ["ses-pre/task-rest_run-1_bold"],
        "Sources": ["ses-pre/T1w"],
    }
    assert twin.attributes["IntendedFor"] == ["ses-pre/task-rest_run-1_bold"]
    assert twin.attributes["SliceTiming"] == slice_times


def test_references_have_known_words_and_lfns_that_are_there(
    bring: Importer, tmp_path: Path
) -> None:
    top = tmp_path / "in" / "sub-01" / "ses-kowalczyk"
    image = "sub-01_ses-kowalczyk_acq-harms_T1w.nii.gz"
    write_nifti(top / "anat" / image)
    write_nifti(top / "fmap" / "sub-01_ses-kowalczyk_epi.nii.gz", seed=2)
    said = {
        "Sources": f"bids::sub-01/ses-kowalczyk/anat/{image}",
        "StudyDate": "20210304",
        "StudyTime": "235900",
    }
    write_json(top / "fmap" / "sub-01_ses-kowalczyk_epi.json", said)
    bring(tmp_path / "in")
    t1w, epi = (next(one for one in bring.lfns if one.endswith(end)) for end in ("T1w", "epi"))
    twin = bring.twin(epi)
    told = beside(bring, twin)["image.json"]
    assert told["Sources"] == twin.attributes["Sources"] == ["/".join(t1w.split("/")[-2:])]
    assert told["StudyDate"] == twin.attributes["StudyDate"], "it moves with its time"
    assert "kowalczyk" not in str((told, twin.attributes))


def test_tables_have_words_of_the_one_vocabulary(bring: Importer, tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "in" / "sub-Dixon" / "func" / "sub-Dixon_task-rest_bold.nii.gz")
    events = image.with_name("sub-Dixon_task-rest_events.tsv")
    events.write_text("onset\ttrial_type\n1\thouse\n2\tgizmo\n3\tDixon\n4\tKowalczyk\n")
    release_words(bring.grid, ["gizmo"])
    bring(tmp_path / "in")
    (lfn,) = bring.lfns
    table = bring.parts(bring.twin(lfn))["events.tsv"].decode()
    words = [line.split("\t")[1] for line in table.splitlines()]
    assert words[:3] == ["trial_type", "house", "gizmo"]
    assert all(one.startswith("word-") for one in words[3:]), "a name is none, and unknown ones"
