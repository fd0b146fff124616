"""The broker: seen to be there, run, asked to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from medgrid.actions.grid import Grid
from medgrid.catalog.leases import BROKER
from medgrid.errors import Unreachable

__all__ = ["BrokerStatus", "broker_status", "ensure_broker", "run_broker", "stop_broker"]


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """Whether a broker works on the catalog, and how much it has to do."""

    running: bool
    holder: str | None
    since_s: float | None
    silent_s: float | None
    open_jobs: int
    workers_down: dict[str, str]


def broker_status(grid: Grid) -> BrokerStatus:
    """Look at the broker."""
    from medgrid.broker.process import gone_process

    catalog = grid.catalog
    holder = catalog.leases.holder(BROKER)
    if gone_process(holder) is not None:
        holder = None
    links = catalog.jobs.desk.links()
    return BrokerStatus(
        running=holder is not None,
        holder=holder.holder if holder else None,
        since_s=holder.since_s if holder else None,
        silent_s=holder.silent_s if holder else None,
        open_jobs=catalog.jobs.desk.open_count(),
        workers_down={
            name: link.reason for name, link in links.items() if link.down_since_s is not None
        },
    )


def ensure_broker(grid: Grid) -> bool:
    """Start a broker in the background when none works and jobs are open.

    Returns
    -------
    bool
        Whether one was started.
    """
    from medgrid.broker.process import gone_process, start_in_background

    if not grid.settings.broker_autostart:
        return False
    holder = grid.catalog.leases.holder(BROKER)
    if holder is not None and gone_process(holder) is None:
        return False
    if not grid.catalog.jobs.desk.open_count():
        return False
    return start_in_background(grid.settings)


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

    broker = Broker(grid.catalog, grid.settings, idle_s=idle_s, until_stuck=until_stuck)
    if on_stop is not None:
        on_stop(broker.stop)
    broker.run()


def stop_broker(grid: Grid, timeout_s: float = 30.0) -> bool:
    """Ask the broker to end and wait until it has; False when none was there.

    Raises
    ------
    Unreachable
        It does not end in time.
    """
    if not broker_status(grid).running:
        return False
    leases = grid.catalog.leases
    leases.ask_to_stop(BROKER)
    until_s = time.monotonic() + timeout_s
    while broker_status(grid).running:
        if time.monotonic() > until_s:
            holder = leases.holder(BROKER)
            raise Unreachable(
                f"the broker ({holder.holder if holder else 'unknown'}) does not end",
                hint="end that process; another broker takes over",
            )
        time.sleep(0.1)
    return True
