"""Compare the catalog with what is stored, and mend what can be mended.

Safe beside running imports, jobs and removals: the catalog is read before and after a storage
element is listed, and only what both readings agree on is a finding. Nothing is deleted that is
younger than a limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from medgrid.actions.grid import Grid
from medgrid.actions.outcome import Failure
from medgrid.actions.progress import SILENT, Progress
from medgrid.actions.replica import Check, Verdict, check_replica
from medgrid.actions.transfer import label, repair
from medgrid.errors import Denied, MedgridError, Unreachable
from medgrid.model import ObjectId, Replica, StorageElement
from medgrid.storage.base import Storage

__all__ = ["DAY_S", "Finding", "Kind", "Report", "check_grid"]

DAY_S = 24 * 3600.0


class Kind(StrEnum):
    """What can be wrong. The first three cost data; the others only space."""

    LOST = "LOST"  # catalogued, not stored
    CORRUPT = "CORRUPT"  # stored, but other bytes than the catalog says
    NO_REPLICA = "NO-REPLICA"  # an object without any copy
    DARK = "DARK"  # stored, not catalogued
    HALF_DONE = "HALF-DONE"  # an upload that was announced and never ended
    TEMPORARY = "TEMPORARY"  # left by a put that was killed

    @property
    def is_harmless(self) -> bool:
        """Whether only space is lost."""
        return self in (Kind.DARK, Kind.HALF_DONE, Kind.TEMPORARY)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and what was, or would be, done about it.

    `action` is empty when nothing was asked for or can be done; `mended` says it was done.
    """

    kind: Kind
    se: str
    pfn: str = ""
    name: str = ""  # LFN, or what is known of the object
    detail: str = ""
    action: str = ""
    mended: bool = False


@dataclass(slots=True)
class Report:
    """What a check came to; findings are told one by one."""

    places: int = 0  # storage elements checked to their end
    checked: int = 0  # replicas
    harmful: int = 0
    harmless: int = 0
    mended: int = 0
    failures: tuple[Failure, ...] = ()

    def count(self, finding: Finding) -> None:
        """Add a finding."""
        if finding.mended:
            self.mended += 1
        elif finding.kind.is_harmless:
            self.harmless += 1
        else:
            self.harmful += 1


Tell = Callable[[Finding], None]


@dataclass(frozen=True, slots=True)
class _Orders:
    """How to check: what the user asked for."""

    deep: bool
    mend: bool
    dry_run: bool
    min_age_s: float


def check_grid(
    grid: Grid,
    names: Sequence[str],
    tell: Tell,
    *,
    deep: bool = False,
    mend: bool = False,
    dry_run: bool = False,
    min_age_s: float = DAY_S,
    progress: Progress = SILENT,
) -> Report:
    """Check storage elements, all that are switched on by default.

    Parameters
    ----------
    tell : callable
        Is given each finding.
    deep : bool
        Read all bytes, where they lie, and compare digests.
    mend : bool
        Copy LOST and CORRUPT replicas anew from a good one; delete what is DARK or left over and
        was last written more than `min_age_s` ago.
    dry_run : bool
        Say what mending would do, and do nothing.

    Raises
    ------
    NotFound
        A storage element does not exist.
    Denied
        The catalog's database does not show all to this user.
    """
    if grid.whole.viewer is not None:
        raise Denied(
            f"the catalog shows {grid.whole.viewer} a part of what it has: the rest would be DARK",
            hint="connect as a role that sees all, as brokers do",
        )
    places = grid.catalog.places
    chosen = [places.se(name) for name in names] or [one for one in places.ses() if one.enabled]
    orders = _Orders(deep, mend, dry_run, min_age_s)
    report = Report()
    failures: list[Failure] = []
    for element in chosen:
        progress.note(element.name)
        try:
            for finding in _Element(grid, element, orders, report, progress).findings():
                report.count(finding)
                tell(finding)
            report.places += 1
        except MedgridError as error:
            failures.append(Failure(element.name, error))
    if not names:
        for finding in _without_replica(grid):
            report.count(finding)
            tell(finding)
    report.failures = tuple(failures)
    return report


def _without_replica(grid: Grid) -> Iterator[Finding]:
    ids = grid.whole.objects.without_replica()
    for name in _names(grid, ids).values():
        yield Finding(Kind.NO_REPLICA, "", name=name, detail="no copy left")


def _names(grid: Grid, ids: Collection[ObjectId]) -> dict[ObjectId, str]:
    """How findings call objects: those that the user does not see have a number only."""
    there = grid.whole.objects.by_ids(ids)
    seen = grid.catalog.objects.by_ids(there)
    return {one: label(seen[one]) if one in seen else f"object {one}" for one in there}


