"""``medgrid fetch --bids``: where images come to lie, and what tables say of them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from medgrid.images.pack import Part, packed
from medgrid.model import ObjectKind
from tests.lab.datagrid import DataGrid

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
