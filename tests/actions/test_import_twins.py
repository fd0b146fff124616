"""What an import makes of images: originals for the care team, and twins that name nobody."""

from __future__ import annotations

import gzip
import hashlib
import io
from pathlib import Path

import pydicom
import pytest

from medgrid.actions.patients import names_of
from medgrid.catalog.access import Member
from medgrid.crypto.policy import Care
from medgrid.errors import ConfigError, Denied, MedgridError, NotFound
from medgrid.model import DataClass, ObjectKind, Review, body_bytes
from tests.lab.datagrid import ME, kept_keys
from tests.lab.dicoms import encoded, instance, write_series
from tests.lab.importer import Importer, nothing_is_left
from tests.lab.niftis import write_json, write_nifti


def test_a_series_becomes_an_original_and_a_twin(bring: Importer, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", 3, PatientAge="045Y", PatientSex="F")
    summary = bring(tmp_path / "in")
    lfn = f"/trial/{bring.patient()}/{bring.day()}/T1w"
    assert bring.lfns == [lfn]
    assert (summary.new, summary.imported, summary.failed) == (1, 3, 0)
    folder = lfn.removesuffix("/T1w")
    assert bring.grid.catalog.objects.list(folder) == [lfn, f"{lfn}.original"]
    twin, original = bring.twin(lfn), bring.original(lfn)
    for item in (twin, original):
        assert (item.kind, item.filename) == (ObjectKind.SERIES, "series.tar")
        assert item.attributes["PatientID"] == item.patient == bring.patient()
        assert item.attributes["PatientAge"] == 45.0
        assert item.attributes["PatientSex"] == "F"
        assert item.attributes["Modality"] == "MR"
        assert item.attributes["NumberOfSeriesRelatedInstances"] == 3
        assert (item.owner, item.review, item.version) == ("", Review.NONE, 1)
    assert (twin.data_class, twin.original) == (DataClass.IMAGE, original.id)
    assert (original.data_class, original.original) == (DataClass.NOMINATIVE, None)
    assert bring.members(original) == [path.read_bytes() for path in paths]


def test_a_twin_has_the_pixels_and_not_the_names(bring: Importer, tmp_path: Path) -> None:
    (path,) = write_series(tmp_path / "in", 1)
    bring(tmp_path / "in")
    (content,) = bring.members(bring.twin(bring.lfns[0]))
    ds, source = (pydicom.dcmread(io.BytesIO(one)) for one in (content, path.read_bytes()))
    assert ds.PixelData == source.PixelData
    assert (ds.PatientID, ds.PatientName) == (bring.patient(), f"{bring.patient()}^")
    assert ds.StudyDate == bring.day().replace("-", "")
    assert ds.PatientIdentityRemoved == "YES"
    assert not any(word in content for word in (b"Meier", b"Anna", b"PAT-4711"))
    assert b"Meier^Anna" in path.read_bytes()


def test_what_is_stored_says_nothing(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 2)
    bring(tmp_path / "in")
    for item in (bring.twin(bring.lfns[0]), bring.original(bring.lfns[0])):
        body = bring.stored(item)
        assert len(body) == item.stored_bytes == body_bytes(item.size_bytes)
        assert item.sha256 == hashlib.sha256(body).hexdigest()
        assert not any(word in body for word in (b"Meier", b"PAT-4711", b"DICM", b"IM000001"))
        content = bring.content(item)
        assert b"DICM" in content
        # whoever has a file cannot find out by its digest that the grid has it, too
        plain = hashlib.sha256(content).hexdigest()
        assert item.digest not in (None, plain)
        assert item.digest == bring.grid.keyed(plain)


def test_who_a_patient_is_the_care_team_can_find_out(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 1, PatientBirthDate="19610203")
    bring(tmp_path / "in")
    assert names_of(bring.grid, bring.patient()) == {
        "PatientName": "Meier^Anna",
        "PatientID": "PAT-4711",
        "PatientBirthDate": "1961-02-03",
    }
    write_series(tmp_path / "married", 1, study="2", PatientName="Huber^Anna")
    bring(tmp_path / "married")
    assert names_of(bring.grid, bring.patient())["PatientName"] == r"Meier^Anna\Huber^Anna"
    assert bring.grid.catalog.access.team(bring.patient()) == [
        Member(bring.patient(), ME, Care.PHYSICIAN)
    ]


@pytest.mark.parametrize(
    ("values", "review"),
    [
        ({}, Review.NONE),
        ({"BurnedInAnnotation": "NO"}, Review.NONE),
        ({"BurnedInAnnotation": "YES"}, Review.NEEDED),
        ({"Modality": "US"}, Review.NEEDED),
        ({"Rows": None, "Columns": None}, Review.NEEDED),
    ],
)
def test_pixels_that_may_hold_text_wait_for_a_person(
    bring: Importer, tmp_path: Path, values: dict[str, str], review: Review
) -> None:
    write_series(tmp_path / "in", 2, **values)
    bring(tmp_path / "in")
    assert bring.twin(bring.lfns[0]).review is review
    assert bring.original(bring.lfns[0]).review is Review.NONE


def test_one_instance_that_may_hold_text_makes_the_series_wait(
    bring: Importer, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for number, burned_in in enumerate(("NO", "NO", "YES", "NO"), start=1):
        ds = instance(number, BurnedInAnnotation=burned_in)
        (tmp_path / "in" / f"{number}").write_bytes(encoded(ds))
    bring(tmp_path / "in")
    assert bring.twin(bring.lfns[0]).review is Review.NEEDED


@pytest.mark.parametrize("kind", ["1.2.840.10008.5.1.4.1.1.104.1", "1.2.3.4"])
def test_what_no_twin_can_be_made_of_is_kept_as_it_came(
    bring: Importer, tmp_path: Path, kind: str
) -> None:
    # an encapsulated document, and what nobody knows
    paths = write_series(tmp_path / "in", 2, SOPClassUID=kind)
    summary = bring(tmp_path / "in", nifti=True)
    folder = f"/trial/{bring.patient()}/{bring.day()}"
    assert bring.lfns == [f"{folder}/T1w.original"]
    assert (summary.new, summary.imported, summary.failed) == (1, 2, 0)
    assert bring.grid.catalog.objects.list(folder) == bring.lfns
    item = bring.twin(bring.lfns[0])
    assert (item.data_class, item.original) == (DataClass.NOMINATIVE, None)
    assert bring.members(item) == [path.read_bytes() for path in paths]
    assert len(list(bring.grid.storage("local").walk())) == 1, "no half of a twin stays"
    assert kept_keys(bring.grid.settings) == {item.id}
    assert bring(tmp_path / "in").unchanged == 2
    # another series does not take the name it would have
    write_series(tmp_path / "other", 1, series="2")
    bring(tmp_path / "other")
    assert bring.lfns == [f"{folder}/T1w-2"]


def test_a_volume_becomes_an_original_and_a_twin(bring: Importer, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    source = write_nifti(folder / "a.nii", descrip="Meier Anna")
    write_json(folder / "a.json", {"PatientID": "PAT-4711", "PatientName": "Meier^Anna"})
    bring(folder)
    twin, original = bring.twin(bring.lfns[0]), bring.original(bring.lfns[0])
    assert (twin.data_class, twin.original) == (DataClass.IMAGE, original.id)
    assert original.data_class is DataClass.NOMINATIVE
    assert twin.patient == original.patient == bring.patient()
    assert bring.parts(original) == {
        "image.nii": source.read_bytes(),
        "image.json": (folder / "a.json").read_bytes(),
    }
    assert not any(b"Meier" in bring.stored(item) for item in (twin, original))
    voxels = gzip.decompress(bring.content(twin))
    assert b"Meier" not in voxels
    assert voxels[352:] == source.read_bytes()[352:]
    assert names_of(bring.grid, bring.patient())["PatientName"] == "Meier^Anna"


def test_a_volume_of_nobody_is_its_importers(bring: Importer, tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii")
    bring(tmp_path / "a.nii")
    for item in (bring.twin(bring.lfns[0]), bring.original(bring.lfns[0])):
        assert (item.owner, item.patient) == (ME, None)
        assert bring.content(item)
    with bring.acting_as("eve") as eve:
        assert eve.catalog.objects.list("/") == []
        with pytest.raises(Denied):
            eve.vault.key(bring.new[0].id)


def test_who_imports_for_others_can_open_nothing(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 2)
    with bring.acting_as("ann"):
        summary = bring(tmp_path / "in", team=["ann"])
    assert (summary.new, summary.failed) == (1, 0)
    (lfn,), (twin,) = bring.lfns, bring.new
    with bring.acting_as(ME) as me:
        assert me.catalog.objects.list("/") == []
        with pytest.raises(NotFound, match=f"no LFN {lfn}"):
            bring.twin(lfn)
        for object_id in (twin.id, twin.original):
            assert object_id is not None
            with pytest.raises(Denied) as caught:
                me.vault.key(object_id)
            assert caught.value.message == (
                f"the key store has no key of object {object_id} for {ME}"
            )
        with pytest.raises(Denied) as caught:
            names_of(me, bring.patient())
        assert caught.value.message == f"the key store does not say who {bring.patient()} is"
    with bring.acting_as("ann") as ann:
        assert bring.content(bring.twin(lfn)) != bring.content(bring.original(lfn))
        assert names_of(ann, bring.patient())["PatientName"] == "Meier^Anna"


def test_only_the_team_adds_to_a_series(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 2)
    with bring.acting_as("ann"):
        bring(tmp_path / "in")
        (lfn,) = bring.lfns
    write_series(tmp_path / "other", 1, series="2")
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "IM3.dcm").write_bytes(encoded(instance(3)))
    with bring.acting_as(ME):
        assert bring(tmp_path / "in", tmp_path / "other", team=["ann"]).new == 1
        summary = bring(tmp_path / "late", team=["ann"])
        assert (summary.new, summary.failed) == (0, 1)
        reason = "the grid has its series; only the patient's care team can add to it"
        assert bring.reasons == [("IM3.dcm", reason)]
    with bring.acting_as("ann"):
        summary = bring(tmp_path / "late")
        assert (summary.versions, summary.failed) == (1, 0)
        assert bring.lfns == [lfn]
        assert len(bring.members(bring.original(lfn))) == 3


@pytest.mark.parametrize(
    ("team", "kind", "message"),
    [
        ("nobody", NotFound, "no identity 'nobody'"),
        (
            "broker",
            ConfigError,
            "broker cannot care for patients who are new: its certificate does not say physician",
        ),
    ],
)
def test_a_team_that_cannot_be(
    bring: Importer, tmp_path: Path, team: str, kind: type[MedgridError], message: str
) -> None:
    write_series(tmp_path / "in", 1)
    with pytest.raises(kind) as caught:
        bring(tmp_path / "in", team=[team])
    assert caught.value.message == message
    assert nothing_is_left(bring.grid)
    assert bring(tmp_path / "in").new == 1
