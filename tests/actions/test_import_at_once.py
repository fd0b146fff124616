"""Imports of one folder at once: each content comes in once, whoever is first.

A step is a transaction or a call of the storage element. The story is told again and again, with a
whole other import before the first step, before the second, and so on, until there are no more.
"""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import delete, event

from medgrid.actions.fsck import Finding, Orders, check_grid
from medgrid.actions.grid import Grid
from medgrid.actions.identity_init import make_grid_identities
from medgrid.actions.importing.telling import Summary
from medgrid.actions.importing.writer import Writer
from medgrid.actions.lfn import remove
from medgrid.actions.patients import Patients
from medgrid.catalog.query import parse
from medgrid.catalog.schema import removed
from medgrid.storage.base import Storage
from tests.actions.test_fsck_meanwhile import Stepping, Steps
from tests.lab.datagrid import kept_keys
from tests.lab.dicoms import write_series
from tests.lab.hospital import Hospital
from tests.lab.importer import Importer
from tests.lab.niftis import write_json, write_nifti
from tests.lab.prompt import Prompt
from tests.lab.waiting import PATIENCE_S
from tests.lanes import Sample

SUBJECTS = ("01",)
EVERYTHING = parse("class in (nominative, image)")
MANY = 1000  # steps are fewer
OBJECTS = 2 * (len(SUBJECTS) + 2)  # a series and a volume of nobody, too; each has a twin


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A BIDS dataset of small volumes, a volume that nothing names, and a series."""
    root = tmp_path / "in"
    write_json(root / "dataset_description.json", {"Name": "Trial", "BIDSVersion": "1.10.0"})
    for seed, subject in enumerate(SUBJECTS):
        write_nifti(root / f"sub-{subject}" / "anat" / f"sub-{subject}_T1w.nii.gz", seed=seed)
    write_nifti(root / "of_nobody.nii", seed=9)
    write_json(root / "of_nobody.json", {"FlipAngle": 9})
    write_series(root / "dicom", 2)
    return root


def again(bring: Importer) -> Importer:
    """Another import of the same user: a grid home and a database connection of its own."""
    return Importer(Grid(bring.grid.settings))


def sound(grid: Grid) -> None:
    """What is registered is stored, with its keys, and nothing else is."""
    found: list[Finding] = []
    check_grid(grid, [], found.append, Orders(deep=True, min_age_s=-1.0))
    assert found == []
    assert len(kept_keys(grid.settings)) == grid.whole.objects.count(EVERYTHING)


def contents(grid: Grid) -> Counter[tuple[str | None, str, str | None]]:
    """Originals: patient, owner, digest."""
    objects = grid.whole.objects
    lfns = list(objects.lfns(parse("class=nominative")))
    return Counter((one.patient, one.owner, one.digest) for one in objects.get_many(lfns).values())


@dataclass
class Story:
    """What two imports said, and how many steps the first one took."""

    summaries: list[Summary]
    steps: int


def tell(bring: Importer, at: int, happens: Callable[[], Summary], folder: Path) -> Story:
    """Import; let something happen before step `at`."""
    told: list[Summary] = []
    steps = Steps({at: lambda: told.append(happens())})
    with again(bring).grid as grid:
        mine = Importer(grid)
        grid._storages["local"] = cast(Storage, Stepping(grid.storage("local"), steps))

        def before(_connection: Any) -> None:
            steps.step()

        for catalog in (grid.whole, grid.catalog):
            event.listen(catalog.db.engine, "begin", before)
        told.append(mine(folder))
    for late in list(steps.happens.values()):
        late()
    assert [one.failed for one in told] == [0, 0]
    return Story(told, steps.taken)


def moments(tell_at: Callable[[int], Story], sample: Sample) -> Iterator[Story]:
    """The story with its event at many moments, and after its end."""
    last = tell_at(MANY)
    yield last
    assert last.steps < MANY
    for at in sample(range(1, last.steps + 1), 4):
        yield tell_at(at)


def empty(grid: Grid) -> None:
    """Remove all that is in the grid, and the marks of it, which keep imports from bringing it."""
    assert remove(grid, grid.whole.objects.below("/")) == []
    with grid.whole.db.write() as connection:
        connection.execute(delete(removed))


def test_another_import_at_any_moment(bring: Importer, folder: Path, sample: Sample) -> None:
    def other() -> Summary:
        with again(bring).grid as grid:
            return Importer(grid)(folder)

    for story in moments(lambda at: tell(bring, at, other, folder), sample):
        grid = bring.grid
        assert grid.whole.objects.count(EVERYTHING) == OBJECTS
        assert set(contents(grid).values()) == {1}
        assert sum(one.new for one in story.summaries) == OBJECTS // 2
        for one in story.summaries:
            assert one.imported + one.known + one.unchanged == len(SUBJECTS) + 4
        sound(grid)
        assert bring(folder).unchanged == len(SUBJECTS) + 4
        empty(grid)


def at_once(*brings: Importer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Summary]:
    """Import as several at a time, who all have stored their bytes before one registers any."""
    stored = threading.Barrier(len(brings), timeout=PATIENCE_S)
    meet = Patients.meet

    def meet_at_once(self: Patients, names: Any) -> None:
        stored.wait()
        meet(self, names)

    told: list[Summary | BaseException] = []

    def run(one: Importer) -> None:
        try:
            told.append(one(folder))
        except BaseException as error:
            told.append(error)
            stored.abort()

    with monkeypatch.context() as patch:
        patch.setattr(Patients, "meet", meet_at_once)
        patch.setattr("medgrid.actions.importing.writer._MAX_BATCH_S", PATIENCE_S)  # all in one
        threads = [threading.Thread(target=run, args=(one,)) for one in brings]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for one in told:
        if isinstance(one, BaseException):
            raise one
    return cast(list[Summary], told)


def test_who_is_second_is_told_that_it_is_there(
    bring: Importer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with again(bring).grid as mine, again(bring).grid as other:
        told = at_once(Importer(mine), Importer(other), folder=folder, monkeypatch=monkeypatch)
    files = len(SUBJECTS) + 4
    assert sorted((one.new, one.imported, one.known, one.failed) for one in told) == [
        (0, 0, files, 0),
        (OBJECTS // 2, files, 0, 0),
    ]
    assert set(contents(bring.grid).values()) == {1}
    sound(bring.grid)
    assert bring(folder).unchanged == files


def test_who_brings_fewer_companions_is_late(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A companion that comes between the looks of two imports is in the version that stays."""
    image = write_nifti(tmp_path / "in" / "sub-01" / "dwi" / "sub-01_dwi.nii", (4, 5, 6, 3))
    bring(tmp_path / "in")
    image.with_suffix(".bval").write_text("0 1000 2000\n")
    commit = Writer._commit

    def other_first(writer: Writer, *words: Any) -> Any:
        monkeypatch.setattr(Writer, "_commit", commit)
        write_json(image.with_suffix(".json"), {"FlipAngle": 9})
        with again(bring).grid as grid:
            assert Importer(grid)(tmp_path / "in").versions == 1
        return commit(writer, *words)

    monkeypatch.setattr(Writer, "_commit", other_first)
    assert (bring(tmp_path / "in").new, bring.reasons) == (
        0,
        [("sub-01_dwi.nii", "another import brings what it belongs to; import again")],
    )
    assert bring(tmp_path / "in").unchanged == 3
    (lfn,) = bring.grid.catalog.objects.lfns(parse("kind=volume"))
    assert list(bring.parts(bring.twin(lfn))) == ["image.nii.gz", "image.bval", "image.json"]
    assert len(kept_keys(bring.grid.settings)) == 4, "of two versions of original and twin"