class _Element:
    """The check of one storage element."""

    def __init__(
        self,
        grid: Grid,
        element: StorageElement,
        orders: _Orders,
        report: Report,
        progress: Progress,
    ) -> None:
        self._grid = grid
        self._se = element.name
        self._orders = orders
        self._report = report
        self._progress = progress
        self._storage: Storage = grid.storage(element.name)
        self._objects = grid.whole.objects

    def findings(self) -> Iterator[Finding]:
        before = {one.pfn for one in self._objects.replicas_on(self._se)}
        uploads_before = self._objects.reservations(self._se)
        stored = dict(self._storage.walk())
        after = {one.pfn: one for one in self._objects.replicas_on(self._se)}
        uploads = self._objects.reservations(self._se)
        self._progress.total(len(after))
        for pfn, replica in sorted(after.items()):
            if pfn in before:
                yield from self._replica(replica, stored.get(pfn))
            self._progress.advance()
        accounted = {*before, *after, *uploads_before, *uploads}
        for pfn in sorted(stored.keys() - accounted):
            yield self._leftover(Finding(Kind.DARK, self._se, pfn), stored[pfn])
        for pfn, (object_id, since_s) in sorted(uploads.items()):
            age_s = time.time() - since_s
            if pfn in uploads_before and pfn not in after and age_s > self._orders.min_age_s:
                yield self._half_done(pfn, object_id, age_s)
        for temporary in self._storage.temporaries():
            if temporary.age_s > self._orders.min_age_s:
                finding = Finding(Kind.TEMPORARY, self._se, temporary.name)
                yield self._leftover(finding, temporary.size_bytes)

    def _replica(self, replica: Replica, size_bytes: int | None) -> Iterator[Finding]:
        self._report.checked += 1
        if size_bytes == replica.size_bytes and not self._orders.deep:
            return
        check = check_replica(self._grid, replica, deep=self._orders.deep)
        if check.verdict is Verdict.UNREACHABLE:
            raise Unreachable(check.detail)
        if check.verdict is not Verdict.OK and self._is_known(replica):
            yield self._bad(check)

    def _is_known(self, replica: Replica) -> bool:
        """Whether the catalog still has it: it may have been removed meanwhile."""
        known = self._objects.replicas([replica.object_id])[replica.object_id]
        return any((one.se, one.pfn) == (replica.se, replica.pfn) for one in known)

    def _bad(self, check: Check) -> Finding:
        bad = check.replica
        kind = Kind.LOST if check.verdict is Verdict.LOST else Kind.CORRUPT
        item = self._objects.by_ids([bad.object_id]).get(bad.object_id)
        if item is None:
            return Finding(kind, self._se, bad.pfn, detail=check.detail)
        name = _names(self._grid, [item.id])[item.id]
        finding = Finding(kind, self._se, bad.pfn, name, check.detail)
        others = [
            one
            for one in self._objects.replicas([item.id])[item.id]
            if (one.se, one.pfn) != (bad.se, bad.pfn)
        ]
        if not others:
            return replace(finding, action="nothing: there is no other replica")
        if self._orders.dry_run:
            places = ", ".join(one.se for one in others)
            return replace(finding, action=f"would be copied anew from {places}")
        if not self._orders.mend:
            return finding
        try:
            repair(self._grid, item, others, bad)
        except MedgridError as error:
            return replace(finding, action=f"not mended: {error.message}")
        return replace(finding, action="copied anew", mended=True)

    def _leftover(self, finding: Finding, size_bytes: int) -> Finding:
        finding = replace(finding, detail=f"{size_bytes} bytes")
        if not (self._orders.mend or self._orders.dry_run):
            return finding
        age_s = self._storage.age_s(finding.pfn)
        if age_s is not None and age_s <= self._orders.min_age_s:
            return replace(finding, action="left: it is too young")
        if self._orders.dry_run:
            return replace(finding, action="would be deleted")
        try:
            self._storage.delete(finding.pfn)
        except MedgridError as error:
            return replace(finding, action=f"not deleted: {error.message}")
        return replace(finding, action="deleted", mended=True)

    def _half_done(self, pfn: str, object_id: ObjectId, age_s: float) -> Finding:
        detail = f"announced {age_s / 3600:.0f} h ago"
        finding = Finding(Kind.HALF_DONE, self._se, pfn, detail=detail)
        if self._orders.dry_run:
            return replace(finding, action="would be deleted")
        if not self._orders.mend:
            return finding
        try:
            self._storage.delete(pfn)
            self._objects.release(object_id)
        except MedgridError as error:
            return replace(finding, action=f"not deleted: {error.message}")
        return replace(finding, action="deleted", mended=True)
