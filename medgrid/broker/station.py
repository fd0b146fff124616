"""What the broker knows of each worker while it runs."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from medgrid.broker.breaker import Breaker
from medgrid.broker.driver import Driver
from medgrid.broker.matching import Candidate
from medgrid.broker.messages import Command, Inbox
from medgrid.broker.shares import Shares
from medgrid.catalog.job_moves import AttemptEnd
from medgrid.catalog.worker_health import WorkerHealth
from medgrid.model import Cause, JobId, Priority, Sha256
from medgrid.workers.base import AttemptId, WorkerInfo

__all__ = ["LiveAttempt", "Station"]

_UNFIT_S = 600.0
_TRIAL_S = 30.0  # a job on trial whose program has run so long went well
_DURATION_WEIGHT = 0.2


@dataclass(slots=True)
class LiveAttempt:
    """An attempt this broker believes to live on a worker.

    `tries` and `strikes` are those of the job, this attempt not counted; `since_s` is when it was
    given to the worker (epoch seconds), `is_there` whether its agent has it, `runs_since_s` when it
    was heard that its program runs (monotonic).
    """

    job: JobId
    attempt: int
    slots: int
    algorithm: Sha256
    tries: int
    strikes: int
    owner: str
    priority: Priority
    since_s: float
    is_there: bool = False
    runs_since_s: float | None = None
    cancel_sent: bool = False

    @property
    def urgent_slots(self) -> int:
        """Slots that no emergency job can take."""
        return self.slots if self.priority is Priority.EMERGENCY else 0


@dataclass(slots=True)
class Station:
    """One worker: its driver, its connection, its attempts, and how it has behaved."""

    candidate: Candidate
    shares: Shares
    driver: Driver | None = None
    inbox: Inbox | None = None  # None: not connected
    info: WorkerInfo | None = None
    agent_id: str | None = None
    offset: int = 0
    live: dict[AttemptId, LiveAttempt] = field(default_factory=dict)
    down_since_s: float | None = None  # monotonic, as long as this process watches
    tried: bool = False  # the first connection has succeeded or failed
    trouble_text: str = ""
    breaker: Breaker = field(default_factory=lambda: Breaker(WorkerHealth()))
    saved: WorkerHealth = field(default_factory=WorkerHealth)  # as the catalog has it
    _unfit_until_s: dict[Sha256, float] = field(default_factory=dict)
    _durations_s: dict[Sha256, float] = field(default_factory=dict)  # lately, by algorithm
    _here: Counter[Sha256] = field(default_factory=Counter)  # attempts, by algorithm

    @property
    def name(self) -> str:
        """Name of the worker."""
        return self.candidate.worker.name

    def send(self, command: Command) -> None:
        """Hand a command to the driver; it is lost when there is no connection."""
        if self.inbox is not None:
            self.inbox.put(command)

    def add(self, attempt: AttemptId, live: LiveAttempt) -> None:
        """Count an attempt in."""
        if attempt not in self.live:
            self.candidate.used_slots += live.slots
            self.candidate.urgent_slots += live.urgent_slots
            self.shares.take(live.owner, live.job.submission, live.slots)
            self._here[live.algorithm] += 1
            self._expect()
        self.live[attempt] = live

    def place(self, attempt: AttemptId, live: LiveAttempt) -> None:
        """Count a new attempt in, which may be the one on trial."""
        self.add(attempt, live)
        if self.candidate.on_trial:
            self.breaker.trial = attempt
            self.candidate.has_trial = True

    def drop(self, attempt: AttemptId) -> LiveAttempt | None:
        """Count an attempt out."""
        live = self.live.pop(attempt, None)
        if self.breaker.trial == attempt:
            self.breaker.trial = None
            self.candidate.has_trial = False
        if live is not None:
            self.candidate.used_slots -= live.slots
            self.candidate.urgent_slots -= live.urgent_slots
            self.shares.give_back(live.owner, live.job.submission, live.slots)
            self._here[live.algorithm] -= 1
            if not self._here[live.algorithm]:
                del self._here[live.algorithm]
            self._expect()
        return live

    def runs(self, attempt: AttemptId) -> None:
        """Note that the program of an attempt runs."""
        live = self.live.get(attempt)
        if live is not None:
            live.runs_since_s = time.monotonic()

    def _expect(self) -> None:
        """Say how long what is here takes: as long as the longest of it, if all is known."""
        known = [self._durations_s.get(algorithm) for algorithm in self._here]
        if known:  # else as before
            found = [one for one in known if one is not None]
            self.candidate.duration_s = max(found) if len(found) == len(known) else None

    def loss(self) -> tuple[bool, int, float]:
        """How much is lost when one more emergency job comes here, to be compared.

        The agent suspends the lowest class first, and of it what was started last. While inputs of
        others are on their way, the emergency job would wait for them.
        """
        others = sorted(
            (-live.priority.rank, -live.since_s)
            for live in self.live.values()
            if live.priority is not Priority.EMERGENCY
        )
        taken = max(0, self.candidate.used_slots - self.candidate.worker.slots)
        is_staging = any(not live.is_there for live in self.live.values())
        rank, since_s = others[min(taken, len(others) - 1)] if others else (0, 0.0)
        return (is_staging, rank, since_s)

    def succeeded(self, attempt: AttemptId, duration_s: float | None) -> None:
        """Note that the worker did what it should (the job itself may have failed)."""
        self.breaker.succeeded(attempt)
        live = self.live.get(attempt)
        if duration_s is not None and live is not None:
            mean = self._durations_s.get(live.algorithm, duration_s)
            self._durations_s[live.algorithm] = mean + _DURATION_WEIGHT * (duration_s - mean)
            self._expect()

    def failed(self, end: AttemptEnd, job: JobId, algorithm: Sha256 | None) -> None:
        """Note an infrastructure failure: it may be out, or not see the algorithm for a while."""
        self.candidate.staged.clear()
        if end.cause is Cause.ENVIRONMENT and algorithm is not None:
            self.candidate.unfit[algorithm] = end.message
            self._unfit_until_s[algorithm] = time.monotonic() + _UNFIT_S
        elif not end.of_storage and (end.cause is not Cause.STAGE_IN or end.started_s is None):
            at_once = end.cause is Cause.NO_SPACE
            self.breaker.failed(job, f"{end.cause}: {end.message}", time.time(), at_once=at_once)

    def refresh(self) -> None:
        """Say in the candidate whether jobs may go here now."""
        now = time.monotonic()
        for digest, until_s in list(self._unfit_until_s.items()):
            if now > until_s:
                del self._unfit_until_s[digest]
                self.candidate.unfit.pop(digest, None)
        trial = self.live.get(self.breaker.trial or "") if self.inbox is not None else None
        if trial and trial.runs_since_s is not None and now - trial.runs_since_s > _TRIAL_S:
            self.breaker.trust()
        health, now_s = self.breaker.health, time.time()
        self.candidate.on_trial = health.is_on_trial(now_s)
        self.candidate.has_trial = self.breaker.trial is not None
        if self.inbox is None:
            self.candidate.trouble = (
                f"it does not answer: {self.trouble_text}" if self.tried else "it is being reached"
            )
        else:
            self.candidate.trouble = health.trouble(now_s)
