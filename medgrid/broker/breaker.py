"""Whether a worker may be given jobs, from how its infrastructure did with the last ones.

After some failures in a row it is out for a while, then gets one job on trial: when that ends well,
or has run for a while, all is forgotten; when it fails the worker is out for longer.
"""

from __future__ import annotations

from medgrid.broker.backoff import pause
from medgrid.catalog.worker_health import WorkerHealth
from medgrid.model import JobId
from medgrid.workers.base import AttemptId

__all__ = ["Breaker"]

_FAILURES_MOST = 3
_OUT_S = 60.0
_LONGEST_OUT_S = 3600.0


class Breaker:
    """Counts the failures of one worker.

    Attributes
    ----------
    health : WorkerHealth
        What is to be remembered.
    trial : AttemptId or None
        The attempt that decides.
    """

    def __init__(self, health: WorkerHealth) -> None:
        self.health = health
        self.trial: AttemptId | None = None
        self._failed: set[JobId] = set()

    def failed(self, job: JobId, reason: str, now_s: float, *, at_once: bool = False) -> None:
        """Note that the infrastructure failed an attempt.

        One job that fails again and again may itself be why: it counts once. What fails while the
        worker is out had been given before, and says nothing new.

        Parameters
        ----------
        at_once : bool
            The next job would fail, too.
        """
        known = self.health
        if known.is_out(now_s):
            return
        failures = known.failures + (job not in self._failed)
        self._failed.add(job)
        out = at_once or known.is_on_trial(now_s) or failures >= _FAILURES_MOST
        outages = known.outages + out
        until_s = now_s + pause(_OUT_S, _LONGEST_OUT_S, outages) if out else 0.0
        self.health = WorkerHealth(failures, outages, now_s if out else 0.0, until_s, reason)
        self.trial = None

    def succeeded(self, attempt: AttemptId) -> None:
        """Note that the worker did with an attempt what it should."""
        if self.health.outages and attempt != self.trial:
            return  # it was given before the worker failed
        self.trust()

    def trust(self) -> None:
        """Forget all failures."""
        self.health = WorkerHealth()
        self.trial = None
        self._failed.clear()
