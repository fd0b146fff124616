"""A series whose instances differ: all of them speak for it, and what is shown can be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword

from medgrid.actions.lfn import facts
from medgrid.catalog.query import parse
from medgrid.catalog.query_ast import Compare, Value
from medgrid.cli.lfn import plain
from medgrid.images import allowed
from medgrid.images.codes import codes_of
from medgrid.images.dicom import open_header
from medgrid.model import LFN
from tests.lab.dicoms import encoded, instance
from tests.lab.importer import Importer
from tests.lab.niftis import write_json, write_nifti
from tests.lanes import Sample

ECHOES: list[dict[str, Any]] = [{"EchoTime": time} for time in (5, 10, 15, 5, 10, 15)]


def write(folder: Path, instances: list[dict[str, Any]], series: str = "1") -> None:
    """Write one series of instances with attributes of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, values in enumerate(instances, 1):
        data = encoded(instance(number, series, **values))
        (folder / f"{series}-{number}.dcm").write_bytes(data)


def found(bring: Importer, question: str) -> list[str]:
    return [lfn.rpartition("/")[2] for lfn in bring.grid.catalog.objects.lfns(parse(question))]


def test_a_question_meets_any_value_of_the_series(bring: Importer, tmp_path: Path) -> None:
    write(tmp_path / "in", ECHOES, series="1")
    write(tmp_path / "in", [{"EchoTime": 10, "SeriesDescription": "one"}], series="2")
    bring(tmp_path / "in")
    for question, expected in (
        ("EchoTime=10", ["T1w", "one"]),
        ("EchoTime=5", ["T1w"]),
        ("EchoTime in (7, 15)", ["T1w"]),
        ("EchoTime between 12 and 20", ["T1w"]),
        ("EchoTime>=15", ["T1w"]),
        ("not EchoTime=5", ["one"]),
        ("EchoTime!=15", ["one"]),
        ("not EchoTime=10", []),
        ("EchoTime not between 12 and 20", ["one"]),
        ("EchoTime is known", ["T1w", "one"]),
        ("Varies=EchoTime", ["T1w"]),
        ("not Varies=EchoTime", ["one"]),
        ("NumberOfInstances=6", ["T1w"]),
        ("NumberOfSeriesRelatedInstances=1", ["one"]),
    ):
        assert found(bring, question) == expected, question
    shown = bring.grid.catalog.objects.select(
        parse("/"), ["EchoTime", "NumberOfInstances"], sort=["EchoTime"]
    )
    assert list(shown) == [([5, 10, 15], 6), (10, 1)]


def test_what_the_first_instance_lacks_names_the_series(bring: Importer, tmp_path: Path) -> None:
    told = {"StudyDate": "20210304", "SeriesDescription": "T1 late"}
    write(tmp_path / "in", [{"StudyDate": "", "SeriesDescription": ""}, told])
    bring(tmp_path / "in", dry_run=True)
    would_be = bring.lfns
    bring(tmp_path / "in")
    assert bring.lfns == would_be == [f"/trial/{bring.patient()}/{bring.day()}/T1_late"]
    assert bring.twin(bring.lfns[0]).attributes["StudyDate"] == bring.day()


def test_late_instances_speak_too(bring: Importer, tmp_path: Path) -> None:
    write(tmp_path / "in", ECHOES[:1])
    bring(tmp_path / "in")
    write(tmp_path / "in", ECHOES)
    bring(tmp_path / "in")
    item = bring.twin(bring.lfns[0])
    assert (item.version, item.attributes["EchoTime"]) == (2, [5, 10, 15])
    assert item.attributes["NumberOfSeriesRelatedInstances"] == 6


