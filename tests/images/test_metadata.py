"""All headers of a series speak for it, each once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from medgrid.images import allowed, deidentify
from medgrid.images.metadata import MAX_DISTINCT, SeriesMetadata
from medgrid.images.patient import PatientKeys
from tests.lab.dicoms import instance

KEYS = PatientKeys.of(b"k" * 32, "P-1")


def said(instances: Iterable[Dataset]) -> dict[str, Any]:
    found = SeriesMetadata()
    for ds in instances:
        found.add(ds)
    return found.attributes(KEYS)


def series(*instances: dict[str, Any]) -> dict[str, Any]:
    return said(instance(number, **values) for number, values in enumerate(instances, 1))


def test_what_differs_is_a_list_and_named() -> None:
    found = series(*({"EchoTime": time} for time in (15, 5, 10, 5)))
    assert found["EchoTime"] == [5, 10, 15]
    assert found["Varies"] == ["EchoTime"]
    assert "VariesWidely" not in found


def test_what_is_the_same_is_one_value() -> None:
    found = series({}, {}, {})
    assert found == series({})
    assert "Varies" not in found


def test_several_components_make_a_list_of_lists() -> None:
    magnitude, phase = ["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]
    found = series({"ImageType": magnitude}, {"ImageType": phase}, {"ImageType": magnitude})
    assert found["ImageType"] == [magnitude, phase]
    assert found["PixelSpacing"] == [0.3125, 0.3125]


def test_texts_stand_in_the_order_of_the_instances() -> None:
    found = series({"SeriesDescription": "T2"}, {"SeriesDescription": "T1"})
    assert found["SeriesDescription"] == ["T2", "T1"]


def test_dates_and_uids_are_the_patients_own() -> None:
    found = series(
        {"StudyDate": "20210305", "FrameOfReferenceUID": "1.2.3"},
        {"StudyDate": "20210304", "FrameOfReferenceUID": "1.2.4"},
    )
    assert found["StudyDate"] == [KEYS.day("2021-03-04"), KEYS.day("2021-03-05")]
    assert found["FrameOfReferenceUID"] == [KEYS.uid("1.2.3"), KEYS.uid("1.2.4")]


def test_a_transfer_syntax_of_its_own() -> None:
    other = instance(2)
    other.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert said([instance(1), other])["TransferSyntaxUID"] == [
        "1.2.840.10008.1.2.1",
        "1.2.840.10008.1.2",
    ]


def test_what_the_first_lacks_comes_from_the_first_that_has_it() -> None:
    found = series(
        {"StudyDate": "", "EchoTime": None, "PatientSex": ""},
        {"StudyDate": "20210304", "EchoTime": 9, "PatientSex": "F"},
    )
    assert found["StudyDate"] == KEYS.day("2021-03-04")
    assert (found["EchoTime"], found["PatientSex"]) == (9, "F")
    assert "Varies" not in found


def test_names_come_from_the_first_that_has_them() -> None:
    found = SeriesMetadata()
    found.add(instance(1, PatientBirthDate="", PatientName="Meier^Anna"))
    found.add(instance(2, PatientBirthDate="19610203", PatientName="Meier^A"))
    assert found.names["PatientName"] == "Meier^Anna"
    assert found.names["PatientBirthDate"] == "1961-02-03"


def test_a_word_of_one_header_is_cut_from_what_another_says() -> None:
    found = series(
        {"PatientName": "", "SeriesDescription": "T1 Zweistein"},
        {"PatientName": "Zweistein^Albert", "SeriesDescription": "T1"},
    )
    assert found["SeriesDescription"] == "T1"
    assert "Varies" not in found


def test_of_too_many_numbers_the_least_and_the_greatest_stay() -> None:
    currents = [200 + number % 90 for number in range(300)]
    found = series(*({"XRayTubeCurrent": current} for current in currents))
    assert found["XRayTubeCurrent"] == [200, 289]
    assert found["Varies"] == found["VariesWidely"] == ["XRayTubeCurrent"]
    just = series(*({"XRayTubeCurrent": number} for number in range(MAX_DISTINCT)))
    assert just["XRayTubeCurrent"] == list(range(MAX_DISTINCT))
    assert "VariesWidely" not in just


def test_of_too_many_others_none_stays() -> None:
    found = series(
        *(
            {"SeriesDescription": f"slice {number}", "PixelSpacing": [number + 1, 1]}
            for number in range(MAX_DISTINCT + 1)
        )
    )
    assert "SeriesDescription" not in found
    assert "PixelSpacing" not in found
    assert found["VariesWidely"] == ["PixelSpacing", "SeriesDescription"]


def item(**values: Any) -> Sequence:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return Sequence([ds])


def test_frames_speak_like_instances() -> None:
    ds = instance(EchoTime=None)
    shared = item(MRTimingAndRelatedParametersSequence=item(FlipAngle=12))
    ds.SharedFunctionalGroupsSequence = shared
    ds.PerFrameFunctionalGroupsSequence = Sequence(
        frame
        for b_value in (0, 1000, 1000)
        for frame in item(
            MRDiffusionSequence=item(DiffusionBValue=float(b_value)),
            PlanePositionSequence=item(ImagePositionPatient=[0, 0, b_value]),
        )
    )
    del ds.FlipAngle
    found = said([ds])
    assert found["FlipAngle"] == 12
    assert found["DiffusionBValue"] == [0, 1000]
    assert found["Varies"] == ["DiffusionBValue"]
    assert "ImagePositionPatient" not in found


def test_nothing_that_tells_instances_apart_by_nature_is_collected() -> None:
    every = allowed.UIDS | allowed.DATES | allowed.FREE_TEXT | allowed.CODES | allowed.NUMBERS
    assert not every & {
        *("SOPInstanceUID", "InstanceNumber", "InstanceCreationDate", "InstanceCreationTime"),
        *("ImagePositionPatient", "SliceLocation", "TemporalPositionIdentifier", "FrameNumber"),
        *("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "ContentDate"),
        *("ContentTime", "SeriesTime", "StudyTime", "AcquisitionUID", "IrradiationEventUID"),
        *("SmallestImagePixelValue", "LargestImagePixelValue", "WindowCenter", "WindowWidth"),
    }


def test_an_instance_that_differs_in_nothing_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[str] = []
    before = deidentify.allowed_value

    def noted(keyword: str, values: list[Any], scrub: Any) -> Any:
        decoded.append(keyword)
        return before(keyword, values, scrub)

    monkeypatch.setattr("medgrid.images.metadata.allowed_value", noted)
    found = SeriesMetadata()
    found.add(instance(1))
    decoded.clear()
    found.add(instance(2))
    assert set(decoded) <= {"SOPClassUID"}  # for the transfer syntax, which is no element
    found.add(instance(3, EchoTime=7))
    assert decoded.count("EchoTime") == 1
