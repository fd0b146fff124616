"""What must be true of a grid when all faults are healed and all jobs have ended."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from medgrid.actions.fetch import fetch
from medgrid.actions.fsck import Finding, Kind, Orders, check_grid
from medgrid.actions.outcome import Failure
from medgrid.actions.transfer import BadReplica
from medgrid.database import Database
from medgrid.model import Cause, Job, JobState
from tests.campaign.workload import Asked, expected_outputs
from tests.lab.arena import Arena, Spot

__all__ = ["violations"]


def violations(arena: Arena, asked: Asked) -> Iterator[str]:
    """Say what is not as it must be.

    Parameters
    ----------
    asked : dict
        The jobs that were submitted, all of which ended well or by their own exit code if nothing
        was lost.
    """
    with arena.field.grid() as grid:
        jobs = {job.id: job for job in grid.whole.jobs.jobs({str(job.submission) for job in asked})}
        lent = grid.vault.lent()
    if set(jobs) != set(asked):
        yield f"the catalog has the jobs {sorted(jobs)}, submitted were {sorted(asked)}"
        return
    yield from _ends(asked, jobs)
    yield from _outputs(arena, asked, jobs)
    yield from _agents(arena, asked, jobs)
    for spot in arena.spots:
        yield from _left_over(spot)
    if lent:
        yield f"keys are still lent to ended jobs: {lent}"
    yield from _stored(arena)
    yield from _catalog(arena)


def _ends(asked: Asked, jobs: dict[Any, Job]) -> Iterator[str]:
    for job_id, kind in asked.items():
        job = jobs[job_id]
        wanted: tuple[Any, ...] = (JobState.DONE, Cause.OK, 0)
        if kind.mode == "fail":
            wanted = (JobState.DONE, Cause.EXIT, kind.code)
        found = (job.state, job.cause, job.exit_code)
        if found != wanted:
            yield f"job {job_id} ({kind.mode}): {found}, not {wanted}: {job.reason}"
        if job.outputs and job.cause is not Cause.OK:
            yield f"job {job_id} failed and has outputs"


def _outputs(arena: Arena, asked: Asked, jobs: dict[Any, Job]) -> Iterator[str]:
    good = [str(job_id) for job_id, job in jobs.items() if job.cause is Cause.OK]
    if not good:
        return
    folder = arena.directory / "out"
    shutil.rmtree(folder, ignore_errors=True)
    bad: list[BadReplica] = []
    with arena.field.grid() as grid:
        for one in fetch(grid, good, folder, on_bad=bad.append):
            if isinstance(one, Failure):
                yield f"fetch: {one}"
    if bad:
        yield f"fetch found bad replicas: {bad}"
    for job_id in good:
        kind = next(kind for one, kind in asked.items() if str(one) == job_id)
        wanted = expected_outputs(kind)
        paths = [path for path in (folder / job_id).rglob("*") if path.is_file()]
        found = {
            path.name: path.read_bytes()
            for path in paths
            if path.name not in ("stdout.txt", "stderr.txt")
        }
        # outputs of protected jobs are called after their role
        if Counter(found.values()) != Counter(wanted.values()):
            sizes = {name: len(data) for name, data in found.items()}
            yield f"job {job_id} ({kind.mode}): outputs {sizes} are not what it wrote"


def _agents(arena: Arena, asked: Asked, jobs: dict[Any, Job]) -> Iterator[str]:
    """Each attempt started and ended at most once, whoever is asked."""
    events: dict[str, Counter[str]] = defaultdict(Counter)
    starts: Counter[str] = Counter()
    for spot in arena.spots:
        own: dict[str, Counter[str]] = defaultdict(Counter)
        for record in spot.journal():
            if "attempt" in record:
                own[record["attempt"]][record["event"]] += 1
        for attempt, seen in own.items():
            many = [event for event, count in seen.items() if count > 1]
            if many:
                yield f"attempt {attempt} has more than one record of {many} on {spot.name}"
            if "accepted" in seen and "done" not in seen:
                yield f"attempt {attempt} was accepted by {spot.name} and never ended"
            events[attempt] += seen
        for line in spot.trace():
            mark, _, name = line.partition(" ")
            starts[mark.partition("/")[2]] += 1
            if name not in {kind.name for kind in asked.values()}:
                yield f"{spot.name}: an unknown job started: {line!r}"
    for attempt, seen in events.items():
        if seen["started"] > 1:
            yield f"attempt {attempt} was started on more than one worker"
    for attempt, count in starts.items():
        if count > 1:
            yield f"attempt {attempt} started {count} times"
    for job_id, job in jobs.items():
        attempt = f"{job_id}.{job.attempt}"
        if job.cause is Cause.OK and not events[attempt]["done"]:
            yield f"attempt {attempt} is done in the catalog, and in no journal"


def _left_over(spot: Spot) -> Iterator[str]:
    for process in spot.marked():
        yield f"{spot.name}: an orphan runs: {process}"
    if spot.attempts():
        yield f"{spot.name}: directories of attempts are left: {spot.attempts()}"
    if spot.in_memory():
        yield f"{spot.name}: private directories are left: {spot.in_memory()}"


def _stored(arena: Arena) -> Iterator[str]:
    """All is stored that the catalog has, and nothing else."""
    found: list[Finding] = []
    with arena.field.grid() as grid:
        report = check_grid(grid, [], found.append, Orders(deep=True, min_age_s=-1.0))
    for failure in report.failures:
        yield f"fsck: {failure}"
    for one in found:
        if one.kind is not Kind.TEMPORARY:
            yield f"fsck: {one.kind} {one.se} {one.pfn} {one.name} {one.detail}"
    if any(one.kind is Kind.TEMPORARY for one in found):  # what a killed broker was writing
        with arena.field.grid() as grid:
            check_grid(grid, [], found.append, Orders(mend=True, min_age_s=-1.0))
        left = [path.name for path in (arena.first / ".tmp").glob("*")]
        left += [path.name for path in (arena.second / ".tmp").glob("*")]
        if left:
            yield f"fsck left temporary files: {left}"


def _catalog(arena: Arena) -> Iterator[str]:
    """The database is sound, and its tables agree with each other."""
    file = arena.prompt.home / "catalog.db"
    database = Database(arena.prompt.env.get("MEDGRID_CATALOG", f"sqlite:///{file}"))
    try:
        with database.read() as connection:
            if database.is_sqlite:
                for (line,) in connection.exec_driver_sql("PRAGMA integrity_check"):
                    if line != "ok":
                        yield f"integrity_check: {line}"
                for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
                    yield f"foreign_key_check: {tuple(row)}"
            jobs = connection.exec_driver_sql(
                "SELECT submission, number, state, attempt, cause FROM job"
            ).all()
            events = connection.exec_driver_sql(
                "SELECT submission, number, state, attempt FROM job_event ORDER BY id"
            ).all()
            attempts = connection.exec_driver_sql(
                "SELECT submission, number, attempt, cause, ended_s FROM job_attempt "
                "ORDER BY submission, number, attempt"
            ).all()
            derived = connection.exec_driver_sql(
                "SELECT submission, job_number FROM derivation WHERE submission IS NOT NULL"
            ).all()
            reserved = connection.exec_driver_sql("SELECT se, pfn FROM upload").all()
    finally:
        database.close()
    last = {(row[0], row[1]): (row[2], row[3]) for row in events}
    made = Counter((row[0], row[1]) for row in derived)
    tried: dict[tuple[int, int], list[Any]] = defaultdict(list)
    for row in attempts:
        tried[row[0], row[1]].append(row)
    for submission, number, state, attempt, cause in jobs:
        key, name = (submission, number), f"job {submission}.{number}"
        if last.get(key) != (state, attempt):
            yield f"{name} is {state} at {attempt}, its last event says {last.get(key)}"
        own = tried[key]
        if [row[2] for row in own] != list(range(1, attempt + 1)):
            yield f"{name} is at attempt {attempt} and has those of {[row[2] for row in own]}"
        if any(row[4] is None for row in own):
            yield f"{name} has ended, and an attempt of it has not"
        if own and own[-1][3] != cause:
            yield f"{name} ended by {cause}, its last attempt by {own[-1][3]}"
        if any(row[3] == Cause.OK for row in own[:-1]):
            yield f"{name} had an attempt that ended well, and another one after it"
        if made[key] != (cause == Cause.OK):
            yield f"{name} ended by {cause} and has {made[key]} derivations"
    for row in reserved:
        yield f"a reservation is left: {tuple(row)}"
