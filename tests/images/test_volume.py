"""NIfTI files with BIDS names and side-cars."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from medgrid.images.bids import BidsName, companions, dataset_root, side_car
from medgrid.images.volume import Volume, read_volume
from tests.lab.niftis import write_bids, write_json, write_nifti


def volume(path: Path) -> Volume:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return read_volume(str(path), descriptor, path.stat().st_size, path.suffix == ".gz")
    finally:
        os.close(descriptor)


def test_a_bids_name_says_much() -> None:
    name = BidsName.parse("/d/sub-01/ses-pre/func/sub-01_ses-pre_task-rest_run-2_bold.nii.gz")
    assert name is not None
    assert name.subject == "01"
    assert name.attributes(name.parts) == {
        "task": "rest",
        "run": "2",
        "suffix": "bold",
        "datatype": "func",
        "Modality": "MR",
    }
    assert name.label(name.parts) == "task-rest_run-2_bold"


@pytest.mark.parametrize(
    "name", ["brain.nii", "sub-01.x_T1w.nii", "ses-1_T1w.nii", "sub-01_sub-02_T1w.nii", "sub-_T1w"]
)
def test_other_names_are_no_bids(name: str) -> None:
    assert BidsName.parse(f"/d/{name}") is None


def test_a_dataset_is_described_by_inherited_side_cars(tmp_path: Path) -> None:
    root = write_bids(tmp_path / "d")
    func = root / "sub-01" / "ses-pre" / "func"
    found = volume(func / "sub-01_ses-pre_task-rest_run-1_bold.nii.gz")
    assert (found.patient_id, found.issuer, found.dataset) == ("01", "", "bids:Trial")
    assert (found.session, found.label) == ("ses-pre", "task-rest_run-1_bold")
    assert found.filename == "image.nii.gz"
    attributes = dict(found.attributes)
    assert attributes["EchoTime"] == 25.0, "the nearer side-car wins, in ms"
    assert attributes["RepetitionTime"] == 2500.0
    assert attributes["FlipAngle"] == 80
    assert attributes["TaskName"] == "rest"
    assert attributes["SeriesDescription"] == "rest"
    assert attributes["PatientSex"] == "F"
    assert attributes["PatientAge"] == 34.0
    assert attributes["NumberOfTimepoints"] == 3
    assert "InstitutionName" not in attributes
    assert "PatientName" not in attributes
    other = volume(root / "sub-02" / "ses-pre" / "anat" / "sub-02_ses-pre_T1w.nii.gz")
    assert "EchoTime" not in other.attributes
    assert (other.attributes["PatientSex"], other.attributes["PatientAge"]) == ("M", 90.0)


def test_derivatives_are_of_the_same_subjects(tmp_path: Path) -> None:
    root = write_bids(tmp_path / "d")
    inner = root / "derivatives" / "tool"
    write_json(inner / "dataset_description.json", {"Name": "Tool output"})
    path = write_nifti(inner / "sub-01" / "anat" / "sub-01_desc-clean_T1w.nii.gz")
    found = volume(path)
    assert (found.patient_id, found.dataset) == ("01", "bids:Trial")
    assert found.label == "desc-clean_T1w"


def test_a_subject_without_description_has_a_dataset_too(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "d" / "sub-7" / "anat" / "sub-7_T1w.nii")
    write_json(tmp_path / "d" / "T1w.json", {"FlipAngle": 9})
    assert dataset_root(str(path)) == str(tmp_path / "d")
    assert volume(path).attributes["FlipAngle"] == 9


def test_a_side_car_beside_a_file_of_any_name_counts(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii", descrip="Meier")
    fields = {
        "PatientID": "PAT-4711",
        "PatientName": "Meier^Anna",
        "PatientBirthDate": "1950-01-01",
        "AcquisitionDateTime": "2021-03-04T10:11:12",
        "SeriesDescription": "T1w Meier pat-4711",
        "ManufacturersModelName": "Prisma",
        "StationName": "MR1",
        "AcquisitionTime": "10:11:12",
        "AcquisitionDate": "2021-03-04",
        "ContentDate": "2021-03-04",
        "SliceTiming": [0.0, 0.5],
        "Nested": {"PatientName": "Meier"},
    }
    write_json(tmp_path / "x.json", fields)
    found = volume(path)
    assert found.patient_id == "PAT-4711"
    assert (found.session, found.label) == ("", "T1w")
    assert found.attributes["StudyDate"] == "2021-03-04T101112"
    assert found.attributes["ManufacturerModelName"] == "Prisma"
    assert found.attributes["SliceTiming"] == [0.0, 0.5]
    assert found.attributes["PatientAge"] == 71.0
    assert not {"AcquisitionTime", "AcquisitionDate", "ContentDate"} & found.attributes.keys()
    assert found.nominative == {
        "PatientID": "PAT-4711",
        "PatientName": "Meier^Anna",
        "PatientBirthDate": "1950-01-01",
    }
    assert found.texts == {"SeriesDescription": fields["SeriesDescription"]}, "to be sealed"
    assert "Meier" not in str(found._replace(nominative={}, words=(), texts={}))
    assert "StationName" not in found.attributes


def test_an_age_that_is_given_is_not_reckoned(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii")
    fields = {"PatientAge": "042Y", "PatientBirthDate": "1950-01-01", "StudyDate": "2021-03-04"}
    write_json(tmp_path / "x.json", fields)
    assert volume(path).attributes["PatientAge"] == 42.0


def of_people(root: Path, table: str, **described: Any) -> list[tuple[Any, Any]]:
    """Sex and age of images of subjects, as a table says them."""
    (root / "participants.tsv").write_text("participant_id\tage\tsex\n" + table)
    write_json(root / "participants.json", described)
    found = [volume(path).attributes for path in sorted(root.glob("*/*"))]
    return [(one.get("PatientSex"), one.get("PatientAge")) for one in found]


def test_sexes_are_known_words(tmp_path: Path) -> None:
    said = {"Female": "F", "man": "M", "o": "O", "missing": None, "mixed": None, "Mujer": None}
    for number, _ in enumerate(said):
        write_nifti(tmp_path / f"sub-{number}" / f"sub-{number}_T1w.nii")
    table = "".join(f"sub-{number}\t\t{sex}\n" for number, sex in enumerate(said))
    assert of_people(tmp_path, table) == [(sex, None) for sex in said.values()]


def test_ages_have_the_unit_that_the_table_has(tmp_path: Path) -> None:
    write_nifti(tmp_path / "sub-1" / "sub-1_T1w.nii")
    units = {"months": 1.5, "Weeks": 0.34, "days": 0.05, "years": 18.0, "": 18.0, "moons": None}
    for unit, age in units.items():
        assert of_people(tmp_path, "sub-1\t18\tF\n", age={"Units": unit}) == [("F", age)]


def test_rows_of_one_subject_that_differ_say_nothing(tmp_path: Path) -> None:
    for number in (1, 2):
        write_nifti(tmp_path / f"sub-{number}" / f"sub-{number}_T1w.nii")
    table = "sub-1\t18\tF\nsub-1\t20\tF\nsub-2\t7\tF\nsub-2\tn/a\tM\n"
    assert of_people(tmp_path, table) == [("F", None), (None, 7.0)]


def test_a_side_car_goes_before_its_folder(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "sub-1" / "anat" / "sub-1_ct.nii")
    assert volume(path).attributes["Modality"] == "MR"
    write_json(path.with_suffix(".json"), {"Modality": "CT"})
    found = volume(path)
    assert (found.attributes["Modality"], found.review, found.texts) == ("CT", "", {})
    write_json(path.with_suffix(".json"), {"Modality": "OT"})
    assert volume(path).review == "modality OT"
    write_json(path.with_suffix(".json"), {"Modality": "CT", "BurnedInAnnotation": "YES"})
    assert volume(path).review == "text is burned in"


def test_lists_of_a_side_car(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii")
    fields = {
        "EchoTime": [0.0129, 0.0258],
        "RepetitionTime": [2, 3],
        "FlipAngle": [1.5] * 1500,
        "SliceTiming": [0.5] * 1500,
        "InversionTime": [0.01, None],
        "ImagingFrequency": None,
    }
    write_json(path.with_suffix(".json"), fields)
    found = volume(path)
    assert found.attributes["EchoTime"] == [12.9, 25.8]
    assert found.attributes["RepetitionTime"] == [2000, 3000]
    told = {
        name: fields[name] for name in ("EchoTime", "RepetitionTime", "FlipAngle", "SliceTiming")
    }
    assert found.side_car == told


def test_a_table_of_participants_of_any_form(tmp_path: Path) -> None:
    root = write_bids(tmp_path / "d")
    path = next(iter(sorted(root.glob("sub-01/ses-pre/anat/*.gz"))))
    table = root / "participants.tsv"
    table.write_text("participant_id\tage\tnotes\nsub-01\t33\t" + "x" * 200_000 + "\n")
    assert volume(path).attributes["PatientAge"] == 33
    table.write_bytes("participant_id\tage\nsub-01\t34\n".encode("utf-16"))
    assert volume(path).attributes["PatientAge"] == 34
    table.write_bytes(b"x" * (5 * 1024 * 1024))
    assert volume(path).problem == "participants.tsv: larger than 4 MiB"
    table.unlink()
    assert volume(path).problem == ""


def test_nothing_but_a_name_gives_no_label(tmp_path: Path) -> None:
    found = volume(write_nifti(tmp_path / "Meier_Anna.nii"))
    assert (found.patient_id, found.label, found.session) == ("", "", "")
    assert "Meier" not in str(found)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"a" 1}', "not valid JSON: expecting ':' delimiter at line 1 column 6"),
        ("[1]", "no JSON object"),
        ("[" * 100_000, "nested more than 64 deep"),
        ("1" * (5 * 1024 * 1024), "larger than 4 MiB"),
    ],
)
def test_a_broken_side_car_is_told(tmp_path: Path, content: str, reason: str) -> None:
    path = write_nifti(tmp_path / "x.nii")
    (tmp_path / "x.json").write_text(content)
    assert volume(path).problem == f"side-car x.json: {reason}"


def test_numbers_truth_values_and_codes_of_a_side_car(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii")
    fields: dict[str, Any] = {
        "SliceTiming": [number / 100 for number in range(96)],
        "FlipAngle": [2] * 100,
        "SkullStripped": False,
        "MTState": True,
        "PostLabelingDelay": [0.25, 1.5],
        "InjectionStart": 0,
        "MTPulseShape": "GAUSSIAN",
        "B0FieldIdentifier": ["pepolar_fmap0", "pepolar_fmap1"],
        "ReconMethodParameterUnits": ["none", "mm"],
    }
    broken = {
        "EffectiveEchoSpacing": "Meier",
        "TotalReadoutTime": 10**400,
        "DwellTime": [[1.0]],
        "VolumeTiming": [0.0, None, "x"],
        "FrameDuration": [1.0] * 2000,
        "WaterFatShift": float("inf"),
        "TaskName": {"Meier": "Anna"},
        "PulseSequenceType": "",
    }
    write_json(tmp_path / "x.json", fields | broken)
    found = volume(path).attributes
    assert {name: found.get(name) for name in fields} == fields
    assert not broken.keys() & found.keys()


def test_what_dcm2niix_says_of_an_acquisition(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii")
    fields: dict[str, Any] = {
        "Units": "Hz",
        "PartialFourier": 0.75,
        "EstimatedTotalReadoutTime": 0.0338,
        "DerivedVendorReportedEchoSpacing": 0.00057,
        "PhilipsRescaleSlope": 1.27985,
        "PhaseEncodingSteps": 63,
        "RawImage": False,
        "ImageOrientationText": "Tra>Cor(-7.2)>Sag(0.8)",
        "InPlanePhaseEncodingDirectionDICOM": "COL",
        "PhaseEncodingPolarityGE": "Unflipped",
        "DiffusionScheme": "Monopolar",
        "ImageTypeText": ["ORIGINAL", "PRIMARY", "M", "DIS2D"],
        "BodyPart": "BRAIN",
        "ScanningSequence": "EP\\RM",
        "SequenceVariant": "SK_SP_OSP",
        "ScanOptions": "SAT_GEMS\\EPI_GEMS\\FS",
        "PulseSequenceDetails": "%CustomerSeq%\\cmrr_mbep2d_bold",
        "ConversionSoftware": "dcm2niix",
        "ConversionSoftwareVersion": "v1.0.20260724",
    }
    write_json(path.with_suffix(".json"), fields)
    found = volume(path)
    assert found.side_car == fields | {"SequenceVariant": "SK\\SP\\OSP"}
    assert found.attributes["SequenceVariant"] == ["SK", "SP", "OSP"], "as a DICOM series has it"
    assert found.attributes["BodyPartExamined"] == "BRAIN"
    names = {
        "Units": "Meier",
        "PartialFourier": "Meier",
        "PhaseEncodingSteps": "Meier",
        "ImageOrientationText": "Tra>Meier(-7.2)",
        "InPlanePhaseEncodingDirectionDICOM": "MEIER",
        "DiffusionScheme": "Anna",
        "ImageTypeText": ["MEIER"],
        "BodyPart": "MEIER",
        "ScanningSequence": "EP\\MEIER",
        "SequenceVariant": "SK_MEIER",
        "ConversionSoftwareVersion": "20260724",
    }
    write_json(path.with_suffix(".json"), names)
    assert volume(path).side_car == {"ScanningSequence": "EP"}


def test_a_side_car_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii")
    write_json(tmp_path / "real.json", {"FlipAngle": 9})
    (tmp_path / "x.json").symlink_to(tmp_path / "real.json")
    assert (
        volume(path).problem == "side-car x.json: cannot be read: too many levels of symbolic links"
    )


def test_a_changed_side_car_is_read_again(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii")
    write_json(tmp_path / "x.json", {"FlipAngle": 9})
    assert side_car(companions(str(path), None)).fields == {"FlipAngle": 9}
    write_json(tmp_path / "x.json", {"FlipAngle": 10, "EchoTime": 1})
    assert side_car(companions(str(path), None)).fields == {"FlipAngle": 10, "EchoTime": 1}
