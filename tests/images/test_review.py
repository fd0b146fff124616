"""Which images wait for a person's look, and why."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from medgrid.images.derive import derive
from medgrid.images.patient import PatientKeys
from medgrid.images.review import review_reason, volume_review_reason
from tests.lab.dicoms import encoded, instance, pydicom_file

KEYS = PatientKeys.of(b"k" * 32, "P-1")

# of values that no device should write
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR", "ignore:A value of type")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, ""),
        ({"Modality": "CT"}, ""),
        ({"Modality": "PT", "BurnedInAnnotation": "NO"}, ""),
        ({"BurnedInAnnotation": "YES"}, "text is burned in"),
        ({"BurnedInAnnotation": "?"}, "text is burned in"),
        ({"Modality": "US", "BurnedInAnnotation": "NO"}, "modality US"),
        ({"Modality": "SC"}, "modality SC"),
        ({"Modality": "OT"}, "modality OT"),
        ({"Modality": "XC"}, "modality XC"),
        ({"Modality": "ES"}, "modality ES"),
        ({"Modality": "XA"}, "modality XA"),
        ({"Modality": "RF"}, "modality RF"),
        ({"Modality": "GM"}, "modality GM"),
        ({"Modality": ""}, "no modality"),
        ({"Modality": "Meier Anna"}, "no modality"),
        ({"Modality": "CR"}, "modality CR, and it does not say what it shows"),
        ({"Modality": "CR", "BurnedInAnnotation": "NO"}, ""),
        ({"Modality": "MG", "BurnedInAnnotation": "NO"}, ""),
        (
            {"Modality": "SM", "BurnedInAnnotation": "NO", "ImageType": ["ORIGINAL", "LABEL"]},
            "a saved screen, report or label",
        ),
        ({"Modality": "SEG", "SeriesDescription": "tumour label"}, ""),
        ({"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "a secondary capture"),
        ({"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"}, "a secondary capture"),
        ({"Modality": "CT", "ConversionType": "WSD"}, "a converted picture"),
        (
            {"Modality": "CT", "ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
            "a saved screen, report or label",
        ),
        (
            {"Modality": "CT", "SeriesDescription": "Dose Report"},
            "a saved screen, report or label",
        ),
        (
            {"Modality": "CT", "SeriesDescription": "Patient Protocol"},
            "a saved screen, report or label",
        ),
        ({"Modality": "MR", "PhotometricInterpretation": "RGB"}, "a colour picture of a scanner"),
        ({"Modality": "MR", "ImageType": ""}, "no ImageType"),
    ],
)
def test_reasons(values: dict[str, Any], reason: str) -> None:
    ds = instance(**values)
    assert review_reason(ds) == reason


def test_an_overlay_in_the_pixels_is_seen() -> None:
    ds = instance()
    ds.add_new(0x60000100, "US", 16)
    ds.add_new(0x60000102, "US", 15)
    assert review_reason(ds) == "an overlay lies in unused bits of the pixels"
    ds.add_new(0x60003000, "OW", bytes(512))
    assert review_reason(ds) == ""


def reason_of(data: bytes) -> str:
    return derive(io.BytesIO(data), KEYS).review


def test_bytes_behind_the_last_frame_are_seen() -> None:
    assert reason_of(encoded(instance())) == ""
    ds = instance(PixelData=instance().PixelData + b"Meier^Anna")
    assert reason_of(encoded(ds)) == "pixel data are longer than their frames"
    assert reason_of(encoded(instance(Rows=""))) == "pixel data cannot be measured"


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        (b"", ""),
        (b"\xff\xfe\x00\x0cMeier^Anna", "compressed frames carry text"),
        (b"\xff\xe1\x00\x0eExif\0\0Anna^M", "compressed frames carry text"),
        (b"\xff\xfe\x00\x0cOpenJPEG 2", ""),
        (b"\xff\xfe\x00\x04\0\0", ""),
        (b"\xff\xe0\x00\x0cMeier^Anna", ""),
        (b"\xff\xff\xff\xfe\x00\x0cMeier^Anna", "compressed frames carry text"),
    ],
)
def test_text_beside_compressed_pixels_is_seen(segment: bytes, reason: str) -> None:
    frame = b"\xff\xd8" + segment + b"\xff\xda\x00\x02Meier\xff\xd9"
    ds = instance(PixelData=encapsulate([frame]))
    ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.70")
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    assert reason_of(encoded(ds)) == reason


def test_comments_of_jpeg_2000_are_those_of_encoders() -> None:
    path = pydicom_file("MR_small_jp2klossless.dcm")
    assert reason_of(path.read_bytes()) == ""
    data = path.read_bytes()
    start = data.index(b"\xff\x4f\xff\x51")
    comment = data.index(b"\xff\x64", start)
    length = int.from_bytes(data[comment + 2 : comment + 4], "big")
    text = b"Meier^Anna".ljust(length - 4)
    changed = data[: comment + 6] + text + data[comment + 2 + length :]
    assert len(changed) == len(data)
    assert reason_of(changed) == "compressed frames carry text"


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"Modality": "MR", "NumberOfSlices": 1}, ""),
        ({"NumberOfSlices": 30, "VoxelType": "int16"}, ""),
        ({"NumberOfSlices": 1}, "a single picture of no known modality"),
        ({"Modality": "US", "NumberOfSlices": 30}, "modality US"),
        ({"NumberOfSlices": 30, "VoxelType": "void24"}, "a colour picture"),
    ],
)
def test_volumes(attributes: dict[str, Any], reason: str) -> None:
    assert volume_review_reason(attributes, {}) == reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"BurnedInAnnotation": "yes"}, "text is burned in"),
        ({"BurnedInAnnotation": "NO", "ImageType": ["DERIVED", "SECONDARY", "AXIAL"]}, ""),
        ({"ImageType": ["DERIVED", "SCREEN SAVE"]}, "a saved screen, report or label"),
        ({"SeriesDescription": "Patient Protocol"}, "a saved screen, report or label"),
        ({"ConversionType": "SI"}, "a converted picture"),
    ],
)
def test_a_side_car_speaks_as_a_header_does(fields: dict[str, Any], reason: str) -> None:
    assert volume_review_reason({"Modality": "CT", "NumberOfSlices": 1}, fields) == reason
