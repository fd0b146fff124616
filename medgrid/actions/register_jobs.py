"""Outputs of jobs that are to get an LFN: their names, what they inherit, what they measure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgrid.actions.grid import Grid
from medgrid.actions.outcome import Failure, job_problem
from medgrid.actions.progress import Progress
from medgrid.actions.scratch import scratch_folder
from medgrid.actions.transfer import OnBad, fetch_file, read_small
from medgrid.algorithms.options import options
from medgrid.documents import Unreadable, read_json
from medgrid.errors import AlreadyExists, IntegrityError, MedgridError, NotFound, UsageError
from medgrid.model import (
    LFN,
    AttributeValue,
    GridObject,
    Job,
    JobId,
    JobOutput,
    ObjectId,
    ObjectKind,
    Replica,
    Sha256,
)

__all__ = ["JobResult", "results_of"]

_AT_ONCE = 4
_INHERITED = (
    "PatientID",
    "PatientSex",
    "PatientAge",
    "StudyInstanceUID",
    "StudyDate",
    "session",
)  # what is true of a result because it is true of the image it was made from


@dataclass(frozen=True, slots=True)
class JobResult:
    """An output of a job, the LFN it is to get and what is known of it."""

    job: JobId
    role: str
    lfn: LFN
    item: GridObject
    replicas: Sequence[Replica]
    attributes: Mapping[str, AttributeValue | list[Any]]


@dataclass(frozen=True, slots=True)
class _Output:
    """An output, before its bytes are looked at."""

    job: Job
    output: JobOutput
    lfn: LFN
    sources: tuple[ObjectId, ...]  # inputs it is about
    measures: tuple[str, ...]  # numbers to read from it


def results_of(
    grid: Grid,
    words: Sequence[str],
    folder: str,
    role: str | None,
    on_bad: OnBad,
    progress: Progress,
) -> tuple[list[JobResult], list[Failure]]:
    """Say what the outputs of the jobs named are to be called, and read what they measure.

    Raises
    ------
    NotFound
        A job does not exist.
    UsageError
        No algorithm of these jobs has the output `role`.
    """
    if not words:
        return [], []
    failures: list[Failure] = []
    outputs: list[_Output] = []
    descriptors = _Descriptors(grid)
    jobs = grid.catalog.jobs.jobs(words)
    if role is not None:
        descriptors.check_role(jobs, role)
    for job in jobs:
        try:
            outputs += _outputs(job, descriptors.of(job), folder, role)
        except MedgridError as error:
            failures.append(Failure(f"job {job.id}", error))
    looked_at = _look_at(grid, outputs, on_bad, progress)
    bad = {one.job for one in looked_at if isinstance(one, _BadOutput)}
    failures += [
        Failure(f"job {one.job}", one.error) for one in looked_at if isinstance(one, _BadOutput)
    ]
    results = [one for one in looked_at if isinstance(one, JobResult) and one.job not in bad]
    return results, failures


class _Descriptors:
    """Descriptors of algorithms, each looked up once; empty for one that was removed."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._known: dict[Sha256, Mapping[str, Any]] = {}

    def of(self, job: Job) -> Mapping[str, Any]:
        """Descriptor of a job's algorithm."""
        if job.algorithm not in self._known:
            try:
                found = self._grid.catalog.algorithms.get(job.algorithm).descriptor
            except NotFound:
                found = {}
            self._known[job.algorithm] = found
        return self._known[job.algorithm]

    def check_role(self, jobs: Iterable[Job], role: str) -> None:
        """Refuse a role that no job can have."""
        roles: dict[str, None] = {}
        for job in jobs:
            roles.update({entry["id"]: None for entry in self.of(job).get("output-files", ())})
            roles.update({output.role: None for output in job.outputs})
        if role not in roles:
            raise UsageError(
                f"no output of these jobs is called {role!r}",
                hint=f"outputs are {', '.join(roles) or 'none'}",
            )


