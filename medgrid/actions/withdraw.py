"""Withdraw: a patient goes, and with them all that the grid has of them or made of it.

Keys are destroyed first: from then on nothing opens any more, whatever else fails. Then the catalog
forgets names and metadata, then bytes are deleted. What cannot be reached stays in the catalog as a
nameless object of the patient, so that the next try finds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from medgrid.actions.grid import Grid
from medgrid.actions.outcome import Failure
from medgrid.actions.permission import patients_allowed
from medgrid.actions.progress import SILENT, Progress
from medgrid.actions.transfer import delete_bytes
from medgrid.catalog.job_states import ACTIVE
from medgrid.crypto.audit_record import Event
from medgrid.crypto.policy import Verb
from medgrid.errors import Busy, NotFound
from medgrid.model import GridObject, JobId, ObjectId

__all__ = ["NOT_PROTECTED", "Plan", "Withdrawn", "plan_withdrawal", "withdraw"]

NOT_PROTECTED = (
    "backups of the key store made before still open what is left in backups of storage; files "
    "that were fetched, and what was learnt from them, stay with who has them"
)
"""What a withdrawal does not reach."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a withdrawal would destroy: objects of the patient, and results made from them.

    Those of others go, too, and are not shown: whoever withdraws a patient does not see them.
    """

    patient: str
    own: tuple[GridObject, ...]
    derived: tuple[GridObject, ...]  # that the user sees
    hidden: tuple[GridObject, ...] = ()  # made from them, and not seen
    former: tuple[str, ...] = ()  # who became the patient, and may have results left

    @property
    def shown(self) -> tuple[GridObject, ...]:
        """All that the user sees."""
        return (*self.own, *self.derived)

    @property
    def items(self) -> tuple[GridObject, ...]:
        """All of them."""
        return (*self.shown, *self.hidden)


@dataclass(slots=True)
class Withdrawn:
    """What a withdrawal did; it is `complete` when nothing of the patient is left."""

    objects: int = 0
    jobs: list[JobId] = field(default_factory=list)  # of the user, were cancelled
    failures: list[Failure] = field(default_factory=list)
    complete: bool = False


def plan_withdrawal(grid: Grid, patient: str) -> Plan:
    """Find all that the grid has of a patient, and all that was made from it.

    Raises
    ------
    NotFound
        There is no such patient; the same for whoever is none of their physicians.
    """
    problem = patients_allowed(grid, Verb.WITHDRAW, [patient])[patient]
    if problem is not None:
        raise problem
    own = grid.whole.objects.of_patient(patient)
    ids = {one.id for one in own}
    made = grid.whole.objects.by_ids(grid.whole.provenance.made_out_of(ids) - ids)
    seen = grid.catalog.objects.by_ids(made)
    hidden = [one for key, one in made.items() if key not in seen]
    former = [old for old, new in grid.catalog.merged.all().items() if new == patient]
    return Plan(patient, tuple(own), tuple(seen.values()), tuple(hidden), tuple(sorted(former)))


def withdraw(grid: Grid, plan: Plan, progress: Progress = SILENT) -> Withdrawn:
    """Destroy keys, then bytes, then what the catalog knows; what is left is listed."""
    store, objects = grid.vault.store, grid.whole.objects
    found = Withdrawn()
    ids = {one.id for one in plan.items}
    keys = {one.key_id for one in plan.items}
    jobs = _jobs(grid, keys)
    found.jobs = [job for job in jobs if _is_seen(grid, job)]
    _destroy_keys(grid, plan, keys | ids, jobs)
    active = _cancel(grid, jobs)
    bodies = [one for many in objects.replicas(ids).values() for one in many]
    bodies += objects.left_behind(plan.items)
    objects.withdraw(ids, plan.patient)
    progress.total(len(bodies))
    for body in bodies:
        stuck = delete_bytes(grid, [body])
        progress.advance()
        if body in stuck:
            found.failures.append(Failure(f"bytes {body.pfn} at {body.se}", stuck[body]))
            continue
        objects.remove_replica(body.object_id, body.se, body.pfn)
        objects.end_left_behind([body])
    for job in active:
        name = f"job {job}" if job in found.jobs else "a job"
        error = Busy(f"{name} with data of the patient is still being stopped")
        error.hint = "say the same again when it has ended"
        found.failures.append(Failure(name, error))
    if not active:
        objects.forget(ids)
        found.complete = objects.forget_patient(plan.patient)
    found.objects = len(plan.shown)
    state = "complete" if found.complete else f"{len(found.failures)} left"
    store.audit.append(Event("withdrawn", "", plan.patient, state))
    return found


def _destroy_keys(grid: Grid, plan: Plan, keys: set[ObjectId], jobs: Iterable[JobId]) -> None:
    """Destroy all that opens anything of a patient, and the keys of these other objects."""
    store, patient = grid.vault.store, plan.patient
    with store.transaction():
        store.audit.append(Event("withdraw", "", patient, f"{len(plan.shown)} objects"))
        for job in jobs:
            store.drop_delegation(job.submission, [job.number])
        store.drop(keys.union(store.objects_of(patient)))
        # wraps last: on a server they are what lets one destroy the others
        store.drop_compartments(patient)


def _jobs(grid: Grid, keys: set[ObjectId]) -> list[JobId]:
    """Open jobs that were lent one of these keys."""
    return [
        JobId(submission, number)
        for submission, lent in grid.vault.store.delegations().items()
        for number in sorted({number for number, object_id in lent if object_id in keys})
    ]


def _is_seen(grid: Grid, job: JobId) -> bool:
    try:
        return any(grid.catalog.jobs.lines([str(job)]))
    except NotFound:
        return False


def _cancel(grid: Grid, jobs: Iterable[JobId]) -> list[JobId]:
    """Cancel jobs; those that a broker still has to stop."""
    active = []
    for job in jobs:
        try:
            _, after = grid.whole.jobs.cancel([str(job)])[job]
        except NotFound:
            continue  # the catalog did not keep it
        if after in ACTIVE:
            active.append(job)
    return active
