"""Status: where jobs are; waiting for their end."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from medgrid.actions.broker import ensure_broker
from medgrid.actions.grid import Grid
from medgrid.actions.progress import SILENT, Progress
from medgrid.catalog.job_tally import Totals
from medgrid.catalog.jobs import JobLine
from medgrid.model import JobState

if TYPE_CHECKING:
    from medgrid.actions.outlook import Outlook, Watch

__all__ = ["chosen", "job_counts", "job_lines", "job_totals", "wait", "with_outlook"]

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_BROKER_LOOK_S = 2.0


def chosen(grid: Grid, words: Sequence[str]) -> list[str]:
    """Words that name jobs; the user's recent submissions when there are none."""
    return list(words) or grid.catalog.jobs.recent(grid.settings.user)


def job_lines(
    grid: Grid, words: Sequence[str], states: Collection[JobState] = ()
) -> Iterator[JobLine]:
    """Where the jobs named are; raises `NotFound` for one that does not exist."""
    return grid.catalog.jobs.lines(words, states)


def with_outlook(grid: Grid, lines: Iterable[JobLine]) -> Iterator[tuple[JobLine, Outlook | None]]:
    """Say of jobs whose worker does not answer what will happen to them."""
    watch: Watch | None = None
    for line in lines:
        if line.state is not JobState.UNKNOWN:
            yield line, None
            continue
        if watch is None:
            from medgrid.actions.outlook import Watch

            watch = Watch(grid)
        yield line, watch.unknown(line.worker, line.attempt)


def job_counts(grid: Grid, words: Sequence[str]) -> dict[JobState, int]:
    """How many of the jobs named are in which state."""
    return grid.catalog.jobs.counts(words)


def job_totals(grid: Grid, words: Sequence[str]) -> Totals:
    """Count the jobs named, all of the user's when there are no words; raises `NotFound`."""
    tally = grid.catalog.jobs.tally
    return tally.totals(words) if words else tally.totals_of(grid.settings.user)


def wait(
    grid: Grid,
    words: Sequence[str],
    *,
    timeout_s: float | None = None,
    progress: Progress = SILENT,
) -> bool:
    """Wait until all jobs named are final; False when that takes longer than `timeout_s`.

    A broker that has died meanwhile is replaced; the user is told once.
    """
    began_s = time.monotonic()
    looked_s = 0.0
    pause_s = _FIRST_PAUSE_S
    shown = 0
    told = False
    jobs = grid.catalog.jobs
    while True:
        counts = jobs.counts(words)
        total = sum(counts.values())
        ended = sum(count for state, count in counts.items() if state.is_final)
        progress.total(total, "jobs")
        progress.advance(ended - shown)
        progress.note(", ".join(f"{count} {state}" for state, count in counts.items()))
        if ended > shown:
            pause_s = _FIRST_PAUSE_S
        shown = ended
        if ended == total:
            return True
        now = time.monotonic()
        if now - looked_s > _BROKER_LOOK_S:
            missing = ensure_broker(grid)
            if missing is not None and not told:
                progress.warn(missing.message)
                told = True
            looked_s = now
        if timeout_s is not None:
            left_s = began_s + timeout_s - now
            if left_s <= 0:
                return False
            pause_s = min(pause_s, left_s)
        time.sleep(pause_s)
        pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)
