"""Rekey: encrypt objects anew, so that keys which somebody may have kept open nothing any more.

For each object: a new body under a new key is written beside the old one, its keys are made to
last, and then one transaction of the catalog lets the object be the new one. Only after that are
the old keys destroyed and the old bodies deleted. Killed at any point the object can be read; what
is left over of an earlier try is cleared first (`ObjectStore.left_behind`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from medgrid.actions.grant_keys import Ends, follow_grants, granted, seal_grants
from medgrid.actions.grid import Grid
from medgrid.actions.outcome import Failure
from medgrid.actions.permission import choose, members_of, patients_allowed, sift
from medgrid.actions.progress import SILENT, Progress
from medgrid.actions.team import care_team
from medgrid.actions.transfer import Uploads, delete_bytes, label, nearest
from medgrid.crypto.audit_record import Event
from medgrid.crypto.keystore_schema import RECOVERY
from medgrid.crypto.policy import Verb
from medgrid.crypto.vault import Whose
from medgrid.errors import MedgridError, NotFound, UsageError
from medgrid.model import GridObject, ObjectId, Replica, new_object_id

__all__ = ["Rekeyed", "rekey", "rekey_patient"]


@dataclass(slots=True)
class Rekeyed:
    """What was done: objects that have new keys, what failed or was left behind, and why.

    `left_out` are identities whose grants or place in a team got no new key, since nobody
    certifies them any more.
    """

    items: list[GridObject] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)


def rekey(
    grid: Grid,
    words: Sequence[str],
    dataset: str | None = None,
    *,
    force: bool = False,
    progress: Progress = SILENT,
) -> Rekeyed:
    """Give objects, and the older versions of their LFNs, new keys and new bodies.

    Parameters
    ----------
    words : sequence of str
        LFNs.
    dataset : str, optional
        Also what this dataset of the user has now.
    force : bool
        Also what open jobs need: those that have not started will fail.

    Raises
    ------
    NotFound
        There is no such dataset.
    UsageError
        An open job needs one of the objects, and `force` is not given; nothing is changed.
    """
    lfns = [*words, *(members_of(grid, dataset) if dataset is not None else ())]
    chosen = choose(grid, lfns)
    objects = grid.catalog.objects
    older = [one for item in chosen.items if item.lfn for _, one in objects.versions(item.lfn)]
    items = [*chosen.items, *objects.by_ids(older).values()]
    found = Rekeyed(failures=chosen.failures)
    _all(grid, items, found, force, progress)
    return found


def rekey_patient(
    grid: Grid, patient: str, *, force: bool = False, progress: Progress = SILENT
) -> Rekeyed:
    """Give all objects of a patient new keys and new bodies, and the care team new keys.

    Raises
    ------
    NotFound
        There is no such patient.
    UsageError
        An open job needs one of the objects, and `force` is not given; nothing is changed.
    """
    problem = patients_allowed(grid, Verb.REKEY, [patient])[patient]
    if problem is not None:
        raise problem
    found = Rekeyed()
    items = [one for one in grid.catalog.objects.of_patient(patient) if one.is_protected]
    if not force:
        _refuse_needed(grid, items)
    for one in care_team(grid).rotate(patient):
        found.left_out.update(one.left_out)
    grid.vault.compartments.forget()
    _all(grid, items, found, True, progress)
    return found


def _all(
    grid: Grid, items: Iterable[GridObject], found: Rekeyed, force: bool, progress: Progress
) -> None:
    unique = list({one.id: one for one in items}.values())
    allowed = sift(grid, Verb.REKEY, unique)
    found.failures += allowed.failures
    if not force:
        _refuse_needed(grid, allowed.items)
    progress.total(len(allowed.items))
    _clear(grid, allowed.items, found)
    grid.keys(allowed.items, "rekey")
    for item in allowed.items:
        try:
            found.items.append(_one(grid, item, found, progress.warn))
        except MedgridError as error:
            found.failures.append(Failure(label(item), error))
        progress.advance()


def _refuse_needed(grid: Grid, items: Iterable[GridObject]) -> None:
    needed = grid.whole.jobs.open_inputs()
    for item in items:
        if item.id in needed:
            raise UsageError(
                f"{label(item)} is an input of a job that has not ended",
                hint="nothing was changed; wait for the job, or say --force, and it fails",
            )


def _one(grid: Grid, item: GridObject, found: Rekeyed, warn: Callable[[str], None]) -> GridObject:
    objects, vault = grid.catalog.objects, grid.vault
    old = objects.replicas([item.id])[item.id]
    if not old:
        raise NotFound(f"{label(item)} has no replica")
    key_id = new_object_id()
    with Uploads(grid) as uploads:
        new, failures = _bodies(grid, uploads, item, old, key_id, warn)
        grants: Ends = granted(grid, [item]).get(item.id, {})
        made = replace(item, rekeyed_as=key_id, sha256=new[0].sha256)
        found.left_out.update(seal_grants(grid, [(made, grants)]))
        vault.store.audit.append(Event("rekey", item.id, item.patient or "", f"as {key_id}"))
        objects.rekey(item, key_id, made.sha256, new)
    follow_grants(grid, made, grants)
    found.failures += failures
    _clear(grid, [made], found)
    return made


def _bodies(
    grid: Grid,
    uploads: Uploads,
    item: GridObject,
    old: Sequence[Replica],
    key_id: ObjectId,
    warn: Callable[[str], None],
) -> tuple[list[Replica], list[Failure]]:
    """Write the new body to each storage element that has the old one and answers."""
    made: list[Replica] = []
    failures: list[Failure] = []
    whose = _whose(grid, item)
    for se in dict.fromkeys(one.se for one in nearest(grid, old)):
        try:
            if made:
                made.append(uploads.copy_rekeyed(item, made[0], key_id, se))
                continue
            sealed = uploads.rekey(
                item, old, key_id, se, whose, lambda bad: warn(f"{label(item)}: {bad}")
            )
        except MedgridError as error:
            failures.append(Failure(f"{label(item)} at {se}", error))
            continue
        grid.keep([sealed.sealing])
        made.append(sealed.replica)
    if not made:
        raise failures[0].error if failures else NotFound(f"{label(item)} has no usable replica")
    return made, failures


def _whose(grid: Grid, item: GridObject) -> Whose:
    """Who can open an object: the team of its patient, and those who have a key of their own."""
    known = grid.vault.store.readers([item.key_id]).get(item.key_id, [])
    return Whose(item.data_class, item.patient, tuple(one for one in known if one != RECOVERY))


def _clear(grid: Grid, items: Sequence[GridObject], found: Rekeyed) -> None:
    """Destroy keys that objects had before, and delete the bodies under them."""
    objects = grid.catalog.objects
    left = objects.left_behind(items)
    if not left:
        return
    grid.forget_keys({ObjectId(PurePosixPath(one.pfn).name) for one in left})
    names = {one.id: label(one) for one in items}
    stuck = delete_bytes(grid, left)
    objects.end_left_behind([one for one in left if one not in stuck])
    found.failures += [
        Failure(f"old bytes of {names[one.object_id]} at {one.se}", error)
        for one, error in stuck.items()
    ]
