"""The de-identified twin of a DICOM file: the same pixels, nothing that names, the same always."""

from __future__ import annotations

import io
import tracemalloc
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from medgrid.images.derive import Derivative, NoDerivative, derive
from medgrid.images.derive_series import SeriesPass
from medgrid.images.pack import FileStamp, Member, pack, unpack
from medgrid.images.patient import PatientKeys
from tests.lab.dicoms import all_pydicom_files, encoded, instance, pydicom_file, write_series
from tests.lab.twins import derive_instance

KEYS = PatientKeys.of(b"k" * 32, "P-7F3KQ2M9XA")
EMPTIED_OF_WORDS = {
    "DeviceSerialNumber": ("LO", "0"),
    "ContainerIdentifier": ("LO", "0"),
    "ContentLabel": ("CS", "CONTENT"),
}
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def derived(data: bytes, keys: PatientKeys = KEYS) -> tuple[bytes, Derivative]:
    target = io.BytesIO()
    found = derive_instance(io.BytesIO(data), target, keys)
    assert len(target.getvalue()) == found.size_bytes
    return target.getvalue(), found


def twin(ds: Dataset) -> Any:
    return pydicom.dcmread(io.BytesIO(derived(encoded(ds))[0]))


def refusal(data: bytes) -> str:
    with pytest.raises(NoDerivative) as caught:
        derive(io.BytesIO(data), KEYS)
    return str(caught.value)


def pixels(ds: Dataset) -> bytes:
    (name,) = (name for name in PIXELS if name in ds)
    return bytes(ds[name].value)


REFUSED = {
    "MR_truncated.dcm": "ends within its pixel data",
    "SC_rgb_jpeg.dcm": "pixel data in a form that is not known",
    "ExplVR_BigEndNoMeta.dcm": "not an image (RT Ion Plan Storage)",
    "ExplVR_LitEndNoMeta.dcm": "not an image (RT Ion Plan Storage)",
    "reportsi.dcm": "not an image (Basic Text SR Storage)",
    "reportsi_with_empty_number_tags.dcm": "not an image (Basic Text SR Storage)",
    "rtplan.dcm": "not an image (RT Plan Storage)",
    "rtplan_truncated.dcm": "not an image (RT Plan Storage)",
    "test-SR.dcm": "not an image (Comprehensive SR Storage)",
    "waveform_ecg.dcm": "not an image (12-lead ECG Waveform Storage)",
}


@pytest.mark.parametrize("path", list(all_pydicom_files()), ids=lambda path: path.name)
def test_every_file_of_pydicom_is_derived_or_refused_with_a_reason(path: Path) -> None:
    data = path.read_bytes()
    try:
        found, _ = derived(data)
    except NoDerivative as exc:
        assert path.name in REFUSED or str(exc) in ("no SOPClassUID", "no pixel data")
        assert str(exc) == REFUSED.get(path.name, str(exc))
        return
    before = pydicom.dcmread(io.BytesIO(data), force=True)
    after = pydicom.dcmread(io.BytesIO(found))
    assert path.name not in REFUSED
    assert path.name == "rtstruct.dcm" or pixels(after) == pixels(before)
    assert after.get("Rows") == before.get("Rows")
    assert after.PatientIdentityRemoved == "YES"
    own = [one for one in after.iterall() if one.tag.is_private and one.tag.element > 0xFF]
    assert all(one.VR in ("DS", "IS", "FD", "FL", "US", "SS", "SL", "CS") for one in own)
    assert found == derived(data)[0], "the same always"
    again, _ = derived(found)
    if path.name != "rtstruct.dcm":
        assert pixels(pydicom.dcmread(io.BytesIO(again))) == pixels(before)


