"""The measure of what passes, on descriptions that were made up."""

from __future__ import annotations

from pathlib import Path

from tests.lab.dicoms import write_series
from tests.words.measure import classified, measured, of_bids, of_dicom

SAID = [
    {"SeriesDescription": "t1_mprage_sag_p2_iso", "StudyDescription": "HEAD^Harms"},
    {"SeriesDescription": "AxT2FLAIR", "ProtocolName": "Brain routine"},
    {"SeriesDescription": "ep2d_diff_mddw_64_p2", "BodyPartExamined": "BRAIN"},
    {"SeriesDescription": "Rorden_resting state", "ProtocolName": "fMRI_MB_asc"},
    {"SeriesDescription": "COR T2 TSE knee left", "ProtocolName": "Kowalczyk^Sag"},
]


def test_descriptions_pass_and_say_the_same_afterwards() -> None:
    found = measured(SAID, frozenset(("harms", "rorden", "kowalczyk")))
    assert found.passed == found.words > 20
    assert found.same == found.series == 5
    assert measured(SAID).lost == {"Harms": 1, "Rorden": 1, "Kowalczyk": 1}


def test_what_is_lost_is_counted() -> None:
    found = measured([{"SeriesDescription": "Gizmo tra T1"}])
    assert (found.words, found.passed, found.lost) == (2, 1, {"Gizmo": 1})
    assert measured([{"SeriesDescription": "sagittalX knee"}]).same == 1


def test_series_are_classified() -> None:
    assert classified({"a": "t1_mprage_sag"}) == ("t1", "sagittal", "")
    assert classified({"a": "AX DWI brain"}) == ("diffusion", "axial", "head")


def test_files_are_read(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom", 2, SeriesDescription="COR T2")
    (said,) = of_dicom(tmp_path / "dicom")
    assert said["SeriesDescription"] == "COR T2"
    (named,) = of_bids(["d/sub-1/anat/sub-1_acq-highres_T1w.nii.gz", "d/README"])
    assert named == {"entity acq": "highres", "entity suffix": "T1w"}
