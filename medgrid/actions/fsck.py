"""Compare the catalog with what is stored, and mend what can be mended.

Safe beside running imports, jobs and removals: see `fsck_storage`. Storage elements and
workers are checked at the same time, each by one thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

from medgrid.actions.finding import DAY_S, Finding, Kind, Orders, Report
from medgrid.actions.fsck_storage import ElementCheck, names_of
from medgrid.actions.fsck_workers import WorkerCheck, met_workers
from medgrid.actions.grid import Grid
from medgrid.actions.outcome import Failure
from medgrid.actions.progress import SILENT, Progress
from medgrid.actions.scratch import sweep_scratch
from medgrid.errors import Denied, MedgridError

__all__ = ["DAY_S", "Finding", "Kind", "Orders", "Report", "check_grid"]

_THREADS = 8
_PATIENCE_S = 5.0  # what is being read is not waited for longer when the user has gone

Tell = Callable[[Finding], None]


def check_grid(
    grid: Grid,
    names: Sequence[str],
    tell: Tell,
    orders: Orders = Orders(),  # noqa: B008 (it is frozen)
    progress: Progress = SILENT,
) -> Report:
    """Check storage elements, by default all that are switched on, and all workers.

    Parameters
    ----------
    tell : callable
        Is given each finding, by the calling thread.
    orders : Orders
        What to do. `deep`: read all bytes, where they lie, and compare digests. `mend`: copy LOST
        and CORRUPT replicas anew from a good one; delete what is DARK or left over and was last
        written more than `min_age_s` ago. `dry_run`: say what mending would do, and do nothing.
        `restart`: do not go on where a deep check was interrupted.

    Raises
    ------
    NotFound
        A storage element does not exist.
    Denied
        The catalog's database does not show all to this user.
    """
    if grid.whole.viewer is not None:
        raise Denied(
            f"the catalog shows {grid.whole.viewer} a part of what it has: the rest would be DARK",
            hint="connect as a role that sees all, as brokers do",
        )
    if orders.mend and not orders.dry_run:
        sweep_scratch(grid.settings)
    places = grid.catalog.places
    chosen = [places.se(name) for name in names] or [one for one in places.ses() if one.enabled]
    report = Report()

    def found(finding: Finding) -> None:
        report.count(finding)
        tell(finding)

    shared = _Shared(progress)
    progress.total(grid.whole.objects.count_on([one.name for one in chosen]))
    checks = _Checks(report, found)
    for element in chosen:
        try:
            checks.add(element.name, ElementCheck(grid, element, orders, shared))
        except MedgridError as error:
            report.failures.append(Failure(element.name, error))
    if not names:
        for worker in met_workers(grid):
            checks.add(worker.name, WorkerCheck(grid, worker, orders, shared))
    checks.run()
    if not names:
        ids = grid.whole.objects.without_replica()
        for name in names_of(grid, ids).values():
            found(Finding(Kind.NO_REPLICA, "", name=name, detail="no copy left"))
    report.failures.sort(key=lambda one: one.what)
    return report


class _Checks:
    """Checks that run at the same time, a bounded number of them."""

    def __init__(self, report: Report, found: Tell) -> None:
        self._report = report
        self._found = found
        self._checks: deque[tuple[str, ElementCheck | WorkerCheck]] = deque()
        self._events: SimpleQueue[tuple[str, Any]] = SimpleQueue()

    def add(self, name: str, check: ElementCheck | WorkerCheck) -> None:
        """Take a check that is to run."""
        self._checks.append((name, check))

    def run(self) -> None:
        """Run all, and tell what they find."""
        checks = list(self._checks)
        threads = [
            threading.Thread(target=self._work, name=f"fsck-{number}", daemon=True)
            for number in range(min(_THREADS, len(checks)))
        ]
        for thread in threads:
            thread.start()
        try:
            left = len(checks)
            while left:
                name, event = self._events.get()
                if isinstance(event, Finding):
                    self._found(event)
                    continue
                left -= 1
                if event is None:
                    self._report.places += 1
                elif isinstance(event, MedgridError):
                    self._report.failures.append(Failure(name, event))
                else:
                    raise event
        finally:
            self._checks.clear()
            for _, check in checks:
                check.stop.set()
            for thread in threads:
                thread.join(_PATIENCE_S)
        self._report.checked += sum(check.checked for _, check in checks)

    def _work(self) -> None:
        for name, check in self._next():
            try:
                for finding in check.findings():
                    self._events.put((name, finding))
            except BaseException as error:
                self._events.put((name, error))
            else:
                self._events.put((name, None))

    def _next(self) -> Iterator[tuple[str, ElementCheck | WorkerCheck]]:
        while True:
            try:
                yield self._checks.popleft()
            except IndexError:
                return


class _Shared:
    """Progress to which several threads advance."""

    _lock = threading.Lock()

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def total(self, amount: int, unit: str = "") -> None:
        with self._lock:
            self._progress.total(amount, unit)

    def advance(self, amount: int = 1) -> None:
        with self._lock:
            self._progress.advance(amount)

    def note(self, text: str) -> None:
        with self._lock:
            self._progress.note(text)

    def warn(self, message: str) -> None:
        with self._lock:
            self._progress.warn(message)