def test_each_header_is_parsed_once(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in", ECHOES)
    parsed = []
    before = open_header

    def noted(stream: Any) -> Any:
        parsed.append(stream)
        return before(stream)

    for module in ("derive_series", "derive", "dicom"):
        monkeypatch.setattr(f"medgrid.images.{module}.open_header", noted)
    bring(tmp_path / "in")
    assert len(parsed) == len(ECHOES)


def test_a_series_without_a_twin_is_described_by_all_headers(
    bring: Importer, tmp_path: Path
) -> None:
    write(tmp_path / "in", [{**one, "SOPClassUID": "1.2.3.4"} for one in ECHOES[:2]])
    bring(tmp_path / "in")
    assert bring.twin(bring.lfns[0]).attributes["EchoTime"] == [5, 10]


# -- what is shown can be asked --------------------------------------------------------------------

VENDORS: dict[str, list[dict[str, Any]]] = {
    "SIEMENS": [
        {
            "ImageType": ["ORIGINAL", "PRIMARY", kind, "ND", "MOSAIC"],
            "SequenceName": "*epfid2d1_64",
            "SoftwareVersions": "syngo MR E11",
            "ImagingFrequency": "123.259938",
            "DiffusionBValue": b_value,
        }
        for kind, b_value in (("M", 0.0), ("P", 1000.0))
    ],
    "GE MEDICAL SYSTEMS": [
        {
            "SoftwareVersions": ["27", "LX", "MR Software release:DV26.0_R03"],
            "ScanOptions": ["FAST_GEMS", "NPW"],
            "SeriesDescription": "Ax DWI, 'b' 1000",
            "ImageOrientationPatient": orientation,
        }
        for orientation in ([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1])
    ],
    "Philips": [
        {"RescaleSlope": slope, "RescaleIntercept": 0, "Rows": 64, "PixelBandwidth": 1 / 3}
        for slope in ("1.28205128205128", "2.5")
    ],
    "CANON_MEC": [
        {"Modality": "CT", "KVP": 120, "XRayTubeCurrent": current, "CTDIvol": 0.1 + 0.2}
        for current in range(100, 180)
    ],
}
SHAPE = frozenset(
    """
    NumberOfFrames SamplesPerPixel BitsAllocated BitsStored HighBit PhotometricInterpretation Rows
    Columns PlanarConfiguration SOPClassUID StudyInstanceUID SeriesInstanceUID BurnedInAnnotation
    """.split()  # noqa: SIM905
)
VALUES: dict[str, Any] = {
    "DS": "0.1234567890123",
    "IS": 3,
    "US": 7,
    "SS": -7,
    "UL": 70000,
    "SL": -70000,
    "FL": 0.1,
    "FD": 1 / 3,
    "UI": "1.2.3",
    "DA": "20210304",
}


def everything() -> dict[str, Any]:
    """A value for each attribute that may become metadata."""
    every = allowed.UIDS | allowed.DATES | allowed.FREE_TEXT | allowed.CODES | allowed.NUMBERS
    values: dict[str, Any] = {}
    for keyword in sorted(every - SHAPE):
        tag = tag_for_keyword(keyword)
        assert tag is not None
        value = VALUES.get(
            dictionary_VR(tag).partition(" ")[0], "brain, of 'head' \"soft\" \\ lung"
        )
        if keyword in allowed.CODES:
            value = min(codes_of(keyword))
        count = dictionary_VM(tag).partition("-")[0]
        values[keyword] = [value] * int(count) if count not in ("1", "0") else value
    return values | {"Modality": "MR", "PatientSex": "F"}


def side_car() -> dict[str, Any]:
    """A value for each field that may become metadata."""
    numbers = {name: [0.1, 1 / 3] for name in allowed.BIDS_NUMBERS}
    texts = dict.fromkeys(allowed.BIDS_TEXTS, "brain, 'head'")
    return numbers | texts | {"MTState": True, "SkullStripped": False, "EchoTime": 0.0123456789012}


def each(value: Any) -> list[Any]:
    return [part for one in value for part in each(one)] if isinstance(value, list) else [value]


def test_what_stat_shows_finds_it(bring: Importer, tmp_path: Path, sample: Sample) -> None:
    for number, (vendor, instances) in enumerate(VENDORS.items()):
        write(tmp_path / "in", [{**one, "Manufacturer": vendor} for one in instances], str(number))
    with pydicom.config.disable_value_validation():
        write(tmp_path / "in", [everything()], series="9")
    write_nifti(tmp_path / "in" / "a.nii.gz")
    write_json(tmp_path / "in" / "a.json", side_car())
    bring(tmp_path / "in")
    assert len(bring.lfns) == len(VENDORS) + 2
    shown = [
        (lfn, name, one)
        for lfn in bring.lfns
        for name, value in facts(bring.grid, LFN(lfn)).item.attributes.items()
        for one in each(value)
    ]
    seen = {name for _, name, _ in shown}
    assert {*everything(), *side_car(), "Varies", "VariesWidely"} <= seen
    for lfn, name, one in sample(shown, 200):
        question = f"lfn={lfn} and {Compare(name, '=', Value(plain(one)))}"
        assert found(bring, question) == [LFN(lfn).name], question
        assert found(bring, question.replace(" and ", " and not ", 1)) == [], question
