"""One person who became two patients becomes one: images, grants, names and attributes move."""

from __future__ import annotations

from pathlib import Path

import pytest

from medgrid.actions.importing.doubts import Doubt
from medgrid.actions.importing.takeover import Takeover
from medgrid.actions.lfn import facts, move, named, remove
from medgrid.actions.merge_patients import Moved, merge_patients, plan_merge
from medgrid.actions.outcome import Failure
from medgrid.actions.whois import Named, whois
from medgrid.catalog.query import parse
from medgrid.crypto.pseudonym import load_key
from medgrid.errors import Denied, MedgridError, NotFound, UsageError
from medgrid.images.patient import PatientKeys
from medgrid.model import ORIGINAL_SUFFIX, GridObject, ObjectKind
from tests.lab.dicoms import encoded, write_series
from tests.lab.importer import Importer
from tests.lab.niftis import write_bids, write_json, write_nifti

OLD, NEW = "PAT-4711", "PAT-4712"


def merge(
    bring: Importer, old: str = OLD, new: str = NEW
) -> tuple[list[Moved], list[Failure], list[Doubt]]:
    """Let one id's patient become another's."""
    doubts: list[Doubt] = []
    plan = plan_merge(bring.grid, bring.patient(old), bring.patient(new))
    done = list(merge_patients(bring.grid, plan, doubts.append))
    moved = [one for one in done if isinstance(one, Moved)]
    return moved, [one for one in done if isinstance(one, Failure)], doubts


def of(bring: Importer, patient_id: str, issuer: str = "") -> list[GridObject]:
    """Named objects of an id's patient."""
    items = bring.grid.catalog.objects.of_patient(bring.patient(patient_id, issuer))
    return [one for one in items if one.lfn]


def below(bring: Importer, folder: str = "/") -> list[str]:
    question = parse(f"{folder} and class in (nominative, image)")
    return sorted(map(str, bring.grid.catalog.objects.lfns(question)))


