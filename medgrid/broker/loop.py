"""The broker: one process for a catalog, which moves all jobs."""

from __future__ import annotations

import gc
import logging
import threading
import time
import traceback
from contextlib import suppress
from queue import Empty, Queue
from typing import Any

from medgrid.broker.assigning import Assigner
from medgrid.broker.board import Board
from medgrid.broker.driver import Driver
from medgrid.broker.linking import Linker
from medgrid.broker.messages import Failed, Given, LinkDown, LinkUp, Records, Report
from medgrid.broker.process import gone_process, has_begun, own_process
from medgrid.broker.settling import Settler
from medgrid.broker.station import Station
from medgrid.catalog import Catalog
from medgrid.catalog.leases import BROKER, Lease, LeaseLost
from medgrid.config import Settings
from medgrid.crypto.vault import Vault
from medgrid.database import DatabaseReadOnly
from medgrid.errors import Busy, MedgridError, Unreachable

__all__ = ["Broker"]

_LOG = logging.getLogger("medgrid.broker")
_TICK_S = 0.25
_GATHER_S = 0.05  # at most; more news is waited for so many times as long as the last took
_GATHER = 4
_PLACES_S = 3.0
_HEARTBEAT_S = 2.0
_CLOSE_S = 3.0
_RETRY_S = 2.0
_FAILURES_MOST = 5  # unexpected ones, shortly after each other
_FORGET_S = 60.0
_GARBAGE_AFTER = 50_000  # objects: little of what a broker makes is in cycles
_NEWS_MOST = 1000  # in one transaction: what waits for it should not wait long


class Broker:
    """Moves jobs until stopped, idle, or stuck.

    Parameters
    ----------
    catalog, settings
        The grid.
    vault : Vault
        What the broker's identity was given.
    idle_s : float, optional
        End when no job has been open for so long; None never ends.
    until_stuck : bool
        End as soon as nothing is left to do, or all that is left waits for something that this
        process cannot bring about.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings,
        vault: Vault,
        *,
        idle_s: float | None,
        until_stuck: bool,
    ) -> None:
        self._catalog = catalog
        self._settings = settings
        self._vault = vault
        self._idle_s = idle_s
        self._until_stuck = until_stuck
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End soon; jobs on workers go on. May be called from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Take the lease and work.

        Raises
        ------
        LeaseHeld
            Another broker works on this catalog.
        LeaseLost
            Another broker took over, since this one had been silent for too long.
        """
        holder, process = own_process()
        leases = self._catalog.leases
        lease = leases.acquire(BROKER, holder, process, gone=gone_process(leases.holder(BROKER)))
        has_begun(self._settings)
        _LOG.info("broker %s starts", holder)
        thresholds = gc.get_threshold()
        gc.set_threshold(_GARBAGE_AFTER, *thresholds[1:])
        try:
            self._serve(lease)
        finally:
            gc.set_threshold(*thresholds)
            _LOG.info("broker %s ends", holder)
            with suppress(Busy, Unreachable, DatabaseReadOnly):  # then it runs out by itself
                leases.release(lease)

    def _serve(self, lease: Lease) -> None:
        failures = 0
        while not self._stopping.is_set():
            session: _Session | None = None
            began_s = time.monotonic()
            try:
                session = _Session(
                    self._catalog,
                    self._settings,
                    self._vault,
                    lease,
                    self._stopping,
                    self._until_stuck,
                )
                session.serve(self._idle_s)
                return
            except LeaseLost:
                raise
            except (Busy, Unreachable, DatabaseReadOnly) as exc:
                _LOG.warning("the catalog cannot be used now: %s", exc)
            except Exception as exc:
                if time.monotonic() - began_s > _FORGET_S:
                    failures = 0
                failures += 1
                if failures >= _FAILURES_MOST:
                    raise
                if isinstance(exc, MedgridError):
                    _LOG.error("the broker cannot go on now: %s", exc.message)
                else:  # a foreign text may quote data: its type and place will do
                    trace = "".join(traceback.format_tb(exc.__traceback__))
                    _LOG.error("unexpected %s\n%s", type(exc).__name__, trace)
            finally:
                if session is not None:
                    session.close()
            self._stopping.wait(_RETRY_S)


