"""What others do between any two steps of ``medgrid fsck --repair``.

A step is a transaction or a call of the storage element. Each story is told again and again, with
its event before the first step, before the second, and so on, until there are no more.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import pytest
from sqlalchemy import event

from medgrid.actions.fsck import Finding, Kind, Orders, check_grid
from medgrid.actions.grid import Grid
from medgrid.actions.lfn import remove
from medgrid.actions.replica import add_replica, remove_replica
from medgrid.actions.transfer import Uploads
from medgrid.broker.collecting import output_id
from medgrid.catalog.job_moves import AttemptEnd, Move
from medgrid.catalog.job_states import Event as Jobs
from medgrid.catalog.objects import Registration
from medgrid.errors import Busy
from medgrid.model import LFN, Cause, GridObject, ObjectId, ObjectKind, Replica, new_object_id
from medgrid.storage.base import Storage, part_name, physical_name
from tests.lab.datagrid import DataGrid

NOW = Orders(mend=True, min_age_s=-1.0)
Event = Callable[[Grid], None]


@dataclass
class Steps:
    """Counts steps, and lets something happen before one of them."""

    happens: dict[int, Callable[[], None]]
    taken: int = 0

    def step(self) -> None:
        """One more step is about to be taken."""
        self.taken += 1
        happens = self.happens.pop(self.taken, None)
        if happens is not None:
            happens()


@dataclass
class Stepping:
    """A storage element each of whose calls is a step."""

    storage: Storage
    steps: Steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.storage, name)
        if not callable(found):
            return found

        def call(*words: Any, **named: Any) -> Any:
            self.steps.step()
            return found(*words, **named)

        return call


@dataclass
class Story:
    """What fsck found while something happened, and what it came to."""

    found: list[Finding] = field(default_factory=list)
    errors: list[Busy] = field(default_factory=list)
    steps: int = 0


def tell(
    data: DataGrid, at: int, happens: Event, orders: Orders = NOW, then: Event | None = None
) -> Story:
    """Check ``far``; let something happen before step `at`, and more before the next."""
    story = Story()

    def happen(what: Event) -> None:
        with data.grid() as other:
            try:
                what(other)
            except Busy as error:
                story.errors.append(error)

    events = {at: partial(happen, happens)}
    if then is not None:
        events[at + 1] = partial(happen, then)

    with data.grid() as grid:
        steps = Steps(dict(events))
        grid._storages["far"] = cast(Storage, Stepping(grid.storage("far"), steps))

        def before(_1: Any, _2: Any, statement: str, *_: Any) -> None:
            if statement.startswith("BEGIN"):
                steps.step()

        event.listen(grid.whole.db.engine, "before_cursor_execute", before)
        check_grid(grid, ["far"], story.found.append, orders)
        story.steps = steps.taken
    for late in steps.happens.values():
        late()
    return story


def moments(tell_at: Callable[[int], Story]) -> Iterator[Story]:
    """The story with its event at each moment."""
    at = 0
    while True:
        at += 1
        story = tell_at(at)
        yield story
        if at > story.steps:
            return


def sound(data: DataGrid) -> None:
    """All that is catalogued is stored, and, once what is left was taken away, nothing else."""
    found: list[Finding] = []
    with data.grid() as grid:
        check_grid(grid, [], found.append, Orders(mend=True, min_age_s=-1.0))
        assert [one for one in found if not one.kind.is_harmless] == []
        found.clear()
        check_grid(grid, [], found.append, Orders(deep=True, min_age_s=-1.0))
        replicas = {one.pfn for one in grid.whole.objects.replicas_on("far")}
    assert found == []
    assert {str(path.relative_to(data.root("far"))) for path in data.stored("far")} == replicas


def serious(story: Story) -> list[Finding]:
    """Findings that are none of what was really there."""
    return [one for one in story.found if one.kind is not Kind.HALF_DONE]


@contextlib.contextmanager
def upload(grid: Grid, lfn: str) -> Iterator[Registration]:
    """Bytes that are stored and reserved; the block registers them or not."""
    with Uploads(grid) as uploads:
        object_id = new_object_id()
        copy = uploads.put(object_id, "far", [b"x"])
        item = GridObject(object_id, LFN(lfn), ObjectKind.FILE, "x", 1, copy.sha256)
        yield Registration(item, (copy,))


def test_an_upload_commits(data: DataGrid) -> None:
    """It is registered whole, or refused since fsck took its bytes: never registered and lost."""
    refused = registered = 0

    def tell_at(at: int) -> Story:
        with data.grid() as mine, upload(mine, f"/new/{at}") as new:
            return tell(
                data, at, lambda other: other.catalog.objects.register([new], uploaded=True)
            )

    for story in moments(tell_at):
        assert serious(story) == []
        for error in story.errors:
            assert error.message == (
                "an upload to far was given up meanwhile: its reservation is gone"
            )
        refused += len(story.errors)
        registered += not story.errors
        sound(data)
    assert refused > 0
    assert registered > 1


def test_an_upload_that_is_not_given_up_commits(data: DataGrid) -> None:
    def tell_at(at: int) -> Story:
        with data.grid() as mine, upload(mine, f"/new/{at}") as new:
            return tell(
                data,
                at,
                lambda other: other.catalog.objects.register([new], uploaded=True),
                Orders(mend=True),
            )

    for story in moments(tell_at):
        assert (story.found, story.errors) == ([], [])
    sound(data)


@pytest.mark.parametrize("mend", [False, True])
def test_something_comes_and_goes(data: DataGrid, mend: bool) -> None:
    def come(other: Grid) -> None:
        with upload(other, "/brief") as new:
            other.catalog.objects.register([new], uploaded=True)

    def go(other: Grid) -> None:
        assert remove(other, [LFN("/brief")]) == []

    def both(other: Grid) -> None:
        come(other)
        go(other)

    orders = Orders(mend=mend, min_age_s=-1.0)
    stories: list[tuple[Event, Event | None]] = [(both, None), (come, go)]
    for happens, then in stories:
        for story in moments(partial(tell, data, happens=happens, orders=orders, then=then)):
            assert (story.found, story.errors) == ([], [])
            assert data.stored("far") == []
    sound(data)


def _remove(grid: Grid, lfn: LFN) -> None:
    assert remove(grid, [lfn]) == []


def _remove_far(grid: Grid, lfn: LFN) -> None:
    assert remove_replica(grid, lfn, "far", force=False) == []


@pytest.mark.parametrize("how", [_remove, _remove_far])
def test_what_is_being_copied_anew_is_removed(
    data: DataGrid, how: Callable[[Grid, LFN], None]
) -> None:
    """No copy is left behind."""

    def tell_at(at: int) -> Story:
        lfn = f"/gone/{at}"
        data.put(lfn)
        data.ok("replica", "add", lfn, "--se", "far")
        data.file_of(lfn, "far").unlink()
        story = tell(data, at, lambda other: how(other, LFN(lfn)))
        assert data.stored("far") == []
        return story

    for story in moments(tell_at):
        assert {one.kind for one in story.found} <= {Kind.LOST}
        assert {one.action for one in story.found} <= {"copied anew"}
    sound(data)


@pytest.mark.parametrize("mend", [False, True])
def test_a_replica_is_removed_and_made_again(data: DataGrid, mend: bool) -> None:
    data.put("/again")
    data.ok("replica", "add", "/again", "--se", "far")

    def go(other: Grid) -> None:
        remove_replica(other, LFN("/again"), "far", force=False)

    def come(other: Grid) -> None:
        add_replica(other, LFN("/again"), "far")

    orders = Orders(deep=True, mend=mend, min_age_s=-1.0)
    for story in moments(lambda at: tell(data, at, go, orders, come)):
        assert (story.found, story.errors) == ([], [])
        assert len(data.stored("far")) == 1
    sound(data)


def test_a_replica_is_made_where_dark_bytes_lie(data: DataGrid) -> None:
    item = data.put("/a")
    pfn = physical_name(item.id)
    made: list[Replica] = []

    def make(other: Grid) -> None:
        made.append(add_replica(other, LFN("/a"), "far"))

    def tell_at(at: int) -> Story:
        if made:
            with data.grid() as grid:
                remove_replica(grid, LFN("/a"), "far", force=False)
            made.clear()
        path = data.root("far") / pfn
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"dark")
        os.utime(path, (1e9, 1e9))
        return tell(data, at, make)

    for story in moments(tell_at):
        assert {one.kind for one in story.found} <= {Kind.DARK}
        for error in story.errors:
            assert error.message == f"{pfn} at far is being deleted"
        assert bool(made) is not bool(story.errors) or not story.steps
        sound(data)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("name_of", [physical_name, lambda one: part_name(physical_name(one))])
def test_outputs_of_a_living_attempt_are_no_leftovers(
    data: DataGrid, ends: bool, name_of: Callable[[ObjectId], str]
) -> None:
    """A broker has stored them, whole or a part, and has not entered them yet."""
    job = data.submit([[data.put("/t/1").id]])[0]
    with data.grid() as grid:
        object_id = output_id(grid.catalog.grid_id, f"{job}.1", "m-1.json")
        path = data.root("far") / name_of(object_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}")
        os.utime(path, (1e9, 1e9))
        moves = [Move(job, 0, Jobs.ASSIGN, 1.0, worker="w1")]
        if ends:
            end = AttemptEnd(Cause.STAGE_OUT, message="its outputs cannot be stored")
            moves.append(Move(job, 1, Jobs.ABORT, 2.0, worker="w1", end=end))
        desk = grid.whole.jobs.desk
        assert len(desk.apply(moves)) == len(moves)
        found: list[Finding] = []
        check_grid(grid, ["far"], found.append, NOW)
    kind = Kind.DARK if name_of is physical_name else Kind.TEMPORARY
    assert [one.kind for one in found] == ([kind] if ends else [])
    assert path.exists() is not ends