def test_of_two_people_each_has_what_is_nobodys(
    bring: Importer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another owner has is no answer: neither at once nor later."""
    me = bring.grid.settings.user
    make_grid_identities(bring.grid.settings.keys_dir, "ann", bring.grid.vault.store)
    ann = Importer(Grid(replace(bring.grid.settings, user="ann")))
    with ann.grid, again(bring).grid as mine:
        told = at_once(Importer(mine), ann, folder=folder, monkeypatch=monkeypatch)
        assert sorted(one.new for one in told) == [1, OBJECTS // 2]
        owners = sorted(owner for _, owner, _ in contents(bring.grid) if owner)
        assert owners == sorted(["ann", me])
        sound(bring.grid)
        assert (ann(folder).new, bring(folder).new) == (0, 0)


def test_what_another_owner_brought_is_not_there_for_me(bring: Importer, tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii")
    with bring.acting_as("ann"):
        assert bring(tmp_path).new == 1
        assert bring(tmp_path).unchanged == 1
    assert bring(tmp_path).new == 1
    assert all(bring.content(bring.twin(lfn)) for lfn in bring.lfns)
    assert bring(tmp_path).unchanged == 1
    with bring.acting_as("ann"):
        assert bring(tmp_path).unchanged == 1
        write_nifti(tmp_path / "b.nii")
        assert bring(tmp_path).known == 1


def test_two_commands_at_once(bring: Importer, folder: Path) -> None:
    for number in range(2, 12):
        name = f"sub-{number:02}"
        write_nifti(folder / name / "anat" / f"{name}_T1w.nii.gz", seed=number + 20)
    settings = bring.grid.settings
    prompt = Prompt(
        settings.home, {"MEDGRID_CATALOG": settings.catalog_url, "MEDGRID_USER": settings.user}
    )
    words = ("import", folder, "--to", "/trial")
    with prompt.start(*words) as one, prompt.start(*words) as other:
        for process in (one, other):
            _, told = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0, told
    volumes = bring.grid.whole.objects.count(parse("kind=volume and class=nominative"))
    assert volumes == len(SUBJECTS) + 11
    assert set(contents(bring.grid).values()) == {1}
    sound(bring.grid)


# -- one after the other ---------------------------------------------------------------------------


def test_a_patient_may_have_one_content_twice(bring: Importer, tmp_path: Path) -> None:
    """An empty mask looks alike in two sessions: it is known by its place, too."""
    for session in ("1", "2"):
        name = f"sub-01_ses-{session}_label-lesion_mask.nii"
        write_nifti(tmp_path / "sub-01" / f"ses-{session}" / "anat" / name)
    assert bring(tmp_path).new == 2
    assert bring(tmp_path).unchanged == 2


def test_what_was_removed_comes_back_when_asked_for(bring: Importer, folder: Path) -> None:
    bring(folder)
    lfns = bring.lfns
    for _ in range(2):
        assert remove(bring.grid, bring.grid.whole.objects.below("/")) == []
        assert bring(folder).new == 0
        assert bring(folder, again=True).new == OBJECTS // 2
        assert bring.lfns == lfns


def test_a_content_that_came_before_comes_again_as_a_version(
    bring: Importer, tmp_path: Path
) -> None:
    path = write_nifti(tmp_path / "sub-01" / "sub-01_T1w.nii")
    bring(tmp_path)
    (lfn,) = bring.lfns
    for version, seed in ((2, 1), (3, 0)):
        write_nifti(path, seed=seed)
        assert bring(tmp_path).versions == 1
        assert bring.twin(lfn).version == version
        assert bring.content(bring.original(lfn)) == path.read_bytes()


def test_who_may_not_add_to_a_patient_hears_nothing_of_them(
    hospital: Hospital, tmp_path: Path
) -> None:
    """Neither what the grid has of the patient nor what it has not."""
    known = write_nifti(tmp_path / "known" / "sub-01" / "sub-01_T1w.nii.gz")
    write_nifti(tmp_path / "new" / "sub-01" / "sub-01_T1w.nii.gz", seed=1)
    key = "keys/pseudonym.key"
    for person in (hospital.dave, hospital.carol):
        shutil.copy(hospital.alice.home / key, person.home / key)
    assert hospital.alice.ok("import", tmp_path / "known", "--to", "/new").lines
    mine = hospital.carol.run("import", tmp_path / "known", "--to", "/new")
    other = hospital.carol.run("import", tmp_path / "new", "--to", "/new")
    assert (mine.code, mine.out) == (other.code, other.out) == (3, "")
    assert mine.err == other.err.replace("/new/sub", "/known/sub")
    assert mine.err.splitlines()[0] == (
        f"medgrid: error: {known}: only the care team of its patient, or a registrar, can add to "
        "what the grid has"
    )