class _Session:
    """Work from one reading of the catalog until something goes wrong with it, or the end.

    All that is in memory can be read anew from the catalog: after an error a new session starts.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings,
        vault: Vault,
        lease: Lease,
        stopping: threading.Event,
        until_stuck: bool,
    ) -> None:
        self._leases = catalog.leases
        self._lease = lease
        self._stopping = stopping
        self._until_stuck = until_stuck
        self._reports: Queue[tuple[Driver, Report]] = Queue()
        self._board = Board(catalog, settings, vault, self._reports)
        self._assigner = Assigner(self._board)
        self._settler = Settler(self._board, settings.max_attempts)
        self._linker = Linker(self._board, self._settler, self._assigner)
        self._places_at_s = 0.0
        self._beat_at_s = 0.0
        self._looked_at_s = 0.0
        self._assigned_at_s = 0.0  # epoch
        self._busy_at_s = time.monotonic()
        self._progressed = True
        self._work_took_s = 0.0

    def close(self) -> None:
        """Stop the drivers."""
        with suppress(Busy, Unreachable, DatabaseReadOnly):  # then the next broker does it
            self._board.drop_delegations()
        self._board.close(_CLOSE_S)

    def serve(self, idle_s: float | None) -> None:
        """Work to the end."""
        self._refresh()
        with self._leases.writing(self._lease):
            self._linker.take_over()
        while not self._stopping.is_set():
            reports = self._wait()
            began_s = time.monotonic()
            commands = self._write(reports)
            self._assign()
            for station, command in commands:
                station.send(command)
            if reports:
                self._work_took_s = time.monotonic() - began_s
            self._housekeeping()
            if self._may_end(idle_s):
                return

    def _wait(self) -> list[Report]:
        """Reports that have come in; a moment after the first one, so that many share a commit."""
        found: list[tuple[Driver, Report]] = []
        try:
            found.append(self._reports.get(timeout=0.0 if self._progressed else _TICK_S))
            self._stopping.wait(min(_GATHER_S, _GATHER * self._work_took_s))
            left = _NEWS_MOST - _news(found[0])
            while left > 0:
                found.append(self._reports.get_nowait())
                left -= _news(found[-1])
        except Empty:
            pass
        self._progressed = False
        return [report for driver, report in found if self._board.is_current(driver)]

    def _write(self, reports: list[Report]) -> list[tuple[Station, Any]]:
        if not reports:
            return []
        # that a worker still does not answer keeps no broker busy
        self._progressed = not all(isinstance(report, LinkDown) for report in reports)
        commands: list[tuple[Station, Any]] = []
        with self._leases.writing(self._lease):
            told: list[Given | Failed | Records] = []
            for report in reports:
                if isinstance(report, LinkUp | LinkDown):
                    commands += self._settler.settle(told)
                    told = []
                    if isinstance(report, LinkUp):
                        commands += self._linker.up(report)
                    else:
                        self._linker.down(report)
                else:
                    told.append(report)
            commands += self._settler.settle(told)
        return commands

    def _assign(self) -> None:
        self._assigned_at_s = time.time()
        # whether all is stuck is judged by what waits now
        plan = self._assigner.plan(anew=self._until_stuck and not self._progressed)
        if not plan:
            return
        self._progressed = self._progressed or bool(plan.moves)
        desk = self._board.desk
        with self._leases.writing(self._lease):
            accepted = {(move.job, move.attempt) for move in desk.apply(plan.moves)}
            for number, reason in plan.waits.items():
                desk.let_wait(number, reason)
        for key, (station, work) in plan.works.items():
            if key in accepted:
                station.send(work)
            else:
                station.drop(work.attempt)

    def _housekeeping(self) -> None:
        now = time.monotonic()
        if now - self._looked_at_s < _TICK_S:
            return
        self._looked_at_s = now
        lost = self._linker.given_up()
        if lost or now - self._beat_at_s > _HEARTBEAT_S or self._board.desk.to_cancel():
            self._beat_at_s = now
            with self._leases.writing(self._lease):
                for station in lost:
                    limit_s = self._board.settings.host_lost_after_s
                    self._linker.give_up(
                        station, f"{station.name} has not answered for {limit_s:g} s"
                    )
                commands = self._linker.cancel()
                self._board.save_usage()
                self._board.save_health()
            for station, command in commands:
                station.send(command)
            self._board.drop_delegations()
            holder = self._leases.holder(self._lease.name)
            if holder is not None and holder.stop_asked:
                self._stopping.set()
        if now - self._places_at_s > _PLACES_S:
            self._refresh()

    def _refresh(self) -> None:
        self._places_at_s = time.monotonic()
        for name in self._board.refresh():
            station = self._board.stations[name]
            with self._leases.writing(self._lease):
                self._linker.give_up(station, f"{name} is no longer in the grid")
            if station.driver is not None:
                station.driver.stop()
            del self._board.stations[name]

    def _may_end(self, idle_s: float | None) -> bool:
        now = time.monotonic()
        if self._progressed:
            self._busy_at_s = now
            return False
        stations = self._board.stations.values()
        if any(station.live for station in stations if station.inbox is not None):
            self._busy_at_s = now
            return False
        if self._until_stuck:
            if not self._reports.empty() or not all(station.tried for station in stations):
                return False
            return self._board.desk.next_time(self._assigned_at_s) is None
        if idle_s is None or now - self._busy_at_s < idle_s:
            return False
        with self._leases.writing(self._lease):
            # in one transaction: whoever submits next finds this broker at work, or none
            if self._board.desk.open_count():
                self._busy_at_s = now
                return False
            self._leases.release(self._lease)
        return True


def _news(told: tuple[Driver, Report]) -> int:
    """How much there is to write of a report."""
    report = told[1]
    return len(report.records) if isinstance(report, Records) else 1
