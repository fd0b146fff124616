"""What is sealed for the care team: all that names the patient, and nothing else."""

from __future__ import annotations

import json

import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medgrid.images import allowed
from medgrid.images.kept import is_kept
from medgrid.images.nominative import NOMINATIVE, nominative, nominative_fields
from tests.lab.dicoms import instance, pydicom_file


def test_all_that_names_the_patient() -> None:
    ds = instance(
        PatientName="Yamada^Tarou=山田^太郎",
        SpecificCharacterSet="ISO_IR 192",
        PatientBirthDate="19610203",
        IssuerOfPatientID="hospB",
        PatientAddress="1 Main St",
        PatientTelephoneNumbers=["1", "2"],
        PatientMotherBirthName="Sato^Aiko",
        OtherPatientIDs="A-1",
        MilitaryRank="",
        InstitutionName="Saint Elsewhere",
    )
    first, second = Dataset(), Dataset()
    first.PatientID, second.PatientID = "B-2", "A-1"
    ds.OtherPatientIDsSequence = Sequence([first, second])
    found = nominative(ds)
    assert found == {
        "PatientName": "Yamada^Tarou=山田^太郎",
        "PatientID": "PAT-4711",
        "IssuerOfPatientID": "hospB",
        "PatientBirthDate": "1961-02-03",
        "PatientAddress": "1 Main St",
        "PatientTelephoneNumbers": "1\\2",
        "PatientMotherBirthName": "Sato^Aiko",
        "OtherPatientIDs": "A-1\\B-2",
    }
    assert json.loads(json.dumps(found)) == found


def test_broken_headers_give_what_can_be_read() -> None:
    found = nominative(pydicom.dcmread(pydicom_file("badVR.dcm"), force=True))
    assert found["PatientID"] == "id11111"


def test_nothing_of_it_is_ever_allowed() -> None:
    for keyword in NOMINATIVE:
        tag = pydicom.datadict.tag_for_keyword(keyword)
        assert tag is not None
        assert not is_kept(tag)
        assert keyword not in allowed.CODES | allowed.FREE_TEXT | allowed.NUMBERS


def test_fields_of_a_side_car() -> None:
    fields = {"PatientName": "Meier^Anna", "PatientBirthDate": "1950-01-01", "FlipAngle": 9}
    assert nominative_fields(fields) == {
        "PatientName": "Meier^Anna",
        "PatientBirthDate": "1950-01-01",
    }
