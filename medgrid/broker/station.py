"""What the broker knows of each worker while it runs."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from medgrid.broker.driver import Driver
from medgrid.broker.matching import Candidate
from medgrid.broker.messages import Command, Inbox
from medgrid.model import Cause, JobId, Sha256
from medgrid.workers.base import AttemptId, WorkerInfo

__all__ = ["LiveAttempt", "Station"]

_FAILURES_TO_REST = 3
_REST_S = 30.0
_LONGEST_REST_S = 600.0
_UNFIT_S = 600.0
_DURATION_WEIGHT = 0.2


@dataclass(slots=True)
class LiveAttempt:
    """An attempt this broker believes to live on a worker."""

    job: JobId
    attempt: int
    slots: int
    algorithm: Sha256
    cancel_sent: bool = False


@dataclass(slots=True)
class Station:
    """One worker: its driver, its connection, its attempts, and how it has behaved."""

    candidate: Candidate
    driver: Driver | None = None
    inbox: Inbox | None = None  # None: not connected
    info: WorkerInfo | None = None
    agent_id: str | None = None
    offset: int = 0
    live: dict[AttemptId, LiveAttempt] = field(default_factory=dict)
    down_since_s: float | None = None  # monotonic, as long as this process watches
    tried: bool = False  # the first connection has succeeded or failed
    trouble_text: str = ""
    _failures: int = 0
    _rest_until_s: float = 0.0
    _unfit_until_s: dict[Sha256, float] = field(default_factory=dict)

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
        self.live[attempt] = live

    def drop(self, attempt: AttemptId) -> LiveAttempt | None:
        """Count an attempt out."""
        live = self.live.pop(attempt, None)
        if live is not None:
            self.candidate.used_slots -= live.slots
        return live

    def succeeded(self, duration_s: float | None) -> None:
        """Note that the worker did what it should (the job itself may have failed)."""
        self._failures = 0
        if duration_s is not None:
            mean = self.candidate.mean_duration_s
            self.candidate.mean_duration_s = (
                duration_s if mean is None else mean + _DURATION_WEIGHT * (duration_s - mean)
            )

    def failed(self, cause: Cause, message: str, algorithm: Sha256 | None) -> None:
        """Note an infrastructure failure: the worker may rest, or never see the algorithm again."""
        self.candidate.staged.clear()
        now = time.monotonic()
        if cause is Cause.ENVIRONMENT and algorithm is not None:
            self.candidate.unfit[algorithm] = message
            self._unfit_until_s[algorithm] = now + _UNFIT_S
            return
        if cause is Cause.STAGE_IN:
            return  # the storage element's fault more often than the worker's
        self._failures += 1
        if self._failures >= _FAILURES_TO_REST or cause is Cause.NO_SPACE:
            times = max(0, self._failures - _FAILURES_TO_REST)
            rest_s = min(_LONGEST_REST_S, _REST_S * 2**times)
            self._rest_until_s = now + rest_s * random.uniform(0.9, 1.1)  # noqa: S311
            self.trouble_text = message

    def refresh(self) -> None:
        """Say in the candidate whether jobs may go here now."""
        now = time.monotonic()
        for digest, until_s in list(self._unfit_until_s.items()):
            if now > until_s:
                del self._unfit_until_s[digest]
                self.candidate.unfit.pop(digest, None)
        if self.inbox is None:
            self.candidate.trouble = (
                f"it does not answer: {self.trouble_text}" if self.tried else "it is being reached"
            )
        elif now < self._rest_until_s:
            self.candidate.trouble = f"it rests after failures: {self.trouble_text}"
        else:
            self.candidate.trouble = None
