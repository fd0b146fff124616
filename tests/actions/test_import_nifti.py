"""Imported series become volumes that know what they were made from."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from medgrid.images.convert import converter, converter_version
from medgrid.model import LFN, DataClass, ObjectKind, Review
from tests.lab.dicoms import write_mosaic, write_series
from tests.lab.importer import Importer


def test_a_series_gets_a_volume_and_its_derivation(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 4, SliceThickness=1.0, SpacingBetweenSlices=1.0)
    summary = bring(tmp_path / "in", nifti=True)
    assert summary.new == 2
    series, volume = (LFN(lfn) for lfn in bring.lfns)
    assert volume == f"{series}.nii"
    objects = bring.grid.catalog.objects.get_many([series, volume])
    item = objects[volume]
    assert (item.kind, item.filename) == (ObjectKind.VOLUME, "image.nii.gz.tar")
    assert item.attributes["PatientID"] == bring.patient()
    assert item.attributes["StudyDate"] == bring.day()
    assert item.attributes["NumberOfSlices"] == 4
    made = bring.grid.catalog.provenance.made_by(item.id)
    assert made is not None
    assert made.algorithm_label == f"dcm2niix@{converter_version()}"
    original = bring.original(series)
    assert made.inputs == {"series": [objects[series].id], "original": [original.id]}
    assert made.outputs == {"volume": [item.id]}
    assert bring.grid.catalog.algorithms.find("dcm2niix").digest == made.algorithm
    assert (item.data_class, item.patient, item.original) == (
        DataClass.IMAGE,
        bring.patient(),
        None,
    )
    assert len(bring.stored(item)) == item.stored_bytes
    voxels = gzip.decompress(bring.parts(item)["image.nii.gz"])
    assert len(voxels) == 352 + 64 * 64 * 4 * 2
    assert list(bring.grid.settings.cache_dir.iterdir()) == []


def test_a_mosaic_is_what_dcm2niix_makes_of_the_original(bring: Importer, tmp_path: Path) -> None:
    """Its twin lacks the CSA header, without which it would be mirrored."""
    write_mosaic(tmp_path / "in")
    (tmp_path / "out").mkdir()
    command = [converter(), "-z", "n", "-f", "x", "-o", str(tmp_path / "out"), str(tmp_path / "in")]
    subprocess.run(command, check=True, capture_output=True)
    wanted: Any = nibabel.load(tmp_path / "out" / "x.nii")
    said = json.loads((tmp_path / "out" / "x.json").read_text())
    bring(tmp_path / "in", nifti=True)
    (_, item) = bring.new
    parts = bring.parts(item)
    assert list(parts) == ["image.nii.gz", "image.json"]
    found: Any = nibabel.nifti1.Nifti1Image.from_bytes(gzip.decompress(parts["image.nii.gz"]))
    assert np.array_equal(found.dataobj, wanted.dataobj)
    assert np.array_equal(found.affine, wanted.affine)
    assert nibabel.aff2axcodes(found.affine) == ("L", "S", "A")
    for name in (
        "PhaseEncodingDirection",
        "SliceTiming",
        "EffectiveEchoSpacing",
        "TotalReadoutTime",
    ):
        assert item.attributes[name] == said[name]
        assert json.loads(parts["image.json"])[name] == said[name]


def test_the_grid_gives_what_is_not_at_hand(bring: Importer, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_mosaic(folder)
    bring(folder)
    (folder / "IM2.dcm").unlink()
    bring(folder, nifti=True)
    (item,) = bring.new
    assert item.attributes["NumberOfTimepoints"] == 2
    assert item.attributes["SliceTiming"] == [0, 0.5, 0.25, 0.75]


def test_what_waits_for_a_person_gives_what_waits(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 2, BurnedInAnnotation="YES")
    bring(tmp_path / "in", nifti=True)
    assert [item.review for item in bring.new] == [Review.NEEDED] * 2


def test_it_is_converted_once(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 2)
    assert bring(tmp_path / "in").new == 1
    assert bring(tmp_path / "in", nifti=True).new == 1
    assert bring(tmp_path / "in", nifti=True).new == 0


def test_a_new_version_of_the_series_gives_one_of_the_volume(
    bring: Importer, tmp_path: Path
) -> None:
    write_series(tmp_path / "in", 2, SliceThickness=1.0, SpacingBetweenSlices=1.0)
    bring(tmp_path / "in", nifti=True)
    lfns = bring.lfns
    write_series(tmp_path / "in", 3, SliceThickness=1.0, SpacingBetweenSlices=1.0)
    summary = bring(tmp_path / "in", nifti=True)
    assert (summary.new, summary.versions) == (2, 2)
    assert bring.lfns == lfns
    volume = bring.grid.catalog.objects.get(LFN(lfns[1]))
    assert (volume.version, volume.attributes["NumberOfSlices"]) == (2, 3)


def test_a_name_that_is_taken_stays(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 2)
    bring(tmp_path / "a")
    (lfn,) = bring.lfns
    write_series(tmp_path / "b", 2, series="2", SeriesDescription="T1w.nii")
    bring(tmp_path / "b")
    assert bring.lfns == [f"{lfn}.nii"]
    bring(tmp_path / "a", nifti=True)
    assert bring.lfns == [f"{lfn}-2.nii"]


def test_what_makes_no_volume_is_said_and_not_tried_again(bring: Importer, tmp_path: Path) -> None:
    # dcm2niix has no use for an image without rows
    write_series(tmp_path / "in", 1, Rows=None, Columns=None)
    summary = bring(tmp_path / "in", nifti=True)
    assert (summary.new, summary.failed) == (1, 0)
    assert summary.left_out == {"series that makes no volume": 1}
    assert bring(tmp_path / "in", nifti=True).left_out == {}
