"""Quota: what users may have at once, what they have, and what they had lately."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from medgrid.actions.grid import Grid
from medgrid.algorithms.invocation import slots_of
from medgrid.catalog import Catalog
from medgrid.catalog.quotas import HALF_LIFE_S, Quota
from medgrid.errors import UsageError

__all__ = ["Standing", "remove_quota", "set_quota", "slots_in_use", "standings"]


@dataclass(frozen=True, slots=True)
class Standing:
    """One user: quota, slots and jobs now, and slots on the average of the last hour or so."""

    owner: str
    quota: Quota
    slots: int
    jobs: int
    lately: float


def standings(grid: Grid) -> list[Standing]:
    """All users with a quota, open jobs or past ones; only oneself where the database says so."""
    catalog, now_s = grid.whole, time.time()
    quotas, open_jobs = catalog.quotas.all(), catalog.quotas.open_jobs()
    slots, usage = slots_in_use(catalog), catalog.quotas.usage()
    per_slot_s = HALF_LIFE_S / math.log(2)
    return [
        Standing(
            owner,
            quotas.get(owner, Quota()),
            slots.get(owner, 0),
            open_jobs.get(owner, 0),
            usage[owner].faded(now_s) / per_slot_s if owner in usage else 0.0,
        )
        for owner in sorted({*quotas, *open_jobs, *slots, *usage})
    ]


def slots_in_use(catalog: Catalog) -> dict[str, int]:
    """Slots that the jobs of each user have on workers."""
    found: dict[str, int] = {}
    for (owner, digest), jobs in catalog.jobs.tally.on_workers_of().items():
        slots = slots_of(catalog.algorithms.get(digest).descriptor)
        found[owner] = found.get(owner, 0) + jobs * slots
    return found


def set_quota(grid: Grid, owner: str, *, slots: int | None, jobs: int | None) -> Quota:
    """Change what is given of a user's quota, and leave the rest as it is; 0 is any number.

    Raises
    ------
    UsageError
        Nothing is given.
    Denied
        The database knows this user as one of many.
    """
    if slots is None and jobs is None:
        raise UsageError("no quota is given", hint="give --slots, --jobs or both")
    old = grid.whole.quotas.all().get(owner, Quota())
    new = Quota(
        old.slots if slots is None else slots or None, old.jobs if jobs is None else jobs or None
    )
    grid.whole.quotas.put(owner, new)
    return new


def remove_quota(grid: Grid, owner: str) -> None:
    """Let a user have any number; raises `NotFound` when they may already."""
    grid.whole.quotas.remove(owner)
