"""How workers behave: failures in a row, and until when one that fails gets no jobs.

The broker writes it, inside `LeaseStore.writing`; the next broker goes on from it, and everybody
may look.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import delete, insert, select

from medgrid.catalog.job_schema import worker_health
from medgrid.database import Database

__all__ = ["HealthStore", "WorkerHealth"]


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """What the infrastructure of a worker did lately.

    Attributes
    ----------
    failures : int
        In a row, of different jobs.
    outages : int
        How often in a row it was out; 0 when it is trusted.
    since_s, until_s : float
        When it went out the last time, and when it gets a job on trial (epoch seconds).
    reason : str
        What failed last.
    """

    failures: int = 0
    outages: int = 0
    since_s: float = 0.0
    until_s: float = 0.0
    reason: str = ""

    def is_out(self, now_s: float) -> bool:
        """Whether it gets no job now; what began in the future says that the clock was set back."""
        return self.outages > 0 and self.since_s <= now_s < self.until_s

    def is_on_trial(self, now_s: float) -> bool:
        """Whether it gets one job, whose end decides."""
        return self.outages > 0 and not self.is_out(now_s)

    def trouble(self, now_s: float) -> str | None:
        """Why it gets no job now, None when it may get one.

        Examples
        --------
        >>> WorkerHealth().trouble(0.0) is None
        True
        """
        if not self.is_out(now_s):
            return None
        return f"it is out until {_clock(self.until_s, now_s)} after failures: {self.reason}"


def _clock(time_s: float, now_s: float) -> str:
    day, today = (time.strftime("%Y-%m-%d", time.localtime(one)) for one in (time_s, now_s))
    clock = time.strftime("%H:%M:%S", time.localtime(time_s))
    return clock if day == today else f"{day} {clock}"


class HealthStore:
    """Health by name of worker; one without an entry never failed."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def all(self) -> Mapping[str, WorkerHealth]:
        """Of all workers that failed."""
        columns = [one for one in worker_health.c if one.name != "worker"]
        with self._db.read() as connection:
            rows = connection.execute(select(worker_health.c.worker, *columns))
            return {row[0]: WorkerHealth(*row[1:]) for row in rows}

    def save(self, worker: str, health: WorkerHealth) -> None:
        """Remember how a worker behaves."""
        with self._db.write() as connection:
            connection.execute(delete(worker_health).where(worker_health.c.worker == worker))
            if health != WorkerHealth():
                connection.execute(insert(worker_health).values(worker=worker, **asdict(health)))

    def forget(self, worker: str) -> None:
        """Trust a worker again."""
        self.save(worker, WorkerHealth())
