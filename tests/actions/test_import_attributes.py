"""Tables beside images: what they say of people becomes attributes of patients and visits."""

from __future__ import annotations

import json
from pathlib import Path

from medgrid.catalog.query import parse
from tests.lab.importer import Importer
from tests.lab.niftis import write_json, write_nifti

_DATASET = "bids:Trial"
_ARMS = ("treated", "placebo", "treated", "placebo")


def write_trial(root: Path) -> Path:
    """Four people of two arms with a score at each of two visits; gives the dataset's folder."""
    write_json(root / "dataset_description.json", {"Name": "Trial", "BIDSVersion": "1.10.0"})
    write_table(root / "participants.tsv", "participant_id age sex arm handedness")
    for number, arm in enumerate(_ARMS, 1):
        subject = f"sub-{number:02}"
        write_table(root / "participants.tsv", f"{subject} {30 + number} F {arm} right")
        scores = root / subject / f"{subject}_sessions.tsv"
        for visit in (1, 2):
            name = f"{subject}_ses-{visit}"
            folder = root / subject / f"ses-{visit}" / "anat"
            write_nifti(folder / f"{name}_T1w.nii.gz", seed=number * 10 + visit)
            if visit == 1:
                write_table(scores, "session_id edss")
            write_table(scores, f"ses-{visit} {number + visit / 2}")
    write_json(root / "sub-01" / "sub-01_sessions.json", {"edss": {"Units": "points"}})
    return root


def write_table(path: Path, words: str) -> None:
    """Add a row to a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write("\t".join(words.split()) + "\n")


def answers(bring: Importer, question: str) -> list[str]:
    """Subjects and sessions of the images that answer, as ``1/2``."""
    who = {bring.patient(f"{number:02}", _DATASET): str(number) for number in range(1, 10)}
    found = bring.grid.catalog.objects.select(parse(question), ["PatientID", "session"])
    return sorted(f"{who[patient]}/{session}" for patient, session in found)


def test_images_are_asked_by_arm_and_score(bring: Importer, tmp_path: Path) -> None:
    summary = bring(write_trial(tmp_path / "in"))
    assert (summary.tables, summary.attributes) == (5, 16)
    assert answers(bring, "arm=treated") == ["1/1", "1/2", "3/1", "3/2"]
    assert answers(bring, "arm=treated and edss>2") == ["3/1", "3/2"]
    assert answers(bring, "edss=2") == ["1/2"]
    assert answers(bring, "not arm=treated and edss<3") == ["2/1"]
    assert answers(bring, "arm!=treated") == ["2/1", "2/2", "4/1", "4/2"]
    assert answers(bring, "arm~'treat*' and edss is known and edss<=1.5") == ["1/1"]
    rows = bring.grid.catalog.objects.select(parse("edss>4"), ["arm", "edss"], ["-edss"])
    assert list(rows) == [("placebo", 5), ("placebo", 4.5)]
    known = bring.grid.catalog.patient_attributes.names()
    assert [(one.name, one.type, one.unit) for one in known.values()] == [
        ("arm", "text", None),
        ("edss", "number", "points"),
        ("handedness", "text", None),
    ]


def test_a_second_import_says_nothing_new(bring: Importer, tmp_path: Path) -> None:
    bring(write_trial(tmp_path / "in"))
    summary = bring(tmp_path / "in")
    assert (summary.unchanged, summary.tables, summary.attributes) == (8, 5, 0)
    assert [report.left_out for report in bring.tables if report.name == "participants.tsv"] == [{}]


def test_one_subject_brings_what_stands_above_it(bring: Importer, tmp_path: Path) -> None:
    bring(write_trial(tmp_path / "in") / "sub-03")
    assert answers(bring, "arm=treated and edss=3.5") == ["3/1"]
    (people,) = (one for one in bring.tables if one.name == "participants.tsv")
    assert people.unknown == ["sub-01", "sub-02", "sub-04"]


def test_what_a_table_says_anew_is_history_and_what_somebody_put_right_stays(
    bring: Importer, tmp_path: Path
) -> None:
    root = write_trial(tmp_path / "in")
    bring(root)
    table = root / "sub-01" / "sub-01_sessions.tsv"
    table.write_text("session_id\tedss\nses-1\t6\nses-2\tn/a\n")
    bring(root)
    patient = bring.patient("01", _DATASET)
    assert [one.name for report in bring.tables for one in report.replaced] == ["edss"]
    assert answers(bring, "edss=6") == ["1/1"]
    assert answers(bring, "edss=2") == ["1/2"]  # no value takes nothing away
    store = bring.grid.catalog.patient_attributes
    said = [one for one in store.history([patient]) if one.given.visit == "1"]
    assert [(one.given.value, one.is_current) for one in said] == [(1.5, False), (6, True)]
    assert json.dumps([one.source.split()[0] for one in said]) == '["sub-01_sessions.tsv"]'.replace(
        '"]', '", "sub-01_sessions.tsv"]'
    )
