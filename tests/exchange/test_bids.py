"""Where images go in a BIDS dataset."""

from __future__ import annotations

from typing import Any

import pytest

from medgrid.exchange.bids import (
    Misfit,
    Place,
    labels_of,
    named,
    numbered,
    place_of,
    references,
    table,
)

WHO = "P-7F3KQ2M9XA"


def place(filename: str = "image.nii.gz", **attributes: Any) -> Place:
    return place_of(attributes, WHO, filename)


@pytest.mark.parametrize(
    ("attributes", "path"),
    [
        ({"suffix": "T1w"}, "sub-7F3KQ2M9XA/anat/sub-7F3KQ2M9XA_T1w.nii.gz"),
        (
            {"suffix": "dwi", "session": "m12", "direction": "AP", "run": "2"},
            "sub-7F3KQ2M9XA/ses-m12/dwi/sub-7F3KQ2M9XA_ses-m12_dir-AP_run-2_dwi.nii.gz",
        ),
        (
            {"suffix": "bold", "task": "rest", "echo": "1", "StudyDate": "2021-03-04"},
            "sub-7F3KQ2M9XA/ses-20210304/func/"
            "sub-7F3KQ2M9XA_ses-20210304_task-rest_echo-1_bold.nii.gz",
        ),
        (
            {"suffix": "T1w", "space": "MNI152", "description": "brain"},
            "derivatives/medgrid/sub-7F3KQ2M9XA/anat/"
            "sub-7F3KQ2M9XA_space-MNI152_desc-brain_T1w.nii.gz",
        ),
    ],
)
def test_a_place(attributes: dict[str, Any], path: str) -> None:
    assert place(**attributes).path == path


def test_the_ending_is_that_of_the_file() -> None:
    assert place("image.nii", suffix="FLAIR").path.endswith("_FLAIR.nii")


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({}, "nothing says what it shows, such as T1w: it has no suffix"),
        ({"suffix": "bold"}, "a bold image needs task"),
        ({"suffix": "T1w", "datatype": "dwi"}, "BIDS has no T1w image like this"),
        ({"suffix": "swell"}, "BIDS has no swell image like this"),
        ({"suffix": "dwi", "tracer": "FDG"}, "a dwi image has no trc"),
    ],
)
def test_what_has_no_place_says_why(attributes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Misfit) as caught:
        place(**attributes)
    assert str(caught.value) == reason


def test_an_image_of_no_patient_has_no_place() -> None:
    with pytest.raises(Misfit, match="of no patient"):
        place_of({"suffix": "T1w"}, None, "image.nii")


def test_images_that_would_have_one_name_are_runs() -> None:
    first, other = place(suffix="T1w"), place(suffix="T2w")
    found = numbered([first, other, first])
    assert [one.label for one in found if isinstance(one, Place)] == [
        "run-1_T1w",
        "T2w",
        "run-2_T1w",
    ]
    run = place(suffix="T1w", run="1")
    kept, misfit = numbered([run, run])
    assert kept == run
    assert isinstance(misfit, Misfit)


def test_no_two_images_have_one_name() -> None:
    plain, run = place(suffix="T1w"), place(suffix="T1w", run="1")
    packed = place("image.nii", suffix="T1w")  # its side-car is called alike
    found = numbered([plain, run, packed, plain, place(suffix="T1w", run="3")])
    paths = [one.path.rpartition("/")[2] for one in found if isinstance(one, Place)]
    assert paths == [
        f"sub-7F3KQ2M9XA_run-{run}_T1w.{ending}"
        for run, ending in ((2, "nii.gz"), (1, "nii.gz"), (4, "nii"), (5, "nii.gz"), (3, "nii.gz"))
    ]


def test_visits_have_labels_of_their_own() -> None:
    visits = ("", "pre_1", "pre1", "pre-1", "2021-03-04", "20210304", "m12")
    assert labels_of(visits) == {
        "": "",
        "pre1": "pre1",
        "pre-1": "pre1x2",
        "pre_1": "pre1x3",
        "20210304": "20210304",
        "2021-03-04": "20210304x2",
        "m12": "m12",
    }


def test_references_are_those_of_the_dataset() -> None:
    bold = place(suffix="bold", task="rest", session="pre")
    own = place(suffix="phasediff", session="pre")
    fields = {"EchoTime1": 0.1, "IntendedFor": ["ses-pre/task-rest_bold", "ses-pre/T1w"]}
    assert references(fields, own.subject, named([bold, own])) == {
        "EchoTime1": 0.1,
        "IntendedFor": [f"bids::{bold.path}"],
    }
    assert references(fields, own.subject, named([own])) == {"EchoTime1": 0.1}


def test_a_table_says_what_is_not_known() -> None:
    rows = [{"participant_id": "sub-2", "arm": "a"}, {"participant_id": "sub-1", "edss": "3.5"}]
    assert table(rows, "participant_id") == (
        "participant_id\tarm\tedss\nsub-1\tn/a\t3.5\nsub-2\ta\tn/a\n"
    )
