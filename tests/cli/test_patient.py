"""``medgrid patient merge``: what it says, asks, and leaves when it is killed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from medgrid.crypto.pseudonym import load_key, pseudonym
from tests.actions.test_rekey import killed_at
from tests.lab.dicoms import write_series
from tests.lab.hospital import JANE, OTHER, Hospital
from tests.lanes import Sample

ID, CORRECTED = "PAT-4711", "PAT-4712"
MOMENTS = 70
"""Before and after each commit, rename and deletion of a merge: at least so many."""


class Twice:
    """A person whose images came under two ids, in the care of alice; bob is granted one."""

    def __init__(self, hospital: Hospital, folder: Path) -> None:
        self.hospital, self.folder = hospital, folder
        key = load_key(hospital.alice.settings.keys_dir)
        self.old, self.new = pseudonym(key, ID), pseudonym(key, CORRECTED)
        write_series(folder / "a", 1)
        write_series(folder / "b", 1, study="2", SeriesDescription="T2w")
        write_series(folder / "c", 1, study="3", PatientID=CORRECTED)
        hospital.alice.ok("import", folder, "--to", "/new")
        self.lfns = sorted(hospital.alice.ok("query", f"PatientID={self.old}").lines)
        hospital.alice.ok("grant", "bob", self.lfns[0], "--until", "2100-06-30")

    def merge(self, *words: str) -> tuple[str, ...]:
        return ("patient", "merge", self.old, self.new, *words)

    def names(self) -> list[str]:
        """All LFNs of both."""
        asked = f"PatientID in ({self.old}, {self.new}) and class in (nominative, image)"
        return self.hospital.alice.ok("-q", "query", asked).lines


@pytest.fixture
def twice(hospital: Hospital, tmp_path: Path) -> Twice:
    return Twice(hospital, tmp_path / "in")


def test_it_moves_and_grants_go_on(twice: Twice) -> None:
    alice, bob = twice.hospital.alice, twice.hospital.bob
    before = len(twice.names())
    ran = alice.ok(*twice.merge("--yes"))
    assert [row[0] for row in ran.rows] == twice.lfns
    assert all(row[1].startswith(f"/new/{twice.new}/") for row in ran.rows)
    assert ran.err == ""
    moved = dict(ran.rows)[twice.lfns[0]]
    assert bob.read(moved) == alice.read(moved)
    assert alice.ok("grant", "ls").rows == [["bob", moved, "2100-06-30", "alice", "", "valid"]]
    assert len(twice.names()) == before
    assert alice.ok("fsck", "--deep").out == ""
    # and one word takes it back
    alice.ok("revoke", "bob", moved)
    assert bob.run("stat", moved).code == 4
    # who asks for the one is told of the other
    warning = (
        f"medgrid: warning: {twice.old} is {twice.new} now\nmedgrid: hint: ask for {twice.new}\n"
    )
    for words in (("query", f"PatientID={twice.old}"), ("query", f"/new/{twice.old}/")):
        ran = alice.ok(*words)
        assert (ran.out, ran.err) == ("", warning)
    ran = alice.ok("whois", twice.old)
    assert (ran.rows[0][0], ran.err) == (twice.old, warning)
    ran = alice.ok("whois", twice.new)
    assert (ran.rows[0][3], ran.err) == (f"{CORRECTED}\\{ID}", "")
    assert twice.hospital.carol.ok("query", f"PatientID={twice.old}").err == ""
    assert [row[3] for row in alice.ok("audit", "--what", twice.old).rows if "merge" in row[2]]
    # once more there is nothing to do
    assert alice.ok(*twice.merge("--yes")).out == ""
    # imports bring nothing anew
    assert alice.ok("import", twice.folder, "--to", "/new").out == ""


def test_frozen_datasets_follow(twice: Twice) -> None:
    alice, bob = twice.hospital.alice, twice.hospital.bob
    bob.ok("query", "/new", "--save", "mine", "--freeze")
    alice.ok("query", f"PatientID in ({twice.old}, {twice.new})", "--save", "all", "--freeze")
    before = set(alice.ok("query", "dataset=all").lines)
    moved = dict(alice.ok(*twice.merge("--yes")).rows)
    assert bob.ok("query", "dataset=mine").lines == [moved[twice.lfns[0]]]
    assert set(alice.ok("query", "dataset=all").lines) == {moved.get(x, x) for x in before}
    assert "new content" in bob.ok("dataset", "show", "mine").err


def test_copies_lie_where_they_lay(twice: Twice) -> None:
    alice = twice.hospital.alice
    for name in (twice.lfns[0], f"{twice.lfns[0]}.original"):
        alice.ok("replica", "add", name, "--se", "far")
    moved = dict(alice.ok(*twice.merge("--yes")).rows)[twice.lfns[0]]
    for name in (moved, f"{moved}.original"):
        rows = alice.ok("replica", "verify", name).rows
        assert sorted(row[1:3] for row in rows) == [["far", "ok"], ["near", "ok"]]


def test_as_json_and_before_it_is_done(twice: Twice) -> None:
    alice = twice.hospital.alice
    before = twice.names()
    assert alice.ok(*twice.merge("--dry-run")).rows == [[one, "moves"] for one in twice.lfns]
    (document,) = alice.ok(*twice.merge("--dry-run", "--json")).documents
    assert document == {
        "schema": "medgrid.merge/1",
        "old": twice.old,
        "new": twice.new,
        "lfns": twice.lfns,
        "left": [],
    }
    ran = alice.run(*twice.merge())
    assert ran.code == 2
    assert ran.err == (
        f"medgrid: error: make 2 images of {twice.old} those of {twice.new}, which cannot be "
        "undone? cannot be asked here\nmedgrid: hint: say --yes to go on\n"
    )
    assert twice.names() == before
    *moved, last = alice.ok(*twice.merge("--yes", "--json")).documents
    assert [one["lfn"] for one in moved] == twice.lfns
    assert all(one["to"].startswith(f"/new/{twice.new}/") for one in moved)
    assert last == {
        "schema": "medgrid.merged/1",
        "old": twice.old,
        "new": twice.new,
        "images": 2,
        "left": [],
        "complete": True,
    }


def test_what_was_made_of_them_stays_and_is_named(twice: Twice) -> None:
    hospital, alice = twice.hospital, twice.hospital.alice
    twin = hospital.object(twice.lfns[0])
    with alice.grid() as grid:
        item = grid.catalog.objects.get(twin.lfn)  # type: ignore[arg-type]
    assert item.id == twin.id
    result = hospital.put("/results/mask", b"mask", patient=None, by="alice")
    hospital.derived("segment@1", [twin], [result])
    assert alice.ok(*twice.merge("--dry-run")).rows[-1] == ["/results/mask", "stays"]
    ran = alice.ok(*twice.merge("--yes"))
    assert ran.err == (
        f"medgrid: warning: /results/mask was made from images of {twice.old}, and stays as it is\n"
        f"medgrid: hint: make it again from those of {twice.new}; then 'medgrid rm' it\n"
    )
    assert alice.read("/results/mask") == b"mask"
    assert "segment@1" in alice.ok("provenance", "/results/mask").out


def test_an_input_of_an_open_job_fails_and_the_others_move(twice: Twice) -> None:
    alice = twice.hospital.alice
    alice.ok("algorithm", "add", "config/algorithms/checksum.json")
    number = alice.ok("submit", "checksum", twice.lfns[0]).lines[0]
    ran = alice.run(*twice.merge("--yes"))
    assert (ran.code, len(ran.rows)) == (3, 1)
    assert ran.err == (
        f"medgrid: warning: {twice.lfns[0]} is an input of a job that has not ended\n"
        "medgrid: error: 1 of 2 failed\n"
        "medgrid: hint: say the same again: it goes on with what is left\n"
    )
    alice.ok("cancel", number)
    ran = alice.ok(*twice.merge("--yes"))
    assert [row[0] for row in ran.rows] == twice.lfns[:1]


def test_who_cares_for_one_alone(twice: Twice) -> None:
    hospital = twice.hospital
    hospital.alice.ok("team", "add", twice.old, "dave")
    before = twice.names()
    for person, missing in (("dave", twice.new), ("carol", twice.old), ("bob", twice.old)):
        ran = hospital.people[person].run(*twice.merge("--yes"))
        assert (ran.code, ran.out) == (4, "")
        assert ran.err == (
            f"medgrid: error: no patient {missing}\nmedgrid: hint: 'medgrid team ls' shows yours\n"
        )
    hospital.alice.ok("team", "add", JANE, "paula", "--role", "patient")
    ran = hospital.paula.run("patient", "merge", JANE, OTHER, "--yes")
    assert ran.code == 5
    assert twice.names() == before
    # who sees no more of what moves is named
    assert hospital.alice.ok(*twice.merge("--yes")).err == (
        f"medgrid: warning: dave is physician of {twice.old}, not of {twice.new}, and sees no more "
        "of what moves\n"
        f"medgrid: hint: 'medgrid team add {twice.new} dave --role physician'\n"
    )


@pytest.mark.parametrize(
    ("modality", "verdict", "found"),
    [("US", "release", "released"), ("US", "", "needed"), ("MR", "reject", "needed")],
)
def test_a_review_that_was_made_holds(
    hospital: Hospital, tmp_path: Path, modality: str, verdict: str, found: str
) -> None:
    folder = tmp_path / "in"
    for name, values in (("a", {}), ("b", {"study": "2", "PatientID": CORRECTED})):
        write_series(folder / name, 1, Modality=modality, **values)
    alice, bob = hospital.alice, hospital.bob
    alice.ok("import", folder, "--to", "/new")
    key = load_key(alice.settings.keys_dir)
    old, new = pseudonym(key, ID), pseudonym(key, CORRECTED)
    (lfn,) = alice.ok("query", f"PatientID={old}").lines
    if verdict:
        alice.ok("review", verdict, lfn)
    assert alice.run("grant", "bob", lfn).code == (0 if verdict == "release" else 5)
    ((_, to),) = alice.ok("patient", "merge", old, new, "--yes").rows
    assert str(hospital.object(to).review) == found
    assert alice.run("grant", "bob", to).code == (0 if verdict == "release" else 5)
    if verdict == "release":
        assert bob.read(to) == alice.read(to)


def test_what_was_held_back_is_held_back_also_where_both_have_it(
    hospital: Hospital, tmp_path: Path
) -> None:
    """The one was seen to have text in it, the other is granted already."""
    alice, bob = hospital.alice, hospital.bob
    write_series(tmp_path / "in", 1)
    key = load_key(alice.settings.keys_dir)
    names = []
    for issuer in ("x", "y"):
        shutil.copytree(tmp_path / "in", tmp_path / issuer)
        ran = alice.run("import", tmp_path / issuer, "--to", "/new", "--issuer", issuer)
        names += ran.lines
    old, new = (pseudonym(key, ID, issuer) for issuer in ("x", "y"))
    alice.ok("grant", "bob", names[1])
    alice.ok("review", "reject", names[0])
    ran = alice.ok("patient", "merge", old, new, "--yes")
    assert ran.rows == [names]
    assert ran.err == (
        f"medgrid: warning: {names[1]}: bob cannot see the new version: it waits for a review\n"
        "medgrid: hint: 'medgrid review release' it, then 'medgrid grant' it\n"
    )
    assert bob.run("stat", names[1]).code == 4
    assert str(hospital.object(names[1]).review) == "needed"


def test_withdrawal_names_who_became_the_patient(twice: Twice) -> None:
    alice = twice.hospital.alice
    alice.ok(*twice.merge("--yes"))
    ran = alice.ok("withdraw", twice.new, "--yes")
    assert f"hint: 'medgrid withdraw {twice.old}' destroys it, too\n" in ran.err
    with twice.hospital.catalog() as catalog:
        assert catalog.merged.all() == {}


def whole(twice: Twice, before: int) -> None:
    """Nothing is lost, nothing is there twice but for what is on its way."""
    alice = twice.hospital.alice
    names = twice.names()
    assert before <= len(names) <= before + 2
    for lfn in names:
        assert alice.read(lfn)
    assert len(twice.hospital.bob.ok("query", "/new").lines) == 1


def test_killed_at_any_moment_it_goes_on(twice: Twice, tmp_path: Path, sample: Sample) -> None:
    sys.stdout.flush()
    alice = twice.hospital.alice
    before = len(twice.names())
    template = tmp_path / "template"
    shutil.copytree(twice.hospital.folder, template)
    asked = f"PatientID={twice.old} and class in (nominative, image)"
    for moment in sample(range(1, MOMENTS), 4):
        assert killed_at(alice, moment, *twice.merge("--yes"))
        whole(twice, before)
        alice.ok(*twice.merge("--yes"))
        whole(twice, before)
        assert alice.ok("-q", "query", asked).lines == []
        assert len(twice.names()) == before
        alice.ok("fsck", "--repair")
        assert alice.ok("fsck").out == ""
        assert alice.ok("import", twice.folder, "--to", "/new").out == ""
        shutil.rmtree(twice.hospital.folder)
        shutil.copytree(template, twice.hospital.folder)


def test_the_help_lists_it(hospital: Hospital) -> None:
    assert "Let two patients who are one person become one." in hospital.alice.ok("--help").out
