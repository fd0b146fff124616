"""Outlook: what a job waits for, until when, and what comes then."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from medgrid.actions.broker import broker_status
from medgrid.actions.grid import Grid
from medgrid.actions.quota import slots_in_use
from medgrid.actions.troubles import worker_troubles
from medgrid.algorithms.invocation import limits_of
from medgrid.broker.matching import Candidate, need_of, objection
from medgrid.catalog.job_desk import WorkerLinkState
from medgrid.catalog.job_states import PENDING
from medgrid.catalog.quotas import Quota
from medgrid.model import Algorithm, Job, JobState, Priority

__all__ = ["Outlook", "Watch"]

_NAMES_SHOWN = 3
_NOT_STARTED = PENDING | {JobState.READY, JobState.SCHEDULED}
_NO_BROKER = "a broker: none works on this grid"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a job waits for; `until_s` is None when nobody knows how long.

    With `is_estimate` it is when the wait ends at the speed of late, not when somebody ends it.
    """

    waits_for: str
    until_s: float | None = None
    then: str = ""
    is_estimate: bool = False


class Watch:
    """What is asked of the grid to say how jobs go on; read once, when first needed."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    @cached_property
    def _links(self) -> Mapping[str, WorkerLinkState]:
        return self._grid.catalog.jobs.desk.links()

    @cached_property
    def _quotas(self) -> Mapping[str, Quota]:
        return self._grid.catalog.quotas.all()

    @cached_property
    def _has_broker(self) -> bool:
        return broker_status(self._grid).running

    def unknown(self, worker: str | None, attempt: int) -> Outlook:
        """How a job goes on whose worker does not answer."""
        if not self._has_broker:
            return Outlook(_NO_BROKER)
        link = self._links.get(worker or "")
        is_last = attempt >= self._grid.settings.max_attempts
        return Outlook(
            f"{worker} to answer",
            link.lost_at_s if link else None,
            "it is aborted: this was its last attempt" if is_last else "it goes elsewhere",
        )

    def outlook(
        self, job: Job, algorithm: Algorithm, candidates: Sequence[Candidate]
    ) -> Outlook | None:
        """How a job goes on; None when it has ended."""
        state = job.state
        if state.is_final:
            return None
        if state is JobState.RUNNING and job.suspended_s and not job.cancel_asked:
            return Outlook(f"an emergency job on {job.worker} to end", then="it goes on")
        if state is JobState.RUNNING and not job.cancel_asked:
            limit_s = limits_of(algorithm.descriptor).walltime_s
            if limit_s is None or job.started_s is None:
                return Outlook("its program to end")
            until_s = job.started_s + job.paused_s + limit_s
            return Outlook("its program to end", until_s, "it is stopped")
        if not self._has_broker:
            return Outlook(_NO_BROKER)
        if state is JobState.UNKNOWN:
            return self.unknown(job.worker, job.attempt)
        if job.cancel_asked:
            return Outlook(f"{job.worker} to stop it")
        if state is JobState.SCHEDULED:
            return self._in_turn(job, f"a free slot on {job.worker}")
        if state is JobState.READY:
            return Outlook(f"{job.worker} to take it, with its inputs and code")
        return self._pending(job, algorithm, candidates)

    def _pending(self, job: Job, algorithm: Algorithm, candidates: Sequence[Candidate]) -> Outlook:
        now = time.time()
        if job.not_before_s > now:
            return Outlook(
                "the pause after a failed attempt to end", job.not_before_s, "it is tried again"
            )
        if job.state is JobState.SUBMITTED:
            return Outlook("the broker to look at it")
        need = need_of(algorithm.descriptor)
        fit = [one for one in candidates if objection(need, job.algorithm, one) is None]
        if not fit:
            return Outlook("a worker that can take it")
        free = [one.worker.name for one in fit if one.trouble is None]
        limit = self._quotas[job.owner].slots if job.owner in self._quotas else None
        if free and limit is not None and job.priority is not Priority.EMERGENCY:
            used = slots_in_use(self._grid.catalog).get(job.owner, 0)
            if used + need.slots > limit:
                return Outlook(f"a job of {job.owner} to end: the quota is {limit} slots at once")
        if free:
            return self._in_turn(job, f"a free slot on {_any_of(free)}")
        names = [one.worker.name for one in fit]
        troubles = worker_troubles(self._grid.catalog)
        outages = [
            until_s
            for name in names
            if name in troubles and (until_s := troubles[name].until_s) is not None
        ]
        if outages:
            return Outlook(
                f"{_any_of(names)} to take jobs again", min(outages), "it is tried again"
            )
        return Outlook(f"{_any_of(names)} to answer")

    def _in_turn(self, job: Job, waits_for: str) -> Outlook:
        """Until the jobs of its submission before it have been started, at the speed of late."""
        tally, number = self._grid.catalog.jobs.tally, job.id.submission
        speed = tally.totals([str(number)])
        if not speed.ended:
            return Outlook(waits_for)
        states = tally.totals([f"{number}.1-{job.id.number}"]).states
        ahead = sum(states.get(one, 0) for one in _NOT_STARTED)
        until_s = time.time() + ahead / speed.ended * speed.span_s
        return Outlook(waits_for, until_s, is_estimate=True)


def _any_of(names: Iterable[str]) -> str:
    """``a, b or c``.

    Examples
    --------
    >>> _any_of(["w1", "w2", "w3", "w4", "w5"])
    'w1, w2, w3 or 2 more'
    """
    shown = list(names)
    if len(shown) > _NAMES_SHOWN + 1:
        shown[_NAMES_SHOWN:] = [f"{len(shown) - _NAMES_SHOWN} more"]
    *most, last = shown
    return f"{', '.join(most)} or {last}" if most else last
