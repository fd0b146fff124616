"""What was removed stays away from later imports; what has no twin is told of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from medgrid.actions.lfn import facts, move, named, remove
from medgrid.actions.withdraw import plan_withdrawal, withdraw
from medgrid.catalog.query import parse
from medgrid.errors import UsageError
from medgrid.model import LFN
from tests.lab.dicoms import encoded, instance, write_series
from tests.lab.importer import Importer, nothing_is_left
from tests.lab.niftis import write_json, write_nifti


def below(bring: Importer, folder: str = "/") -> list[str]:
    """All LFNs of the grid."""
    question = parse(f"{folder} and class in (nominative, image)")
    return sorted(map(str, bring.grid.catalog.objects.lfns(question)))


def drop(bring: Importer, *lfns: str, only: bool = False) -> None:
    assert remove(bring.grid, named(bring.grid, lfns, recursive=False, only=only)) == []


@pytest.mark.parametrize("suffix", ["", ".original"])
def test_what_was_removed_is_named_once_and_comes_back_when_asked(
    bring: Importer, tmp_path: Path, suffix: str
) -> None:
    write_series(tmp_path / "in", 2)
    bring(tmp_path / "in")
    (lfn,) = bring.lfns
    drop(bring, lfn + suffix)
    assert nothing_is_left(bring.grid)
    summary = bring(tmp_path / "in")
    ((reason, hint),) = bring.doubts
    assert reason.startswith(f"{lfn}.original was removed on 2")
    assert hint == "'medgrid import --again' brings it back"
    assert (summary.new, summary.removed, summary.failed, summary.doubts) == (0, 2, 0, 0)
    summary = bring(tmp_path / "in")
    assert (bring.doubts, summary.removed, summary.new) == ([], 2, 0)
    # a copy of the folder is no other series, and neither is one more slice
    write_series(tmp_path / "copy", 3)
    assert bring(tmp_path / "copy").removed == 3
    assert below(bring) == []
    assert bring(tmp_path / "in", again=True).new == 1
    assert bring.lfns == [lfn]
    bring(tmp_path / "copy", again=True)
    assert bring.twin(lfn).version == 2
    # it is as if it had never been removed
    assert bring(tmp_path / "in").removed == bring(tmp_path / "copy").removed == 0


def test_a_volume_that_was_removed_stays_away(bring: Importer, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "sub-01" / "anat"
    write_nifti(folder / "sub-01_T1w.nii.gz")
    write_nifti(tmp_path / "in" / "scan.nii.gz", seed=7)
    bring(tmp_path / "in")
    lfns = bring.lfns
    for lfn in lfns:
        drop(bring, lfn)
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.removed, len(bring.doubts)) == (0, 2, 2)
    write_nifti(folder / "sub-01_T1w.nii.gz", seed=3)  # another content
    assert bring(tmp_path / "in").new == 1
    bring(tmp_path / "in", again=True)
    assert below(bring) == sorted(lfn + suffix for lfn in lfns for suffix in ("", ".original"))


def test_a_volume_that_was_removed_stays_away_with_other_companions(
    bring: Importer, tmp_path: Path
) -> None:
    image = write_nifti(tmp_path / "in" / "sub-01" / "anat" / "sub-01_T1w.nii")
    side_car = image.with_suffix(".json")
    for flip in (None, 9, 8):  # new, and two new versions
        if flip:
            write_json(side_car, {"FlipAngle": flip})
        bring(tmp_path / "in")
    (lfn,) = bring.lfns
    assert bring.twin(lfn).version == 3
    drop(bring, lfn)
    for flip in (9, 7):
        write_json(side_car, {"FlipAngle": flip})
        summary = bring(tmp_path / "in")
        assert (summary.new, summary.removed) == (0, 2)
    side_car.unlink()
    assert (bring(tmp_path / "in").new, bring(tmp_path / "in").removed) == (0, 1)
    write_json(tmp_path / "in" / "T1w.json", {"FlipAngle": 6})  # of the dataset
    assert bring(tmp_path / "in", again=True).new == 1
    write_json(side_car, {"FlipAngle": 5})
    assert bring(tmp_path / "in").versions == 1
    drop(bring, lfn)
    side_car.unlink()
    assert (bring(tmp_path / "in").new, len(bring.doubts)) == (0, 1)


def test_what_somebody_brought_back_is_there_for_all(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 1)
    image = write_nifti(tmp_path / "in" / "sub-01" / "anat" / "sub-01_T1w.nii")
    write_json(image.with_suffix(".json"), {"FlipAngle": 9})
    bring(tmp_path / "in")
    drop(bring, *bring.lfns)
    assert bring(tmp_path / "in").removed == 3
    other = Importer(bring.grid)
    shutil.copytree(tmp_path / "in", tmp_path / "other")
    assert other(tmp_path / "other", again=True).new == 2
    summary = bring(tmp_path / "in")
    assert (summary.removed, summary.known, bring.doubts) == (0, 3, [])
    assert bring(tmp_path / "in").unchanged == 3


def test_what_others_have_too_is_no_part_of_what_was_removed(
    bring: Importer, tmp_path: Path
) -> None:
    root = tmp_path / "in"
    write_json(root / "T1w.json", {"FlipAngle": 9})
    write_json(root / "dataset_description.json", {"Name": "Trial"})
    for seed, subject in enumerate(("sub-01", "sub-02")):
        write_nifti(root / subject / "anat" / f"{subject}_T1w.nii", seed=seed)
    bring(root)
    drop(bring, next(lfn for lfn, files in bring.files.items() if "sub-01" in files[0]))
    for removed, unchanged in ((1, 2), (1, 2)):
        summary = bring(root)
        assert (summary.new, summary.removed, summary.unchanged) == (0, removed, unchanged)
    drop(bring, *below(bring)[:1])
    for _ in range(2):
        assert bring(root).removed == 3, "nobody has the side-car any more"


def test_a_patient_who_has_gone_leaves_no_mark(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 1)
    write_series(tmp_path / "in" / "2", 1, series="2")
    bring(tmp_path / "in")
    drop(bring, bring.lfns[0])
    withdraw(bring.grid, plan_withdrawal(bring.grid, bring.patient()))
    with bring.grid.whole.db.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM removed").scalar() == 0


def test_a_twin_that_was_removed_alone_comes_back_when_asked(
    bring: Importer, tmp_path: Path
) -> None:
    write_series(tmp_path / "in", 1)
    bring(tmp_path / "in")
    (lfn,) = bring.lfns
    drop(bring, lfn, only=True)
    assert below(bring) == [f"{lfn}.original"]
    assert bring.original(lfn).attributes["TwinMissing"] == "removed"
    assert bring(tmp_path / "in").lacking == {"removed": 1}
    write_series(tmp_path / "in", 2)  # one more slice
    bring(tmp_path / "in")
    assert bring.original(lfn).version == 2
    assert below(bring) == [f"{lfn}.original"]
    assert bring(tmp_path / "in", again=True).new == 1
    assert below(bring) == [lfn, f"{lfn}.original"]
    assert bring.twin(lfn).original == bring.original(lfn).id
    assert len(bring.members(bring.twin(lfn))) == 2
    assert "TwinMissing" not in bring.original(lfn).attributes
    assert bring(tmp_path / "in", again=True).new == 0


def test_a_twin_of_a_volume_that_was_removed_stays_away_until_it_is_asked_for(
    bring: Importer, tmp_path: Path
) -> None:
    image = write_nifti(tmp_path / "in" / "a.nii")
    bring(tmp_path / "in")
    (lfn,) = bring.lfns
    (tmp_path / "in" / "copy.nii").write_bytes(image.read_bytes())
    bring(tmp_path / "in")
    drop(bring, lfn, only=True)
    assert bring(tmp_path / "in", again=True).new == 1
    assert below(bring) == [lfn, f"{lfn}.original"]
    for version in (2, 4):
        drop(bring, lfn, only=True)
        assert bring(tmp_path / "in").lacking == {"removed": 1}
        write_json(image.with_suffix(".json"), {"FlipAngle": version})
        bring(tmp_path / "in")
        assert below(bring) == [f"{lfn}.original"]
        assert bring.original(lfn).version == version + 1
        summary = bring(tmp_path / "in", again=True)
        assert (summary.new, summary.lacking, bring.original(lfn).version) == (1, {}, version + 2)
        assert bring.twin(lfn).original == bring.original(lfn).id
        assert "TwinMissing" not in bring.original(lfn).attributes
        assert bring(tmp_path / "in", again=True).new == 0
    (tmp_path / "copy").mkdir()
    for path in (image, image.with_suffix(".json")):
        (tmp_path / "copy" / path.name).write_bytes(path.read_bytes())
    assert bring(tmp_path / "copy").known == 2, "it is known by its newest version"


def test_both_names_move_and_a_late_slice_finds_them(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 1)
    bring(tmp_path / "in")
    (lfn,) = bring.lfns
    move(bring.grid, lfn, "/a/x")
    assert below(bring) == ["/a/x", "/a/x.original"]
    move(bring.grid, "/a/x.original", "/b/")
    assert below(bring) == ["/b/x", "/b/x.original"]
    with pytest.raises(UsageError, match=r"/c does not end with .original"):
        move(bring.grid, "/b/x.original", "/c")
    move(bring.grid, "/b/x", "/b/y", only=True)
    move(bring.grid, "/b/x.original", "/c", only=True)
    assert below(bring) == ["/b/y", "/c"]
    write_series(tmp_path / "in", 2)
    bring(tmp_path / "in")
    assert below(bring) == ["/b/y", "/c"]
    assert (bring.twin("/b/y").version, bring.twin("/c").version) == (2, 2)
    assert bring.twin("/b/y").original == bring.twin("/c").id


# -- no twin ---------------------------------------------------------------------------------------


def without_twin(data: bytes) -> bytes:
    """An instance in a transfer syntax of a vendor."""
    return data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.113619.5.2\0\0")


REASON = "its transfer syntax is not known (instance 3 of 3)"


def write_half(folder: Path) -> None:
    """Write a series of three slices, one of which no twin can be made of."""
    folder.mkdir()
    for number in (1, 2, 3):
        data = encoded(instance(number))
        (folder / f"{number}.dcm").write_bytes(without_twin(data) if number == 3 else data)


def test_a_slice_without_a_twin_is_told_of(bring: Importer, tmp_path: Path) -> None:
    write_half(tmp_path / "in")
    summary = bring(tmp_path / "in")
    lfn = f"/trial/{bring.patient()}/{bring.day()}/T1w.original"
    assert bring.lfns == [lfn]
    ((reason, _),) = bring.doubts
    assert reason == f"{lfn} has no twin for research: {REASON}"
    assert (summary.warnings, summary.lacking) == (1, {REASON: 1})
    assert facts(bring.grid, LFN(lfn)).item.attributes["TwinMissing"] == REASON
    question = "class=nominative and TwinMissing is known"
    assert list(bring.grid.catalog.objects.lfns(parse(question))) == [lfn]
    # the next import counts it
    summary = bring(tmp_path / "in")
    assert (bring.doubts, summary.warnings, summary.lacking) == ([], 0, {REASON: 1})
    # the slice is written anew, as it should be
    (tmp_path / "in" / "3.dcm").unlink()
    summary = bring(tmp_path / "in", again=True)
    assert (summary.new, summary.warnings, bring.original(lfn[:-9]).version) == (0, 1, 1)
    drop(bring, lfn)
    (tmp_path / "in" / "3.dcm").write_bytes(encoded(instance(3)))
    summary = bring(tmp_path / "in", again=True)
    assert (bring.lfns, summary.lacking) == ([lfn.removesuffix(".original")], {})


def test_a_late_slice_without_a_twin_leaves_the_earlier_one(
    bring: Importer, tmp_path: Path
) -> None:
    write_series(tmp_path / "in", 2)
    bring(tmp_path / "in")
    (lfn,) = bring.lfns
    (tmp_path / "in" / "3.dcm").write_bytes(without_twin(encoded(instance(3))))
    summary = bring(tmp_path / "in")
    assert (summary.warnings, summary.lacking) == (1, {REASON: 1})
    assert (bring.twin(lfn).version, bring.original(lfn).version) == (1, 2)


def test_the_command_says_so(bring: Importer, tmp_path: Path) -> None:
    from tests.lab.prompt import Prompt

    write_half(tmp_path / "in")
    settings = bring.grid.settings
    environ = {"MEDGRID_CATALOG": settings.catalog_url, "MEDGRID_USER": settings.user}
    prompt = Prompt(settings.home, environ)
    ran = prompt("import", tmp_path / "in", "--to", "/trial")
    (lfn,) = ran.lines
    assert (ran.code, ran.err) == (
        3,
        f"medgrid: warning: {lfn} has no twin for research: {REASON}\n"
        "medgrid: hint: import its folder with --again when the file is right, or without it\n"
        "new: 1 object from 3 files\n"
        f"for the care team alone: 1 without a twin: {REASON}\n"
        "medgrid: error: not all is as it should be\n"
        "medgrid: hint: the warnings stand above; all images are in the grid\n",
    )
    ran = prompt.ok("import", tmp_path / "in", "--to", "/trial")
    assert ran.err == (
        f"new: nothing; unchanged: 3 files\nfor the care team alone: 1 without a twin: {REASON}\n"
    )
    assert f"  TwinMissing: {REASON}" in prompt.ok("stat", lfn).lines
    ran = prompt("import", tmp_path / "in", "--to", "/trial", "--again", "--json")
    assert json.loads(ran.err.splitlines()[-2])["without_twin"] == {REASON: 1}
