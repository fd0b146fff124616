"""Status: where jobs are; waiting for their end."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence

from medgrid.actions.broker import ensure_broker
from medgrid.actions.grid import Grid
from medgrid.actions.progress import SILENT, Progress
from medgrid.catalog.jobs import JobLine
from medgrid.model import JobState

__all__ = ["chosen", "job_counts", "job_lines", "wait"]

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


def job_counts(grid: Grid, words: Sequence[str]) -> dict[JobState, int]:
    """How many of the jobs named are in which state."""
    return grid.catalog.jobs.counts(words)


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
