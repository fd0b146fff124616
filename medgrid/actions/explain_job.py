"""Explain: all that is known of why a job is where it is."""

from __future__ import annotations

from dataclasses import dataclass

from medgrid.actions.broker import BrokerStatus, broker_status
from medgrid.actions.grid import Grid
from medgrid.actions.keys import readable
from medgrid.actions.match import candidates
from medgrid.actions.outlook import Outlook, Watch
from medgrid.broker.matching import Match, need_of, rank
from medgrid.catalog.job_states import PENDING
from medgrid.catalog.jobs import Attempt, JobEvent
from medgrid.model import Job, JobId

__all__ = ["Explanation", "explain_job"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A job, its history, how it goes on, and for one that waits how the workers stand."""

    job: Job
    inputs: dict[str, list[str]]  # role -> LFNs, or ids of what has none
    events: list[JobEvent]
    attempts: list[Attempt]
    outlook: Outlook | None
    ranking: list[Match]
    broker: BrokerStatus


def explain_job(grid: Grid, job_id: JobId) -> Explanation:
    """Gather all about one job; raises `NotFound` when there is none of this id."""
    catalog = grid.catalog
    job = readable(grid, catalog.jobs.job(job_id))
    ids = [one for many in job.inputs.values() for one in many]
    objects = catalog.objects.by_ids(ids)
    algorithm = catalog.algorithms.get(job.algorithm)
    workers = candidates(grid) if job.state in PENDING else []
    return Explanation(
        job=job,
        inputs={
            role: [str(objects[one].lfn or one) if one in objects else one for one in many]
            for role, many in job.inputs.items()
        },
        events=catalog.jobs.history(job_id),
        attempts=catalog.jobs.attempts(job_id),
        outlook=Watch(grid).outlook(job, algorithm, workers),
        ranking=rank(
            need_of(algorithm.descriptor),
            job.algorithm,
            list(objects.values()),
            catalog.objects.replicas(ids),
            {element.name: element.site for element in catalog.places.ses()},
            workers,
        ),
        broker=broker_status(grid),
    )