def _outputs(
    job: Job, descriptor: Mapping[str, Any], folder: str, role: str | None
) -> list[_Output]:
    problem = job_problem(job)
    if problem is not None:
        raise problem
    own = options(descriptor)
    lists = {entry["id"] for entry in descriptor.get("output-files", ()) if entry.get("list")}
    found: list[_Output] = []
    by_role: dict[str, list[JobOutput]] = {}
    for output in job.outputs:
        by_role.setdefault(output.role, []).append(output)
    for name, many in by_role.items():
        if role not in (None, name):
            continue
        for number, output in enumerate(many, 1):
            if output.lfn is not None:
                raise AlreadyExists(
                    f"output {name} of job {job.id} is already registered as {output.lfn}"
                )
            last = f"{name}-{number}" if name in lists or len(many) > 1 else name
            lfn = LFN(f"{folder.rstrip('/')}/{job.id}/{last}")
            sources = _sources(job, own, name, number, len(many))
            measures = tuple(own.get("attributes", {}).get(name, ()))
            found.append(_Output(job, output, lfn, sources, measures))
    if not found:
        of_role = f" {role}" if role else ""
        raise NotFound(f"job {job.id} has no output{of_role}")
    return found


def _sources(
    job: Job, own: Mapping[str, Any], role: str, number: int, count: int
) -> tuple[ObjectId, ...]:
    """Inputs that an output is about: the one it belongs to, or the items of the job."""
    about = own.get("per_input", {}).get(role)
    if about is not None and len(job.inputs.get(about, ())) == count:
        return (job.inputs[about][number - 1],)
    item = str(own.get("item"))
    if item in job.inputs:
        return job.inputs[item]
    return tuple(one for many in job.inputs.values() for one in many)


@dataclass(frozen=True, slots=True)
class _BadOutput:
    """An output that cannot be registered, and why."""

    job: JobId
    error: MedgridError


def _look_at(
    grid: Grid, outputs: Sequence[_Output], on_bad: OnBad, progress: Progress
) -> list[JobResult | _BadOutput]:
    objects = grid.catalog.objects
    items = objects.by_ids({one.output.object_id for one in outputs})
    replicas = objects.replicas(items)
    sources = objects.by_ids({source for one in outputs for source in one.sources})
    grid.keys(items.values(), "register")

    def look(one: _Output) -> JobResult | _BadOutput:
        job, output = one.job.id, one.output
        item = items[output.object_id]
        copies = replicas[item.id]
        about = [sources[source] for source in one.sources if source in sources]
        attributes = inherited(about) if len(about) == len(one.sources) else {}
        if item.is_protected and attributes.get("PatientID") != item.patient:
            attributes = {}  # it is of others, too: their images are in it
        try:
            if one.measures:
                content = read_small(grid, item, copies, on_bad=on_bad)
                where = f"output {output.role} of job {job} ({output.filename})"
                attributes |= _numbers(content, one.measures, where)
            elif item.kind is ObjectKind.VOLUME:
                attributes |= _geometry(grid, item, copies, folder, on_bad)
        except MedgridError as error:
            return _BadOutput(job, error)
        progress.advance()
        return JobResult(job, output.role, one.lfn, item, copies, attributes)

    progress.total(len(outputs))
    with scratch_folder(grid.settings) as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(look, outputs))


def inherited(sources: Sequence[GridObject]) -> dict[str, Any]:
    """What a result takes over from the images it is about, when they are of one patient."""
    common = {
        name: sources[0].attributes[name]
        for name in _INHERITED
        if sources
        and sources[0].attributes.get(name) is not None
        and all(one.attributes.get(name) == sources[0].attributes[name] for one in sources)
    }
    return common if "PatientID" in common else {}


def _numbers(content: bytes, names: Sequence[str], where: str) -> dict[str, int | float]:
    """Read numbers by name from a JSON object; one that is null or not finite is left out."""
    try:
        document = read_json(content)
    except Unreadable as exc:
        raise IntegrityError(f"{where}: {exc}") from None
    if not isinstance(document, dict):
        raise IntegrityError(f"{where} is not a JSON object")
    found: dict[str, int | float] = {}
    for name in names:
        value = document.get(name)
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise IntegrityError(f"{where}: {name} is not a number")
        found[name] = value
    return found


def _geometry(
    grid: Grid, item: GridObject, replicas: Sequence[Replica], folder: Path, on_bad: OnBad
) -> dict[str, Any]:
    """Geometry of a volume a job made; nothing when it is none after all."""
    from medgrid.images.nifti import geometry

    file = folder / item.id
    fetch_file(grid, item, replicas, file, on_bad=on_bad)
    try:
        with file.open("rb") as stream:
            compressed = item.filename.endswith(".gz")
            return geometry(stream, item.size_bytes, compressed=compressed)
    except ValueError:
        return {}
    finally:
        file.unlink()
