"""No metadata names a patient, whatever attribute the name was written into."""

from __future__ import annotations

import json
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medgrid.images import allowed
from medgrid.images.deidentify import (
    age_years,
    allowed_value,
    clean_text,
    keyed,
    label,
    person_words,
    scrubber_of,
    segment,
)
from medgrid.images.metadata import SeriesMetadata
from medgrid.images.patient import PatientKeys
from medgrid.images.scrub import Scrubber
from medgrid.images.words import normal
from tests.lab.dicoms import instance, pydicom_file

TEXT_VRS = {"AE", "CS", "DS", "IS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "AS", "DT"}


KEYS = PatientKeys.of(b"k" * 32, "P-1")


def known(ds: Dataset) -> dict[str, Any]:
    found = SeriesMetadata()
    found.add(ds)
    return found.attributes(KEYS)


def test_a_name_in_every_attribute_comes_out_of_none() -> None:
    ds = instance(PatientName="Zweistein^Albert^Q", PatientID="KX-99871")
    with pydicom.config.disable_value_validation():
        for tag, (vr, vm, _, _, keyword) in DicomDictionary.items():
            if vr not in TEXT_VRS or tag >> 16 in (0, 2) or keyword in ("", "SpecificCharacterSet"):
                continue
            if keyword in ("PatientName", "PatientID"):
                continue
            for text in ("Zweistein KX-99871",):
                value = f"x {text} ALBERT" if vm == "1" else ["a", f"{text.upper()}_albert"]
                ds.add_new(tag, "LO" if vr in ("DS", "IS", "AS") else vr, value)
        block = ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "LO", "Zweistein")
        inner = Dataset()
        inner.SeriesDescription = "Zweistein"
        ds.SharedFunctionalGroupsSequence = Sequence([inner])
    found = json.dumps(known(ds)).lower()
    for word in ("zweistein", "albert", "99871"):
        assert word not in found


def test_what_names_is_not_even_listed() -> None:
    every = allowed.UIDS | allowed.DATES | allowed.FREE_TEXT | allowed.CODES | allowed.NUMBERS
    for keyword in sorted(every | allowed.BIDS_NUMBERS | allowed.BIDS_TEXTS):
        for part in (
            "Institution",
            "Physician",
            "Operator",
            "Address",
            "Telephone",
            "Comment",
            "Birth",
            "Accession",
            "Serial",
            "Station",
            "Request",
            "Order",
            "Insurance",
            "Religious",
            "Ethnic",
            "Occupation",
            "History",
            "Admission",
            "Name",
            "ID",
        ):
            if part in ("Name", "ID") and keyword in NAMES_OF_THINGS:
                continue
            assert part not in keyword, keyword


NAMES_OF_THINGS = {
    "ProtocolName",
    "SequenceName",
    "PulseSequenceName",
    "ManufacturerModelName",
    "ReceiveCoilName",
    "TransmitCoilName",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPClassUID",
    "FrameOfReferenceUID",
    "TaskName",
    "TracerName",
    "ReconMethodName",
    "CogAtlasID",
    "CogPOID",
    "ImageOrientationPatientDICOM",
}


def test_metadata_is_typed() -> None:
    found = known(instance(PatientBirthDate="19500101", PatientAge="", SeriesDate="20210305"))
    assert found["StudyDate"] == KEYS.day("2021-03-04")
    assert found["SeriesDate"] == KEYS.day("2021-03-05")
    assert found["StudyInstanceUID"] == KEYS.uid(instance().StudyInstanceUID)
    assert found["SOPClassUID"] == "1.2.840.10008.5.1.4.1.1.4"
    assert found["PatientAge"] == 71.0
    assert found["Rows"] == 64
    assert found["EchoTime"] == 240
    assert found["PixelSpacing"] == [0.3125, 0.3125]
    assert found["ImageType"] == ["DERIVED", "SECONDARY", "OTHER"]
    assert found["TransferSyntaxUID"] == "1.2.840.10008.1.2.1"
    for name in ("PatientID", "PatientName", "PatientBirthDate", "InstitutionName"):
        assert name not in found


def test_values_that_are_none_are_left_out() -> None:
    with pydicom.config.disable_value_validation():
        ds = instance(StudyDate="20211399", Modality="??", PatientSex="Y")
        ds.BodyPartExamined = "see letter: pain!"
        ds["SliceThickness"] = pydicom.dataelem.DataElement(0x00180050, "LO", "thin")
    found = known(ds)
    for name in ("StudyDate", "SliceThickness", "Modality", "PatientSex", "BodyPartExamined"):
        assert name not in found


