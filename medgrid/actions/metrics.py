"""Metrics: what there is to measure of the grid, for a monitoring system.

Numbers of all jobs, and names of workers. Nothing says whose a job is, or what it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from medgrid.actions.broker import broker_status
from medgrid.actions.grid import Grid
from medgrid.actions.keys import BROKER as BROKER_IDENTITY
from medgrid.actions.worker_load import worker_loads
from medgrid.catalog.leases import BROKER
from medgrid.crypto.identity_files import has_identity
from medgrid.errors import Denied

__all__ = ["Metric", "as_text", "metrics"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One family of samples, each with its labels."""

    name: str
    kind: str  # "gauge" or "counter"
    about: str
    samples: tuple[tuple[Mapping[str, str], float], ...]


def metrics(grid: Grid) -> list[Metric]:
    """Measure the grid.

    Raises
    ------
    ConfigError
        There is no grid here.
    Denied
        The broker's identity is not of this grid home: others see their own jobs alone.
    """
    catalog = grid.whole
    if not has_identity(grid.settings.keys_dir, BROKER_IDENTITY):
        raise Denied(
            "the numbers of all jobs are the broker's to tell",
            hint="run this in the grid home that keeps the broker's identity",
        )
    tally = catalog.jobs.tally
    broker = broker_status(grid)
    workers = list(worker_loads(catalog))
    age_s = catalog.leases.silent_s(BROKER)
    return [
        Metric(
            "medgrid_jobs",
            "gauge",
            "Jobs by state.",
            tuple(({"state": str(state)}, count) for state, count in tally.by_state().items()),
        ),
        Metric(
            "medgrid_attempts_total",
            "counter",
            "Attempts at jobs that ended, by cause; ok is success.",
            tuple(
                ({"cause": str(cause)}, count) for cause, count in tally.attempts_by_cause().items()
            ),
        ),
        Metric(
            "medgrid_worker_up",
            "gauge",
            "Whether the broker reaches the worker; 0 when no broker works.",
            _by_worker((one.name, broker.running and one.is_up) for one in workers),
        ),
        Metric(
            "medgrid_worker_enabled",
            "gauge",
            "Whether the worker may get jobs.",
            _by_worker((one.name, one.enabled) for one in workers),
        ),
        Metric(
            "medgrid_worker_slots",
            "gauge",
            "Jobs of one slot that the worker runs at a time.",
            _by_worker((one.name, one.slots) for one in workers),
        ),
        Metric(
            "medgrid_worker_slots_used",
            "gauge",
            "Slots of the worker that were given to jobs.",
            _by_worker((one.name, one.used) for one in workers),
        ),
        Metric(
            "medgrid_worker_slots_queued",
            "gauge",
            "Slots wanted by jobs that wait on the worker for a free one.",
            _by_worker((one.name, one.queued) for one in workers),
        ),
        Metric(
            "medgrid_broker_lease_held",
            "gauge",
            "Whether a broker holds the lease of the catalog, and lives.",
            (({}, float(broker.running)),),
        ),
        Metric(
            "medgrid_broker_heartbeat_age_seconds",
            "gauge",
            "How long ago a broker last said that it lives.",
            () if age_s is None else (({}, max(0.0, age_s)),),
        ),
    ]


def _by_worker(
    values: Iterable[tuple[str, float]],
) -> tuple[tuple[Mapping[str, str], float], ...]:
    return tuple(({"worker": name}, float(value)) for name, value in values)


def as_text(found: Iterable[Metric]) -> Iterator[str]:
    """Lines of the Prometheus text format 0.0.4."""
    for metric in found:
        yield f"# HELP {metric.name} {_escaped(metric.about)}"
        yield f"# TYPE {metric.name} {metric.kind}"
        for labels, value in metric.samples:
            inside = ",".join(
                f'{name}="{_escaped(text).replace(chr(34), chr(92) + chr(34))}"'
                for name, text in labels.items()
            )
            yield f"{metric.name}{inside and f'{{{inside}}}'} {_number(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
