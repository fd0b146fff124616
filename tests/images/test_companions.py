"""What belongs to an image by its name, and what of it a de-identified image may have beside it."""

from __future__ import annotations

import gc
import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from medgrid.actions.importing.beside import _folders_of
from medgrid.images import allowed
from medgrid.images.bids import companions, companions_above, dataset_root
from medgrid.images.companions import Beside, read_companions
from medgrid.images.volume import read_volume
from medgrid.images.words import SHIPPED
from tests.lab.niftis import write_json, write_nifti

SMALL = 4096  # bounds of a test


def names(image: Path) -> list[tuple[str, str]]:
    """Companions of an image: what they are called beside it, and where they are."""
    root = dataset_root(str(image))
    top = root or str(image.parent)
    return [(one.name, os.path.relpath(one.path, top)) for one in companions(str(image), root)]


def read(image: Path) -> Beside:
    with image.open("rb") as stream:
        volume = read_volume(str(image), stream.fileno(), image.stat().st_size, compressed=False)
    return read_companions(volume, None, lambda text: f"word-{len(text)}")


def reasons(found: Beside) -> list[str]:
    return [one.reason for one in (*found.doubtful, *found.refused)]


def test_the_nearest_file_counts_and_all_side_cars(tmp_path: Path) -> None:
    func = tmp_path / "sub-1" / "func"
    image = write_nifti(func / "sub-1_task-x_run-2_bold.nii", (4, 5, 6, 3))
    for path in (
        *("task-x_bold.json", "task-y_bold.json", "bold.json", "task-x_events.tsv"),
        *("sub-1/sub-1_task-x_events.tsv", "sub-1/sub-1_task-x_run-1_events.tsv"),
        *("sub-1/func/sub-1_task-x_run-2_bold.json", "sub-1/func/sub-1_task-x_run-2_physio.tsv.gz"),
        "sub-1/func/sub-1_task-x_run-2_recording-cardiac_physio.tsv.gz",
        "sub-1/func/sub-1_task-x_run-2_recording-MrSmith_physio.tsv.gz",
        "sub-1/func/sub-1_task-x_run-2_blood.tsv",
        "sub-1/func/sub-1_task-x_run-2_bold.txt",
    ):
        (tmp_path / path).write_text("{}")
    assert names(image) == [
        ("events.tsv", "sub-1/sub-1_task-x_events.tsv"),
        ("image.json", "bold.json"),
        ("image.json", "task-x_bold.json"),
        ("image.json", "sub-1/func/sub-1_task-x_run-2_bold.json"),
        ("physio.tsv.gz", "sub-1/func/sub-1_task-x_run-2_physio.tsv.gz"),
        (
            "recording-cardiac_physio.tsv.gz",
            "sub-1/func/sub-1_task-x_run-2_recording-cardiac_physio.tsv.gz",
        ),
    ]
    above = {os.path.relpath(path, tmp_path) for path in companions_above(str(func))}
    assert {"bold.json", "sub-1/sub-1_task-x_events.tsv"} <= above
    assert not any("func" in path for path in above)


@pytest.mark.parametrize(
    ("image", "companion", "name"),
    [
        ("perf/sub-1_asl.nii", "perf/sub-1_aslcontext.tsv", "aslcontext.tsv"),
        ("pet/sub-1_pet.nii", "pet/sub-1_recording-manual_blood.tsv", "recording-manual_blood.tsv"),
        ("anat/sub-1_desc-x_dseg.nii", "anat/sub-1_desc-x_dseg.tsv", "image.tsv"),
        ("dwi/sub-1_dir-AP_dwi.nii", "sub-1_dwi.bval", "image.bval"),
    ],
)
def test_what_bids_names_beside_an_image(
    tmp_path: Path, image: str, companion: str, name: str
) -> None:
    path = write_nifti(tmp_path / "sub-1" / image)
    (tmp_path / "sub-1" / companion).write_text("x\n")
    assert names(path) == [(name, f"sub-1/{companion}")]


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("go", True),
        ("NoGo_left-2", True),
        ("trialType", True),
        ("Anna", False),
        ("go Anna", False),
        ("go Ünal", False),
        ("run 4711", False),
        ("20210304", False),
        ("", True),
    ],
)
def test_known_words(text: str, known: bool) -> None:
    assert SHIPPED.knows(text, "table") is known


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no gzip", "stays with the original alone: compressed data are damaged"),
        (
            gzip.compress(b"1\n2\n")[:-4],
            "stays with the original alone: compressed data are damaged",
        ),
        (
            gzip.compress(b"1\t" * SMALL),
            "stays with the original alone: a line of it, or all of it, is too long",
        ),
        (
            gzip.compress(b"11.2500\n" * SMALL),
            "stays with the original alone: a line of it, or all of it, is too long",
        ),
        (
            gzip.compress(b"1\n" * (SMALL + 1)),
            f"stays with the original alone: it has more than {SMALL} cells",
        ),
    ],
    ids=["no gzip", "cut off", "one line", "long", "many cells"],
)
def test_a_recording_that_cannot_be_cleaned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, reason: str
) -> None:
    for name, bound in (("TABLE_BYTES", 4 * SMALL), ("LINE_BYTES", SMALL), ("CELLS", SMALL)):
        monkeypatch.setattr(f"medgrid.images.companions._MAX_{name}", bound)
    image = write_nifti(tmp_path / "sub-1" / "func" / "sub-1_task-x_bold.nii", (4, 5, 6, 3))
    image.with_name("sub-1_task-x_physio.tsv.gz").write_bytes(content)
    found = read(image)
    assert found.originals == {"physio.tsv.gz": content}
    assert (found.twins, reasons(found)) == ({}, [reason])


