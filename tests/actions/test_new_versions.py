"""A grant is on what an LFN names: new versions of it are granted as the one before."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from medgrid.actions.grant import grant
from medgrid.actions.versions import Succession
from medgrid.crypto.certificate import Role
from medgrid.model import LFN, GridObject, ObjectId, Review
from tests.lab.dicoms import encoded, instance
from tests.lab.hospital import JANE, JOHN, Hospital, Person
from tests.lab.waiting import put_clock_on


@dataclasses.dataclass
class Series:
    """A series that alice imports slice by slice."""

    alice: Person
    folder: Path
    lfn: str = ""

    def add(self, number: int, code: int = 0, **values: str) -> str:
        """Import one more slice; give what was said of it."""
        self.folder.mkdir(exist_ok=True)
        data = encoded(instance(number, Modality="CT", BodyPartExamined="ABDOMEN", **values))
        (self.folder / f"{number}.dcm").write_bytes(data)
        ran = self.alice.run("import", self.folder, "--to", "/new")
        assert ran.code == code, ran.err
        self.lfn = ran.lines[0]
        return ran.err


@pytest.fixture
def series(hospital: Hospital, tmp_path: Path) -> Series:
    made = Series(hospital.alice, tmp_path / "in")
    made.add(1)
    return made


def ends(hospital: Hospital, object_id: ObjectId, name: str = "bob") -> float | None:
    """Until when the key store gives somebody the key of an object; 0 when it gives none."""
    with hospital.keystore(name) as store:
        found = store.release([object_id], "read")
        return found[object_id].until_s if object_id in found else 0


def test_a_late_slice_takes_nothing_from_whom_the_series_is_granted(
    hospital: Hospital, series: Series
) -> None:
    hospital.alice.ok("grant", "bob", series.lfn, "--until", "2100-06-30")
    with hospital.alice.grid() as grid:
        grant(grid, "carol", [series.lfn], time.time() + 3600)
        grid.catalog.access.revoke("carol")
    first = hospital.object(series.lfn)
    series.add(2)
    second = hospital.object(series.lfn)
    assert (second.version, first.id == second.id) == (2, False)
    assert len(hospital.bob.read(series.lfn)) == second.size_bytes
    assert ends(hospital, second.id) == ends(hospital, first.id)
    assert ends(hospital, second.id, "carol") == 0
    assert hospital.alice.ok("grant", "ls").rows == [
        ["bob", series.lfn, "2100-06-30", "alice", "", "valid"]
    ]
    # the one before stays readable, too, and one word takes both back
    assert hospital.bob.ok("stat", series.lfn, "--version", "1", "--json").documents
    hospital.alice.ok("revoke", "bob", series.lfn)
    assert hospital.bob.run("stat", series.lfn).code == 4
    assert hospital.bob.run("stat", series.lfn, "--version", "1").code == 4
    assert (ends(hospital, first.id), ends(hospital, second.id)) == (0, 0)


@pytest.mark.parametrize("needs_look", [False, True])
def test_who_is_granted_it_meanwhile_is_not_forgotten(
    hospital: Hospital, series: Series, monkeypatch: pytest.MonkeyPatch, needs_look: bool
) -> None:
    prepare = Succession.prepare

    def prepare_and_grant(self: Succession, new: Iterable[GridObject]) -> None:
        prepare(self, new)
        with hospital.alice.grid() as grid:
            grant(grid, "bob", [series.lfn], time.time() + 3600)

    monkeypatch.setattr(Succession, "prepare", prepare_and_grant)
    values = {"BurnedInAnnotation": "YES"} if needs_look else {}
    said = series.add(2, code=3 if needs_look else 0, **values)
    assert ("bob cannot see the new version" in said) == needs_look
    item = hospital.object(series.lfn)
    assert item.version == 2 - needs_look
    assert len(hospital.bob.read(series.lfn)) == item.size_bytes


def test_the_audit_log_says_to_whom_and_until_when(hospital: Hospital, series: Series) -> None:
    hospital.alice.ok("grant", "bob", series.lfn, "--until", "2100-06-30")
    series.add(2)
    second = hospital.object(series.lfn)
    rows = hospital.alice.ok("audit", "--what", second.id, "--json").documents
    (said,) = (one for one in rows if one["verb"] == "grant")
    assert (said["who"], said["detail"].split(" until ")[0]) == ("alice", "bob")


def test_a_grant_that_has_ended_is_not_handed_on(hospital: Hospital, series: Series) -> None:
    with hospital.alice.grid() as grid:
        grant(grid, "bob", [series.lfn], time.time() - 1)
    assert series.add(2).startswith("new: 1 object (1 new version)")
    assert hospital.bob.run("stat", series.lfn).code == 4
    assert ends(hospital, hospital.object(series.lfn).id) == 0


def test_what_was_granted_with_a_dataset_is_taken_back_with_it(
    hospital: Hospital, series: Series
) -> None:
    alice, bob = hospital.alice, hospital.bob
    alice.ok("query", series.lfn, "--save", "bellies", "--freeze")
    alice.ok("grant", "bob", "--dataset", "bellies")
    bob.ok("query", series.lfn, "--save", "mine", "--freeze")
    series.add(2)
    assert bob.ok("query", "dataset=mine", "--columns", "NumberOfInstances").rows == [
        [series.lfn, "2"]
    ]
    alice.ok("revoke", "bob", "--dataset", "bellies")
    assert bob.ok("query", "dataset=mine").out == ""


def test_pixels_that_need_a_review_hold_the_new_version_back(
    hospital: Hospital, series: Series
) -> None:
    alice, bob = hospital.alice, hospital.bob
    alice.ok("grant", "bob", series.lfn, "--until", "2100-06-30")
    first = hospital.object(series.lfn)
    said = series.add(2, code=3, BurnedInAnnotation="YES")
    assert said == (
        f"medgrid: warning: {series.lfn}: bob cannot see the new version: it waits for a review, "
        "and version 1 stays until then\n"
        f"medgrid: hint: 'medgrid review show {series.lfn}', then 'medgrid review release'\n"
        "new: 1 object (1 new version) from 1 file; unchanged: 1 file\n"
        "medgrid: error: not all is as it should be\n"
        "medgrid: hint: the warnings stand above; all images are in the grid\n"
    )
    assert hospital.object(series.lfn).id == first.id
    assert hospital.object(f"{series.lfn}.original").version == 2
    assert len(bob.read(series.lfn)) == first.size_bytes
    assert bob.ok("query", series.lfn).lines == [series.lfn]
    assert bob.ok("stat", series.lfn, "--json").documents[0]["waiting_versions"] == []
    (document,) = alice.ok("stat", series.lfn, "--json").documents
    assert (document["version"], document["waiting_versions"]) == (1, [2])
    assert series.lfn in alice.ok("review").lines
    # one more slice comes before anybody looked
    series.add(3, code=3)
    alice.ok("review", "release", series.lfn)
    third = hospital.object(series.lfn)
    assert (third.version, third.attributes["NumberOfSeriesRelatedInstances"]) == (3, 3)
    assert len(bob.read(series.lfn)) == third.size_bytes
    assert ends(hospital, third.id) == ends(hospital, first.id)
    (document,) = alice.ok("stat", series.lfn, "--json").documents
    assert (document["older_versions"], document["waiting_versions"]) == ([1, 2], [])
    assert series.lfn not in alice.ok("review").lines
    # who finds text after all takes all versions back
    alice.ok("review", "reject", series.lfn)
    assert bob.run("stat", series.lfn).code == bob.run("stat", series.lfn, "--version=1").code == 4


def test_who_rejects_a_version_that_waits_takes_back_those_below_it(
    hospital: Hospital, series: Series
) -> None:
    hospital.alice.ok("grant", "bob", series.lfn)
    first = hospital.object(series.lfn)
    series.add(2, code=3, BurnedInAnnotation="YES")
    (said,) = hospital.alice.ok("review", "reject", series.lfn, "--json").documents
    assert said["lfn"] == series.lfn
    assert hospital.object(series.lfn) == dataclasses.replace(first, review=Review.NEEDED)
    assert hospital.bob.run("stat", series.lfn).code == 4
    assert ends(hospital, first.id) == 0
    assert hospital.alice.ok("review", series.lfn).lines == [series.lfn]


def test_what_is_granted_to_nobody_waits_for_nobody(hospital: Hospital, series: Series) -> None:
    series.add(2, BurnedInAnnotation="YES")
    assert hospital.object(series.lfn).version == 2


def test_a_twin_that_is_removed_while_a_newer_one_waits_stays_away(
    hospital: Hospital, series: Series
) -> None:
    hospital.alice.ok("grant", "bob", series.lfn)
    series.add(2, code=3, BurnedInAnnotation="YES")
    hospital.alice.ok("rm", "--yes", "--only", series.lfn)
    lfn = series.lfn
    series.add(3)
    assert series.lfn == f"{lfn}.original"
    assert hospital.object(series.lfn).version == 3
    assert hospital.alice.run("stat", lfn).code == 4


def test_removed_with_all_versions(hospital: Hospital, series: Series) -> None:
    hospital.alice.ok("grant", "bob", series.lfn)
    before = len(hospital.stored())
    series.add(2, code=3, BurnedInAnnotation="YES")
    hospital.alice.ok("mv", series.lfn, "/elsewhere")
    assert hospital.alice.ok("stat", "/elsewhere", "--json").documents[0]["waiting_versions"] == [2]
    hospital.alice.ok("rm", "--yes", "/elsewhere")
    assert len(hospital.stored()) == before - 2


def test_whom_nobody_certifies_any_more_is_named(
    hospital: Hospital, series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.alice.ok("grant", "bob", series.lfn)
    hospital.certify("bob", [Role.RESEARCHER], days=1)
    put_clock_on(monkeypatch, 2 * 86400)
    said = series.add(2, code=3)
    assert said.startswith(f"medgrid: warning: {series.lfn}: bob cannot see the new version: ")
    assert ends(hospital, hospital.object(series.lfn).id) == 0


def test_what_is_registered_anew_stays_granted(hospital: Hospital, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    words = ["register", str(file), "--to", "/notes", "--meta", f"PatientID={JANE}"]
    file.write_bytes(b"one")
    hospital.alice.ok(*words)
    hospital.alice.ok("grant", "bob", "/notes")
    file.write_bytes(b"two")
    assert hospital.alice.ok(*words, "--replace").err == ""
    assert hospital.bob.read("/notes") == b"two"


def _granted(hospital: Hospital, lfn: str, **values: object) -> GridObject:
    item = hospital.put(lfn, b"one", by="bob", owner="bob", **values)  # type: ignore[arg-type]
    with hospital.alice.grid() as grid:
        grant(grid, "carol", [lfn], time.time() + 3600)
    return item


@pytest.mark.parametrize("values", [{}, {"patient": JOHN}], ids=["same patient", "another"])
def test_a_researcher_hands_no_grants_on(
    hospital: Hospital, tmp_path: Path, values: Mapping[str, str]
) -> None:
    """What bob owns the physician has granted to carol; bob replaces it."""
    item = _granted(hospital, "/results/x")
    (tmp_path / "new").write_bytes(b"two")
    patient = values.get("patient", JANE)
    by = hospital.bob if not values else hospital.alice
    words = ["register", str(tmp_path / "new"), "--to", "/results/x", "--replace"]
    if by is hospital.alice:
        words += ["--meta", f"PatientID={patient}"]
    ran = by.run(*words)
    assert ran.code == 3, ran.err
    assert "/results/x: carol cannot see the new version: it is of somebody else" in ran.err
    now = hospital.object("/results/x")
    assert now.id != item.id
    assert ends(hospital, now.id, "carol") == 0
    assert hospital.carol.run("stat", LFN("/results/x")).code == 4


def test_a_twin_that_is_renewed_stays_granted(hospital: Hospital, series: Series) -> None:
    series.add(2, SeriesDescription="T1 Harmonix")
    hospital.alice.ok("grant", "bob", series.lfn)
    hospital.alice.ok("review", "words", "--release", "Harmonix")
    assert hospital.alice.ok("review", "words", "--apply").lines == [series.lfn]
    item = hospital.object(series.lfn)
    assert item.version == 3
    assert len(hospital.bob.read(series.lfn)) == item.size_bytes


@pytest.mark.parametrize("is_named", [False, True], ids=["all", "named"])
def test_a_version_that_waits_is_not_passed_by(
    hospital: Hospital, series: Series, is_named: bool
) -> None:
    alice = hospital.alice
    alice.ok("grant", "bob", series.lfn)
    series.add(2, code=3, BurnedInAnnotation="YES", SeriesDescription="T1 Harmonix")
    alice.ok("review", "words", "--release", "Harmonix")
    words = ["review", "words", "--apply", *([series.lfn] if is_named else [])]
    ran = alice.run(*words)
    assert (ran.code, ran.out) == (7, "")
    assert f"{series.lfn} has a version that waits for a review" in ran.err
    alice.ok("review", "release", series.lfn)
    assert hospital.object(series.lfn).version == 2
    assert alice.ok(*words).lines == [series.lfn]
    item = hospital.object(series.lfn)
    assert (item.version, item.attributes["NumberOfSeriesRelatedInstances"]) == (3, 2)
    assert item.attributes["SeriesDescription"] == ["T1w", "T1 Harmonix"]
    assert len(hospital.bob.read(series.lfn)) == item.size_bytes
