"""Series become NIfTI volumes that hold no text of the patient."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import pytest

from medgrid.images.convert import convert, converter_version
from tests.lab.dicoms import pydicom_file, write_series


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
    known = {"PatientID": "P-1", "Rows": 64, "NumberOfInstances": 5, "Manufacturer": "M"}
    (found,) = convert(tmp_path / "in", target, known)
    assert found.postfix == ""
    assert found.gradients == {}
    image: Any = nibabel.loadsave.load(found.path)
    assert image.shape == (64, 64, 5)
    content = gzip.decompress(found.path.read_bytes()) + repr(found.attributes).encode()
    for word in (b"Zweistein", b"Albert", b"Elsewhere"):
        assert word not in content
    assert found.attributes["PatientID"] == "P-1"
    assert found.attributes["NumberOfSlices"] == 5
    assert found.attributes["EchoTime"] == 240.0
    assert found.attributes["Manufacturer"] == "M"
    assert "NumberOfInstances" not in found.attributes


def test_what_is_no_volume_gives_none(tmp_path: Path, target: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "IM000001.dcm").write_bytes(pydicom_file("test-SR.dcm").read_bytes())
    assert convert(tmp_path / "in", target, {}) == []


def test_the_converter_tells_its_version() -> None:
    assert converter_version().startswith("1.")
