"""One item that goes wrong ends alone, and is named; what it belongs with waits for it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from medgrid.actions.importing.convert import convert_series
from medgrid.actions.importing.drafts import Failure, group
from medgrid.actions.importing.images import _Import
from medgrid.actions.importing.writer import Writer
from medgrid.actions.lfn import named, remove
from medgrid.images import allowed, pack
from medgrid.images.nominative import NOMINATIVE
from medgrid.images.scan import scan_file
from medgrid.model import LFN
from tests.lab.dicoms import encoded, instance, write_series
from tests.lab.importer import Importer
from tests.lab.niftis import write_json, write_nifti


@pytest.fixture
def database() -> str:
    """Nothing here depends on the kind of database."""
    return "sqlite"


def test_copies_that_become_different_are_two(bring: Importer, tmp_path: Path) -> None:
    root = tmp_path / "in"
    for folder in "ab":
        write_nifti(root / folder / "x.nii")
    assert bring(root).new == 1
    (first,) = bring.lfns
    for angle, folder in enumerate("ab"):
        write_json(root / folder / "x.json", {"FlipAngle": angle})
    write_nifti(root / "c" / "y.nii", seed=5)
    summary = bring(root)
    assert (summary.new, summary.versions, bring.failures) == (3, 1, [])
    angles = [bring.twin(lfn).attributes.get("FlipAngle") for lfn in bring.lfns]
    assert sorted(angles, key=str) == [0, 1, None]
    assert bring.original(first).version == 2
    assert (bring(root).unchanged, bring(root, again=True).new) == (5, 0)


def test_a_series_whose_issuer_stands_in_some_files_alone_becomes_one(
    bring: Importer, tmp_path: Path
) -> None:
    root = tmp_path / "in"
    root.mkdir()
    for number, issuer in enumerate((None, "HOSP", "CLINIC"), start=1):
        values = {"IssuerOfPatientID": issuer} if issuer else {}
        (root / f"{number}.dcm").write_bytes(encoded(instance(number, **values)))
    # HOSP is said of the first, too, which comes second to one that it belongs to
    summary = bring(root, issuer="HOSP")
    assert (summary.new, summary.failed) == (2, 1)
    summary = bring(root, issuer="HOSP")
    assert (summary.versions, summary.failed, summary.unchanged) == (1, 0, 2)
    assert bring(root, issuer="HOSP").unchanged == 3


def test_a_side_car_may_say_anything_instead_of_a_text(bring: Importer, tmp_path: Path) -> None:
    root = tmp_path / "in"
    names = sorted(allowed.FREE_TEXT | allowed.CODES | allowed.BIDS_TEXTS | set(NOMINATIVE))
    values = ("NaN", "-Infinity", '["ep2d", NaN]', '{"a": {"b": Infinity}}', "null")
    for number, value in enumerate(values):
        write_nifti(root / f"{number}.nii", seed=number)
        fields = ", ".join(f'"{name}": {value}' for name in names)
        (root / f"{number}.json").write_text(f'{{{fields}, "FlipAngle": 9}}')
    assert bring(root).new == len(values)
    assert bring(root).unchanged == 2 * len(values)


BELONGS = "belongs with a file that could not be read; import again"


class Broken(pack._Source):
    """A file that can be opened; reading one of these names fails."""

    names: tuple[str, ...] = ()

    def __init__(self, descriptor: int, path: str) -> None:
        if Path(path).name in self.names:
            other = os.open(path, os.O_WRONLY)
            os.dup2(other, descriptor)
            os.close(other)
        super().__init__(descriptor, path)


@pytest.mark.parametrize("is_dry", [True, False])
def test_a_file_that_cannot_be_read_leaves_the_rest(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_dry: bool
) -> None:
    root = tmp_path / "in"
    write_series(root / "a", 3)
    write_series(root / "b", 1, series="2")
    write_nifti(root / "v.nii")
    write_nifti(root / "w.nii", seed=2)
    write_json(root / "w.json", {"FlipAngle": 9})
    write_nifti(root / "x.nii", seed=3)
    monkeypatch.setattr(pack, "_Source", Broken)
    monkeypatch.setattr(Broken, "names", ("IM2.dcm", "v.nii", "w.json"))
    monkeypatch.setattr(pack, "_HELD_BYTES", 0)
    assert bring(root, dry_run=is_dry).new == 2
    broken = "cannot be read: bad file descriptor"
    assert bring.reasons == [
        ("IM1.dcm", BELONGS),
        ("IM2.dcm", broken),
        ("IM3.dcm", BELONGS),
        ("v.nii", broken),
        ("w.json", broken),
        ("w.nii", BELONGS),
    ]
    monkeypatch.undo()
    assert bring(root, dry_run=is_dry).new == (5 if is_dry else 3)


def test_a_file_that_changes_is_named_with_what_it_belongs_with(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_series(tmp_path / "in", 3)
    (tmp_path / "in" / "copy.dcm").write_bytes(files[0].read_bytes())
    write_nifti(tmp_path / "in" / "v.nii")
    store = Writer._store

    def later(*args: Any) -> Any:
        os.utime(files[1], (1, 1))
        return store(*args)

    monkeypatch.setattr(Writer, "_store", later)
    assert bring(tmp_path / "in").failed == 4
    changed = ("IM2.dcm", "changed while it was imported")
    assert bring.reasons == [
        ("IM1.dcm", BELONGS),
        changed,
        ("IM3.dcm", BELONGS),
        ("copy.dcm", BELONGS),
    ]
    monkeypatch.undo()
    assert bring(tmp_path / "in").imported == 4


def test_a_copy_of_a_file_that_changed_is_named(tmp_path: Path) -> None:
    first, _ = write_series(tmp_path, 2)
    copy = tmp_path / "copy.dcm"
    copy.write_bytes(first.read_bytes())
    found = [scan_file(str(path), str(tmp_path)) for path in sorted(tmp_path.iterdir())]
    os.utime(first, (1, 1))
    failures: list[Failure] = []
    (series,) = group(found, failures.append, lambda *_: pytest.fail("none differs"))
    assert failures == [Failure(str(copy), BELONGS)]
    assert [Path(one.path).name for one in series.files] == ["IM1.dcm", "IM2.dcm"]


def test_a_series_that_the_grid_cannot_read_stops_no_other(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "in"
    write_series(root / "a", 1)
    bring(root)
    (lfn,) = bring.lfns
    (replica,) = bring.grid.catalog.objects.replicas([bring.original(lfn).id]).popitem()[1]
    (body,) = (path for path in tmp_path.rglob("*") if path.name in replica.pfn and path.is_file())
    data = bytearray(body.read_bytes())
    data[len(data) // 2] ^= 1
    body.chmod(0o600)
    body.write_bytes(data)
    write_series(root / "a", 2)
    write_series(root / "b", 1, series="2", PatientID="other")
    write_nifti(root / "v.nii")
    summary = bring(root)
    assert (summary.new, summary.failed) == (2, 2)
    assert [name for name, _ in bring.reasons] == ["IM1.dcm", "IM2.dcm"]
    assert bring.reasons[0][1].startswith("the grid has its series, which cannot be added to: ")
    # and when somebody removes it while another import looks at it
    write_series(root / "b", 2, series="2", PatientID="other")
    real = _Import._next_version

    def removed(*args: Any) -> Any:
        if bring.grid.catalog.objects.exists(LFN(lfn)):
            assert remove(bring.grid, named(bring.grid, [lfn], recursive=False)) == []
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(_Import, "_next_version", removed)
        summary = bring(root)
    assert (summary.new, summary.failed) == (1, 2)
    assert bring(root).removed == 2


def test_copies_of_what_contradicts_the_grid_are_all_refused(
    bring: Importer, tmp_path: Path
) -> None:
    write_series(tmp_path / "a", 2)
    bring(tmp_path / "a")
    root = tmp_path / "in"
    for name in "bcd":
        (root / name).mkdir(parents=True)
        (root / name / "x.dcm").write_bytes(encoded(instance(1, StudyID="other")))
    (root / "e.dcm").write_bytes(encoded(instance(2)))
    summary = bring(root)
    assert (summary.failed, summary.known) == (3, 1)
    (root / "b" / "x.dcm").unlink()
    summary = bring(root)
    assert (summary.failed_before, summary.unchanged) == (2, 1)


def test_a_series_that_cannot_be_converted_stops_no_other(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in "12":
        write_series(tmp_path / number, 1, study=number, SeriesDescription=f"T{number}w")
    reasons = {"T1w": OSError(errno.EIO, "Input/output error"), "T2w": pack.Changed("IM1.dcm")}

    def broken(folder: Path, target: Path, known: dict[str, Any], *_: Any) -> list[Any]:
        raise reasons[known["SeriesDescription"]]

    monkeypatch.setattr("medgrid.actions.importing.convert.convert", broken)
    assert bring(tmp_path / "1", tmp_path / "2", nifti=True).failed == 2
    assert sorted(reason for _, reason in bring.failures) == [
        "not converted: changed while it was imported",
        "not converted: input/output error",
    ]
    reasons["T1w"] = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        bring(tmp_path / "1", nifti=True)


def test_a_series_whose_original_goes_meanwhile_stops_no_other(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in "12":
        write_series(tmp_path / number, 1, study=number, SeriesDescription=f"T{number}w")
    bring(tmp_path / "1", tmp_path / "2")
    taken = next(lfn for lfn in bring.lfns if "T1w" in lfn)
    original = bring.twin(taken).original
    by_ids = type(bring.grid.whole.objects).by_ids

    def without_one(self: Any, ids: Any) -> dict[Any, Any]:
        return {key: item for key, item in by_ids(self, ids).items() if key != original}

    monkeypatch.setattr(type(bring.grid.whole.objects), "by_ids", without_one)
    found: list[tuple[str, str]] = []
    made: list[Any] = []
    convert_series(
        bring.grid,
        {bring.original(lfn).id: () for lfn in bring.lfns},
        "local",
        made.append,
        lambda lfn, reason: found.append((str(lfn), reason)),
        print,
    )
    assert found == [(taken, "not converted: its original was removed meanwhile")]
    assert len(made) == 1


def test_a_name_is_no_folder_and_an_image(bring: Importer, tmp_path: Path) -> None:
    root = tmp_path / "in"
    for seed, name in enumerate(("brain", "brain/mask", "brain/mask/t1", "heart/mask", "heart")):
        write_nifti(root / f"{name}.nii", seed=seed)
    bring(root, keep_names=True)
    assert bring.lfns == [
        "/trial/brain",
        "/trial/brain-2/mask",
        "/trial/brain-2/mask-2/t1",
        "/trial/heart",
        "/trial/heart-2/mask",
    ]
    # and of what the grid has, a folder and an image
    write_nifti(root / "heart" / "t1.nii", seed=7)
    write_nifti(root / "brain" / "t2.nii", seed=8)
    write_nifti(root / "brain" / "mask" / "t2.nii", seed=9)
    bring(root, keep_names=True)
    assert bring.lfns == ["/trial/brain-2/mask-2/t2", "/trial/brain-2/t2", "/trial/heart-2/t1"]
    assert bring(root, keep_names=True).unchanged == 8


def test_long_names_that_begin_alike_are_two(bring: Importer, tmp_path: Path) -> None:
    root = tmp_path / "in"
    write_json(root / "dataset_description.json", {"Name": "Trial"})
    name = "sub-01_task-rest_run-1_space-MNI152NLin2009cAsym_res-2_label-lesion{}_mask.nii.gz"
    for which in "AB":
        write_nifti(root / "sub-01" / "func" / name.format(which))
        write_nifti(root / "own" / f"{'a-long-name-' * 5}{which}.nii", seed=2)
    assert bring(root, keep_names=True).new == 4
    for path in root.rglob("*.nii*"):
        os.utime(path, (1, 1))
    assert bring(root, keep_names=True).known == 4


def test_a_disk_of_this_host_that_is_full_ends_it_after_what_is_stored(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (1, 2):
        write_nifti(tmp_path / "in" / f"{seed}.nii", seed=seed)
    store = Writer._store

    def full(self: Writer, uploads: Any, draft: Any) -> Any:
        if draft.files[0][0].endswith("2.nii"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return store(self, uploads, draft)

    monkeypatch.setattr(Writer, "_store", full)
    with pytest.raises(OSError, match="No space"):
        bring(tmp_path / "in")
    assert len(bring.lfns) == 1
    monkeypatch.undo()
    summary = bring(tmp_path / "in")
    assert (summary.new, summary.unchanged) == (1, 1)
