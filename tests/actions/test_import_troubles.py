"""One item that goes wrong ends alone, with its name, and the next import finds all as it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from medgrid.images import allowed
from medgrid.images.nominative import NOMINATIVE
from tests.lab.dicoms import encoded, instance
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
