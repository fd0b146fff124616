"""``medgrid fetch --bids``: where images come to lie, and what tables say of them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from medgrid.actions.fetch import Fetched
from medgrid.actions.fetch_bids import fetch_bids
from medgrid.actions.transfer import ignore_bad
from medgrid.catalog.patient_attributes import Given
from medgrid.images.pack import Part, packed
from medgrid.model import ObjectKind
from tests.lab.datagrid import ME, DataGrid

WHO = "P-9"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def put(data: DataGrid, name: str, side_car: bytes = b"{}", **attributes: Any) -> str:
    """Put a T1w image and its side-car into the grid; gives its LFN."""
    contents = {"image.nii.gz": gzip.compress(name.encode(), mtime=0), "image.json": side_car}
    lfn = f"/trial/{WHO}/{name}"
    data.put(
        lfn,
        b"".join(packed(Part.of(*one) for one in contents.items())),
        kind=ObjectKind.VOLUME,
        filename="image.nii.gz.tar",
        attributes={"suffix": "T1w", **attributes},
        patient=WHO,
    )
    return lfn


def images(folder: Path) -> dict[str, str]:
    """What the images of a dataset hold, by their names."""
    return {
        path.name.removesuffix(".nii.gz"): gzip.decompress(path.read_bytes()).decode()
        for path in folder.rglob("*.nii.gz")
    }


def test_images_of_one_name_get_free_runs_in_the_order_of_lfns(data: DataGrid, out: Path) -> None:
    lfns = [put(data, "a"), put(data, "b", run="1"), put(data, "c")]
    for words, folder in ((lfns, out / "one"), (lfns[::-1], out / "two")):
        data.ok("fetch", *words, "--bids", folder)
        assert images(folder) == {
            "sub-9_run-1_T1w": "b",
            "sub-9_run-2_T1w": "a",
            "sub-9_run-3_T1w": "c",
        }


def test_visits_of_nearly_one_name_stay_apart(data: DataGrid, out: Path) -> None:
    lfns = [put(data, "a", session="pre_1"), put(data, "b", session="pre1")]
    data.ok("fetch", *lfns, "--bids", out)
    assert images(out) == {"sub-9_ses-pre1_T1w": "b", "sub-9_ses-pre1x2_T1w": "a"}


@pytest.mark.parametrize(
    ("content", "left"),
    [
        (b'\xef\xbb\xbf{"IntendedFor": "ses-x/y", "EchoTime": 1}', b'{\n  "EchoTime": 1\n}\n'),
        (b'{"EchoTime": ', b'{"EchoTime": '),
        (b"[1]", b"[1]"),
    ],
)
def test_a_side_car_that_is_odd_ends_nothing(
    data: DataGrid, out: Path, content: bytes, left: bytes
) -> None:
    lfns = [put(data, "a", content, session="1"), put(data, "b", session="2")]
    data.ok("fetch", *lfns, "--bids", out)
    assert len(images(out)) == 2
    assert (out / "sub-9/ses-1/anat/sub-9_ses-1_T1w.json").read_bytes() == left


def test_a_dataset_says_whose_it_is_before_it_has_an_image(data: DataGrid, out: Path) -> None:
    """So that an import passes over what is there when this was interrupted."""
    lfn = put(data, "a")
    with data.grid() as grid:
        fetching = fetch_bids(grid, [lfn], out, on_bad=ignore_bad)
        first = next(fetching)
        fetching.close()
        assert isinstance(first, Fetched)
        assert first.path.name == "dataset_description.json"
        assert f"medgrid:{grid.catalog.grid_id}" in first.path.read_text()


def test_nothing_goes_into_the_dataset_of_another(data: DataGrid, out: Path) -> None:
    lfn = put(data, "a")
    out.mkdir()
    (out / "dataset_description.json").write_text('{"Name": "theirs"}')
    ran = data.run("fetch", lfn, "--bids", out)
    assert (ran.code, ran.out, ran.err) == (
        2,
        "",
        f"medgrid: error: {out}/dataset_description.json exists already\n"
        "medgrid: hint: say --force to write over it\n",
    )
    assert [path.name for path in out.iterdir()] == ["dataset_description.json"]


def say(data: DataGrid, *given: Given) -> None:
    with data.grid() as grid:
        grid.whole.patient_attributes.give(given, ME)


def test_values_of_a_visit_count_by_its_session_and_by_its_date(data: DataGrid, out: Path) -> None:
    lfn = put(data, "a", session="pre", StudyDate="2021-03-04")
    say(
        data,
        Given(WHO, "", "dose", 1234567),
        Given(WHO, "pre", "edss", 12.345678),
        Given(WHO, "2021-03-04", "weight", 70),
        Given(WHO, "m12", "weight", 80),
    )
    data.ok("fetch", lfn, "--bids", out)
    assert (out / "participants.tsv").read_text() == "participant_id\tdose\nsub-9\t1234567\n"
    sessions = out / "sub-9" / "sub-9_sessions.tsv"
    assert sessions.read_text() == "session_id\tedss\tweight\nses-pre\t12.345678\t70\n"
    assert list(json.loads((out / "sessions.json").read_text())) == ["edss", "weight"]


def test_a_value_that_a_table_cannot_have_is_named(data: DataGrid, out: Path) -> None:
    lfn = put(data, "a", session="pre", StudyDate="2021-03-04")
    say(data, Given(WHO, "pre", "edss", 3), Given(WHO, "2021-03-04", "edss", 4))
    ran = data.run("fetch", lfn, "--bids", out)
    told = "edss of P-9/2021-03-04 is in no table: visit pre has another"
    assert ran.code == 3
    assert told in ran.err
    sessions = out / "sub-9" / "sub-9_sessions.tsv"
    assert sessions.read_text() == "session_id\tedss\nses-pre\t3\n"


def test_an_attribute_that_nobody_has_is_an_error(data: DataGrid, out: Path) -> None:
    lfn = put(data, "a")
    say(data, Given(WHO, "", "dose", 1))
    ran = data.run("fetch", lfn, "--bids", out, "--attributes", "dose,does")
    assert (ran.code, ran.out, ran.err) == (
        4,
        "",
        "medgrid: error: no patient or visit has an attribute 'does'\n"
        "medgrid: hint: did you mean dose?\n",
    )
    assert not out.exists()
