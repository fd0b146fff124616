"""The check of one worker: directories of attempts that no job is at any more.

A broker ends and forgets such attempts whenever it meets the worker. What is left here belongs to a
worker that no broker has met since.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from medgrid.actions.finding import Finding, Kind, Orders
from medgrid.actions.grid import Grid
from medgrid.actions.progress import Progress
from medgrid.broker.messages import split_attempt
from medgrid.errors import MedgridError
from medgrid.model import Worker

if TYPE_CHECKING:
    from medgrid.workers.base import AttemptId, WorkerLink

__all__ = ["WorkerCheck", "met_workers"]

_MOMENT_S = 1.0  # a broker that is there cleans up what has just ended
_END_S = 15.0  # a job that is told to end is killed before


def met_workers(grid: Grid) -> list[Worker]:
    """Workers that a broker has ever met: others have nothing of ours."""
    links = grid.whole.jobs.desk.links()
    return [
        worker
        for worker in grid.catalog.places.workers()
        if worker.name in links and links[worker.name].agent_id is not None
    ]


class WorkerCheck:
    """The check of one worker; `stop` ends it early, from any thread."""

    def __init__(self, grid: Grid, worker: Worker, orders: Orders, progress: Progress) -> None:
        self._grid = grid
        self._worker = worker
        self._orders = orders
        self._progress = progress
        self.stop = threading.Event()
        self.checked = 0

    def findings(self) -> Iterator[Finding]:
        """What is left there; nothing but a warning when the worker does not answer."""
        try:
            orphans = self._orphans()
            if orphans and not self.stop.wait(_MOMENT_S):
                again = self._orphans()
                orphans = {one: again[one] for one in orphans if one in again}
        except MedgridError as error:
            self._progress.warn(f"worker {self._worker.name} was not looked at: {error.message}")
            return
        if not orphans or self.stop.is_set():
            return
        found = [self._finding(attempt, last) for attempt, last in sorted(orphans.items())]
        if self._orders.dry_run:
            yield from (replace(one, action="would be ended and deleted") for one in found)
        elif not self._orders.mend:
            yield from found
        else:
            try:
                left = self._clean(orphans)
            except MedgridError as error:
                yield from (replace(one, action=f"not deleted: {error.message}") for one in found)
                return
            for one, attempt in zip(found, sorted(orphans), strict=True):
                if attempt in left:
                    yield replace(one, action="told to end, and is still there")
                else:
                    yield replace(one, action="deleted", mended=True)

    def _finding(self, attempt: AttemptId, last: str) -> Finding:
        state = "it has ended" if last == "done" else "it may still run"
        detail = f"directory of attempt {attempt} on {self._worker.name}: {state}"
        return Finding(Kind.ORPHAN, "", detail=detail, worker=self._worker.name)

    def _open(self) -> WorkerLink:
        from medgrid.workers import open_link

        return open_link(self._worker, self._grid.settings, self._grid.catalog.grid_id)

    def _orphans(self) -> Mapping[AttemptId, str]:
        """Attempts there that are no job's living one, with what their journal said last.

        The worker is asked first: what it has was assigned before, and what is no more living
        then never will be.
        """
        link = self._open()
        link.close()
        there = link.info.attempts
        current = self._grid.whole.jobs.desk.current(split_attempt(one)[0] for one in there)
        found = {}
        for attempt, last in there.items():
            job, number = split_attempt(attempt)
            at = current.get(job)
            if at is None or not at.is_at(number):
                found[attempt] = last
        return found

    def _clean(self, orphans: Mapping[AttemptId, str]) -> set[AttemptId]:
        """End attempts and delete their directories; those that are still there."""
        link = self._open()
        try:
            running = {one for one, last in orphans.items() if last != "done"}
            offset = link.info.journal_offset
            if running:
                link.cancel(sorted(running))
            until_s = time.monotonic() + _END_S
            while running and time.monotonic() < until_s and not self.stop.is_set():
                for record in link.follow(offset, 1.0):
                    offset = record.offset
                    if record.event == "done":
                        running.discard(record.attempt)
            link.clean(sorted(orphans.keys() - running))
        finally:
            link.close()
        return running