def test_a_broken_element_does_not_hide_the_others() -> None:
    found = known(pydicom.dcmread(pydicom_file("badVR.dcm"), force=True))
    assert found["Modality"] == "RTDOSE"


def test_shared_functional_groups_are_lifted() -> None:
    ds = instance(RepetitionTime=None, PixelSpacing=None)
    timing, measures, shared = Dataset(), Dataset(), Dataset()
    timing.RepetitionTime = 2000
    measures.PixelSpacing = [1, 2]
    measures.SliceThickness = 3
    shared.MRTimingAndRelatedParametersSequence = Sequence([timing])
    shared.PixelMeasuresSequence = Sequence([measures])
    del ds.SliceThickness
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    found = known(ds)
    assert found["RepetitionTime"] == 2000
    assert found["PixelSpacing"] == [1, 2]
    assert found["SliceThickness"] == 3


@pytest.mark.parametrize(
    ("age", "born", "seen", "years"),
    [
        ("045Y", "", "", 45.0),
        ("018M", "", "", 1.5),
        ("026W", "", "", 0.5),
        ("010D", "", "", 0.03),
        ("095Y", "", "", 90.0),
        ("090Y", "", "", 90.0),
        ("089Y", "", "", 89.0),
        ("", "19500101", "20200101", 70.0),
        ("", "1900.01.01", "20200101", 90.0),
        ("", "20200101", "20200701", 0.5),
        ("000Y", "19500101", "20200101", 70.0),
        ("000Y", "", "", None),
        ("45", "", "", None),
        ("", "20300101", "20200101", None),
        ("", "19500101", "", None),
    ],
)
def test_ages(age: str, born: str, seen: str, years: float | None) -> None:
    assert age_years(age, born, seen) == years


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("T1w MPRAGE", "T1w MPRAGE"),
        ("T1w_Meier_Anna", "T1w"),
        ("MEIER^ANNA T1w", "T1w"),
        ("T1w MEIERANNA sag", "T1w sag"),
        ("PAT-4711 brain", "brain"),
        ("pat 4711/brain", "pat brain"),
        ("Méier", ""),
        ("Annapolis", "polis"),
        ("Li T2 flair", "T2 flair"),
        ("Limb", "Limb"),
        ("born 19610203", "born"),
        ("born 03.02.1961", "born"),
        ("VB17 2.10.4 12345678", "VB17 2.10.4 12345678"),
    ],
)
def test_free_text_is_scrubbed(text: str, clean: str) -> None:
    ds = instance(PatientName="Meier^Anna^Li^Mr", PatientBirthDate="19610203")
    assert " ".join(scrubber_of(ds)(normal(text)).split()) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Sorensen Bjorn T1", "T1"),
        ("Soerensen T1", "T1"),
        ("SØRENSEN_BJØRN T1", "T1"),
        ("Lukasik Muller MUELLER M\u00fcller T2", "T2"),
        ("vanderBerg alhassan AL-HASSAN T1", "T1"),
        ("S\u00adorensen So\u200brensen T1", "T1"),
        ("\uff33\uff4f\uff52\uff45\uff4e\uff53\uff45\uff4e T1", "T1"),
        ("MRN 123456 00123456 1234-56 12 34 56", "MRN"),
        ("MRN0000123456 T1", "MRN00 T1"),
        ("9912345678 T1", "99 78 T1"),
        ("778899 ID778899X ID-778899-X", "ID X"),
        ("geb 03.02.61", "geb"),
        ("T1 10.03.20 200310 10 Mar 2020", "T1"),
        ("geb 3.2.61 3/2/1961 1961-2-3", "geb"),
        ("030261 61-02-03 1961 02 03 610203", ""),
        ("3 Feb 1961 03-FEB-61 Feb 3 1961 3feb1961", ""),
    ],
)
def test_other_spellings_of_the_same_are_scrubbed(text: str, clean: str) -> None:
    ds = instance(PatientName="Sørensen^Bjørn", PatientBirthDate="19610203")
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientID, ds.OtherPatientIDs = "00123456", "ID778899X"
    ds.StudyDate = "20200310"
    ds.OtherPatientNames = ["Łukasik^Anna", "Müller", "van der Berg", "AL-HASSAN^X"]
    assert " ".join(scrubber_of(ds)(normal(text)).split()) == clean


