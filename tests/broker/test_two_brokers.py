"""A broker that stood still while another took over: it changes nothing more, and ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from medgrid.actions.broker import broker_status
from medgrid.actions.grid import Grid
from medgrid.actions.submit import submit
from medgrid.catalog.job_schema import lease
from medgrid.catalog.leases import BROKER
from medgrid.catalog.schema import metadata
from medgrid.database import Database
from medgrid.errors import Busy
from medgrid.model import Algorithm, Cause, JobState, Sha256
from tests.broker.test_catalogs import DESCRIPTOR, make_grid, put
from tests.lab.prompt import Prompt
from tests.lab.waiting import PATIENCE_S, wait_for


@pytest.fixture
def grid(tmp_path: Path, empty_url: str) -> Iterator[Grid]:
    """A grid on this kind of catalog; its jobs note that they run, and wait for ``go``."""
    script = f"cat [FILE] >> {tmp_path}/runs; until [ -e {tmp_path}/go ]; do sleep 0.05; done; "
    held = {**DESCRIPTOR, "name": "held", "command-line": f"{script} cat [FILE] > [COPY]"}
    with make_grid(tmp_path / "grid", empty_url) as found:
        new = Algorithm("held", "1", Sha256("e" * 64), json.loads(json.dumps(held)))
        found.catalog.algorithms.add(new)
        yield found


def stop(broker: subprocess.Popen[str], url: str, silent_s: float = 3600) -> None:
    """Let a broker stand still between two writes, and its last sign of life be so much older."""

    def is_between() -> bool:
        broker.send_signal(signal.SIGSTOP)
        db = Database(url, busy_timeout_s=1.0)
        try:
            with db.write() as connection:
                connection.execute(update(lease).values(heartbeat_s=lease.c.heartbeat_s - silent_s))
        except Busy:
            broker.send_signal(signal.SIGCONT)
            return False
        finally:
            db.close()
        return True

    wait_for(is_between, "the broker to be between two writes")


def everything(grid: Grid) -> dict[str, Any]:
    """All rows of the catalog, and all files where objects lie."""
    with grid.catalog.db.read() as connection:
        found: dict[str, Any] = {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in metadata.sorted_tables
        }
    store = grid.settings.home / "storage"
    found["files"] = sorted(
        (str(path), path.stat().st_mtime_ns) for path in store.rglob("*") if path.is_file()
    )
    assert found["files"]
    return found


def test_a_broker_that_stands_still_has_not_ended(
    tmp_path: Path, empty_url: str, grid: Grid
) -> None:
    prompt = Prompt(tmp_path / "grid", {"MEDGRID_CATALOG": empty_url})

    def is_asked() -> bool:
        holder = grid.catalog.leases.holder(BROKER, also_silent=True)
        assert holder is not None
        stop(broker, empty_url, -holder.silent_s)  # it is heard of until then
        return holder.stop_asked

    with prompt.start("broker", "run") as broker:
        try:
            wait_for(lambda: broker_status(grid).running, "the broker to start")
            assert not is_asked()
            with prompt.start("broker", "stop") as asks:
                wait_for(is_asked, "the broker to be asked")
                stop(broker, empty_url)
                out, errors = asks.communicate(timeout=PATIENCE_S)
        finally:
            broker.kill()
    assert (asks.returncode, out, errors.splitlines()) == (
        7,
        "",
        [
            f"medgrid: error: the broker ({socket.gethostname()} pid {broker.pid}) has said "
            "nothing for 30 s: it may have ended or stand still; its lease is free",
            "medgrid: hint: see whether that process is there, and end it; another broker may take "
            "over, and then it can write no more",
        ],
    )


@pytest.mark.slow
def test_a_broker_that_was_stopped_for_too_long_writes_nothing_more(
    tmp_path: Path, empty_url: str, grid: Grid
) -> None:
    env = {"MEDGRID_CATALOG": empty_url, "MEDGRID_BROKER_AUTOSTART": "0"}
    prompt = Prompt(tmp_path / "grid", env)
    lfns = put(grid, 5)
    submit(grid, "held", lfns[:4])
    with prompt.start("broker", "run") as first:
        try:
            wait_for(
                lambda: grid.catalog.jobs.counts(["1"]).get(JobState.RUNNING, 0) == 2,
                lambda: f"two jobs that run: {grid.catalog.jobs.counts(['1'])}",
            )
            stop(first, empty_url)
            (tmp_path / "go").touch()
            prompt.ok("broker", "once")
            assert {
                (job.state, job.cause, job.attempt, len(job.outputs))
                for job in grid.catalog.jobs.jobs(["1"])
            } == {(JobState.DONE, Cause.OK, 1, 1)}
            submit(grid, "held", lfns[4:])  # which it must leave alone
            before = everything(grid)
            first.send_signal(signal.SIGCONT)
            _, errors = first.communicate(timeout=PATIENCE_S)
        finally:
            first.kill()
    assert "medgrid: error: another broker has taken over this catalog\n" in errors
    assert first.returncode == Busy.exit_code
    assert everything(grid) == before
    assert sorted((tmp_path / "runs").read_text().split()) == ["0", "1", "2", "3"]
    assert not broker_status(grid).running
    prompt.ok("broker", "once")
    assert [job.cause for job in grid.catalog.jobs.jobs(["2"])] == [Cause.OK]
