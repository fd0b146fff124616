"""Commands ask the catalog as often for many things as for few, and each thing costs the same.

Statements and SQLite's steps are counted, first for some things in a small grid, then for four
times as many in a grid that has grown to five times its size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import event

from medgrid.actions.clear import clear
from medgrid.actions.grid import Grid
from medgrid.actions.importing.writer import Names
from medgrid.actions.lfn import list_folder, move, named, remove
from medgrid.actions.provenance import backward, forward
from medgrid.actions.query import ask, find
from medgrid.catalog.job_moves import AttemptEnd, Move
from medgrid.catalog.job_states import Event
from medgrid.catalog.jobs import NewSubmission
from medgrid.catalog.objects import Registration
from medgrid.catalog.provenance import Derivation, new_derivation_id
from medgrid.catalog.query import parse
from medgrid.errors import UsageError
from medgrid.model import (
    LFN,
    Algorithm,
    Cause,
    DataClass,
    GridObject,
    ObjectId,
    ObjectKind,
    Replica,
    Sha256,
    new_object_id,
)
from medgrid.storage.base import physical_name
from tests.lab.datagrid import ME, MEASURE, DataGrid

FEW = 40
MANY = 4 * FEW
DIGEST = Sha256("a" * 64)


@dataclass
class Work:
    """What a command asked of the catalog."""

    statements: int = 0
    steps: int = 0


@contextmanager
def counting(grid: Grid) -> Iterator[Work]:
    """Count statements, and steps of SQLite's virtual machine."""
    work, every, engine = Work(), 20, grid.catalog.db.engine

    def connected(connection: Any, _: object) -> None:
        def step() -> None:
            work.steps += every

        connection.set_progress_handler(step, every)

    def asked(*_: object) -> None:
        work.statements += 1

    event.listen(engine, "connect", connected)
    event.listen(engine, "before_cursor_execute", asked)
    engine.dispose()
    try:
        yield work
    finally:
        event.remove(engine, "connect", connected)
        event.remove(engine, "before_cursor_execute", asked)
        engine.dispose()


def register(grid: Grid, lfns: list[str | None]) -> list[ObjectId]:
    """Enter public objects with an attribute; their bytes are said to be at ``near``."""
    new = []
    for number, lfn in enumerate(lfns):
        key = new_object_id()
        item = GridObject(
            *(key, LFN(lfn) if lfn else None, ObjectKind.FILE, "f", 1, DIGEST),
            data_class=DataClass.PUBLIC,
            owner=ME,
        )
        place = Replica(key, "near", physical_name(key), 1, DIGEST)
        new.append(Registration(item, (place,), user_attributes={"vol": float(number)}))
    grid.catalog.objects.register(new)
    return [one.object.id for one in new]


def run(inputs: dict[str, list[ObjectId]], outputs: list[ObjectId], **more: Any) -> Derivation:
    """One run of an algorithm."""
    return Derivation(
        new_derivation_id(), DIGEST, "measure@1.0", inputs, {"measures": outputs}, **more
    )


def fill(grid: Grid, folder: str, size: int) -> str:
    """Make a folder of a size, measured by a job each, all measures put together; its submission.

    Everything was made from ``FOLDER-atlas``, and ``FOLDER-mean`` from all of it. A last run has
    all as its inputs, and an output for each.
    """
    catalog = grid.catalog
    with catalog.transaction():
        items = register(grid, [f"{folder}/x{number}" for number in range(size)])
        results = register(grid, [f"{folder}-results/x{number}" for number in range(size)])
        twins = register(grid, [f"{folder}-twins/x{number}" for number in range(size)])
        atlas, mean = register(grid, [f"{folder}-atlas", f"{folder}-mean"])
        catalog.datasets.save(folder.removeprefix("/"), parse(f"{folder}/"), freeze=True)
        catalog.algorithms.add(Algorithm("measure", "1.0", DIGEST, MEASURE))
        number, jobs = catalog.jobs.create_submission(
            NewSubmission(DIGEST, "measure@1.0", ME, [[one] for one in items], "targets", {}, {})
        )
        now = time.time()
        end = AttemptEnd(Cause.OK, 0, "", "", "", now, now)
        desk = catalog.jobs.desk
        desk.apply([Move(job, 0, Event.ASSIGN, now, worker="w1") for job in jobs])
        desk.apply([Move(job, 1, Event.END, now, "done", worker="w1", end=end) for job in jobs])
        outputs = register(grid, [None] * size)
        runs = zip(jobs, items, outputs, strict=True)
        catalog.provenance.record_many(
            [
                *(run({"targets": [one]}, [out], job=job) for job, one, out in runs),
                *(run({"source": [atlas]}, [one]) for one in results),
                run({"targets": results}, [mean]),
                run(
                    {"targets": results},
                    twins,
                    output_inputs={twin: [one] for twin, one in zip(twins, results, strict=True)},
                ),
            ]
        )
    return str(number)


