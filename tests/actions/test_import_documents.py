"""Reports, plans, contours and the like: for the care team, with what they refer to."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from medgrid.actions.lfn import facts
from medgrid.catalog.query import parse
from medgrid.crypto.pseudonym import load_key
from medgrid.images.patient import PatientKeys
from medgrid.model import LFN, DataClass, Review
from tests.lab.dicoms import ROOT_UID, encoded, instance, pydicom_file, write_series
from tests.lab.importer import Importer

CLASSES = {
    "SR": "1.2.840.10008.5.1.4.1.1.88.33",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
    "RTPLAN": "1.2.840.10008.5.1.4.1.1.481.5",
    "DOC": "1.2.840.10008.5.1.4.1.1.104.1",
    "ECG": "1.2.840.10008.5.1.4.1.1.9.1.1",
    "MR": "1.2.840.10008.5.1.4.1.1.4.2",
    "REG": "1.2.840.10008.5.1.4.1.1.66.1",
    "KO": "1.2.840.10008.5.1.4.1.1.88.59",
}
SERIES, SLICE = f"{ROOT_UID}.2.1.1", f"{ROOT_UID}.3.1.1.1"
MR_CLASS = "1.2.840.10008.5.1.4.1.1.4"


def item(**values: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def document(modality: str, series: str = "9", **values: Any) -> Dataset:
    """Something that is no image, of the patient and study of `write_series`."""
    ds = instance(1, series, Modality=modality, SOPClassUID=CLASSES[modality], PixelData=None)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SeriesDescription = f"{modality} object"
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def evidence() -> Sequence:
    """That the first slice of the series is meant."""
    sop = item(ReferencedSOPClassUID=MR_CLASS, ReferencedSOPInstanceUID=SLICE)
    series = item(SeriesInstanceUID=SERIES, ReferencedSOPSequence=Sequence([sop]))
    study = item(StudyInstanceUID=f"{ROOT_UID}.1.1", ReferencedSeriesSequence=Sequence([series]))
    return Sequence([study])


def contours(*names: str) -> Dataset:
    """Contours on the first slice of the series."""
    image = item(ReferencedSOPClassUID=MR_CLASS, ReferencedSOPInstanceUID=SLICE)
    series = item(SeriesInstanceUID=SERIES, ContourImageSequence=Sequence([image]))
    study = item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=f"{ROOT_UID}.1.1",
        RTReferencedSeriesSequence=Sequence([series]),
    )
    frame = item(FrameOfReferenceUID=f"{ROOT_UID}.4.1", RTReferencedStudySequence=Sequence([study]))
    return document(
        "RTSTRUCT",
        StructureSetLabel="Plan Meier",
        StructureSetName="Anna Meier",
        StructureSetDate="20210305",
        StructureSetTime="101010",
        ReferencedFrameOfReferenceSequence=Sequence([frame]),
        StructureSetROISequence=Sequence(
            [
                item(
                    ROINumber=number,
                    ReferencedFrameOfReferenceUID=f"{ROOT_UID}.4.1",
                    ROIName=name,
                    ROIDescription="as Dr. Huber wants it",
                    ROIGenerationAlgorithm="MANUAL",
                )
                for number, name in enumerate(names, 1)
            ]
        ),
        ROIContourSequence=Sequence(
            [
                item(
                    ReferencedROINumber=number,
                    ROIDisplayColor=[255, 0, 0],
                    ContourSequence=Sequence(
                        [
                            item(
                                ContourImageSequence=Sequence([image]),
                                ContourGeometricType="CLOSED_PLANAR",
                                NumberOfContourPoints=3,
                                ContourData=[0, 0, 1, 10.5, 0, 1, 10.5, 10, 1],
                            )
                        ]
                    ),
                )
                for number in range(1, len(names) + 1)
            ]
        ),
        RTROIObservationsSequence=Sequence(
            [
                item(
                    ObservationNumber=1,
                    ReferencedROINumber=1,
                    ROIObservationLabel="Meier",
                    RTROIInterpretedType="ORGAN",
                    ROIInterpreter="Huber^Karl",
                )
            ]
        ),
    )


def segmentation(*labels: str) -> Dataset:
    """Segments on the first slice of the series."""
    ds = instance(
        1,
        "8",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4",
        Modality="SEG",
        SeriesDescription="SEG object",
        ImageType=["DERIVED", "PRIMARY"],
    )
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    sop = item(ReferencedSOPClassUID=MR_CLASS, ReferencedSOPInstanceUID=SLICE)
    series = item(SeriesInstanceUID=SERIES, ReferencedInstanceSequence=Sequence([sop]))
    ds.ReferencedSeriesSequence = Sequence([series])
    ds.SegmentSequence = Sequence(
        [
            item(SegmentNumber=number, SegmentLabel=label, SegmentAlgorithmType="MANUAL")
            for number, label in enumerate(labels, 1)
        ]
    )
    return ds


def put(folder: Path, *datasets: Dataset) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for ds in datasets:
        (folder / f"{ds.SOPInstanceUID}.dcm").write_bytes(encoded(ds))


def twin_of(bring: Importer, lfn: str) -> Dataset:
    (content,) = bring.members(bring.twin(lfn))
    return pydicom.dcmread(io.BytesIO(content))


@pytest.fixture
def images(bring: Importer, tmp_path: Path) -> Iterator[str]:
    """LFN of the series that the others refer to."""
    write_series(tmp_path / "in", 1)
    bring(tmp_path / "in")
    yield bring.lfns[0]


@pytest.mark.parametrize("modality", sorted(CLASSES.keys() - {"RTSTRUCT"}))
def test_it_comes_as_an_original_that_knows_what_it_refers_to(
    bring: Importer, tmp_path: Path, images: str, modality: str
) -> None:
    ds = document(modality, CurrentRequestedProcedureEvidenceSequence=evidence())
    put(tmp_path / "other", ds)
    summary = bring(tmp_path / "other")
    assert (summary.new, summary.failed, summary.warnings) == (1, 0, 0)
    (reason,) = summary.lacking
    assert reason.startswith("not an image (")
    (lfn,) = bring.lfns
    item = bring.twin(lfn)
    name = "object" if modality == "KO" else f"{modality}_object"  # Ko may be a name
    assert lfn.endswith(f"/{name}.original")
    assert (item.data_class, item.attributes["Modality"]) == (DataClass.NOMINATIVE, modality)
    assert bring.members(item) == [encoded(ds)]
    series_uid = bring.twin(images).attributes["SeriesInstanceUID"]
    assert item.attributes["ReferencedSeriesInstanceUID"] == series_uid
    assert facts(bring.grid, LFN(lfn)).refers_to == (images,)
    question = f"class=nominative and ReferencedSeriesInstanceUID='{series_uid}'"
    assert list(bring.grid.catalog.objects.lfns(parse(question))) == [lfn]


def test_a_plan_finds_its_contours(bring: Importer, tmp_path: Path) -> None:
    structures = contours("PTV")
    referenced = item(
        ReferencedSOPClassUID=CLASSES["RTSTRUCT"],
        ReferencedSOPInstanceUID=structures.SOPInstanceUID,
    )
    plan = document("RTPLAN", "10", ReferencedStructureSetSequence=Sequence([referenced]))
    put(tmp_path / "in", structures, plan)
    bring(tmp_path / "in")
    names = {lfn.rpartition("/")[2]: bring.twin(lfn) for lfn in bring.lfns}
    uid = names["RTPLAN_object.original"].attributes["ReferencedSOPInstanceUID"]
    assert uid == names["RTSTRUCT_object"].attributes["SOPInstanceUID"]


def test_contours_have_a_twin_that_fits_that_of_their_images(
    bring: Importer, tmp_path: Path, images: str
) -> None:
    source = contours("PTV_6000", "Meier", "Lung_L", "Frau Huber")
    put(tmp_path / "other", source)
    summary = bring(tmp_path / "other")
    assert (summary.new, summary.warnings, summary.lacking) == (1, 0, {})
    (lfn,) = bring.lfns
    twin, image = twin_of(bring, lfn), twin_of(bring, images)
    assert bring.twin(lfn).review is Review.NONE
    assert [one.ROIName for one in twin.StructureSetROISequence] == [
        "PTV_6000",
        "roi-2",
        "Lung_L",
        "roi-4",
    ]
    (frame,) = twin.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    assert study.ReferencedSOPInstanceUID == image.StudyInstanceUID == twin.StudyInstanceUID
    assert series.SeriesInstanceUID == image.SeriesInstanceUID
    assert series.ContourImageSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    (contour,) = twin.ROIContourSequence[0].ContourSequence
    assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert contour.ContourData == [0, 0, 1, 10.5, 0, 1, 10.5, 10, 1]
    keys = PatientKeys.of(load_key(bring.grid.settings.keys_dir), bring.patient())
    day, time = keys.moment("2021-03-05", "101010") or ("", "")
    assert (twin.StructureSetLabel, twin.StructureSetTime) == ("STRUCTURES", time)
    assert twin.StructureSetDate == day.replace("-", "")
    assert contour.ContourGeometricType == "CLOSED_PLANAR"
    assert twin.RTROIObservationsSequence[0].ROIInterpreter == ""
    assert "StructureSetName" not in twin
    (content,) = bring.members(bring.twin(lfn))
    assert not any(word in content for word in (b"Meier", b"Huber", b"PAT-4711", b"Anna"))
    assert facts(bring.grid, LFN(lfn)).refers_to == (images,)


def test_segments_are_called_by_known_words(bring: Importer, tmp_path: Path, images: str) -> None:
    put(tmp_path / "other", segmentation("Left kidney", "Hubers Tumor", "Liver"))
    bring(tmp_path / "other")
    (lfn,) = bring.lfns
    twin, image = twin_of(bring, lfn), twin_of(bring, images)
    labels = [one.SegmentLabel for one in twin.SegmentSequence]
    assert labels == ["Left kidney", "segment-2", "Liver"]
    (series,) = twin.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == image.SeriesInstanceUID
    (sop,) = series.ReferencedInstanceSequence
    assert sop.ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert facts(bring.grid, LFN(lfn)).refers_to == (images,)


@pytest.mark.parametrize("name", ["rtstruct", "rtplan", "test-SR", "reportsi", "waveform_ecg"])
def test_real_ones_come_in(bring: Importer, tmp_path: Path, name: str) -> None:
    summary = bring(pydicom_file(f"{name}.dcm"))
    assert (summary.new, summary.failed) == (1, 0)
    assert bring.members(bring.original(bring.lfns[0].removesuffix(".original"))) == [
        pydicom_file(f"{name}.dcm").read_bytes()
    ]
    assert bring.lfns[0].endswith(".original") == (name != "rtstruct")