def test_signs_that_nobody_sees_are_not_there_in_names_either() -> None:
    scrub = Scrubber(["Tes\u200bta"])
    assert scrub("T1 TESTA") == clean_text("T1 TES\u00adTA", scrub) == "T1"
    assert scrub.finds("TES\u200bTA")


def test_a_header_of_many_days_is_no_header_of_many_names() -> None:
    ds = instance()
    ds.ReferencedStudySequence = [instance(StudyDate=f"2020{n:04d}") for n in range(101, 129)]
    assert scrubber_of(ds)("T1 27 Jan 2020") == "T1"


def test_text_of_an_unknown_representation_is_no_text() -> None:
    assert allowed_value("SeriesDescription", [b"T1"], Scrubber([])) is None


def test_a_prefix_is_no_name() -> None:
    ds = instance(PatientName="Meier^Anna^^MR", SeriesDescription="MR T1")
    assert known(ds)["Modality"] == "MR"
    assert known(ds)["SeriesDescription"] == "MR T1"


def test_other_scripts_are_scrubbed() -> None:
    words = list(person_words("Yamada^Tarou=山田^太郎=やまだ^たろう"))
    scrub = Scrubber(words)
    assert scrub("頭部 山田太郎 T1") == "頭部 T1"
    assert scrub("YAMADA t1") == "t1"


def test_a_word_that_begins_a_longer_one_leaves_nothing_of_it() -> None:
    assert Scrubber(["Meier", "Meiermann"])("T1 Meiermann x") == "T1 x"
    assert Scrubber(["Li", "Lin"])("T1 Lin x") == "T1 x"


def test_names_in_other_attributes_and_depths_count() -> None:
    ds = instance(
        ReferringPhysicianName="House^Gregory",
        AccessionNumber="ACC778812",
        InstitutionName="Saint Elsewhere",
        SeriesDescription="T1 for gregory at saint elsewhere acc778812",
    )
    other = Dataset()
    other.PatientID = "ALT-5533"
    ds.OtherPatientIDsSequence = Sequence([other])
    assert known(ds)["SeriesDescription"] == "T1 for at"
    assert scrubber_of(ds)("T2 alt-5533") == "T2"


@given(st.text(min_size=4, max_size=12), st.text(max_size=20), st.text(max_size=20))
def test_a_long_word_never_survives(word: str, before: str, after: str) -> None:
    scrub = Scrubber([word])
    assert not scrub.finds(scrub(f"{before}{word}{after}")) or not scrub.finds(word)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"SeriesDescription": "T1w MPRAGE (sag)"}, "T1w_MPRAGE_sag"),
        ({"SeriesDescription": "../../etc"}, "etc"),
        ({"SeriesDescription": "-rf *"}, "rf"),
        ({"SeriesDescription": "***", "ProtocolName": "T2*"}, "T2"),
        ({"Modality": "CT", "SeriesNumber": 3}, "CT-3"),
        ({"Modality": "CT"}, "CT"),
        ({}, "series"),
        ({"SeriesDescription": "x" * 300}, "x" * 48),
        ({"SeriesDescription": "Schädel ädä"}, "Schädel_ädä"),
    ],
)
def test_labels(attributes: dict[str, Any], expected: str) -> None:
    assert label(attributes) == expected


@given(st.text())
def test_a_segment_is_always_one(text: str) -> None:
    from medgrid.model import LFN

    found = segment(text)
    if found:
        assert LFN("/a").child(found).name == found


def test_dates_and_uids_of_a_side_car_are_the_patients_own_or_none() -> None:
    said = {"StudyDate": "2021-03-04", "StudyInstanceUID": "1.2.3", "FlipAngle": 9}
    day = KEYS.day("2021-03-04")
    assert day is not None
    assert keyed(said, KEYS) == {
        "StudyDate": day,
        "StudyInstanceUID": KEYS.uid("1.2.3"),
        "FlipAngle": 9,
    }
    assert keyed(said, None) == {"FlipAngle": 9}


def test_a_known_manufacturer_is_metadata_whatever_the_patient_is_called() -> None:
    ds = instance(PatientName="Phantom^GE", Manufacturer="GE MEDICAL SYSTEMS")
    ds.ManufacturerModelName = "GE Signa"
    series = SeriesMetadata()
    series.add(ds)
    found = series.attributes(KEYS)
    assert (found["Manufacturer"], found["ManufacturerModelName"]) == (
        "GE MEDICAL SYSTEMS",
        "GE Signa",
    )
