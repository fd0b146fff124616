"""``medgrid broker``: the process that moves jobs."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable

import click

from medgrid.cli.output import emit_json, emit_lines, emit_table, note
from medgrid.cli.params import Session, pass_session
from medgrid.errors import Busy

__all__ = ["broker"]


@click.group()
def broker() -> None:
    """The process that moves jobs: one for each catalog.

    'submit' starts one in the background when none runs, and it ends when nothing is left to do;
    these commands are for systemd, cron, and people who look after it.
    """


@broker.command()
@click.option("--background", is_flag=True, hidden=True)
@pass_session
def run(session: Session, background: bool) -> int:
    """Move jobs until told to stop (SIGTERM, SIGINT or 'medgrid broker stop')."""
    from medgrid.actions.broker import run_broker

    grid = session.open_grid()
    _log(session)
    idle_s = grid.settings.broker_idle_s if background else None
    try:
        run_broker(grid, idle_s=idle_s, on_stop=_signals)
    except Busy as exc:
        if not background:
            raise
        logging.getLogger("medgrid.broker").info("%s", exc)
    return 0


@broker.command()
@pass_session
def once(session: Session) -> int:
    """Move jobs until nothing is left to do, or all that is left waits; for cron."""
    from medgrid.actions.broker import run_broker

    grid = session.open_grid()
    _log(session)
    run_broker(grid, until_stuck=True, on_stop=_signals)
    return 0


@broker.command()
@pass_session
def status(session: Session) -> int:
    """Say whether a broker works, where, and how much it has to do."""
    from dataclasses import asdict

    from medgrid.actions.broker import broker_status

    found = broker_status(session.open_grid())
    if session.as_json:
        emit_json("broker/1", asdict(found))
        return 0
    rows = [
        ("broker", found.holder if found.running else "none"),
        ("open jobs", found.open_jobs),
        *(
            (f"worker {name}", f"does not answer: {why}")
            for name, why in found.workers_down.items()
        ),
        *((f"worker {name}", why.removeprefix("it ")) for name, why in found.workers_out.items()),
    ]
    emit_table(rows, ["", ""])
    return 0


@broker.command()
@pass_session
def metrics(session: Session) -> int:
    """Print numbers for a monitoring system, in the text format of Prometheus.

    Jobs by state, ended attempts by cause, workers and their slots, and whether a broker works: of
    all users, without saying whose. Only where the broker's identity is kept.

    \b
    medgrid broker metrics >/var/lib/node_exporter/medgrid.tmp &&
        mv /var/lib/node_exporter/medgrid.tmp /var/lib/node_exporter/medgrid.prom
    """
    from dataclasses import asdict

    from medgrid.actions.metrics import as_text
    from medgrid.actions.metrics import metrics as measure

    found = measure(session.open_grid())
    if session.as_json:
        emit_json("broker-metrics/1", {"metrics": [asdict(one) for one in found]})
    else:
        emit_lines(as_text(found))
    return 0


@broker.command()
@pass_session
def stop(session: Session) -> int:
    """End the broker; jobs on workers go on, and the next broker takes over."""
    from medgrid.actions.broker import stop_broker

    stopped = stop_broker(session.settings())
    if session.as_json:
        emit_json("broker-stop/1", {"stopped": stopped})
    else:
        note(session, "the broker has ended" if stopped else "no broker works on this grid")
    return 0


def _signals(end: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: end())


def _log(session: Session) -> None:
    level = logging.WARNING if session.quiet else logging.INFO
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("medgrid.broker")
    logger.setLevel(level)
    logger.addHandler(handler)
