"""The broker on each kind of catalog, and while the catalog cannot be used."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from medgrid.actions.broker import broker_status, run_broker, stop_broker
from medgrid.actions.grid import Grid
from medgrid.actions.init import initialise
from medgrid.actions.status import wait
from medgrid.actions.submit import submit
from medgrid.catalog.leases import LeaseHeld
from medgrid.catalog.objects import Registration
from medgrid.config import load_settings
from medgrid.model import (
    LFN,
    Algorithm,
    Cause,
    GridObject,
    JobState,
    ObjectKind,
    Replica,
    Sha256,
    new_object_id,
)
from medgrid.storage.base import physical_name
from tests.lab.postgres import PostgresServer, new_server, remove_server
from tests.lab.waiting import PATIENCE_S, linger, wait_for

DESCRIPTOR = {
    "name": "copy",
    "tool-version": "1",
    "schema-version": "0.5",
    "description": "Copies its input.",
    "command-line": "sleep 0.2; cat [FILE] > [COPY]",
    "inputs": [{"id": "file", "name": "File", "type": "File", "value-key": "[FILE]"}],
    "output-files": [
        {"id": "copy", "name": "Copy", "path-template": "copy.txt", "value-key": "[COPY]"}
    ],
    "custom": {"medgrid": {"environment": {"kind": "host", "programs": ["cat"]}}},
}


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server that no other test uses."""
    server = new_server()
    yield server
    remove_server(server)


def make_grid(home: Path, url: str) -> Grid:
    grid = Grid(load_settings(home, {"MEDGRID_CATALOG": url, "MEDGRID_BROKER_AUTOSTART": "0"}))
    initialise(grid, slots=2)
    digest = Sha256("c" * 64)
    grid.catalog.algorithms.add(Algorithm("copy", "1", digest, json.loads(json.dumps(DESCRIPTOR))))
    return grid


def put(grid: Grid, count: int) -> list[str]:
    storage = grid.storage("local")
    new = []
    for number in range(count):
        object_id = new_object_id()
        stored = storage.put(physical_name(object_id), [f"{number}\n".encode()])
        size = stored.size_bytes
        new.append(
            Registration(
                GridObject(
                    object_id, LFN(f"/t/f{number}"), ObjectKind.FILE, "f.txt", size, stored.sha256
                ),
                (Replica(object_id, "local", stored.pfn, size, stored.sha256),),
            )
        )
    grid.catalog.objects.register(new)
    return [str(one.object.lfn) for one in new]


def test_jobs_run_on_either_kind_of_catalog(tmp_path: Path, empty_url: str) -> None:
    with make_grid(tmp_path / "grid", empty_url) as grid:
        submit(grid, "copy", put(grid, 12))
        run_broker(grid, until_stuck=True)
        jobs = grid.catalog.jobs.jobs(["1"])
        assert {(job.state, job.cause, len(job.outputs)) for job in jobs} == {
            (JobState.DONE, Cause.OK, 1)
        }
        assert not broker_status(grid).running


def test_one_broker_for_each_catalog(tmp_path: Path, empty_url: str) -> None:
    with make_grid(tmp_path / "grid", empty_url) as grid:
        broker = threading.Thread(target=run_broker, args=(grid,))
        broker.start()
        wait_for(lambda: broker_status(grid).running, "the broker to start")
        other = Grid(grid.settings)
        # the same process may take its own lease again: another name of the process is refused
        with pytest.raises(LeaseHeld):
            other.catalog.leases.acquire("broker", "other pid 1", "other/1/1")
        submit(other, "copy", put(grid, 3))
        assert wait(other, ["1"], timeout_s=PATIENCE_S)
        assert stop_broker(other.settings)
        broker.join(PATIENCE_S)
        assert not broker.is_alive()
        other.close()


@pytest.mark.postgres
def test_a_database_server_that_restarts_interrupts_nothing(
    tmp_path: Path, own_postgres: PostgresServer
) -> None:
    url = own_postgres.url(own_postgres.make_database())
    with make_grid(tmp_path / "grid", url) as grid:
        submit(grid, "copy", put(grid, 20))
        broker = threading.Thread(target=run_broker, args=(grid,), kwargs={"idle_s": 2.0})
        broker.start()
        wait_for(
            lambda: grid.catalog.jobs.counts(["1"]).get(JobState.DONE, 0) >= 3, "some jobs to end"
        )
        own_postgres.stop()  # as an administrator does, whoever is connected
        linger(1, "who does not try again gives up now")
        own_postgres.start()
        broker.join(PATIENCE_S)
        assert not broker.is_alive()
        jobs = grid.catalog.jobs.jobs(["1"])
        assert {(job.cause, job.attempt, len(job.outputs)) for job in jobs} == {(Cause.OK, 1, 1)}
