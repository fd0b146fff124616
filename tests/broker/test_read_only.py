"""A catalog that takes no changes for a while: the broker waits for it, however often it tries."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from medgrid.broker import loop
from medgrid.broker.loop import Broker
from medgrid.model import Cause
from tests.lab.field import Field
from tests.lab.postgres import PostgresServer
from tests.lab.prompt import Prompt
from tests.lab.waiting import wait_for


@pytest.fixture
def on_postgres(postgres_server: PostgresServer, prompt: Prompt) -> Iterator[str]:
    """A database of this test's own, whose catalog the prompt uses."""
    name = postgres_server.make_database()
    prompt.env["MEDGRID_CATALOG"] = postgres_server.url(name)
    yield name
    postgres_server.drop_database(name)


@pytest.mark.postgres
def test_a_broker_waits_until_it_can_write(
    postgres_server: PostgresServer,
    on_postgres: str,
    field: Field,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def let_write(may: bool) -> None:
        with postgres_server.admin() as admin:
            word = "off" if may else "on"
            admin.execute(
                f"ALTER DATABASE {on_postgres} SET default_transaction_read_only = {word}".encode()
            )
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [on_postgres],
            )

    caplog.set_level(logging.WARNING, "medgrid.broker")
    monkeypatch.setattr(loop, "_RETRY_S", 0.05)
    field.algorithm("touch", 'ran "$1"\n')
    (lfn,) = field.put("a")
    field.submit("touch", lfn)
    with field.grid() as grid:
        broker = Broker(
            grid.whole, grid.settings, grid.broker_vault, idle_s=None, until_stuck=False
        )
        thread = threading.Thread(target=broker.run)
        thread.start()
        try:
            wait_for(lambda: grid.whole.leases.holder("broker"), "the broker to start")
            let_write(False)
            wait_for(
                lambda: caplog.text.count("cannot be written: the server is read-only") >= 8,
                lambda: f"the broker to try again: {caplog.text}",
                while_=thread.is_alive,
            )
            let_write(True)
            wait_for(
                lambda: not grid.whole.jobs.desk.open_count(),
                lambda: f"the job to end: {caplog.text}",
                while_=thread.is_alive,
            )
        finally:
            let_write(True)
            broker.stop()
            thread.join()
        (job,) = grid.whole.jobs.jobs(["1"])
    assert (job.cause, job.attempt, field.runs) == (Cause.OK, 1, ["a"])