def test_who_it_is_and_how_it_was_made() -> None:
    ds = instance(PatientBirthDate="19500101", PatientAge="", PatientSex="F")
    data, _ = derived(encoded(ds))
    assert data.count(b"\x10\0\x10\x10AS") == 1
    found: Any = pydicom.dcmread(io.BytesIO(data))
    assert (found.PatientName, found.PatientID) == (f"{KEYS.pseudonym}^", KEYS.pseudonym)
    assert found.StudyID == found.StudyInstanceUID[-10:]
    assert (found.PatientBirthDate, found.PatientAge, found.PatientSex) == ("", "071Y", "F")
    assert found.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = [one.CodeValue for one in found.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113105", "113107", "113108", "113111"]
    assert {one.CodingSchemeDesignator for one in found.DeidentificationMethodCodeSequence} == {
        "DCM"
    }


def test_uids_and_dates_are_those_of_the_catalog() -> None:
    ds = instance(SeriesDate="20210305", AcquisitionDateTime="20210304101112.5+0100")
    ds.AcquisitionTime = "101112.25"
    found = twin(ds)
    assert found.StudyInstanceUID == KEYS.uid(ds.StudyInstanceUID)
    assert found.SeriesInstanceUID == KEYS.uid(ds.SeriesInstanceUID)
    assert found.SOPInstanceUID == KEYS.uid(ds.SOPInstanceUID)
    assert found.FrameOfReferenceUID == KEYS.uid(ds.FrameOfReferenceUID)
    assert found.SOPClassUID == ds.SOPClassUID
    for keyword, moment in (("StudyDate", "2021-03-04T185059"), ("SeriesDate", "2021-03-05")):
        assert found[keyword].value == (KEYS.told_day(moment) or "").replace("-", "")
    assert KEYS.moment("2021-03-04", "185059") == (
        KEYS.told_day("2021-03-04T185059"),
        found.StudyTime,
    )
    assert found.AcquisitionDateTime == moved("2021-03-04", "101112.5")
    assert found.AcquisitionTime == KEYS.time("101112.25"), "its day is not known"


def moved(day: str, time: str) -> str:
    return "".join(KEYS.moment(day, time) or ()).replace("-", "")


def test_moments_of_a_patient_stay_as_far_apart_as_they_were() -> None:
    ds = instance(
        StudyTime="000010", SeriesDate="20210305", SeriesTime="235950.5",
        AcquisitionDate="20210304", AcquisitionTime="1200", ContentDate="20210304",
    )  # fmt: skip
    ds.AcquisitionDateTime = "20210304115959"
    found = twin(ds)

    def of(name: str) -> datetime:
        time = found[f"{name}Time"].value.partition(".")[0]
        return datetime.strptime(f"{found[f'{name}Date'].value} {time}", "%Y%m%d %H%M%S")

    study, series, acquired = map(of, ("Study", "Series", "Acquisition"))
    assert series - study == timedelta(days=1, hours=23, minutes=59, seconds=40)
    assert acquired - study == timedelta(hours=11, minutes=59, seconds=50)
    whole = datetime.strptime(found.AcquisitionDateTime, "%Y%m%d%H%M%S")
    assert acquired - whole == timedelta(seconds=1)
    assert found.SeriesTime.endswith(".5")
    assert found.ContentDate == (KEYS.day("2021-03-04") or "").replace("-", "")
    assert "ContentTime" not in found or not found.ContentTime


def test_file_meta_is_new() -> None:
    ds = instance()
    ds.preamble = b"Meier^Anna" + bytes(118)
    ds.file_meta.SourceApplicationEntityTitle = "MEIER"
    ds.file_meta.PrivateInformationCreatorUID = UID("1.2.3")
    ds.file_meta.PrivateInformation = b"Meier^Anna"
    data, _ = derived(encoded(ds))
    assert data[:128] == bytes(128)
    meta = pydicom.dcmread(io.BytesIO(data)).file_meta
    assert [one.keyword for one in meta] == [
        "FileMetaInformationGroupLength",
        "FileMetaInformationVersion",
        "MediaStorageSOPClassUID",
        "MediaStorageSOPInstanceUID",
        "TransferSyntaxUID",
        "ImplementationClassUID",
        "ImplementationVersionName",
    ]
    assert meta.MediaStorageSOPInstanceUID == KEYS.uid(ds.SOPInstanceUID)


def test_text_is_scrubbed_at_any_depth_and_in_any_script() -> None:
    ds = instance(SpecificCharacterSet="ISO_IR 192", PatientName="Müller^Jürgen=山田^太郎")
    ds.SeriesDescription = "Schädel JÜRGEN MULLER 山田 T1"
    ds.ImageComments = "Müller"
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator = "69536005", "SCT"
    region.CodeMeaning = "Head of Müller"
    ds.AnatomicRegionSequence = Sequence([region])
    found = twin(ds)
    assert found.SeriesDescription == "Schädel T1"
    assert found.SpecificCharacterSet == "ISO_IR 192"
    assert found.AnatomicRegionSequence[0].CodeMeaning == "Head structure (body structure)"
    assert "ImageComments" not in found
    assert "SpecificCharacterSet" not in twin(instance())


def test_a_known_manufacturer_stays_whatever_the_patient_is_called() -> None:
    ds = instance(
        PatientName="Phantom^GE", Manufacturer="GE MEDICAL SYSTEMS", SeriesDescription="GE"
    )
    found = twin(ds)
    assert found.Manufacturer == "GE MEDICAL SYSTEMS"
    assert "SeriesDescription" not in found
    acme = twin(instance(PatientName="A^Acme", Manufacturer="Acme"))
    assert acme.Manufacturer == "unknown", "some classes must have one"


def test_codes_of_a_private_scheme_are_dropped() -> None:
    ds = instance()
    regions = []
    for scheme, code in (("SCT", "12738006"), ("SCT", "771122"), ("99HOSPITAL", "12738006")):
        region = Dataset()
        region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = code, scheme, "Brain"
        regions.append(region)
    ds.AnatomicRegionSequence = Sequence(regions)
    assert [one.CodingSchemeDesignator for one in twin(ds).AnatomicRegionSequence] == ["SCT"]


def test_frames_of_an_enhanced_image_keep_their_places() -> None:
    ds = instance(NumberOfFrames=2, PixelData=instance().PixelData * 2)
    frames = []
    for comment in ("a", ""):
        frame, content = Dataset(), Dataset()
        content.FrameComments = "Meier"
        if comment:
            content.FrameReferenceDateTime = "20210304120000"
            content.TemporalPositionIndex = 1
        frame.FrameContentSequence = Sequence([content])
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    found = twin(ds)
    first, second = found.PerFrameFunctionalGroupsSequence
    content = first.FrameContentSequence[0]
    assert content.FrameReferenceDateTime == moved("2021-03-04", "120000")
    assert content.TemporalPositionIndex == 1
    assert len(second) == 0


@pytest.mark.parametrize(
    ("age", "expected"), [("045Y", "045Y"), ("089Y", "089Y"), ("095Y", "090Y"), ("018M", "018M")]
)
def test_ages_over_89_are_one(age: str, expected: str) -> None:
    assert twin(instance(PatientAge=age)).PatientAge == expected


def test_broken_elements_are_dropped() -> None:
    with pydicom.config.disable_value_validation():
        ds = instance(PatientAge="old", StudyDate="20211399", PatientSex="Y", Modality="??")
        ds.add_new(0x00180050, "LO", "thin")
        ds.add_new(0x00181314, "LO", "Meier")
        found = twin(ds)
    for keyword in ("PatientAge", "Modality", "SliceThickness"):
        assert keyword not in found
    assert (found.PatientSex, found.StudyDate) == ("", ""), "which every image must have"
    assert "FlipAngle" not in found
    assert found.EchoTime == ds.EchoTime


def test_what_an_image_must_have_stays_and_says_nothing() -> None:
    ds = instance(DeviceSerialNumber="MEIER-1", ContainerIdentifier="MEIER-2", ContentLabel="MEIER")
    found = twin(ds)
    kept = {name: (found[name].VR, found[name].value) for name in EMPTIED_OF_WORDS}
    assert kept == EMPTIED_OF_WORDS


def test_text_that_must_stand_and_names_somebody_says_nothing() -> None:
    mapping = Dataset()
    mapping.LUTLabel = "Meier"
    found = twin(instance(RealWorldValueMappingSequence=Sequence([mapping])))
    assert found.RealWorldValueMappingSequence[0].LUTLabel == "0"


def test_frames_are_not_ordered_where_nothing_says_how_many_they_are() -> None:
    ds = instance(NumberOfFrames="10")
    ds.add_new(0x00280009, "AT", 0x00181063)
    ds.add_new(0x3004000C, "DS", ["0", "1"])
    data = encoded(ds)
    assert {"FrameIncrementPointer", "GridFrameOffsetVector"} <= {*twin(ds).dir()}
    broken, _ = derived(data.replace(b"\x28\0\x08\0IS\2\x0010", b"\x28\0\x08\0IS\2\x001A"))
    found = {*pydicom.dcmread(io.BytesIO(broken)).dir()}
    assert not {"NumberOfFrames", "FrameIncrementPointer", "GridFrameOffsetVector"} & found


@pytest.mark.parametrize(("is_signed", "vr", "value"), [(0, "US", 0xFFFE), (1, "SS", -2)])
def test_a_value_of_unknown_representation_has_that_of_the_pixels(
    is_signed: int, vr: str, value: int
) -> None:
    ds = instance(PixelRepresentation=is_signed)
    ds.add_new(0x00280106, "US", 0xFFFE)  # SmallestImagePixelValue
    data = encoded(ds).replace(
        b"\x28\0\x06\x01US\2\0\xfe\xff", b"\x28\0\x06\x01UN\0\0\2\0\0\0\xfe\xff"
    )
    found = pydicom.dcmread(io.BytesIO(derived(data)[0]))[0x00280106]
    assert (found.VR, found.value) == (vr, value)


def test_codes_and_uids_that_say_more_are_dropped() -> None:
    with pydicom.config.disable_value_validation():
        ds = instance(BodyPartExamined="MEIER", ScanOptions=["FS", "ANNA MEIER", "PFP"])
    known, other, code = Dataset(), Dataset(), Dataset()
    known.ReferencedSOPClassUID, known.ReferencedSOPInstanceUID = ds.SOPClassUID, UID("1.2.3")
    other.ReferencedSOPClassUID, other.ReferencedSOPInstanceUID = UID("1.2.4711"), UID("1.2.4")
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "MEIER", "DCM", "Anna"
    ds.ReferencedImageSequence = Sequence([known, other])
    ds.AnatomicRegionSequence = Sequence([code])
    found = twin(ds)
    assert "BodyPartExamined" not in found
    assert list(found.ScanOptions) == ["FS", "", "PFP"], "each keeps its place"
    first, second = found.ReferencedImageSequence
    assert first.ReferencedSOPInstanceUID == KEYS.uid("1.2.3")
    assert first.ReferencedSOPClassUID == ds.SOPClassUID
    assert "ReferencedSOPClassUID" not in second
    assert "AnatomicRegionSequence" not in found


def test_pixels_that_contradict_their_syntax_are_refused() -> None:
    raw = encoded(instance()).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    assert refusal(raw) == "pixel data contradict the transfer syntax"


def test_what_is_no_image_is_refused() -> None:
    assert refusal(encoded(instance(SOPClassUID="1.2.3"))) == "a private or unknown SOP class"
    assert refusal(encoded(instance(SOPInstanceUID=""))) == "no SOPInstanceUID"
    assert refusal(encoded(instance(PixelData=None))) == "no pixel data"
    pdf = instance(SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1")
    assert refusal(encoded(pdf)) == "not an image (Encapsulated PDF Storage)"
    assert refusal(b"hello") == "no SOPClassUID"
    assert refusal(encoded(instance())[:-2000]) == "ends within its pixel data"
    assert refusal(encoded(instance())[:900]) == "no pixel data"


def test_a_refused_instance_writes_nothing() -> None:
    target = io.BytesIO()
    with pytest.raises(NoDerivative):
        derive_instance(io.BytesIO(encoded(instance())[:-2000]), target, KEYS)
    assert target.getvalue() == b""


def test_what_follows_the_pixels_is_left_out() -> None:
    ds = instance()
    ds.DataSetTrailingPadding = b"Meier^Anna"
    data, _ = derived(encoded(ds))
    assert b"Meier" not in data
    assert data.endswith(ds.PixelData)


def test_a_deflated_file_is_inflated() -> None:
    plain = encoded(instance())
    ds = pydicom.dcmread(io.BytesIO(plain))
    ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1.99")
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    assert derived(buffer.getvalue())[0] == derived(plain)[0]
    assert refusal(buffer.getvalue()[:-2000]) == "its deflated data end early"
    start = 144 + int.from_bytes(buffer.getvalue()[140:144], "little")
    assert refusal(buffer.getvalue()[:start] + b"\xff" * 50) == "its deflated data are damaged"


def test_a_deflated_file_that_would_fill_the_memory_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ds = instance()
    ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1.99")
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    monkeypatch.setattr("medgrid.images.bounded.MAX_INFLATED_BYTES", 5000)
    assert refusal(buffer.getvalue()) == "inflates to more than 0 MiB"


def members(folder: Path) -> list[Member]:
    return [Member(str(path), FileStamp.of(path.stat())) for path in sorted(folder.glob("IM*.dcm"))]


def passed(series: SeriesPass) -> tuple[bytes, bytes]:
    """Bytes of the packed series and of its packed twin."""
    original, twin = io.BytesIO(), io.BytesIO()
    for mine, other in series.pieces():
        original.write(mine)
        if isinstance(other, Exception):
            raise other
        twin.write(other)
    return original.getvalue(), twin.getvalue()


def test_a_series_and_its_twin_are_packed_alike(tmp_path: Path) -> None:
    write_series(tmp_path / "in", 3)
    series = SeriesPass(members(tmp_path / "in"), KEYS)
    original, twin = passed(series)
    assert series.review == ""
    assert original == b"".join(pack(members(tmp_path / "in")))
    assert twin == passed(SeriesPass(members(tmp_path / "in"), KEYS))[1]
    (tmp_path / "out").mkdir()
    paths = unpack([twin], tmp_path / "out")
    assert [path.name for path in paths] == ["IM000001.dcm", "IM000002.dcm", "IM000003.dcm"]
    for path, one in zip(paths, members(tmp_path / "in"), strict=True):
        assert path.read_bytes() == derived(Path(one.path).read_bytes())[0]
    found = [pydicom.dcmread(path) for path in paths]
    assert [ds.InstanceNumber for ds in found] == [1, 2, 3]
    assert len({ds.SeriesInstanceUID for ds in found}) == 1


@pytest.mark.parametrize("held", [True, False], ids=["small", "large"])
def test_files_of_all_kinds_give_in_one_pass_what_they_give_alone(
    held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not held:
        monkeypatch.setattr("medgrid.images.pack._HELD_BYTES", 0)
    monkeypatch.setattr("medgrid.images.pack._CHUNK_BYTES", 1000)
    seen = 0
    for path in all_pydicom_files():
        data = path.read_bytes()
        try:
            alone = derived(data)[0]
        except NoDerivative:
            continue
        seen += 1
        series = SeriesPass([Member(str(path), FileStamp.of(path.stat()))], KEYS)
        original, twin = passed(series)
        assert original[512 : 512 + len(data)] == data, path.name
        assert twin[512 : 512 + len(alone)] == alone, path.name
        assert not any(twin[512 + len(alone) :]), path.name
    assert seen > 50


def test_a_series_has_all_instances_or_no_twin(tmp_path: Path) -> None:
    write_series(tmp_path / "in", 3)
    (tmp_path / "in" / "IM2.dcm").write_bytes(pydicom_file("test-SR.dcm").read_bytes())
    pieces = list(SeriesPass(members(tmp_path / "in"), KEYS).pieces())
    (place,) = [at for at, (_, twin) in enumerate(pieces) if isinstance(twin, NoDerivative)]
    assert str(pieces[place][1]) == "not an image (Comprehensive SR Storage)"
    assert not any(twin for _, twin in pieces[place + 1 :])
    original = b"".join(mine for mine, _ in pieces)
    assert original == b"".join(pack(members(tmp_path / "in")))


def test_one_instance_to_look_at_holds_back_the_series(tmp_path: Path) -> None:
    write_series(tmp_path / "in", 2)
    late = instance(3, BurnedInAnnotation="YES")
    (tmp_path / "in" / "IM3.dcm").write_bytes(encoded(late))
    series = SeriesPass(members(tmp_path / "in"), KEYS)
    passed(series)
    assert series.review == "text is burned in"


def test_pixels_are_never_held_in_memory(tmp_path: Path) -> None:
    size_bytes = 64 * 1024 * 1024
    ds = instance(Rows=4096, Columns=4096, NumberOfFrames=2, PixelData=bytes(size_bytes))
    (tmp_path / "a").write_bytes(encoded(ds))
    del ds
    tracemalloc.start()
    try:
        with (tmp_path / "a").open("rb") as source:
            written = sum(len(chunk) for chunk in derive(source, KEYS).chunks())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert written > size_bytes
    assert peak_bytes < 8 * 1024 * 1024


def test_a_pass_over_a_series_takes_no_memory_for_more_or_larger_instances(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    ds = instance(Rows=1024, Columns=2048, PixelData=bytes(4 * 1024 * 1024))
    for number in range(1, 13):
        (folder / f"IM{number:02d}.dcm").write_bytes(encoded(ds))
    ds = instance(Rows=4096, Columns=4096, NumberOfFrames=2, PixelData=bytes(64 * 1024 * 1024))
    (folder / "IM99.dcm").write_bytes(encoded(ds))
    del ds
    found = members(folder)
    tracemalloc.start()
    try:
        written = sum(len(mine) for mine, _ in SeriesPass(found, KEYS).pieces())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert written > 112 * 1024 * 1024
    assert peak_bytes < 20 * 1024 * 1024


@given(st.data())
def test_damaged_bytes_are_derived_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["MR_small.dcm", "MR_small_implicit.dcm", "liver_1frame.dcm"]))
    damaged = bytearray(pydicom_file(name).read_bytes())
    header = st.integers(128, min(len(damaged), 4000) - 1)
    for place, value in data.draw(st.lists(st.tuples(header, st.integers(0, 255)), max_size=8)):
        damaged[place] = value
    cut = data.draw(st.integers(0, len(damaged)))
    whole = data.draw(st.booleans())
    try:
        found, _ = derived(bytes(damaged) if whole else bytes(damaged[:cut]))
    except NoDerivative:
        return
    assert found[128:132] == b"DICM"
    pydicom.dcmread(io.BytesIO(found))


def test_an_element_of_no_representation_is_dropped() -> None:
    damaged = bytearray(pydicom_file("liver_1frame.dcm").read_bytes())
    at = damaged.index(b"\x12\0\x50\0LO")  # ClinicalTrialTimePointID
    damaged[at + 5] = 0
    assert b"DICM" in derived(bytes(damaged))[0]


def test_without_a_readable_name_text_cannot_be_scrubbed() -> None:
    data = encoded(instance())
    at = data.index(b"\x10\0\x10\0PN")
    assert refusal(data[: at + 4] + b"FD" + data[at + 6 :]) == "its PatientName cannot be read"
