"""Attempts on a worker that no job is at: ``medgrid fsck`` finds and ends them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from medgrid.workers import open_link
from medgrid.workers.base import Launch
from tests.lab.field import Field


def attempts(field: Field) -> list[Path]:
    return sorted((field.prompt.home / "agent" / "local" / "attempts").iterdir())


def test_orphans_are_ended_and_deleted(field: Field) -> None:
    field.algorithm("copy", 'cat "$1" > copy.txt\n', outputs=["copy.txt"])
    field.submit("copy", *field.put("a"))
    field.once()
    assert field.prompt.ok("fsck").out == ""
    with field.grid() as grid:
        worker = grid.catalog.places.worker("local")
        link = open_link(worker, grid.settings, grid.catalog.grid_id)
        # a job that runs, one that has ended, and one of a job that went on elsewhere
        link.launch([Launch("7.1.1", ("sleep", "1000"))])
        link.launch([Launch("7.2.1", ("true",)), Launch("1.1.2", ("true",))])
        offset, ended = 0, set[str]()
        while not {"7.2.1", "1.1.2"} <= ended:
            for record in link.follow(offset, 5):
                offset = record.offset
                ended |= {record.attempt} if record.event == "done" else set()
        link.close()

    def rows(*words: str) -> list[tuple[str, str | None, bool]]:
        documents = field.prompt.ok("fsck", *words, "--json").documents
        assert {(one["kind"], one["worker"], one["se"]) for one in documents} <= {
            ("ORPHAN", "local", None)
        }
        return [(one["detail"], one["action"], one["mended"]) for one in documents]

    start = "directory of attempt"
    found = [
        f"{start} 1.1.2 on local: it has ended",
        f"{start} 7.1.1 on local: it may still run",
        f"{start} 7.2.1 on local: it has ended",
    ]
    assert rows() == [(one, None, False) for one in found]
    assert rows("--dry-run") == [(one, "would be ended and deleted", False) for one in found]
    assert len(attempts(field)) == 3
    assert rows("local") == []  # of this storage element
    assert rows("--repair") == [(one, "deleted", True) for one in found]
    assert attempts(field) == []
    assert rows() == []


def test_a_worker_that_does_not_answer_is_no_failure(field: Field) -> None:
    field.algorithm("copy", 'cat "$1" > copy.txt\n', outputs=["copy.txt"])
    field.submit("copy", *field.put("a"))
    field.once()
    with field.grid() as grid:
        worker = grid.catalog.places.worker("local")
    field.worker(replace(worker, url="nothing://here"))
    ran = field.prompt("fsck")
    assert (ran.code, ran.out) == (0, "")
    assert (
        "medgrid: warning: worker local was not looked at: worker local: 'nothing://here' is no "
        "place that runs jobs\n"
    ) in ran.err
