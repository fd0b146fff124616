"""Importing folders of images: what becomes an object, and what a second import does."""

from __future__ import annotations

import io
import os
import shutil
from collections import Counter
from pathlib import Path

import pydicom
import pytest

from medgrid.actions.importing.twins import ORIGINAL_SUFFIX
from medgrid.actions.lfn import remove
from medgrid.errors import ConfigError, MedgridError, NotFound, UsageError
from medgrid.model import (
    LFN,
    ObjectKind,
    StorageElement,
)
from tests.lab.datagrid import kept_keys
from tests.lab.dicoms import encoded, instance, pydicom_file, write_series
from tests.lab.importer import Importer, nothing_is_left
from tests.lab.niftis import nibabel_file, write_bids, write_json, write_nifti


def test_a_second_import_adds_nothing(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in")
    write_nifti(tmp_path / "in" / "a.nii.gz")
    (tmp_path / "in" / "notes.txt").write_text("hello")
    first = bring(tmp_path / "in")
    assert (first.new, first.files) == (2, 5)
    second = bring(tmp_path / "in")
    assert (second.new, second.imported, second.unchanged) == (0, 0, 4)
    assert second.left_out == {"neither DICOM nor NIfTI": 1}
    os.utime(tmp_path / "in" / "IM1.dcm")
    third = bring(tmp_path / "in")
    assert (third.new, third.unchanged, third.known) == (0, 3, 1)
    assert bring(tmp_path / "in").unchanged == 4


def test_a_copy_elsewhere_adds_nothing(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in")
    write_nifti(tmp_path / "in" / "a.nii")
    bring(tmp_path / "in")
    shutil.copytree(tmp_path / "in", tmp_path / "copy")
    summary = bring(tmp_path / "copy", to="/other")
    assert (summary.new, summary.known) == (1, 3)
    assert bring.lfns[0].startswith("/other/volume-"), "a volume is known by its place"
    assert bring(tmp_path / "copy", to="/other").unchanged == 4


def test_a_series_that_gains_instances_gets_a_version(bring: Importer, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", 2)
    bring(tmp_path / "in")
    (lfn,) = bring.lfns
    late = tmp_path / "late"
    late.mkdir()
    # the third slice comes from elsewhere, and lies before the second
    (late / "x").write_bytes(encoded(instance(9)))
    (late / "y").write_bytes(paths[0].read_bytes())
    summary = bring(late)
    assert (summary.new, summary.versions, summary.imported) == (1, 1, 2)
    assert bring.lfns == [lfn]
    twin, original = bring.twin(lfn), bring.original(lfn)
    assert (twin.version, original.version, twin.original) == (2, 2, original.id)
    assert twin.attributes["NumberOfSeriesRelatedInstances"] == 3
    expected = [paths[0].read_bytes(), paths[1].read_bytes(), encoded(instance(9))]
    assert bring.members(original) == expected
    assert len(bring.members(twin)) == 3
    before, source = bring.twin(lfn, 1), bring.original(lfn, 1)
    assert (before.original, before.attributes["NumberOfSeriesRelatedInstances"]) == (source.id, 2)
    assert bring.members(source) == expected[:2]
    assert bring.members(before) == bring.members(twin)[:2]
    assert bring(late).unchanged == 2
    assert bring(tmp_path / "in").unchanged == 2
    assert list(bring.grid.settings.cache_dir.iterdir()) == []


def test_instances_are_ordered_by_number(bring: Importer, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, number in (("a", 10), ("b", 9), ("c", 1)):
        (tmp_path / "in" / name).write_bytes(encoded(instance(number)))
    bring(tmp_path / "in")
    expected = [encoded(instance(number)) for number in (1, 9, 10)]
    assert bring.members(bring.original(bring.lfns[0])) == expected
    numbers = [
        pydicom.dcmread(io.BytesIO(one)).InstanceNumber
        for one in bring.members(bring.twin(bring.lfns[0]))
    ]
    assert numbers == [1, 9, 10]


def test_doubles_go_in_once(bring: Importer, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", 2)
    shutil.copy(paths[0], tmp_path / "in" / "copy.dcm")
    summary = bring(tmp_path / "in")
    assert (summary.imported, summary.failed) == (3, 0)
    assert len(bring.members(bring.original(bring.lfns[0]))) == 2
    assert len(bring.members(bring.twin(bring.lfns[0]))) == 2
    assert bring(tmp_path / "in").unchanged == 3


def test_contradictions_are_listed(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 2)
    (tmp_path / "in" / "IM9.dcm").write_bytes(encoded(instance(1, StudyID="other")))
    summary = bring(tmp_path / "in")
    assert (summary.imported, summary.failed) == (2, 1)
    reason = "its SOPInstanceUID is that of another file with other content"
    assert bring.reasons == [("IM9.dcm", reason)]
    (lfn,) = bring.lfns
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.failed, summary.failed_before) == (0, 0, 1), "told once"
    summary = bring(tmp_path / "in", again=True)
    assert (summary.new, summary.failed) == (0, 1)
    reason = f"differs from the instance with its SOPInstanceUID in {lfn}.original"
    assert bring.reasons == [("IM9.dcm", reason)]


def test_patients_are_told_apart(bring: Importer, tmp_path: Path) -> None:
    for name, values in {
        "a": {"study": "1"},
        "b": {"study": "2", "StudyDate": "20220304"},
        "c": {"study": "3", "IssuerOfPatientID": "hospB"},
        "d": {"study": "4", "PatientID": "PAT-4712"},
        "e": {"study": "5", "PatientID": " PAT-4711 ", "StudyDate": ""},
    }.items():
        write_series(tmp_path / name, 1, **values)
    bring(*(tmp_path / name for name in "abcde"))
    me, other = bring.patient(), bring.patient("PAT-4711", "hospB")
    third = bring.patient("PAT-4712")
    assert bring.lfns == sorted(
        [
            f"/trial/{me}/{bring.day()}/T1w",
            f"/trial/{me}/{bring.day('2022-03-04')}/T1w",
            f"/trial/{me}/undated/T1w",
            f"/trial/{other}/{bring.day(patient=other)}/T1w",
            f"/trial/{third}/{bring.day(patient=third)}/T1w",
        ]
    )


def test_an_issuer_can_be_given(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1)
    bring(tmp_path / "a", issuer="hospB")
    patient = bring.patient("PAT-4711", "hospB")
    assert bring.lfns == [f"/trial/{patient}/{bring.day(patient=patient)}/T1w"]


def test_patients_without_an_id(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1, study="1", PatientID="")
    write_series(tmp_path / "b", 1, study="2", PatientID=None)
    write_series(tmp_path / "c", 1, study="3", PatientID="", PatientName="Other")
    write_series(tmp_path / "d", 1, study="4", PatientID="", PatientName="")
    write_series(tmp_path / "e", 1, study="5", PatientID="", PatientName="")
    bring(tmp_path)
    patients = [lfn.split("/")[2] for lfn in bring.lfns]
    assert len(patients) == 5
    assert len(set(patients)) == 4, "only the first two have one name"
    assert all(bring.content(bring.twin(lfn)) for lfn in bring.lfns)


def test_labels_that_clash_get_a_number(bring: Importer, tmp_path: Path) -> None:
    for number in range(1, 4):
        write_series(tmp_path / str(number), 1, series=str(number))
    bring(tmp_path)
    folder = f"/trial/{bring.patient()}/{bring.day()}"
    assert bring.lfns == [f"{folder}/T1w", f"{folder}/T1w-2", f"{folder}/T1w-3"]
    write_series(tmp_path / "4", 1, series="4")
    bring(tmp_path)
    assert bring.lfns == [f"{folder}/T1w-4"]


def test_one_series_uid_of_two_patients_makes_two_objects(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1)
    write_series(tmp_path / "b", 1, PatientID="PAT-4712")
    assert bring(tmp_path).new == 2
    assert bring(tmp_path).unchanged == 2


def test_what_was_removed_comes_back_when_asked_for(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1)
    bring(tmp_path)
    (lfn,) = bring.lfns
    remove(bring.grid, [LFN(lfn), LFN(lfn + ORIGINAL_SUFFIX)])
    assert kept_keys(bring.grid.settings) == set()
    assert bring(tmp_path, again=True).new == 1
    assert bring.lfns == [lfn]
    assert bring.content(bring.original(lfn))


def test_broken_files_are_listed_once_and_the_rest_goes_in(bring: Importer, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_series(folder, 1)
    for name in ("MR_truncated.dcm", "test-SR.dcm", "JPEGLSNearLossless_08.dcm"):
        shutil.copy(pydicom_file(name), folder)
    shutil.copy(pydicom_file("dicomdirtests/DICOMDIR"), folder)
    (folder / "empty.dcm").touch()
    (folder / "link.dcm").symlink_to(pydicom_file("MR_small.dcm"))
    expected = [
        ("JPEGLSNearLossless_08.dcm", "no SeriesInstanceUID"),
        ("MR_truncated.dcm", "ends within its pixel data"),
    ]
    for new, again in ((2, False), (0, False), (0, True)):
        summary = bring(folder, again=again)
        is_told = bool(new or again)
        assert (summary.new, summary.failed) == (new, 2 * is_told)
        assert (summary.failed_before, summary.unchanged) == (2 * (not is_told), 2 - new)
        assert bring.reasons == (expected if is_told else [])
        assert summary.left_out == {
            "empty file": 1,
            "DICOMDIR, an index of other files": 1,
            "symbolic link": 1,
        }
    (folder / "empty.dcm").write_bytes(encoded(instance(1, series="2")))
    assert bring(folder).new == 1


@pytest.mark.parametrize(
    "name",
    [
        "rtdose.dcm",
        "JPEG2000.dcm",
        "693_J2KI.dcm",
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "image_dfl.dcm",
        "SC_rgb_rle_2frame.dcm",
        "liver_1frame.dcm",
        "badVR.dcm",
    ],
)
def test_compressed_multi_frame_and_odd_files_keep_their_bytes(
    bring: Importer, tmp_path: Path, name: str
) -> None:
    shutil.copy(pydicom_file(name), tmp_path / "a")
    assert bring(tmp_path / "a").new == 1
    assert bring.members(bring.original(bring.lfns[0])) == [pydicom_file(name).read_bytes()]
    assert len(bring.members(bring.twin(bring.lfns[0]))) == 1


def test_names_of_any_kind(bring: Importer, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    names = [
        "a b",
        "it's",
        'say "x"',
        "line\nend",
        "Schädel",
        "bad\udce9",
        "-rf",
        "..x",
        "%s",
        "$(x)",
    ]
    for number, name in enumerate(names, start=1):
        write_series(folder / name, 1, series=str(number))
        (folder / name / "IM1.dcm").rename(folder / name / name)
    assert bring(folder).new == len(names)
    assert bring(folder).unchanged == len(names)
    assert bring(tmp_path / "in" / ".." / "in").unchanged == len(names)


def test_a_named_link_is_followed_and_an_inner_one_is_not(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "real", 2)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert bring(tmp_path / "link").new == 1
    assert bring(tmp_path / "real").unchanged == 2
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "link").symlink_to(tmp_path / "real")
    with pytest.raises(NotFound, match="no files"):
        bring(outer)


def test_the_grids_own_folder_is_left_out(bring: Importer, tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii")
    assert bring(tmp_path).new == 1
    summary = bring(tmp_path)
    assert summary.files == summary.unchanged + sum(summary.left_out.values()) - 1
    assert summary.left_out["the grid's own folder"] == 1


def test_places_named_twice_are_read_once(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in" / "a", 2)
    summary = bring(tmp_path / "in", tmp_path / "in" / "a", tmp_path / "in" / "a" / "IM1.dcm")
    assert (summary.files, summary.new, summary.imported) == (2, 1, 2)


def test_a_dry_run_changes_nothing(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 2)
    write_series(tmp_path / "in2", 2, series="2")
    write_nifti(tmp_path / "in" / "a.nii")
    (tmp_path / "in" / "empty.dcm").write_text("text")
    summary = bring(tmp_path / "in", tmp_path / "in2", dry_run=True)
    assert (summary.new, summary.failed) == (3, 1)
    would_be = bring.lfns
    assert nothing_is_left(bring.grid)
    bring(tmp_path / "in", tmp_path / "in2")
    assert bring.lfns == would_be


def test_volumes_get_neutral_names_or_keep_theirs(bring: Importer, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(nibabel_file("anatomical.nii"), folder / "Meier_Anna.nii")
    bring(folder)
    (lfn,) = bring.lfns
    assert lfn.startswith("/trial/volume-")
    twin, original = bring.twin(lfn), bring.original(lfn)
    assert (twin.kind, twin.filename) == (ObjectKind.VOLUME, "image.nii.gz")
    assert (original.kind, original.filename) == (ObjectKind.VOLUME, "image.nii")
    assert twin.attributes["Columns"] == original.attributes["Columns"] == 33
    assert "PatientID" not in twin.attributes
    shutil.copy(nibabel_file("example4d.nii.gz"), folder / "func 1.nii.gz")
    write_nifti(folder / "scan 1" / "anat.nii")
    write_nifti(folder / "scan 2" / "anat.nii", seed=2)
    bring(folder, keep_names=True)
    assert bring.lfns == ["/trial/func_1", "/trial/scan_1/anat", "/trial/scan_2/anat"]
    write_nifti(tmp_path / "one.nii", seed=3)
    bring(tmp_path / "one.nii", keep_names=True)
    assert bring.lfns == ["/trial/one"]


def test_a_bids_dataset(bring: Importer, tmp_path: Path) -> None:
    root = write_bids(tmp_path / "d")
    summary = bring(root)
    one, two = bring.patient("01", "bids:Trial"), bring.patient("02", "bids:Trial")
    assert bring.lfns == sorted(
        f"/trial/{patient}/ses-pre/{label}"
        for patient in (one, two)
        for label in ("T1w", "task-rest_run-1_bold")
    )
    assert summary.failed == 0
    item = bring.grid.catalog.objects.get(LFN(f"/trial/{one}/ses-pre/task-rest_run-1_bold"))
    assert item.attributes["task"] == "rest"
    assert item.attributes["session"] == "pre"
    assert item.attributes["datatype"] == "func"
    assert item.attributes["PatientSex"] == "F"
    # one subject alone is the same patient, and what changed is a new version
    path = root / "sub-01" / "ses-pre" / "anat" / "sub-01_ses-pre_T1w.nii.gz"
    write_nifti(path, seed=77)
    summary = bring(root / "sub-01")
    assert (summary.new, summary.versions, summary.unchanged) == (1, 1, 4)
    assert bring.lfns == [f"/trial/{one}/ses-pre/T1w"]
    twin, original = bring.twin(bring.lfns[0]), bring.original(bring.lfns[0])
    assert (twin.version, original.version, twin.original) == (2, 2, original.id)
    assert bring.content(original) == path.read_bytes()


def test_sessions_called_like_their_subject(bring: Importer, tmp_path: Path) -> None:
    """A short label says nothing; a long one may be the patient's id: something stands for it."""
    for subject, session in (("01", "01"), ("48291", "48291"), ("48291", "x48291")):
        folder = tmp_path / f"sub-{subject}" / f"ses-{session}" / "anat"
        for suffix in ("T1w", "T2w"):
            write_nifti(folder / f"sub-{subject}_ses-{session}_{suffix}.nii", seed=len(session))
    bring(tmp_path)
    visits = Counter(LFN(lfn).parent for lfn in bring.lfns)
    assert sorted(visits.values()) == [2, 2, 2]
    assert f"/trial/{bring.patient('01', 'bids:')}/ses-01" in visits
    assert "48291" not in repr(bring.new)
    for item in bring.new:
        assert item.lfn is not None
        assert item.lfn.parent.endswith(f"/ses-{item.attributes['session']}")


def test_with_an_issuer_subjects_are_its_patients(bring: Importer, tmp_path: Path) -> None:
    write_bids(tmp_path / "d")
    write_series(tmp_path / "dicom", 1, PatientID="01")
    bring(tmp_path, issuer="hospA")
    patients = {lfn.split("/")[2] for lfn in bring.lfns}
    assert patients == {bring.patient("01", "hospA"), bring.patient("02", "hospA")}


def test_a_volume_whose_side_car_is_broken_waits(bring: Importer, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_nifti(folder / "a.nii")
    (folder / "a.json").write_text("[")
    reason = "side-car a.json: not valid JSON: expecting value at line 1 column 2"
    for _ in range(2):
        assert bring(folder).failed == 1
        assert bring.reasons == [("a.nii", reason)]
    write_json(folder / "a.json", {"FlipAngle": 9})
    assert bring(folder).new == 1


def test_nothing_to_import_is_an_error(bring: Importer, tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        bring(tmp_path / "gone")
    assert caught.value.message == f"'{tmp_path}/gone' does not exist"
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(NotFound) as caught:
        bring(empty)
    assert caught.value.message == f"no images below '{empty}': no files"
    (empty / "notes.txt").write_text("hello")
    with pytest.raises(NotFound) as caught:
        bring(empty)
    assert caught.value.message == f"no images below '{empty}': 1 files, none DICOM or NIfTI"


def test_a_grid_without_key_is_refused(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 1)
    (bring.grid.settings.keys_dir / "pseudonym.key").unlink()
    with pytest.raises(ConfigError, match="no such key"):
        bring(tmp_path / "in")


def test_storage_that_is_switched_off_is_refused(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 1)
    places = bring.grid.catalog.places
    places.put_se(StorageElement("off", f"file://{tmp_path}/off", "here", enabled=False))
    with pytest.raises(UsageError) as caught:
        bring(tmp_path / "in", se="off")
    assert caught.value.message == "storage element off is switched off"


def test_when_storage_fails_what_is_done_stays_done(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 1)
    places = bring.grid.catalog.places
    places.put_se(StorageElement("full", f"file://{tmp_path}/blocked", "here"))
    (tmp_path / "blocked").write_text("a file where a folder should be")
    with pytest.raises(MedgridError):
        bring(tmp_path / "in", se="full")
    assert nothing_is_left(bring.grid)
    assert bring(tmp_path / "in", se="local").new == 1


def test_uids_are_replaced(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 2, PatientID="987654", StudyInstanceUID="1.2.987654.1")
    bring(tmp_path / "in")
    (item,) = bring.new
    assert str(item.attributes["StudyInstanceUID"]).startswith("2.25.")
    assert "987654" not in str(item)
    write_series(tmp_path / "more", 3, PatientID="987654", StudyInstanceUID="1.2.987654.1")
    summary = bring(tmp_path / "more")
    assert (summary.new, summary.versions) == (1, 1)
