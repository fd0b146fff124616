"""A patient of whom everything that can say so says who it is: DICOM, NIfTI and BIDS files."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from tests.lab.canaries import Canaries
from tests.lab.dicoms import pydicom_file

__all__ = ["Traces", "write_patient"]

_NAMES = """PatientBirthName PatientMotherBirthName ReferringPhysicianName OperatorsName
    PerformingPhysicianName NameOfPhysiciansReadingStudy RequestingPhysician ResponsiblePerson
    ScheduledPerformingPhysicianName PhysiciansOfRecord NamesOfIntendedRecipientsOfResults
    ConsultingPhysicianName ContentCreatorName ReviewerName OrderEnteredBy
    HumanPerformerName"""
_WORDS = """PatientID IssuerOfPatientID OtherPatientIDs InsurancePlanIdentification
    MedicalRecordLocator AccessionNumber StudyID InstitutionName InstitutionAddress
    InstitutionalDepartmentName StationName DeviceSerialNumber PatientAddress CountryOfResidence
    RegionOfResidence MilitaryRank BranchOfService Occupation EthnicGroup
    PatientReligiousPreference PatientComments AdditionalPatientHistory MedicalAlerts Allergies
    AdmissionID IssuerOfAdmissionID AdmittingDiagnosesDescription CurrentPatientLocation
    PatientInstitutionResidence ResponsibleOrganization ImageComments StudyComments
    RequestedProcedureDescription RequestedProcedureComments ReasonForStudy
    RequestedProcedureID ScheduledProcedureStepID PerformedProcedureStepID
    PerformedProcedureStepDescription CommentsOnThePerformedProcedureStep PerformedStationName
    PerformedLocation PlacerOrderNumberImagingServiceRequest ReferringPhysicianAddress
    VisitComments SpecialNeeds PatientState DetectorID PlateID GantryID CassetteID
    OrderCallbackPhoneNumber AcquisitionComments DerivationDescription InterpretationText
    ResultsComments TextComments"""
_DATES = """PatientBirthDate StudyDate SeriesDate AcquisitionDate ContentDate AdmittingDate
    LastMenstrualDate DateOfLastCalibration ScheduledProcedureStepStartDate
    PerformedProcedureStepStartDate"""


@dataclass
class Traces:
    """What was written: the canaries, and those of them that images of each kind hold inside."""

    canaries: Canaries = field(default_factory=Canaries)
    in_dicom: set[str] = field(default_factory=set)
    in_nifti: set[str] = field(default_factory=set)


def write_patient(folder: Path) -> Traces:
    """Write ``dicom`` and ``bids`` below `folder`; names below these name the patient, too."""
    traces = Traces()
    canaries = traces.canaries
    images = _write_dicom(folder / "dicom", canaries)
    traces.in_dicom = canaries.named_in(_text(path) for path in images)
    _write_bids(folder / "bids", canaries)
    traces.in_nifti = canaries.named_in(map(_text, (folder / "bids").rglob("*.nii*")))
    return traces


def _text(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("latin-1")


# -- DICOM -----------------------------------------------------------------------------------------


def _header(canaries: Canaries) -> Dataset:
    """Elements that name the patient, for every file of it; the same in each."""
    ds = Dataset()
    ds.PatientName = canaries.name("the patient")
    ds.PatientSex = "F"
    ds.OtherPatientNames = [canaries.name("the patient, before"), canaries.name("the patient, too")]
    ds.PatientTelephoneNumbers = canaries.number("telephone", "030-5557-7123-99")
    for keyword in _NAMES.split():
        setattr(ds, keyword, canaries.name(keyword)[:64])
    for keyword in _WORDS.split():
        setattr(ds, keyword, canaries.word(keyword))
    for keyword in _DATES.split():
        setattr(ds, keyword, canaries.date(keyword))
    ds.StudyInstanceUID = canaries.uid("study")
    ds.FrameOfReferenceUID = canaries.uid("frame of reference")
    family = str(ds.PatientName).split("^", maxsplit=1)[0]
    ds.StudyDescription = f"MRI {family}"
    ds.SeriesDescription = f"T1w for {str(ds.ReferringPhysicianName).split('^', maxsplit=1)[0]}"
    ds.ProtocolName = f"{family.upper()} {ds.PatientBirthDate}"
    ds.OtherPatientIDsSequence = [_item(PatientID=canaries.word("an id in a sequence"))]
    deep = _item(
        PatientName=canaries.name("a nested item"),
        RetrieveURL=f"https://{canaries.word('host')}.example/",
    )
    deep.ContentSequence = [_item(TextValue=canaries.word("text three levels down"))]
    request = _item(
        RequestedProcedureID=canaries.word("id of a request"),
        ScheduledProcedureStepDescription=canaries.word("description of a request"),
    )
    request.ReferencedStudySequence = Sequence([deep])
    ds.RequestAttributesSequence = [request]
    ds.ReferencedPatientSequence = [_item(ReferencedSOPInstanceUID=canaries.uid("patient object"))]
    _private(ds, canaries)
    return ds


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _private(ds: Dataset, canaries: Canaries) -> None:
    block = ds.private_block(0x0029, canaries.word("private creator"), create=True)
    block.add_new(0x10, "LO", canaries.word("private text"))
    block.add_new(0x11, "OB", canaries.word("private bytes").encode() + b"\0\0")
    block.add_new(0x12, "UN", canaries.word("private unknown").encode("utf-16-le"))
    nested = ds.private_block(0x0031, "ACME 1", create=True)
    inner = _item(PatientName=canaries.name("a private sequence"))
    nested.add_new(0x01, "SQ", Sequence([inner]))


def _around(ds: Dataset, canaries: Canaries) -> None:
    """What is beside the header: overlay, curve, icon, preamble, file meta information."""
    bits = (canaries.word("overlay").encode() + b"\0\0").ljust(64 * 64 // 8, b"\0")
    for keyword, value in (
        (0x0010, ("US", 64)),
        (0x0011, ("US", 64)),
        (0x0022, ("LO", canaries.word("overlay description"))),
        (0x0040, ("CS", "G")),
        (0x0050, ("SS", [1, 1])),
        (0x0100, ("US", 1)),
        (0x0102, ("US", 0)),
        (0x1500, ("LO", canaries.word("overlay label"))),
        (0x3000, ("OW", bits)),
    ):
        ds.add_new((0x6000, keyword), *value)
    ds.add_new((0x5000, 0x0005), "US", 1)
    ds.add_new((0x5000, 0x2500), "LO", canaries.word("curve label"))
    ds.add_new((0x5000, 0x3000), "OW", canaries.word("curve").encode().ljust(32, b"\0"))
    icon = _item(Rows=8, Columns=8, BitsAllocated=8, BitsStored=8, HighBit=7)
    icon.SamplesPerPixel, icon.PixelRepresentation = 1, 0
    icon.PhotometricInterpretation = "MONOCHROME2"
    icon.PixelData = canaries.word("icon image").encode().ljust(64, b"\0")
    ds.IconImageSequence = [icon]
    ds.add_new((0xFFFC, 0xFFFC), "OB", canaries.word("trailing padding").encode() + b"\0\0")
    ds.preamble = canaries.word("preamble").encode().ljust(128, b"\0")
    meta = ds.file_meta
    meta.SourceApplicationEntityTitle = canaries.word("source AE title")
    meta.PrivateInformationCreatorUID = UID(canaries.uid("file meta creator"))
    meta.PrivateInformation = canaries.word("file meta private information").encode() + b"\0\0"


def _write_dicom(folder: Path, canaries: Canaries) -> list[Path]:
    """Write series, a report, a letter and a broken file; gives the files of the series."""
    header = _header(canaries)
    named = folder / f"{canaries.word('folder')}_{canaries.word('folder, too')}"
    named.mkdir(parents=True)

    def write(ds: Dataset, modality: str, series_uid: str, number: int = 1) -> None:
        ds.update(header)
        ds.Modality, ds.SeriesInstanceUID, ds.InstanceNumber = modality, series_uid, number
        ds.SOPInstanceUID = canaries.uid(f"instance {modality} {number}")
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        path = named / f"{canaries.word('file')}.dcm"
        buffer = io.BytesIO()
        ds.save_as(buffer, enforce_file_format=True)
        path.write_bytes(buffer.getvalue())

    around = Dataset()
    around.file_meta = FileMetaDataset()
    _around(around, canaries)

    def image(name: str, sop_class: str = "") -> Dataset:
        ds = pydicom.dcmread(pydicom_file(name))
        ds.file_meta.update(around.file_meta)
        ds.update(around)
        ds.preamble = around.preamble
        if sop_class:
            ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID(sop_class)
        return ds

    mr = canaries.uid("MR series")
    for number in (1, 2):
        ds = image("MR_small.dcm")
        ds.ImagePositionPatient = [0, 0, float(number)]
        write(ds, "MR", mr, number)
    write(image("CT_small.dcm"), "CT", canaries.uid("CT series"))
    us = image("MR_small.dcm", "1.2.840.10008.5.1.4.1.1.6.1")
    write(us, "US", canaries.uid("US series"))
    images = list(named.iterdir())
    report = pydicom.dcmread(pydicom_file("test-SR.dcm"))
    finding = _item(
        ValueType="PNAME", RelationshipType="HAS OBS CONTEXT", PersonName=canaries.name("observer")
    )
    report.ContentSequence = [
        finding,
        _item(
            ValueType="TEXT",
            RelationshipType="CONTAINS",
            TextValue=canaries.word("text of a report"),
        ),
    ]
    report.VerifyingObserverSequence = [
        _item(
            VerifyingObserverName=canaries.name("verifying observer"),
            VerifyingOrganization=canaries.word("verifying organisation"),
        )
    ]
    write(report, "SR", canaries.uid("SR series"))
    letter = Dataset()
    letter.file_meta = FileMetaDataset()
    letter.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    letter.SOPClassUID = letter.file_meta.MediaStorageSOPClassUID = UID(
        "1.2.840.10008.5.1.4.1.1.104.1"
    )
    letter.MIMETypeOfEncapsulatedDocument = "application/pdf"
    letter.DocumentTitle = canaries.word("title of a letter")
    letter.EncapsulatedDocument = b"%PDF-1.4 " + canaries.word("letter").encode() + b"\0"
    write(letter, "DOC", canaries.uid("DOC series"))
    broken = named / f"{canaries.word('broken file')}.dcm"
    broken.write_bytes(bytes(128) + b"DICM" + canaries.word("broken content").encode() * 9)
    return images


# -- NIfTI -----------------------------------------------------------------------------------------


def _write_bids(root: Path, canaries: Canaries) -> None:
    label = canaries.word("subject label")
    day = canaries.date("session label")
    folder = root / f"sub-{label}" / f"ses-{day}" / "anat"
    folder.mkdir(parents=True)
    stem = folder / f"sub-{label}_ses-{day}_T1w"
    write = Path(f"{stem}.nii.gz").write_bytes
    write(_gzipped(_nifti(canaries), canaries.word("name inside gzip"), canaries.word("comment")))
    fields: dict[str, Any] = {
        "EchoTime": 0.03,
        "IntendedFor": f"ses-{day}/func/sub-{label}_ses-{day}_task-rest_bold.nii",
        "PatientName": canaries.name("the patient in a side-car"),
        "PatientID": canaries.word("id in a side-car"),
        "PatientBirthDate": canaries.date("birth date in a side-car"),
        "SeriesInstanceUID": canaries.uid("series in a side-car"),
        "AcquisitionDateTime": f"{canaries.date('acquisition in a side-car')}101112",
    }
    for keyword in (
        "InstitutionName",
        "InstitutionAddress",
        "StationName",
        "DeviceSerialNumber",
        "ReferringPhysicianName",
        "OperatorsName",
        "AccessionNumber",
        "PatientComments",
        "ImageComments",
        "ProcedureStepDescription",
        "SomethingElse",
    ):
        fields[keyword] = canaries.word(f"{keyword} in a side-car")
    fields["Nested"] = {"PatientName": canaries.word("nested in a side-car")}
    Path(f"{stem}.json").write_text(json.dumps(fields))
    plain = folder.parent / "func" / f"sub-{label}_ses-{day}_task-rest_bold.nii"
    plain.parent.mkdir()
    plain.write_bytes(_nifti(canaries))
    _write_companions(plain.parent / f"sub-{label}_ses-{day}_task-rest", canaries)
    columns = {"participant_id": f"sub-{label}", "sex": "F", "age": "71"}
    for name in ("name", "address", "birth_date", "comment"):
        columns[name] = canaries.word(f"{name} of a participant")
    (root / "participants.tsv").write_text(
        "\t".join(columns) + "\n" + "\t".join(columns.values()) + "\n"
    )
    (root / "dataset_description.json").write_text(
        json.dumps(
            {
                "Name": canaries.word("name of a dataset"),
                "BIDSVersion": "1.10.0",
                "Authors": [canaries.word("author of a dataset")],
            }
        )
    )
    (root / "README").write_text(canaries.word("text of a README"))


def _write_companions(stem: Path, canaries: Canaries) -> None:
    rows = [
        ["onset", "duration", "trial_type", canaries.word("name of a column"), "day"],
        ["0.5", "1", "go", canaries.word("cell of a table"), canaries.date("day in a table")],
        ["2", canaries.word("no number in a table"), f"go {canaries.word('trial type')}", "", ""],
    ]
    Path(f"{stem}_events.tsv").write_text("\n".join("\t".join(row) for row in rows) + "\n")
    levels = {"trial_type": {"Levels": {"go": canaries.word("level of a table")}}}
    Path(f"{stem}_events.json").write_text(json.dumps(levels))
    recording = f"0.5\t{canaries.word('cell of a recording')}\n"
    Path(f"{stem}_physio.tsv.gz").write_bytes(gzip.compress(recording.encode()))
    columns = {"Columns": ["cardiac", canaries.word("column of a recording")]}
    Path(f"{stem}_physio.json").write_text(json.dumps(columns))


def _nifti(canaries: Canaries) -> bytes:
    nifti: Any = nibabel.nifti1
    voxels = np.random.default_rng(5).integers(0, 100, (4, 5, 6), dtype=np.int16)
    image = nifti.Nifti1Image(voxels, np.diag([1.0, 2.0, 3.0, 1.0]))
    header = image.header

    def put(name: str, text: str) -> None:
        header[name] = text.encode()

    put("descrip", f"{canaries.word('descrip')} {canaries.date('descrip')}")
    put("aux_file", canaries.word("aux_file"))
    put("intent_name", canaries.word("intent_name"))
    put("db_name", canaries.word("db_name"))
    put("data_type", canaries.word("data_type")[:10])
    for code in (4, 6, 44):
        header.extensions.append(
            nifti.Nifti1Extension(code, canaries.word(f"extension {code}").encode())
        )
    behind = canaries.word("bytes behind the image").encode()
    return bytes(image.to_bytes()) + behind


def _gzipped(data: bytes, name: str, comment: str) -> bytes:
    """Gzip with a file name and a comment in its header (RFC 1952)."""
    packed = gzip.compress(data, mtime=0)
    head = b"\x1f\x8b\x08" + bytes([0x18]) + packed[4:10]
    return b"".join((head, name.encode(), b"\0", comment.encode(), b"\0", packed[10:]))
