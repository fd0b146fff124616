"""Peek: a job's stdout or stderr while it runs, or the end of it afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator

from medgrid.actions.grid import Grid
from medgrid.actions.keys import readable
from medgrid.errors import NotFound
from medgrid.model import Job, JobId, JobState

__all__ = ["peek"]

_CHUNK_BYTES = 256 * 1024
_OVERLAP_BYTES = 1024
_RESULT_S = 5.0
_PAUSE_S = 0.5
_ON_WORKER = (JobState.SCHEDULED, JobState.RUNNING, JobState.UNKNOWN)


def peek(
    grid: Grid, job_id: JobId, *, stream: str = "stdout", follow: bool = False
) -> Iterator[bytes]:
    """Give what a job has written to `stream` so far; with `follow`, until it ends.

    Of an ended job the last part is given, as it was kept with the result.

    Raises
    ------
    NotFound
        There is no such job, or it has not started yet (without `follow`).
    Unreachable
        Its worker does not answer.
    """
    from medgrid.workers import open_link

    job = grid.catalog.jobs.job(job_id)
    while follow and job.state not in _ON_WORKER and not job.state.is_final:
        time.sleep(_PAUSE_S)
        job = grid.catalog.jobs.job(job_id)
    if job.state.is_final:
        yield _tail(grid, job, stream)
        return
    if job.state not in _ON_WORKER or job.worker is None:
        raise NotFound(
            f"job {job_id} has not started: it is {job.state}",
            hint=f"see 'medgrid explain {job_id}'; --follow waits for it",
        )
    worker = grid.catalog.places.worker(job.worker)
    link = open_link(worker, grid.settings, grid.catalog.grid_id)
    attempt = f"{job.id}.{job.attempt}"
    offset = 0
    seen = b""
    try:
        while True:
            data, ended = link.peek(attempt, stream, offset, _CHUNK_BYTES)
            offset += len(data)
            if data:
                seen = (seen + data)[-_OVERLAP_BYTES:]
                yield data
            elif ended or not follow:
                break
            else:
                time.sleep(_PAUSE_S)
    finally:
        link.close()
    if ended:
        yield _rest(_result(grid, job, stream), seen, offset)


def _result(grid: Grid, job: Job, stream: str) -> bytes:
    """What was kept of `stream` when this attempt ended; empty when there is no result yet."""
    until_s = time.monotonic() + _RESULT_S
    while time.monotonic() < until_s:
        now = grid.catalog.jobs.job(job.id)
        if now.attempt != job.attempt:
            break
        if now.state.is_final:
            return _tail(grid, now, stream)
        time.sleep(_PAUSE_S / 5)
    return b""


def _rest(tail: bytes, seen: bytes, offset: int) -> bytes:
    """Part of `tail`, the end of a stream, that comes after `seen`, which ends at `offset`.

    Examples
    --------
    >>> _rest(b"cdefgh", b"def", 1000)
    b'gh'
    >>> _rest(b"abc", b"", 0)
    b'abc'
    """
    at = tail.rfind(seen) if seen else -1
    if at >= 0:
        return tail[at + len(seen) :]
    return tail if not offset else b""


def _tail(grid: Grid, job: Job, stream: str) -> bytes:
    job = readable(grid, job)
    text = job.stderr_tail if stream == "stderr" else job.stdout_tail
    return text.encode("utf-8", "surrogateescape")
