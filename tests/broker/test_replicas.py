"""Replicas that hold other bytes than they should: another one is used, no worker is blamed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medgrid.broker.staging import Stager, Wheels
from medgrid.broker.storages import Storages
from medgrid.model import LFN, Cause, DataClass, JobState, Sha256, StorageElement, Worker
from tests.lab.field import Field
from tests.workers.places import Place


def stored(field: Field, lfn: str, se: str = "local") -> Path:
    """The file of a replica."""
    with field.grid() as grid:
        copies = grid.catalog.objects.locate([LFN(lfn)])[LFN(lfn)]
        (copy,) = (one for one in copies if one.se == se)
        return Path(grid.catalog.places.se(se).url.removeprefix("file://")) / copy.pfn


def on_two(field: Field, lfn: str) -> None:
    """Give an object a second replica."""
    root = field.directory / "second"
    root.mkdir(exist_ok=True)
    field.se(StorageElement("second", f"file://{root}", "elsewhere"))
    first = stored(field, lfn)
    with field.grid() as grid:
        (copy,) = grid.catalog.objects.locate([LFN(lfn)])[LFN(lfn)]
        target = root / copy.pfn
        target.parent.mkdir(parents=True)
        target.write_bytes(first.read_bytes())
        grid.catalog.objects.add_replica(replace(copy, se="second"))


def spoil(file: Path, how: str) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:-1] if how == "short" else bytes([data[0] ^ 1]) + data[1:])


@pytest.mark.parametrize("how", ["short", "flipped"])
@pytest.mark.parametrize("data_class", [DataClass.PUBLIC, DataClass.IMAGE])
def test_another_replica_is_used(field: Field, how: str, data_class: DataClass) -> None:
    field.algorithm("touch", 'ran "$1"\n')
    lfns = field.put("a", "b", "c", data_class=data_class)
    on_two(field, lfns[1])
    spoil(stored(field, lfns[1]), how)
    field.submit("touch", *lfns)
    field.once()
    jobs = field.jobs("1")
    assert {(job.cause, job.attempt) for job in jobs} == {(Cause.OK, 1)}
    assert field.runs == ["a", "b", "c"]
    with field.grid() as grid:
        assert grid.catalog.health.all() == {}


def test_what_was_not_opened_has_no_other_replica(place: Place, storages: Storages) -> None:
    """Else whoever stages it would try for ever."""
    stager = Stager(Worker("local", "local:", "site"), storages, Wheels(place.settings))
    assert stager.has_another(Sha256("0" * 64)) is False


def test_an_input_that_is_gone_holds_up_no_other(field: Field) -> None:
    field.env["MEDGRID_MAX_ATTEMPTS"] = "1"
    field.algorithm("touch", 'ran "$1"\n')
    lfns = field.put("a", "b", "c")
    stored(field, lfns[0]).unlink()
    field.submit("touch", *lfns)
    field.once()
    jobs = field.jobs("1")
    assert [(job.state, job.attempt) for job in jobs] == [
        (JobState.ABORTED, 1),
        (JobState.DONE, 1),
        (JobState.DONE, 1),
    ]
    assert "an input cannot be read: local: " in jobs[0].reason


def test_a_job_without_a_good_replica_is_aborted_and_no_worker_is_out(field: Field) -> None:
    field.env["MEDGRID_MAX_ATTEMPTS"] = "1"
    field.algorithm("touch", 'ran "$1"\n')
    lfns = field.put("a", "b", "c", "d")
    for lfn in lfns[:3]:
        spoil(stored(field, lfn), "short")
    field.submit("touch", *lfns)
    field.once()
    jobs = field.jobs("1")
    assert [job.state for job in jobs] == [JobState.ABORTED] * 3 + [JobState.DONE]
    assert jobs[0].reason == (
        "attempt 1 on local failed (stage-in): bytes to stage: expected 2, found 1 fewer"
    )
    assert field.runs == ["d"]
    with field.grid() as grid:
        assert grid.catalog.health.all() == {}
