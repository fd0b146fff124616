"""Two people who seem to be one patient, and one person who seems to be two, are told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from medgrid.actions.importing.doubts import Facts, contradictions
from medgrid.crypto.pseudonym import load_key, neutral_label
from medgrid.images.nominative import spellings
from tests.lab.datagrid import DataGrid
from tests.lab.dicoms import encoded, instance, write_series
from tests.lab.importer import Importer
from tests.lab.niftis import write_json, write_nifti


def write_subject(root: Path, age: str, sex: str, seed: int, name: str = "TODO") -> None:
    """A BIDS dataset with one subject."""
    write_json(root / "dataset_description.json", {"BIDSVersion": "1.9.0", "Name": name})
    (root / "participants.tsv").write_text(f"participant_id\tage\tsex\nsub-01\t{age}\t{sex}\n")
    write_nifti(root / "sub-01" / "anat" / "sub-01_T1w.nii.gz", seed=seed)


def said(bring: Importer) -> list[str]:
    return [one.reason for one in bring.doubts]


def differs(patient: str, what: str) -> str:
    return f"{patient}: images differ in the patient's {what}: they may be of two people"


@pytest.mark.parametrize("at_once", [True, False])
def test_datasets_of_one_name_with_other_people(
    bring: Importer, tmp_path: Path, at_once: bool
) -> None:
    write_subject(tmp_path / "a", "20", "F", 1)
    write_subject(tmp_path / "b", "40", "M", 2)
    if not at_once:
        assert bring(tmp_path / "a").doubts == 0
    assert bring(tmp_path).doubts == 2
    patient = bring.patient("01", "bids:TODO")
    assert said(bring) == [differs(patient, "age"), differs(patient, "sex")]
    assert bring.doubts[0].hint == (
        f"import what is of others apart, with an --issuer of its own; 'medgrid whois {patient}' "
        "says who it is"
    )
    assert bring(tmp_path).doubts == 0


def test_with_an_issuer_they_are_two(bring: Importer, tmp_path: Path) -> None:
    for name, age, sex, seed in (("a", "20", "F", 1), ("b", "40", "M", 2)):
        write_subject(tmp_path / name, age, sex, seed)
        assert bring(tmp_path / name, issuer=name).doubts == 0


ONE = Facts("F", 34.0, "2020-06-01")


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (Facts(), []),
        (Facts("O"), []),
        (Facts("F", 44.0, "2030-06-01"), []),
        (Facts("", 35.0, "2020-06-01"), []),
        (Facts("", 34.0, "2030-01-01"), []),  # of a table that says one age for all sessions
        (Facts("", 39.0, "2020-06-01"), ["age"]),
        (Facts("M", 44.0, "2020-06-01"), ["sex", "age"]),
        (Facts("", 44.0), []),
        (Facts("", 60.0), ["age"]),
        (Facts("M"), ["sex"]),
    ],
)
def test_what_cannot_be_true_of_one(other: Facts, found: list[str]) -> None:
    assert contradictions(ONE, other) == contradictions(other, ONE) == found


def test_very_old_people_have_no_age() -> None:
    assert Facts.of({"PatientAge": 90.0}).age_years is None
    assert Facts.of({"PatientAge": [1.0, 2.0], "PatientSex": ["M"]}) == Facts()


@pytest.mark.parametrize("at_once", [True, False])
def test_birth_dates_differ(bring: Importer, tmp_path: Path, at_once: bool) -> None:
    write_series(tmp_path / "a", 1, study="1", PatientBirthDate="19800101", PatientAge="")
    write_series(tmp_path / "b", 1, study="2", PatientBirthDate="19800102", PatientAge="")
    if not at_once:
        assert bring(tmp_path / "a").doubts == 0
    bring(tmp_path)
    assert said(bring) == [differs(bring.patient(), "birth date")]
    assert not any("1980" in text for text in said(bring))


@pytest.mark.parametrize("at_once", [True, False])
def test_an_id_that_was_corrected(bring: Importer, tmp_path: Path, at_once: bool) -> None:
    write_series(tmp_path / "a", 1)
    write_series(tmp_path / "b", 1, PatientID="PAT-4712")
    if not at_once:
        assert bring(tmp_path / "a").doubts == 0
    assert bring(tmp_path).doubts == 1
    names = sorted((bring.patient(), bring.patient("PAT-4712")))
    assert said(bring) == [f"{' and '.join(names)} have the same series: they may be one person"]
    assert bring.doubts[0].hint.endswith(
        f"'medgrid patient merge {names[0]} {names[1]}' lets the one become the other"
    )


def test_of_a_patient_of_others_nothing_is_said(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1, PatientSex="F")
    write_series(tmp_path / "b", 1, PatientID="PAT-4712", PatientSex="F")
    write_series(tmp_path / "c", 1, series="2", PatientSex="M")
    with bring.acting_as("ann"):
        bring(tmp_path / "a")
    assert bring(tmp_path / "b", tmp_path / "c").doubts == 0


def test_an_issuer_that_some_instances_lack(bring: Importer, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, issuer in ((1, None), (2, "HOSP"), (3, "HOSP")):
        values = {"IssuerOfPatientID": issuer} if issuer else {}
        (tmp_path / "in" / str(number)).write_bytes(encoded(instance(number, **values)))
    assert bring(tmp_path / "in").new == 1
    assert bring.new[0].patient == bring.patient("PAT-4711", "HOSP")
    assert len(bring.members(bring.original(bring.lfns[0]))) == 3


def test_names_are_compared_as_dicom_says(bring: Importer, tmp_path: Path) -> None:
    for number, name in enumerate(("ROE^RITA", "Roe^Rita", "ROE^RITA^", " ROE ^RITA^^ ")):
        write_series(tmp_path / str(number), 1, study=str(number), PatientID="", PatientName=name)
    write_series(tmp_path / "other", 1, study="9", PatientID="", PatientName="ROE RITA")
    bring(tmp_path)
    assert len({item.patient for item in bring.new}) == 2


@pytest.mark.parametrize("later", ["Roe^Rita", "ROE^RITA^", "Roe^Rita^^"])
def test_a_patient_whom_the_grid_has_keeps_their_pseudonym(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: str
) -> None:
    """Older grids knew patients without an id by the name as it was written."""
    with monkeypatch.context() as patch:
        patch.setattr("medgrid.actions.importing.doubts.spellings", lambda name: (name,))
        write_series(tmp_path / "a", 1, study="1", PatientID="", PatientName="Roe^Rita")
        bring(tmp_path)
    (item,) = bring.new
    key = load_key(bring.grid.settings.keys_dir)
    birth_date = instance().get("PatientBirthDate", "")
    assert item.patient == f"P-{neutral_label(key, 'patient by name', '', 'Roe^Rita', birth_date)}"
    write_series(tmp_path / "b", 1, study="2", PatientID="", PatientName=later)
    bring(tmp_path)
    assert [one.patient for one in bring.new] == [item.patient]


def test_spellings() -> None:
    assert spellings("Roe^Rita^^=") == ("ROE^RITA", "Roe^Rita^^=", "Roe^Rita", "roe^rita")
    assert spellings("ROE^RITA")[0] == "ROE^RITA"


def test_it_is_a_warning_at_the_prompt(data: DataGrid, tmp_path: Path) -> None:
    write_subject(tmp_path / "in" / "a", "20", "F", 1)
    write_subject(tmp_path / "in" / "b", "20", "M", 2)
    ran = data.run("import", tmp_path / "in", "--to", "/trial")
    assert (ran.code, len(ran.lines)) == (3, 2)
    patient = ran.lines[0].split("/")[2]
    lines = ran.err.splitlines()
    assert lines[0] == f"medgrid: warning: {differs(patient, 'sex')}"
    assert lines[-2:] == [
        "medgrid: error: some patients may be others than they seem to be",
        "medgrid: hint: the warnings stand above; all images are in the grid",
    ]
    assert data.run("import", tmp_path / "in", "--to", "/trial").code == 0
