"""Why workers get no jobs, as far as the catalog knows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from medgrid.catalog import Catalog

__all__ = ["Trouble", "worker_troubles"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a worker.

    Attributes
    ----------
    text : str
        Why it gets no job, or one alone.
    since_s : float
    until_s : float or None
        When it gets one again; None is when it answers.
    failures : int
        Of its infrastructure, in a row.
    """

    text: str
    since_s: float
    until_s: float | None
    failures: int
    is_out: bool


def worker_troubles(catalog: Catalog) -> Mapping[str, Trouble]:
    """Trouble by name, of the workers that have any."""
    now_s = time.time()
    found = {}
    for name, health in catalog.health.all().items():
        if health.outages:
            text = health.trouble(now_s) or f"it is on trial after failures: {health.reason}"
            is_out = health.is_out(now_s)
            found[name] = Trouble(text, health.since_s, health.until_s, health.failures, is_out)
    for name, link in catalog.jobs.desk.links().items():
        if link.down_since_s is not None:
            failures = found[name].failures if name in found else 0
            text = f"it does not answer: {link.reason}"
            found[name] = Trouble(text, link.down_since_s, None, failures, is_out=True)
    return found
