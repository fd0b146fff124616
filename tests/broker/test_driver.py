"""One worker's driver, with a real agent and a real storage element."""

from __future__ import annotations

import hashlib
from functools import partial
from queue import Queue
from typing import Any

from medgrid.broker.collecting import Collector
from medgrid.broker.driver import Driver
from medgrid.broker.messages import Cancel, Follow, LinkDown, LinkUp, Records, Report, Work
from medgrid.broker.staging import Stager, Wheels
from medgrid.broker.storages import Storages
from medgrid.errors import Unreachable
from medgrid.model import Algorithm, Cause, Sha256, StorageElement, Worker
from medgrid.workers import open_link
from medgrid.workers.base import OutputPattern, WorkerLink
from tests.lab.waiting import PATIENCE_S, linger
from tests.workers.places import GRID, Place, run, script

Reports = Queue[tuple[Driver, Report]]


def drive(place: Place, storages: Storages) -> tuple[Driver, Reports]:
    """A driver of the worker, and where it puts what it has to say."""
    reports: Reports = Queue()
    driver = Driver(
        place.worker,
        partial(open_link, place.worker, place.settings, GRID),
        Stager(place.worker, storages, Wheels(place.settings)),
        Collector(storages, GRID),
        reports,
    )
    return driver, reports


def test_no_end_is_passed_over_before_it_is_known_what_lives_there(
    place: Place, storages: Storages, element: StorageElement
) -> None:
    """An attempt that ended while nobody listened, and a command that was sent too early."""
    launch = script(
        place.attempt(), "echo result > out.txt", outputs=(OutputPattern("result", "out.txt"),)
    )
    assert run(place.open(), launch).cause is Cause.OK

    driver, reports = drive(place, storages)
    driver.start()
    try:
        teller, report = reports.get(timeout=PATIENCE_S)
        assert teller is driver
        assert isinstance(report, LinkUp)
        report.inbox.put(Cancel((place.attempt(2),)))
        linger(1, "who does not wait for what lives there follows the journal now")
        report.inbox.put(Follow(0, {launch.attempt: element}))
        _, told = reports.get(timeout=PATIENCE_S)
    finally:
        driver.stop()
        driver.join(PATIENCE_S)
    assert isinstance(told, Records)
    assert "done" in [record.event for record in told.records]
    (output,) = told.outputs[launch.attempt]
    assert output.sha256 == hashlib.sha256(b"result\n").hexdigest()


def test_an_attempt_is_launched_before_it_is_cancelled(
    place: Place, storages: Storages, element: StorageElement
) -> None:
    """Both were asked for before the driver came to either."""
    descriptor = {
        "name": "sleep",
        "tool-version": "1",
        "schema-version": "0.5",
        "description": "Sleeps.",
        "command-line": "sleep 60",
        "inputs": [],
    }
    algorithm = Algorithm("sleep", "1", Sha256("0" * 64), descriptor)
    driver, reports = drive(place, storages)
    driver.start()
    try:
        _, report = reports.get(timeout=PATIENCE_S)
        assert isinstance(report, LinkUp)
        report.inbox.put(Work(place.attempt(), algorithm, None, {}, {}, {}, element))
        report.inbox.put(Cancel((place.attempt(),)))
        report.inbox.put(Follow(0, {}))
        events: list[tuple[str, Cause | None]] = []
        while not events or events[-1][0] != "done":
            _, told = reports.get(timeout=PATIENCE_S)
            if isinstance(told, Records):
                events += [(one.event, one.cause) for one in told.records if one.attempt]
    finally:
        driver.stop()
        driver.join(PATIENCE_S)
    assert (events[0], events[-1]) == (("accepted", None), ("done", Cause.CANCELLED))


def test_a_worker_that_cannot_be_reached_is_told_whatever_the_reason() -> None:
    """Also a reason that nobody thought of: the broker and the other workers go on."""
    worker = Worker("far", "ssh://far", "there")
    nothing: Any = None
    for error, text in (
        (Unreachable("far: timed out"), "far: timed out"),
        (ZeroDivisionError("at home"), "unexpected ZeroDivisionError"),
    ):

        def refuse(error: Exception = error) -> WorkerLink:
            raise error

        reports: Reports = Queue()
        driver = Driver(worker, refuse, nothing, nothing, reports)
        driver.start()
        _, report = reports.get(timeout=PATIENCE_S)
        driver.stop()
        driver.join(PATIENCE_S)
        assert report == LinkDown("far", text)
        assert not driver.is_alive()
