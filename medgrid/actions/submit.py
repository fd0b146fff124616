"""Submit: algorithm, inputs, parameters -> jobs. Nothing is written before all is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medgrid.actions.geometry import without_geometry
from medgrid.actions.grid import Grid
from medgrid.algorithms.invocation import InputRef, compose, item_role
from medgrid.algorithms.parameters import check_parameters
from medgrid.catalog.jobs import NewSubmission
from medgrid.errors import NotFound, UsageError
from medgrid.model import LFN, Algorithm, GridObject, JobId, Priority

__all__ = ["Submitted", "submit"]

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Submitted:
    """What was written; `number` is None when there was nothing to do.

    `lacking` are LFNs of inputs that lack private numbers (`without_geometry`).
    """

    number: int | None
    jobs: tuple[JobId, ...]
    algorithm: Algorithm
    lacking: Sequence[str] = ()


def submit(
    grid: Grid,
    label: str,
    lfns: Sequence[str],
    *,
    shared: Sequence[tuple[str, str]] = (),
    parameters: Mapping[str, str | list[str]] | None = None,
    per_job: int | None = None,
    se: str | None = None,
    priority: Priority = Priority.NORMAL,
    name: str = "",
) -> Submitted:
    """Write one job for each of `lfns`, or for each `per_job` of them.

    It is left to the caller to see to a broker (`ensure_broker`), after the ids are told.

    Parameters
    ----------
    label : str
        Algorithm, ``name`` or ``name@version``.
    lfns : sequence of str
        What the algorithm's item input takes; empty means that there is nothing to do.
    shared : sequence of (role, LFN)
        Inputs that every job gets.
    parameters : mapping
        Values as typed by the user.

    Raises
    ------
    NotFound
        An LFN, the algorithm or the storage element does not exist.
    UsageError
        Inputs or parameters do not fit the algorithm.
    Denied
        The key store has no key of an input for this user.
    """
    catalog = grid.catalog
    algorithm = catalog.algorithms.find(label)
    descriptor = algorithm.descriptor
    if se is not None:
        catalog.places.se(se)
    typed = check_parameters(descriptor, parameters or {})
    roles = _shared_roles(descriptor, shared)
    role = item_role(descriptor, list(roles))
    step = _per_job(descriptor, role, per_job)
    objects = _objects(grid, [*lfns, *(lfn for many in roles.values() for lfn in many)])
    given = {name: [objects[LFN(lfn)] for lfn in many] for name, many in roles.items()}
    groups = [
        [objects[LFN(lfn)] for lfn in lfns[start : start + step]]
        for start in range(0, len(lfns), step)
    ]
    if not groups:
        return Submitted(None, (), algorithm)
    for size in {len(group) for group in groups}:
        # groups of one size differ in nothing that the descriptor looks at
        example = next(group for group in groups if len(group) == size)
        refs = {**given, role: example}
        compose(
            descriptor,
            {key: [InputRef(one.filename, one.kind) for one in many] for key, many in refs.items()},
            typed,
        )
    new = NewSubmission(
        algorithm=algorithm.digest,
        algorithm_label=str(algorithm),
        owner=grid.settings.user,
        items=[[one.id for one in group] for group in groups],
        item_role=role,
        inputs={key: [one.id for one in many] for key, many in given.items()},
        parameters=typed,
        priority=priority,
        se=se,
        name=name,
    )
    shared_objects = [one for many in given.values() for one in many]
    protected = [one for one in objects.values() if one.is_protected]
    grid.keys(protected, f"submit {algorithm}")
    for item in protected:
        grid.key(item)  # denied now, not when the job is to start
    with catalog.transaction():
        number, jobs = catalog.jobs.create_submission(new)
        if protected:
            # jobs that the catalog then does not keep leave keys that nobody can use
            grid.vault.lend(
                number,
                {
                    job.number: [
                        one.key_id for one in (*group, *shared_objects) if one.is_protected
                    ]
                    for job, group in zip(jobs, groups, strict=True)
                },
            )
    return Submitted(number, tuple(jobs), algorithm, without_geometry(objects.values()))


def _shared_roles(
    descriptor: Mapping[str, object], shared: Sequence[tuple[str, str]]
) -> dict[str, list[str]]:
    inputs = descriptor["inputs"]
    assert isinstance(inputs, list)  # noqa: S101 - the descriptor passed its schema
    files = {entry["id"]: entry for entry in inputs if entry["type"] == "File"}
    roles: dict[str, list[str]] = {}
    for role, lfn in shared:
        if role not in files:
            raise UsageError(
                f"{descriptor['name']} has no input {role!r}",
                hint=f"its inputs are {', '.join(files) or 'none'}",
            )
        if role in roles and not files[role].get("list"):
            raise UsageError(f"input {role} takes one LFN, two are given with --with")
        roles.setdefault(role, []).append(lfn)
    return roles


def _per_job(descriptor: Mapping[str, object], role: str, per_job: int | None) -> int:
    inputs = descriptor["inputs"]
    assert isinstance(inputs, list)  # noqa: S101 - the descriptor passed its schema
    is_list = any(entry["id"] == role and entry.get("list") for entry in inputs)
    if per_job is not None and per_job > 1 and not is_list:
        raise UsageError(
            f"input {role} of {descriptor['name']} takes one LFN a job, not {per_job}",
            hint="leave out --per-job",
        )
    return per_job or 1


def _objects(grid: Grid, words: Sequence[str]) -> dict[LFN, GridObject]:
    lfns = list(dict.fromkeys(LFN(word) for word in words))
    found = grid.catalog.objects.get_many(lfns)
    missing = [lfn for lfn in lfns if lfn not in found]
    if missing:
        shown = ", ".join(missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        count = f"{len(missing)} LFNs do" if len(missing) > 1 else "LFN does"
        raise NotFound(
            f"{count} not exist: {shown}{more}",
            hint="nothing was submitted; see 'medgrid ls' and 'medgrid query'",
        )
    return found