def _refused(grid: Grid, folder: str, _: str) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        named(grid, [folder], recursive=False)


Command = Callable[[Grid, str, str], Any]

GROWING: dict[str, Command] = {
    "ls": lambda grid, folder, _: list_folder(grid, folder, details=False),
    "ls -l": lambda grid, folder, _: list_folder(grid, folder, details=True),
    "mv": lambda grid, folder, _: move(grid, folder, f"{folder}-moved"),
    "rm -r": lambda grid, folder, _: remove(grid, named(grid, [folder], recursive=True)),
    "clear": lambda grid, _, submission: clear(grid, [submission]),
    "provenance": lambda grid, folder, _: backward(grid, LFN(f"{folder}-mean")),
    "provenance --forward": lambda grid, folder, _: forward(grid, LFN(f"{folder}-atlas")),
    "query --sort": lambda grid, folder, _: list(ask(grid, parse(f"{folder}/"), ["lfn"], ["vol"])),
    "query --columns of a run that has an output for each input": lambda grid, folder, _: list(
        ask(grid, parse(f"{folder}-twins/"), ["lfn", "derived_from", "input.targets"])
    ),
}

FIXED: dict[str, Command] = {
    "rm without -r": _refused,
    "mv of one": lambda grid, folder, _: move(grid, f"{folder}/x7", f"{folder}/new"),
    "rm of one": lambda grid, folder, _: remove(grid, [LFN(f"{folder}/x7")], force=True),
    "query a dataset and an LFN": lambda grid, folder, _: list(
        find(grid, parse(f"dataset={folder.removeprefix('/')} and lfn={folder}/x7"))
    ),
    "query a worker and an LFN": lambda grid, folder, _: list(
        find(grid, parse(f"worker=w1 and lfn={folder}/x7"))
    ),
    "query an SE and an LFN": lambda grid, folder, _: list(
        find(grid, parse(f"se=near and lfn={folder}/x7"))
    ),
    "query what is newer": lambda grid, *_: list(find(grid, parse("created>2500"))),
}


def twice(grid: Grid, command: Command) -> tuple[Work, Work]:
    """What a command costs in a small grid, and in one that has grown."""
    found = []
    for folder, size in (("/few", FEW), ("/many", MANY)):
        submission = fill(grid, folder, size)
        with counting(grid) as work:
            command(grid, folder, submission)
        found.append(work)
    return found[0], found[1]


@pytest.mark.parametrize("name", GROWING)
def test_what_is_asked_for_costs_the_same_each(data: DataGrid, name: str) -> None:
    with data.grid() as grid:
        few, many = twice(grid, GROWING[name])
    assert many.statements <= few.statements
    assert few.steps > 0
    assert many.steps < 6 * few.steps


@pytest.mark.parametrize("name", FIXED)
def test_what_one_thing_costs_does_not_grow(data: DataGrid, name: str) -> None:
    with data.grid() as grid:
        few, many = twice(grid, FIXED[name])
    assert many.statements <= few.statements
    assert many.steps < 1.5 * few.steps + 200


def test_free_names_of_one_label_are_found_in_one_step_each(
    data: DataGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    child = LFN.child

    def counted(folder: LFN, name: str) -> LFN:
        tried.append(name)
        return child(folder, name)

    monkeypatch.setattr(LFN, "child", counted)
    with data.grid() as grid:
        names = Names(grid)
        found = [names.free(LFN("/trial"), "T1w") for _ in range(MANY)]
    assert found[:3] == ["/trial/T1w", "/trial/T1w-2", "/trial/T1w-3"]
    assert len(set(found)) == MANY
    assert len(tried) <= 2 * MANY