def test_a_side_car_of_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "sub-1" / "func" / "sub-1_task-x_bold.nii", (4, 5, 6, 3))
    image.with_name("sub-1_task-x_events.json").write_text("[1]")
    found = read(image)
    assert reasons(found) == ["stays with the original alone: no JSON object"]
    assert (list(found.originals), found.twins) == (["events.json"], {})


def test_side_cars_of_a_table_are_kept_also_when_one_is_broken(tmp_path: Path) -> None:
    write_json(tmp_path / "dataset_description.json", {"Name": "Trial"})
    image = write_nifti(tmp_path / "sub-1" / "func" / "sub-1_task-x_bold.nii", (4, 5, 6, 3))
    (tmp_path / "events.json").write_text("{")
    (tmp_path / "task-x_events.json").write_text("[1]")
    good = write_json(image.with_name("sub-1_task-x_events.json"), {"StartTime": 1})
    found = read(image)
    assert found.originals == {
        "events.json": good.read_bytes(),
        "events-2.json": b"{",
        "events-3.json": b"[1]",
    }
    assert [one.file.path for one in found.doubtful] == [
        str(tmp_path / "events.json"),
        str(tmp_path / "task-x_events.json"),
    ]
    assert list(found.twins) == ["events.json"]


def test_a_true_moment_and_an_id_do_not_pass_as_numbers(tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "sub-4711" / "func" / "sub-4711_task-x_bold.nii", (4, 5, 6, 3))
    times: dict[str, Any] = dict.fromkeys(allowed.BIDS_MOMENTS, 1614851234.5)
    write_json(
        image.with_suffix(".json"), {**times, "VolumeTiming": [0, 1614851234.5], "EchoTime": 1}
    )
    events = image.with_name("sub-4711_task-x_events.json")
    write_json(events, {"StartTime": 1614851234.5, "SamplingFrequency": 50})
    ids = ["4711", "4711.0", "+4711", "4.711e3", "-4711.", "04711", "47110e-1"]
    numbers = ["4712", "471.1", "4711.5", "4.7e3"]
    events.with_suffix(".tsv").write_text(
        "\t".join(["onset"] * 11 + ["x"]) + "\n" + "\t".join(ids + numbers)
    )
    found = read(image).twins
    assert json.loads(found["events.json"]) == {"SamplingFrequency": 50}
    assert json.loads(found["image.json"]) == {"EchoTime": 1}
    assert found["events.tsv"].decode().splitlines()[1].split("\t") == ["n/a"] * 7 + numbers


def test_a_table_of_too_many_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medgrid.images.companions._MAX_DISTINCT", 9)
    image = write_nifti(tmp_path / "sub-1" / "func" / "sub-1_task-x_bold.nii", (4, 5, 6, 3))
    table = image.with_name("sub-1_task-x_events.tsv")
    table.write_text("onset\n" + "".join(f"w{number % 8}\n" for number in range(99)))
    write_json(table.with_suffix(".json"), {"Columns": ["onset", "more"], "StartTime": 1})
    found = read(image)
    assert (list(found.twins), reasons(found)) == (["events.tsv", "events.json"], [])
    assert json.loads(found.twins["events.json"]) == {"StartTime": 1}
    table.write_text("onset\n" + "".join(f"w{number}\n" for number in range(9)))
    found = read(image)
    assert reasons(found) == ["stays with the original alone: it has more than 9 different words"]
    assert "events.tsv" not in found.twins


def test_tables_of_dosing_and_labels(tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "sub-1" / "anat" / "sub-1_dseg.nii")
    image.with_suffix(".tsv").write_text(
        "index\tname\tcolor\n3\tWhite-Matter\t#ff00aa\n4\tHarmonix\t1\n"
    )
    table = b"index\tname\tcolor\n3\tWhite-Matter\t#ff00aa\n4\tword-8\t1\n"
    assert read(image).twins == {"image.tsv": table}
    pet = write_nifti(tmp_path / "sub-1" / "pet" / "sub-1_pet.nii")
    pet.with_name("sub-1_blood.tsv").write_text("time\tplasma_radioactivity\n1e2\tNaN\n")
    write_json(pet.with_name("sub-1_blood.json"), {"time": {"Units": "s"}})
    assert read(pet).twins == {"blood.tsv": b"time\tplasma_radioactivity\n1e2\tNaN\n"}


def lines_run(call: Callable[[], object]) -> int:
    """How many lines of Python run."""
    count = 0

    def trace(_frame: FrameType, event: str, _value: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    gc.collect()
    gc.disable()  # what it calls has lines, too
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


def test_a_folder_of_many_images_costs_each_the_same(tmp_path: Path) -> None:
    image = tmp_path / "sub-0_T1w.nii.gz"
    steps = []
    for count in (10, 100):
        for number in range(count):
            (tmp_path / f"sub-{number}_T1w.json").write_text("{}")
        (tmp_path / "T1w.json").write_text("{}")
        found = companions(str(image), str(tmp_path))  # the folder is read once
        assert [Path(one.path).name for one in found] == ["T1w.json", "sub-0_T1w.json"]
        steps.append(lines_run(lambda: companions(str(image), str(tmp_path))))
    assert steps[0] == steps[1]


def test_folders_of_many_images_are_found_at_once() -> None:
    paths = [f"/data/sub-{number}/anat/x.nii" for number in range(100)]
    assert _folders_of(paths) >= {"/data", "/data/sub-99/anat"}
    assert lines_run(lambda: _folders_of(paths)) < 10 * len(paths)
