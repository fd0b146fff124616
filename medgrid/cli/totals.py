"""Jobs counted, as ``status --count`` and ``top`` show them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from medgrid.cli.output import emit_json, emit_table
from medgrid.cli.times import shown_time

if TYPE_CHECKING:
    from medgrid.catalog.job_tally import Totals
    from medgrid.cli.params import Session

__all__ = ["emit_totals", "totals_document", "totals_rows"]


def emit_totals(session: Session, totals: Totals) -> None:
    """Print counts of jobs, how fast they end, and when the rest will have."""
    if session.as_json:
        emit_json("job-totals/1", totals_document(totals))
    else:
        emit_table(totals_rows(totals), ["jobs", ""])


def totals_rows(totals: Totals) -> list[tuple[str, Any]]:
    """Names and values; what is not known is empty."""
    minutes = max(1, round(totals.span_s / 60))
    speed = totals.per_minute
    return [
        *((str(state), count) for state, count in totals.states.items()),
        *((f"failed: {cause}", count) for cause, count in totals.failures.items()),
        (f"ended in the last {minutes} min", totals.ended),
        ("jobs per minute", "" if speed is None else float(f"{speed:.3g}")),
        ("ETA", "" if totals.left_s is None else shown_time(time.time() + totals.left_s)),
    ]


def totals_document(totals: Totals) -> dict[str, Any]:
    """The same for programs."""
    return {
        "states": {str(state): count for state, count in totals.states.items()},
        "failures": dict(totals.failures),
        "left": totals.left,
        "ended": totals.ended,
        "span_s": totals.span_s,
        "per_minute": totals.per_minute,
        "left_s": totals.left_s,
        "eta_s": None if totals.left_s is None else time.time() + totals.left_s,
    }
