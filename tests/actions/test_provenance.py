"""``medgrid provenance``."""

from __future__ import annotations

import pytest

from medgrid.model import JobId
from tests.lab.datagrid import DataGrid, measures


@pytest.fixture
def job(data: DataGrid) -> JobId:
    return chain(data)


def chain(data: DataGrid) -> JobId:
    """Two targets against a source; registered under /r."""
    items = [data.put(f"/t/{n}").id for n in ("A", "B")]
    source = data.put("/t/source").id
    (job,) = data.submit([items], source)
    data.end(job, {"measures": measures({"ncc": 0.5}, {"ncc": 0.75})})
    data.ok("register", str(job), "--to", "/r")
    return job


RUN = "measure@1.0, job {job}, on w1, 2023-11-14T22:13:20Z, bins=64"


def test_back_to_the_originals(any_data: DataGrid) -> None:
    job = chain(any_data)
    lines = any_data.ok("provenance", f"/r/{job}/measures-2").lines
    assert lines == [
        f"/r/{job}/measures-2",
        f"└─ {RUN.format(job=job)}",
        "   ├─ source: /t/source (imported)",
        "   └─ targets: /t/B (imported)",
    ]


def test_forward(any_data: DataGrid) -> None:
    job = chain(any_data)
    assert any_data.ok("provenance", "--forward", "/t/B").lines == [
        "/t/B",
        f"└─ {RUN.format(job=job)}",
        f"   └─ measures: /r/{job}/measures-2",
    ]
    assert any_data.ok("provenance", "--forward", "/t/source").lines[2:] == [
        f"   ├─ measures: /r/{job}/measures-1",
        f"   └─ measures: /r/{job}/measures-2",
    ]


def test_several_steps_and_a_shared_origin(data: DataGrid, job: JobId) -> None:
    with data.grid() as grid:
        found = [one.object_id for one in grid.catalog.jobs.job(job).outputs]
    (second,) = data.submit([found])
    data.end(second, {"report": [("report.txt", b"x")]})
    data.ok("register", str(second), "--to", "/r")
    assert data.ok("provenance", f"/r/{second}/report").lines == [
        f"/r/{second}/report",
        f"└─ {RUN.format(job=second)}",
        f"   ├─ targets: /r/{job}/measures-1",
        f"   │  └─ {RUN.format(job=job)}",
        "   │     ├─ source: /t/source (imported)",
        "   │     └─ targets: /t/A (imported)",
        f"   └─ targets: /r/{job}/measures-2",
        f"      └─ {RUN.format(job=job)}",
        "         ├─ source: /t/source (imported)",
        "         └─ targets: /t/B (imported)",
    ]
    assert data.ok("provenance", "--forward", "/t/A").lines[2:] == [
        f"   └─ measures: /r/{job}/measures-1",
        f"      └─ {RUN.format(job=second)}",
        f"         └─ report: /r/{second}/report",
    ]


def test_what_was_removed_or_never_registered_stays_known(data: DataGrid, job: JobId) -> None:
    data.ok("rm", "--yes", "/t/A")
    lines = data.ok("provenance", f"/r/{job}/measures-1").lines
    assert lines[-1].startswith("   └─ targets: object ")
    assert lines[-1].endswith(" (removed)")
    with data.grid() as grid:
        targets = [[grid.catalog.jobs.job(job).inputs["source"][0]]]
    (second,) = data.submit(targets)
    data.end(second, {"report": [("report.txt", b"x")]})
    assert data.ok("provenance", "--forward", "/t/source").lines[-1] == (
        "   └─ report: report.txt (not registered)"
    )


def test_json(data: DataGrid, job: JobId) -> None:
    (document,) = data.ok("provenance", "--json", f"/r/{job}/measures-1").documents
    assert (document["schema"], document["direction"]) == ("medgrid.provenance/1", "backward")
    made_by = document["made_by"]
    assert (made_by["algorithm"], made_by["job"], made_by["parameters"]) == (
        "measure@1.0",
        str(job),
        {"bins": 64},
    )
    assert [one["lfn"] for one in made_by["inputs"]["targets"]] == ["/t/A"]
    assert made_by["inputs"]["targets"][0]["made_by"] is None
    (document,) = data.ok("provenance", "--json", "--forward", "/t/A").documents
    (step,) = document["made_into"]
    assert [one["lfn"] for one in step["outputs"]["measures"]] == [f"/r/{job}/measures-1"]


def test_stat_says_it_too(data: DataGrid, job: JobId) -> None:
    run = f"measure@1.0, job {job}, 2023-11-14T22:13:20Z"
    assert f"made by: {run}" in data.ok("stat", f"/r/{job}/measures-1").lines
    assert f"used by: {run}" in data.ok("stat", "/t/A").lines


def test_of_nothing(data: DataGrid) -> None:
    data.put("/a")
    assert data.ok("provenance", "/a").lines == ["/a (imported)"]
    ran = data.run("provenance", "/none", "/a")
    assert (ran.code, ran.lines) == (3, ["/a (imported)"])
    ran = data.run("provenance")
    assert (ran.code, ran.err.splitlines()[0]) == (2, "medgrid: error: no LFN given")
