"""One worker's driver, with a real agent and a real storage element."""

from __future__ import annotations

import hashlib
from functools import partial
from queue import Queue

from medgrid.broker.collecting import Collector
from medgrid.broker.driver import Driver
from medgrid.broker.messages import Cancel, Follow, LinkUp, Records, Report
from medgrid.broker.staging import Stager, Wheels
from medgrid.broker.storages import Storages
from medgrid.model import Cause, StorageElement
from medgrid.workers import open_link
from medgrid.workers.base import OutputPattern
from tests.lab.waiting import PATIENCE_S, linger
from tests.workers.places import GRID, Place, run, script


def test_no_end_is_passed_over_before_it_is_known_what_lives_there(
    place: Place, storages: Storages, element: StorageElement
) -> None:
    """An attempt that ended while nobody listened, and a command that was sent too early."""
    launch = script(
        place.attempt(), "echo result > out.txt", outputs=(OutputPattern("result", "out.txt"),)
    )
    assert run(place.open(), launch).cause is Cause.OK

    reports: Queue[tuple[Driver, Report]] = Queue()
    driver = Driver(
        place.worker,
        partial(open_link, place.worker, place.settings, GRID),
        Stager(place.worker, storages, Wheels(place.settings.cache_dir)),
        Collector(storages, GRID),
        reports,
    )
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
