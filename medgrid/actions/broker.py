"""The broker: seen to be there, run, asked to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from medgrid.actions.grid import Grid
from medgrid.catalog.leases import (
    BROKER,
    TTL_S,
    LeaseHeld,
    LeaseHolder,
    LeaseStore,
    is_fresh,
    open_leases,
)
from medgrid.config import Settings
from medgrid.errors import MedgridError, Unreachable

__all__ = [
    "BrokerStatus",
    "MissingBroker",
    "broker_status",
    "ensure_broker",
    "refuse_broker",
    "run_broker",
    "stop_broker",
]


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """Whether a broker works on the catalog, and how much it has to do."""

    running: bool
    holder: str | None
    since_s: float | None
    silent_s: float | None
    open_jobs: int
    workers_down: dict[str, str]
    workers_out: dict[str, str]


@dataclass(frozen=True, slots=True)
class MissingBroker:
    """Jobs were open and no broker worked on them; `reason` is empty when it is not known."""

    open_jobs: int
    started: bool
    reason: str

    @property
    def message(self) -> str:
        """What to tell the user."""
        jobs = "1 open job" if self.open_jobs == 1 else f"{self.open_jobs} open jobs"
        if not self.started:
            return f"no broker works on the {jobs}{self.reason and f': {self.reason}'}"
        last = f"; the last one ended: {self.reason}" if self.reason else ""
        return f"no broker worked on the {jobs}, one is started{last}"

    @property
    def hint(self) -> str:
        """What the user can do."""
        if self.started:
            return "see 'medgrid broker status', and log/broker.log in the grid home"
        return "start one with 'medgrid broker run', or 'medgrid broker once'"


def broker_status(grid: Grid) -> BrokerStatus:
    """Look at the broker."""
    catalog = grid.whole
    holder = _living(catalog.leases)
    links = catalog.jobs.desk.links()
    now_s = time.time()
    return BrokerStatus(
        running=holder is not None,
        holder=holder.holder if holder else None,
        since_s=holder.since_s if holder else None,
        silent_s=holder.silent_s if holder else None,
        open_jobs=catalog.jobs.desk.open_count(),
        workers_down={
            name: link.reason for name, link in links.items() if link.down_since_s is not None
        },
        workers_out={
            name: trouble
            for name, health in catalog.health.all().items()
            if (trouble := health.trouble(now_s))
        },
    )


def ensure_broker(grid: Grid) -> MissingBroker | None:
    """Start a broker in the background when none works and jobs are open.

    Returns
    -------
    MissingBroker or None
        What there is to say when jobs are open and no broker was there or on its way.
    """
    from medgrid.actions.identity_init import BROKER as BROKER_IDENTITY
    from medgrid.broker.process import is_starting, last_error, start_in_background
    from medgrid.crypto.identity_files import has_identity

    if _living(grid.whole.leases) is not None:
        return None
    open_jobs = grid.whole.jobs.desk.open_count()
    if not open_jobs:
        return None
    settings = grid.settings
    if not settings.broker_autostart:
        return MissingBroker(open_jobs, started=False, reason="")
    if not has_identity(settings.keys_dir, BROKER_IDENTITY):
        return MissingBroker(
            open_jobs, started=False, reason="its identity is kept in another grid home"
        )
    if is_starting(settings):
        return None
    reason = last_error(settings)
    try:
        start_in_background(settings)
    except MedgridError as error:
        return MissingBroker(open_jobs, started=False, reason=error.message)
    return MissingBroker(open_jobs, started=True, reason=reason)


def run_broker(
    grid: Grid,
    *,
    idle_s: float | None = None,
    until_stuck: bool = False,
    on_stop: Callable[[Callable[[], None]], None] | None = None,
) -> None:
    """Be the broker.

    Parameters
    ----------
    idle_s : float, optional
        End after so long without open jobs.
    until_stuck : bool
        End when nothing is left that this process could do.
    on_stop : callable, optional
        Is handed the function that ends the broker, for signal handlers.

    Raises
    ------
    LeaseHeld
        Another broker works on this catalog.
    """
    from medgrid.broker.loop import Broker

    broker = Broker(
        grid.whole,
        grid.settings,
        grid.broker_vault,
        idle_s=idle_s,
        until_stuck=until_stuck,
    )
    if on_stop is not None:
        on_stop(broker.stop)
    broker.run()


def stop_broker(settings: Settings, timeout_s: float = 30.0) -> bool:
    """Ask the broker to end and wait until it has; False when none was there.

    Works on an older catalog, too, which is not upgraded under a broker.

    Raises
    ------
    Unreachable
        It does not end in time, or is not heard of any more.
    """
    from medgrid.broker.process import gone_process

    with open_leases(settings.catalog_url) as leases:
        if _living(leases) is None:
            return False
        leases.ask_to_stop(BROKER)
        until_s = time.monotonic() + timeout_s
        while holder := leases.holder(BROKER, also_silent=True):
            if gone_process(holder) is not None:
                break
            if not is_fresh(holder.silent_s):
                raise Unreachable(
                    f"the broker ({holder.holder}) has said nothing for {TTL_S:g} s: it may have "
                    "ended or stand still; its lease is free",
                    hint="see whether that process is there, and end it; another broker may take "
                    "over, and then it can write no more",
                )
            if time.monotonic() > until_s:
                raise Unreachable(
                    f"the broker ({holder.holder}) does not end",
                    hint="end that process; another broker takes over",
                )
            time.sleep(0.1)
        return True


def refuse_broker(leases: LeaseStore) -> None:
    """Return when no broker works.

    Raises
    ------
    LeaseHeld
        One does.
    """
    holder = _living(leases)
    if holder is not None:
        raise LeaseHeld(
            f"no upgrade while a broker works: {holder.holder}",
            hint="end it with 'medgrid broker stop', then say the same again",
        )


def _living(leases: LeaseStore) -> LeaseHolder | None:
    """The broker that works, None when there is none."""
    from medgrid.broker.process import gone_process

    holder = leases.holder(BROKER)
    return holder if gone_process(holder) is None else None
