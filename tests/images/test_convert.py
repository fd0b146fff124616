"""Series become NIfTI volumes that hold no text of the patient."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import nibabel
import pytest

from medgrid.errors import MedgridError
from medgrid.images.convert import convert, converter_version
from tests.lab.dicoms import encoded, instance, pydicom_file, write_series


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_a_series_becomes_one_volume(tmp_path: Path, target: Path) -> None:
    write_series(
        tmp_path / "in",
        5,
        PatientName="Zweistein^Albert",
        ImageComments="Zweistein",
        SeriesDescription="T1w Zweistein",
        ProtocolName="Zweistein",
        InstitutionName="Saint Elsewhere",
        SpacingBetweenSlices=1.0,
        SliceThickness=1.0,
    )
    known = {
        "PatientID": "P-1",
        "Rows": 64,
        "NumberOfSeriesRelatedInstances": 5,
        "Manufacturer": "M",
    }
    (found,) = convert(tmp_path / "in", target, known)
    assert found.postfix == ""
    assert list(found.companions) == ["image.json"]
    image: Any = nibabel.loadsave.load(found.path)
    assert image.shape == (64, 64, 5)
    content = gzip.decompress(found.path.read_bytes()) + repr(found.attributes).encode()
    content += found.companions["image.json"]
    for word in (b"Zweistein", b"Albert", b"Elsewhere"):
        assert word not in content
    assert found.attributes["PatientID"] == "P-1"
    assert found.attributes["NumberOfSlices"] == 5
    assert found.attributes["EchoTime"] == 240.0
    assert json.loads(found.companions["image.json"])["EchoTime"] == 0.24
    assert found.attributes["Manufacturer"] == "M"
    assert "NumberOfSeriesRelatedInstances" not in found.attributes


def test_each_volume_of_a_series_says_its_own(tmp_path: Path, target: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(1, 9):
        slice_, echo = (number + 1) // 2, 2 - number % 2
        ds = instance(
            number,
            EchoTime=10 * echo,
            EchoNumbers=echo,
            ImagePositionPatient=[0, 0, 2.0 * slice_],
            SliceThickness=2,
            SpacingBetweenSlices=2,
        )
        (folder / f"IM{number}.dcm").write_bytes(encoded(ds))
    known = {
        "EchoTime": [10, 20],
        "ImageComments": [1, 2],
        "StudyDate": ["2020-01-01"] * 2,
        "Varies": ["EchoTime", "ImageComments", "StudyDate"],
    }
    found = convert(folder, target, known)
    assert [one.attributes["EchoTime"] for one in found] == [10.0, 20.0]
    for one in found:
        assert one.attributes["StudyDate"] == ["2020-01-01"] * 2
        assert not {"Varies", "ImageComments"} & one.attributes.keys()


def test_what_is_no_volume_gives_none(tmp_path: Path, target: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "IM000001.dcm").write_bytes(pydicom_file("test-SR.dcm").read_bytes())
    assert convert(tmp_path / "in", target, {}) == []


def test_what_it_cannot_convert_is_an_error(tmp_path: Path, target: Path) -> None:
    first, _ = write_series(tmp_path / "in", 2)
    first.write_bytes(first.read_bytes()[:-3000])
    with pytest.raises(MedgridError, match=r"^dcm2niix failed with exit code 1$"):
        convert(tmp_path / "in", target, {})


def test_the_converter_tells_its_version() -> None:
    assert converter_version().startswith("1.")