def test_images_move_and_an_import_brings_nothing_anew(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in" / "a", 2)
    write_series(tmp_path / "in" / "b", 2, study="2", PatientID=NEW, SeriesDescription="T2w")
    bring(tmp_path / "in")
    (content,) = [bring.content(one) for one in of(bring, OLD) if one.original is None]
    moved, failures, doubts = merge(bring)
    assert (len(moved), failures, doubts) == (1, [], [])
    assert of(bring, OLD) == []
    patient = bring.patient(NEW)
    day = bring.day(patient=patient)
    lfn = f"/trial/{patient}/{day}/T1w"
    assert moved[0].was.startswith(f"/trial/{bring.patient(OLD)}/")
    assert moved[0].lfn == lfn
    twin = bring.twin(lfn)
    assert (twin.patient, twin.attributes["StudyDate"]) == (patient, day)
    assert bring.content(bring.original(lfn)) == content
    assert bring.patient(OLD).encode() not in bring.content(twin)
    before = below(bring)
    for _ in range(2):
        summary = bring(tmp_path / "in")
        assert (summary.new, summary.failed, summary.unchanged, summary.removed) == (0, 0, 4, 0)
    write_series(tmp_path / "copy", 2)
    summary = bring(tmp_path / "copy")
    assert (summary.new, summary.known) == (0, 2)
    assert below(bring) == before
    # a late slice is a new version of NEW's
    write_series(tmp_path / "in" / "a", 3)
    assert bring(tmp_path / "in").versions == 1
    assert bring.twin(lfn).version == 2
    assert merge(bring) == ([], [], [])


def test_names_are_joined(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1)
    write_series(tmp_path / "b", 1, study="2", PatientID=NEW, PatientName="Meyer^Anna")
    bring(tmp_path)
    merge(bring)
    (found,) = whois(bring.grid, [bring.patient(NEW)])
    assert isinstance(found, Named)
    assert found.names["PatientName"] == "Meyer^Anna\\Meier^Anna"
    assert found.names["PatientID"] == f"{NEW}\\{OLD}"


def test_a_contradiction_is_told(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1, PatientSex="F")
    write_series(tmp_path / "b", 1, study="2", PatientID=NEW, PatientSex="M")
    bring(tmp_path)
    moved, failures, doubts = merge(bring)
    assert (len(moved), failures) == (1, [])
    assert [one.reason for one in doubts] == [
        f"{bring.patient(NEW)}: images differ in the patient's sex: they may be of two people"
    ]


# -- what the other patient has already ------------------------------------------------------------


def test_what_both_have_is_not_made_twice(bring: Importer, tmp_path: Path) -> None:
    """An instance has its patient's id in it, so that copies of whole files alone are the same."""
    write_series(tmp_path / "a", 2)
    write_bids(tmp_path / "bids")
    bring(tmp_path, issuer="x")
    old = bring.patient(OLD, "x")
    twice = bring.grid.catalog.objects.of_patient(old)
    (tmp_path / "a").rename(tmp_path / "again")
    bring(tmp_path / "again", issuer="y")
    assert merge_ids(bring, (OLD, "x"), (OLD, "y")) == (1, [])
    new = bring.grid.catalog.objects.of_patient(bring.patient(OLD, "y"))
    assert len([one for one in new if one.lfn]) == len(twice) == 2
    assert {one.version for one in new} == {1}


def merge_ids(
    bring: Importer, old: tuple[str, str], new: tuple[str, str]
) -> tuple[int, list[Failure]]:
    """How many images moved, and what failed."""
    plan = plan_merge(bring.grid, bring.patient(*old), bring.patient(*new))
    done = list(merge_patients(bring.grid, plan, lambda _: None))
    failures = [one for one in done if isinstance(one, Failure)]
    return len(done) - len(failures), failures


def test_instances_of_one_series_are_joined(bring: Importer, tmp_path: Path) -> None:
    for name, issuer, kept in (("a", "x", (1, 2)), ("b", "y", (2, 3))):
        for number, path in enumerate(write_series(tmp_path / name, 3), start=1):
            if number not in kept:
                path.unlink()
        bring(tmp_path / name, issuer=issuer)
    (twin,) = [one for one in bring.new if one.original]
    assert merge_ids(bring, (OLD, "x"), (OLD, "y")) == (1, [])
    now = bring.twin(str(twin.lfn))
    assert now.version == 2
    assert len(bring.members(bring.original(str(twin.lfn)))) == 3
    assert len(below(bring)) == 2


def test_an_instance_that_differs_stays_with_its_series(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1)
    write_series(tmp_path / "b", 1, ImageComments="other")
    write_series(tmp_path / "c", 1, study="2", SeriesDescription="T2w")
    bring(tmp_path / "a", tmp_path / "c", issuer="x")
    bring(tmp_path / "b", issuer="y")
    before = below(bring)
    moved, failures = merge_ids(bring, (OLD, "x"), (OLD, "y"))
    assert moved == 1
    ((what, error),) = [(one.what, one.error.message) for one in failures]
    old = bring.patient(OLD, "x")
    assert what == f"/trial/{old}/{bring.day(patient=old)}/T1w"
    assert error.startswith(f"{what}.original: an instance differs from the instance with its")
    assert what in below(bring)
    assert len(below(bring)) == len(before)


def test_an_id_that_was_put_right_is_no_other_image(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 2, PatientID=OLD)
    write_series(tmp_path / "b", 2, PatientID=NEW, PatientBirthDate="19500102")
    bring(tmp_path / "a")
    bring(tmp_path / "b")
    moved, failures, _ = merge(bring)
    assert (len(moved), failures, of(bring, OLD)) == (1, [], [])
    assert [one.lfn is not None for one in of(bring, NEW)] == [True, True]


# -- volumes ---------------------------------------------------------------------------------------


def write_subject(root: Path, subject: str, name: str, **fields: object) -> Path:
    """A BIDS dataset of one subject, with a side-car that has dates."""
    write_json(root / "dataset_description.json", {"BIDSVersion": "1.9.0", "Name": name})
    (root / "participants.tsv").write_text(
        f"participant_id\tage\tsex\tarm\nsub-{subject}\t34\tF\ttreated\n"
    )
    write_json(root / "participants.json", {"arm": {"Levels": {"treated": "with the drug"}}})
    folder = root / f"sub-{subject}" / "ses-20210304" / "func"
    stem = f"sub-{subject}_ses-20210304_task-rest_bold"
    write_nifti(folder / f"{stem}.nii.gz", (4, 5, 6, 3))
    write_json(
        folder / f"{stem}.json",
        {
            "AcquisitionDateTime": "2021-03-04T10:00:00",
            "StudyInstanceUID": "1.2.3.4",
            "SeriesDescription": "rest Xqz",
            "RepetitionTime": 2.5,
            **fields,
        },
    )
    events = folder / f"sub-{subject}_ses-20210304_task-rest_events.tsv"
    events.write_text("onset\tduration\ttrial_type\n1.0\t2.0\tzorp\n")
    return root


def test_volumes_move_with_their_companions(bring: Importer, tmp_path: Path) -> None:
    """They are as if they had been imported as the other patient's."""
    write_subject(tmp_path / "a", "01", "One")
    write_subject(tmp_path / "b", "02", "Two", SeriesDescription="other")
    bring(tmp_path)
    old, new = bring.patient("01", "bids:One"), bring.patient("02", "bids:Two")
    items = {one.patient: one for one in bring.new}
    content = bring.content(bring.original(str(items[old].lfn)))
    parts = bring.parts(items[old])
    expected = bring.parts(items[new])
    plan = plan_merge(bring.grid, old, new)
    (moved,) = merge_patients(bring.grid, plan, lambda _: None)
    assert isinstance(moved, Moved)
    assert moved.was == items[old].lfn
    assert moved.lfn == f"{items[new].lfn}-2"
    twin = bring.twin(moved.lfn)
    assert bring.content(bring.original(moved.lfn)) == content
    changed = {"SeriesDescription"}
    assert {name for name in twin.attributes if name not in changed} == {
        name for name in items[new].attributes if name not in changed
    }
    for name in ("StudyDate", "session", "StudyInstanceUID", "PatientID", "task", "PatientAge"):
        assert twin.attributes[name] == items[new].attributes[name], name
    made = bring.parts(twin)
    assert made.keys() == expected.keys() == parts.keys()
    assert made["events.tsv"] == parts["events.tsv"]
    assert made["image.nii.gz"] == parts["image.nii.gz"]
    assert made["image.json"] != parts["image.json"]
    side_car = made["image.json"].decode()
    assert str(items[new].attributes["StudyInstanceUID"]) in side_car
    assert "2021" not in side_car
    before = below(bring)
    for folder in ("a", "b"):
        summary = bring(tmp_path / folder)
        assert (summary.new, summary.failed, summary.known) == (0, 0, 0)
    (tmp_path / "a").rename(tmp_path / "moved")
    summary = bring(tmp_path / "moved")
    assert (summary.new, summary.failed) == (0, 0)
    assert below(bring) == before
    # another content of the file is a new version of what it has become
    file = next((tmp_path / "moved").rglob("*.nii.gz"))
    write_nifti(file, (4, 5, 6, 3), seed=9)
    bring(tmp_path / "moved")
    assert bring.lfns == [moved.lfn]
    assert bring.twin(moved.lfn).version == 2


def test_older_versions_move_too(bring: Importer, tmp_path: Path) -> None:
    file = write_subject(tmp_path / "a", "01", "One") / "sub-01/ses-20210304/func"
    file = next(file.glob("*.nii.gz"))
    write_subject(tmp_path / "b", "02", "Two", SeriesDescription="other")
    bring(tmp_path)
    write_nifti(file, (4, 5, 6, 3), seed=9)
    bring(tmp_path)
    (new,) = bring.new
    contents = [bring.content(bring.original(str(new.lfn), version)) for version in (1, 2)]
    assert merge_ids(bring, ("01", "bids:One"), ("02", "bids:Two")) == (1, [])
    (lfn,) = [one for one in below(bring) if one.endswith("-2")]
    assert [bring.content(bring.original(lfn, one)) for one in (1, 2)] == contents
    write_nifti(file, (4, 5, 6, 3), seed=9)
    assert bring(tmp_path).new == 0


def test_volumes_that_nothing_names(bring: Importer, tmp_path: Path) -> None:
    for seed, (name, patient) in enumerate((("a", "ONE"), ("b", "TWO"))):
        write_nifti(tmp_path / f"{name}.nii.gz", seed=seed)
        write_json(tmp_path / f"{name}.json", {"PatientID": patient})
    bring(tmp_path)
    assert merge_ids(bring, ("ONE", ""), ("TWO", "")) == (1, [])
    before = below(bring)
    assert len(before) == 4
    (tmp_path / "a.nii.gz").rename(tmp_path / "c.nii.gz")
    (tmp_path / "a.json").rename(tmp_path / "c.json")
    summary = bring(tmp_path)
    assert (summary.new, summary.failed) == (0, 0)
    assert below(bring) == before


def test_dates_of_which_the_catalog_alone_knows_move(bring: Importer, tmp_path: Path) -> None:
    """Originals of older releases have no side-car with them."""
    write_nifti(tmp_path / "sub-01_T1w.nii.gz")
    write_series(tmp_path / "b", 1, PatientID=NEW)
    bring(tmp_path, issuer="x")
    old, new = bring.patient("01", "x"), bring.patient(NEW, "x")
    key = load_key(bring.grid.settings.keys_dir)
    before, after = (PatientKeys.of(key, one) for one in (old, new))
    known = {"StudyDate": before.day("2021-03-04"), "StudyInstanceUID": before.uid("1.2.3")}
    for one in bring.grid.catalog.objects.of_patient(old):
        bring.grid.catalog.objects.set_attributes(one.id, known)
    assert merge_ids(bring, ("01", "x"), (NEW, "x")) == (1, [])
    (twin,) = [one for one in of(bring, NEW, "x") if one.kind is ObjectKind.VOLUME and one.original]
    assert twin.attributes["StudyDate"] == after.day("2021-03-04")
    assert twin.attributes["StudyInstanceUID"] == after.uid(before.uid("1.2.3"))


# -- names, marks, attributes ----------------------------------------------------------------------


def test_a_name_that_people_gave_stays(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1)
    write_series(tmp_path / "b", 1, study="2", PatientID=NEW)
    write_nifti(tmp_path / "v.nii.gz")
    write_json(tmp_path / "v.json", {"PatientID": OLD})
    bring(tmp_path)
    names = [str(one.lfn) for one in of(bring, OLD) if one.original]
    for number, name in enumerate(names):
        move(bring.grid, name, f"/mine/{number}")
    moved, failures, _ = merge(bring)
    assert [(one.was, one.lfn) for one in moved] == [(f"/mine/{n}", f"/mine/{n}") for n in (0, 1)]
    assert failures == []
    assert {bring.twin(f"/mine/{n}").patient for n in (0, 1)} == {bring.patient(NEW)}
    assert bring(tmp_path).new == 0


def test_what_was_removed_stays_away(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1, PatientID="A1")
    write_series(tmp_path / "b", 1, study="2", PatientID="B1")
    write_nifti(tmp_path / "v.nii.gz")
    write_json(tmp_path / "v.json", {"PatientID": "A1"})
    write_subject(tmp_path / "s", "A1", "")
    bring(tmp_path, issuer="x")
    old, new = bring.patient("A1", "x"), bring.patient("B1", "x")
    names = [one.lfn for one in bring.grid.catalog.objects.of_patient(old) if one.original]
    assert len(names) == 3
    remove(bring.grid, named(bring.grid, [str(one) for one in names], recursive=False))
    assert merge_ids(bring, ("A1", "x"), ("B1", "x")) == (0, [])
    summary = bring(tmp_path, issuer="x")
    assert summary.new == 0
    assert summary.removed > 2
    assert bring(tmp_path, issuer="x", again=True).new == 3
    assert {one.patient for one in bring.new} == {new}
    assert bring(tmp_path, issuer="x").removed == 0


def test_attributes_move_where_the_other_has_none(bring: Importer, tmp_path: Path) -> None:
    from medgrid.actions.meta import Place, set_values, show

    write_subject(tmp_path / "a", "01", "One")
    write_subject(tmp_path / "b", "02", "Two")
    (tmp_path / "b" / "participants.tsv").unlink()
    bring(tmp_path)
    old, new = bring.patient("01", "bids:One"), bring.patient("02", "bids:Two")
    days = {one.patient: str(one.attributes["StudyDate"]) for one in bring.new}
    sessions = {one.patient: str(one.attributes["session"]) for one in bring.new}
    set_values(bring.grid, Place(old, days[old]), {"edss": "3.5"})
    set_values(bring.grid, Place(old, sessions[old]), {"mood": "good"})
    set_values(bring.grid, Place(old), {"centre": "left"})
    set_values(bring.grid, Place(new), {"centre": "right"})
    doubts: list[Doubt] = []
    for _ in range(2):
        list(merge_patients(bring.grid, plan_merge(bring.grid, old, new), doubts.append))
    said = {(x.given.visit, x.given.name, x.given.value) for x in show(bring.grid, Place(new))}
    assert said == {
        ("", "arm", "treated"),
        ("", "centre", "right"),
        (days[new], "edss", 3.5),
        (sessions[new], "mood", "good"),
    }
    assert doubts[0] == (
        f"{old} and {new} differ in centre: that of {new} stays",
        f"see 'medgrid meta show {old}' and 'medgrid meta show {new}'",
    )
    assert {one.reason for one in doubts} == {doubts[0].reason}
    before = show(bring.grid, Place(new), history=True)
    bring(tmp_path)
    assert show(bring.grid, Place(new), history=True) == before


# -- who became whom -------------------------------------------------------------------------------


def test_chains_and_cycles(bring: Importer, tmp_path: Path) -> None:
    ids = ("A", "B", "C")
    for number, one in enumerate(ids):
        write_series(tmp_path / one, 1, study=str(number), PatientID=one)
    bring(tmp_path)
    a, b, c = map(bring.patient, ids)
    merge(bring, "A", "B")
    merge(bring, "B", "C")
    assert len(of(bring, "C")) == 6
    assert bring(tmp_path).new == 0
    write_series(tmp_path / "late", 1, study="9", PatientID="A")
    bring(tmp_path)
    assert {one.patient for one in bring.new} == {c}
    for old, new, message in (
        ("C", "A", f"{c} and {a} are one patient already"),
        ("B", "B", f"{b} and {b} are one patient already"),
        ("A", "B", f"{a} is {c} now"),
    ):
        with pytest.raises(UsageError) as caught:
            plan_merge(bring.grid, bring.patient(old), bring.patient(new))
        assert caught.value.message == message
    assert merge(bring, "A", "C") == ([], [], [])


def test_a_patient_who_is_not_there(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1)
    bring(tmp_path)
    with pytest.raises(NotFound, match=f"no patient {bring.patient(NEW)}"):
        plan_merge(bring.grid, bring.patient(OLD), bring.patient(NEW))


def test_others_are_told_nothing(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1)
    write_series(tmp_path / "b", 1, study="2", PatientID=NEW)
    bring(tmp_path)
    old, new = bring.patient(OLD), bring.patient(NEW)
    write_series(tmp_path / "c", 1, study="3", PatientID="own")
    with bring.acting_as("ann"):
        bring(tmp_path / "c")
        for pair in ((old, new), (bring.patient("own"), old), ("P-NOBODY", new)):
            unknown = pair[0] if pair[0] != bring.patient("own") else pair[1]
            with pytest.raises(NotFound, match=f"no patient {unknown}"):
                plan_merge(bring.grid, *pair)
    with pytest.raises(NotFound, match="no patient"):
        plan_merge(bring.grid, old, bring.patient("own"))
    merge(bring)
    with bring.acting_as("ann"):
        assert bring.grid.catalog.merged.all() == {}
        with pytest.raises(Denied):
            bring.grid.catalog.merged.note(bring.patient("own"), new)
        summary = bring(tmp_path / "a")  # who brings in for others brings nothing anew, either
        assert (summary.new, summary.failed, summary.known) == (0, 0, 1)


def test_interrupted_it_goes_on(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write_series(tmp_path / str(number), 1, study=str(number))
    write_series(tmp_path / "b", 1, study="9", PatientID=NEW)
    bring(tmp_path)
    before = len(below(bring))
    hand_on, count = Takeover.hand_on, 0

    def fails(takeover: Takeover, *args: object) -> None:
        nonlocal count
        hand_on(takeover, *args)  # type: ignore[arg-type]
        count += 1
        if count == 2:
            raise MedgridError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Takeover, "hand_on", fails)
        moved, failures, _ = merge(bring)
    assert (len(moved), [one.error.message for one in failures]) == (2, ["the disk is full"])
    assert len(of(bring, OLD)) == 2
    assert len(below(bring)) == before
    assert len(list(bring.grid.storage("local").walk())) == before
    moved, failures, _ = merge(bring)
    assert (len(moved), failures) == (1, [])
    assert (len(of(bring, OLD)), len(below(bring))) == (0, before)
    assert len(list(bring.grid.storage("local").walk())) == before
    records = bring.grid.vault.store.audit.records(what=bring.patient(OLD))
    assert [(one.verb, one.detail) for one in records if one.verb.startswith("merge")] == [
        ("merge", f"into {bring.patient(NEW)}"),
        ("merged", "1 left"),
        ("merge", f"into {bring.patient(NEW)}"),
        ("merged", "complete"),
    ]


def test_what_has_no_twin_moves_too(bring: Importer, tmp_path: Path) -> None:
    """And what refers to others goes on to do so."""
    from tests.actions.test_import_documents import document, evidence

    write_series(tmp_path / "a", 1)
    report = document("SR", CurrentRequestedProcedureEvidenceSequence=evidence())
    (tmp_path / "a" / "report.dcm").write_bytes(encoded(report))
    write_series(tmp_path / "b", 1, study="2", PatientID=NEW)
    bring(tmp_path)
    moved, failures, _ = merge(bring)
    assert (len(moved), failures) == (2, [])
    (lfn,) = [one.lfn for one in moved if one.lfn.endswith(ORIGINAL_SUFFIX)]
    (twin,) = [one.lfn for one in moved if not one.lfn.endswith(ORIGINAL_SUFFIX)]
    assert facts(bring.grid, lfn).refers_to == (twin,)
    assert bring(tmp_path).new == 0


def test_a_twin_that_was_removed_stays_away(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1)
    write_series(tmp_path / "b", 1, study="2", PatientID=NEW)
    bring(tmp_path)
    (twin,) = [str(one.lfn) for one in of(bring, OLD) if one.original]
    remove(bring.grid, named(bring.grid, [twin], recursive=False, only=True))
    ((moved,), failures, doubts) = merge(bring)
    assert (failures, doubts) == ([], [])
    assert moved.lfn.endswith(ORIGINAL_SUFFIX)
    assert bring.grid.catalog.objects.get(moved.lfn).attributes["TwinMissing"] == "removed"
    assert bring(tmp_path).new == 0
    assert bring(tmp_path, again=True).new == 1


def test_volumes_of_a_series_are_made_anew(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 3)
    write_series(tmp_path / "b", 3, study="2", PatientID=NEW)
    bring(tmp_path, nifti=True)
    before = below(bring)
    volumes = [one for one in of(bring, OLD) if one.kind is ObjectKind.VOLUME]
    image = bring.parts(volumes[0])["image.nii.gz"]
    moved, failures, doubts = merge(bring)
    assert (len(moved), failures, doubts) == (1 + len(volumes), [], [])
    assert of(bring, OLD) == []
    assert len(below(bring)) == len(before)
    (lfn,) = [one.lfn for one in moved if one.was == volumes[0].lfn]
    now = bring.twin(str(lfn))
    assert (now.patient, now.kind) == (bring.patient(NEW), ObjectKind.VOLUME)
    assert bring.parts(now)["image.nii.gz"] == image
    assert now.attributes["StudyDate"] == bring.day(patient=bring.patient(NEW))
    summary = bring(tmp_path, nifti=True)
    assert (summary.new, summary.failed) == (0, 0)
