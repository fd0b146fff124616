"""The copies of an object: make, remove and verify them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from medgrid.actions.grid import Grid
from medgrid.actions.transfer import OnBad, Uploads, delete_bytes, ignore_bad
from medgrid.errors import AlreadyExists, MedgridError, NotFound, UsageError
from medgrid.model import LFN, GridObject, Replica

__all__ = ["Check", "Verdict", "add_replica", "check_replica", "remove_replica", "verify"]


class Verdict(StrEnum):
    """What a look at the stored bytes says of a replica."""

    OK = "ok"
    LOST = "LOST"  # the catalog knows it, the storage element has it not
    CORRUPT = "CORRUPT"  # the stored bytes are not what the catalog says
    UNREACHABLE = "unreachable"  # nobody can say


@dataclass(frozen=True, slots=True)
class Check:
    """A replica and the verdict on it."""

    replica: Replica
    verdict: Verdict
    detail: str = ""


def add_replica(grid: Grid, lfn: LFN, se: str, on_bad: OnBad = ignore_bad) -> Replica:
    """Copy an object to storage element `se`.

    Raises
    ------
    NotFound
        There is no such LFN or storage element.
    AlreadyExists
        A replica is there.
    MedgridError
        No replica is usable, or the storage element is not.
    """
    catalog = grid.catalog
    item = catalog.objects.get(lfn)
    if not catalog.places.se(se).enabled:
        raise UsageError(f"storage element {se} is switched off")
    replicas = catalog.objects.replicas([item.id])[item.id]
    if any(one.se == se for one in replicas):
        raise AlreadyExists(
            f"{lfn} has a replica at {se}", hint=f"see 'medgrid replica verify {lfn}'"
        )
    with Uploads(grid) as uploads:
        new = uploads.copy(item, replicas, se, on_bad)
        catalog.objects.add_replica(new, uploaded=True)
    return new


def remove_replica(grid: Grid, lfn: LFN, se: str, *, force: bool) -> list[MedgridError]:
    """Remove the copy of an object at storage element `se`: from the catalog, then its bytes.

    Returns
    -------
    list of MedgridError
        Why bytes could not be deleted; they are DARK then.

    Raises
    ------
    NotFound
        There is no such LFN, or no replica of it there.
    UsageError
        It is the last one and `force` is not given.
    """
    objects = grid.catalog.objects
    with grid.catalog.transaction():
        item = objects.get(lfn)
        replicas = objects.replicas([item.id])[item.id]
        there = [one for one in replicas if one.se == se]
        if not there:
            places = ", ".join(one.se for one in replicas) or "nowhere"
            raise NotFound(f"{lfn} has no replica at {se}", hint=f"its replicas are at {places}")
        if len(there) == len(replicas) and not force:
            raise UsageError(
                f"{lfn} has no replica but the one at {se}",
                hint="copy it first with 'medgrid replica add', or lose its bytes with --force",
            )
        for one in there:
            objects.remove_replica(one.object_id, one.se, one.pfn)
        going = objects.condemn((one.se, one.pfn) for one in there)
    gone = [one for one in there if (one.se, one.pfn) in going]
    return list(delete_bytes(grid, gone).values())


def check_replica(grid: Grid, replica: Replica, *, deep: bool = True) -> Check:
    """Compare a replica with what lies at its storage element; `deep` reads the bytes."""
    try:
        storage = grid.storage(replica.se)
        size_bytes = storage.size(replica.pfn)
        if size_bytes is None:
            return Check(replica, Verdict.LOST, "not there")
        if size_bytes != replica.size_bytes:
            detail = f"expected {replica.size_bytes} bytes, found {size_bytes}"
            return Check(replica, Verdict.CORRUPT, detail)
        if deep and (found := storage.digest(replica.pfn)) != replica.sha256:
            detail = f"expected digest {replica.sha256}, found {found}"
            return Check(replica, Verdict.CORRUPT, detail)
    except NotFound as error:
        return Check(replica, Verdict.LOST, error.message)
    except MedgridError as error:
        return Check(replica, Verdict.UNREACHABLE, error.message)
    return Check(replica, Verdict.OK)


def verify(grid: Grid, lfn: LFN) -> tuple[GridObject, list[Check]]:
    """Read every replica of an object where it lies, and judge it.

    Raises
    ------
    NotFound
        There is no such LFN.
    """
    item = grid.catalog.objects.get(lfn)
    replicas = grid.catalog.objects.replicas([item.id])[item.id]
    return item, [check_replica(grid, one) for one in replicas]
