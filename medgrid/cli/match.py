"""``medgrid list-match`` and ``medgrid explain``: where a job could go, and why it does not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.output import emit, emit_json, emit_lines, emit_table
from medgrid.cli.params import Session, input_option, pass_session, read_words
from medgrid.cli.times import shown_time
from medgrid.model import JobId

if TYPE_CHECKING:
    from medgrid.actions.explain_job import Explanation
    from medgrid.actions.outlook import Outlook

__all__ = ["explain", "list_match"]


@click.command("list-match")
@click.argument("algorithm")
@click.argument("lfns", nargs=-1, metavar="[LFN]...")
@input_option("LFNs")
@pass_session
def list_match(
    session: Session, algorithm: str, lfns: tuple[str, ...], input_files: tuple[str, ...]
) -> int:
    """Rank the workers for one job of ALGORITHM on LFNs, best first.

    Shows the bytes that would have to be moved, the load, and why a worker is out.
    """
    from medgrid.actions.match import list_match as act

    words = read_words(lfns, input_files, "LFN")
    matches = act(session.open_grid(), algorithm, words)
    rows = (
        {
            "rank": None if match.objection else place,
            "worker": match.worker,
            "site": match.site,
            "bytes_to_move": match.bytes_to_move,
            "load": round(match.load, 3),
            "objection": match.objection,
        }
        for place, match in enumerate(matches, 1)
    )
    columns = ["rank", "worker", "site", "bytes_to_move", "load", "objection"]
    emit(session, "match/1", rows, columns, [*columns[:3], "bytes to move", *columns[4:]])
    return 0


@click.command()
@click.argument("job_id", metavar="ID")
@pass_session
def explain(session: Session, job_id: str) -> int:
    """Say where a job is, why it waits, for what and until when, and what happened so far."""
    from medgrid.actions.explain_job import explain_job

    found = explain_job(session.open_grid(), JobId.parse(job_id))
    if session.as_json:
        emit_json("job-explanation/1", _document(found))
        return 0
    job = found.job
    facts: list[tuple[str, Any]] = [
        ("job", job.id),
        ("algorithm", job.algorithm_label),
        ("owner", job.owner),
        ("state", job.state),
        ("reason", job.reason),
        ("cause", job.cause),
        ("exit code", job.exit_code),
        ("worker", job.worker),
        ("attempt", job.attempt or None),
        *_ahead(found.outlook),
        ("priority", job.priority),
        *((f"input {role}", lfns) for role, lfns in found.inputs.items()),
        *((f"parameter {name}", value) for name, value in job.parameters.items()),
        *((f"output {one.role}", one.lfn or one.filename) for one in job.outputs),
    ]
    if not job.state.is_final:
        broker = found.broker
        facts.append(("broker", broker.holder if broker.running else "none works on this grid"))
    emit_table([fact for fact in facts if fact[1] not in (None, "")], ["", ""])
    emit_lines(["", "history"])
    emit_table(
        (
            (shown_time(e.time_s), e.state, e.attempt or None, e.worker, e.reason)
            for e in found.events
        ),
        ["time", "state", "attempt", "worker", "reason"],
    )
    if found.ranking:
        emit_lines(["", "workers"])
        emit_table(
            (
                (m.worker, m.bytes_to_move, f"{m.load:.2f}", m.objection or "could take it")
                for m in found.ranking
            ),
            ["worker", "bytes to move", "load", ""],
        )
    if job.stderr_tail.strip():
        emit_lines(["", "end of stderr", job.stderr_tail.rstrip("\n")])
    return 0


def _ahead(outlook: Outlook | None) -> list[tuple[str, str]]:
    """What a job waits for, until when, and what comes then."""
    if outlook is None:
        return []
    until = shown_time(outlook.until_s) or "nobody knows"
    if outlook.is_estimate:
        until = f"about {until}, at the speed of late"
    return [("waits for", outlook.waits_for), ("until", until), ("then", outlook.then)]


def _document(found: Explanation) -> dict[str, Any]:
    job = found.job
    document = {name: value for name, value in asdict(job).items() if name not in ("inputs", "id")}
    return {
        "id": str(job.id),
        **document,
        "inputs": found.inputs,
        "events": [asdict(event) for event in found.events],
        "attempts": [asdict(attempt) for attempt in found.attempts],
        "outlook": asdict(found.outlook) if found.outlook else None,
        "ranking": [asdict(match) for match in found.ranking],
        "broker": asdict(found.broker),
    }
