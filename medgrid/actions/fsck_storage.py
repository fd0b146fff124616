"""The check of one storage element.

What writes and deletes goes on meanwhile. The catalog is therefore asked before the storage element
is listed and again after it, reservations before replicas, so that what is registered in between is
seen as one or the other; what then belongs to nobody is looked at once more. Bytes are deleted only
when the catalog gave them to this check to be deleted (`UploadBook.condemn`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import replace

from medgrid.actions.checkpoint import Checkpoint
from medgrid.actions.finding import Finding, Kind, Orders
from medgrid.actions.grid import Grid
from medgrid.actions.progress import Progress
from medgrid.actions.replica import Check, Verdict, check_replica
from medgrid.actions.transfer import label, repair
from medgrid.broker.collecting import output_prefix
from medgrid.catalog.uploads import CONDEMNED
from medgrid.errors import MedgridError, Unreachable
from medgrid.model import ObjectId, Replica, StorageElement
from medgrid.storage.base import PART

__all__ = ["ElementCheck", "names_of"]

_DELETION_S = 600.0  # no deletion takes so long, unless its process is gone


def names_of(grid: Grid, ids: Collection[ObjectId]) -> dict[ObjectId, str]:
    """How findings call objects: those that the user does not see have a number only."""
    there = grid.whole.objects.by_ids(ids)
    seen = grid.catalog.objects.by_ids(there)
    return {one: label(seen[one]) if one in seen else f"object {one}" for one in there}


class ElementCheck:
    """The check of one storage element; `stop` ends it early, from any thread."""

    def __init__(
        self, grid: Grid, element: StorageElement, orders: Orders, progress: Progress
    ) -> None:
        self._grid = grid
        self._element = element
        self._se = element.name
        self._orders = orders
        self._progress = progress
        self._storage = grid.storage(element.name)
        self._objects = grid.whole.objects
        self.stop = threading.Event()
        self.checked = 0

    def findings(self) -> Iterator[Finding]:
        """What is wrong, as it is found.

        Raises
        ------
        MedgridError
            The storage element does not answer.
        """
        before = {one.pfn for one in self._objects.replicas_on(self._se)}
        stored = dict(self._storage.walk())
        living = self._living()
        uploads = self._objects.reservations(self._se)
        after = {one.pfn: one for one in self._objects.replicas_on(self._se)}
        yield from self._replicas([one for pfn, one in after.items() if pfn in before], stored)
        dark = [
            pfn
            for pfn in sorted(stored.keys() - before - after.keys() - uploads.keys())
            if not _is_of(living, pfn)
        ]
        yield from self._dark(dark, stored)
        yield from self._half_done({pfn: uploads[pfn] for pfn in uploads.keys() - after.keys()})
        for temporary in self._storage.temporaries():
            is_old = temporary.age_s > self._orders.min_age_s
            if is_old and not _is_of(living, temporary.name) and not self.stop.is_set():
                finding = Finding(Kind.TEMPORARY, self._se, temporary.name)
                yield from self._leftover(finding, temporary.size_bytes)

    def _living(self) -> set[str]:
        """How the names of outputs begin that a broker may be bringing home."""
        grid_id = self._grid.catalog.grid_id
        return {output_prefix(grid_id, job.attempt_id) for job in self._grid.whole.jobs.desk.live()}

    # -- replicas ----------------------------------------------------------------------------------

    def _replicas(self, known: list[Replica], stored: dict[str, int]) -> Iterator[Finding]:
        with ExitStack() as stack:
            checkpoint = None
            if self._orders.deep:
                folder = self._grid.settings.home / "fsck"
                checkpoint = stack.enter_context(
                    Checkpoint(
                        folder,
                        self._element,
                        self._grid.catalog.grid_id,
                        restart=self._orders.restart,
                    )
                )
                self._tell_of(checkpoint, known)
            for replica in known:
                if self.stop.is_set():
                    return
                yield from self._replica(replica, stored.get(replica.pfn), checkpoint)
                self._progress.advance()
            if checkpoint is not None:
                checkpoint.end()

    def _tell_of(self, checkpoint: Checkpoint, known: list[Replica]) -> None:
        if checkpoint.oldest_s is not None:
            taken = sum(map(checkpoint.has, known))
            self._progress.warn(
                f"{self._se}: {taken} of {len(known)} replicas are not read again: a check that "
                f"began {_ago(checkpoint.oldest_s)} and was interrupted found them good (--restart "
                "reads all)"
            )

    def _replica(
        self, replica: Replica, size_bytes: int | None, checkpoint: Checkpoint | None
    ) -> Iterator[Finding]:
        self.checked += 1
        is_read = checkpoint is None or checkpoint.has(replica)
        if size_bytes == replica.size_bytes and is_read:
            return
        check = check_replica(self._grid, replica, deep=not is_read)
        if check.verdict is Verdict.UNREACHABLE:
            raise Unreachable(check.detail)
        if check.verdict is Verdict.OK:
            if checkpoint is not None:
                checkpoint.add(replica)
        else:
            yield from self._bad(check)

    def _known(self, replica: Replica) -> list[Replica]:
        """Replicas that its object has now; a removed one that was made again is another."""
        return self._objects.replicas([replica.object_id])[replica.object_id]

    def _bad(self, check: Check) -> Iterator[Finding]:
        bad = check.replica
        kind = Kind.LOST if check.verdict is Verdict.LOST else Kind.CORRUPT
        item = self._objects.by_ids([bad.object_id]).get(bad.object_id)
        name = names_of(self._grid, [bad.object_id]).get(bad.object_id, "")
        known = self._known(bad)
        if item is None or bad not in known:
            return  # it was removed meanwhile, and perhaps made again
        others = [one for one in known if (one.se, one.pfn) != (bad.se, bad.pfn)]
        finding = Finding(kind, self._se, bad.pfn, name, check.detail)
        if not others:
            yield replace(finding, action="nothing: there is no other replica")
        elif self._orders.dry_run:
            places = ", ".join(one.se for one in others)
            yield replace(finding, action=f"would be copied anew from {places}")
        elif not self._orders.mend:
            yield finding
        else:
            try:
                repair(self._grid, item, others, bad)
            except MedgridError as error:
                if bad in self._known(bad):
                    yield replace(finding, action=f"not mended: {error.message}")
                return
            if bad in self._known(bad):
                yield replace(finding, action="copied anew", mended=True)
            else:  # whoever removed it meanwhile has not deleted these bytes
                self._delete(bad.pfn)

    # -- leftovers ---------------------------------------------------------------------------------

    def _dark(self, pfns: list[str], stored: dict[str, int]) -> Iterator[Finding]:
        """Look again at what belongs to nobody: it may have come and gone during the walk."""
        there = [pfn for pfn in pfns if self._storage.size(pfn) is not None]
        living = self._living() if there else set()
        known = self._objects.known_at(self._se, there) if there else set()
        for pfn in there:
            if self.stop.is_set():
                return
            if pfn not in known and not _is_of(living, pfn):
                yield from self._leftover(Finding(Kind.DARK, self._se, pfn), stored[pfn])

    def _leftover(self, finding: Finding, size_bytes: int) -> Iterator[Finding]:
        finding = replace(finding, detail=f"{size_bytes} bytes")
        age_s = self._storage.age_s(finding.pfn)
        if age_s is None:
            return  # it went meanwhile
        if not (self._orders.mend or self._orders.dry_run):
            yield finding
        elif age_s <= self._orders.min_age_s:
            yield replace(finding, action="left: it is too young")
        elif self._orders.dry_run:
            yield replace(finding, action="would be deleted")
        else:
            try:
                if finding.kind is Kind.TEMPORARY:
                    gone = self._storage.delete(finding.pfn)
                else:
                    gone = self._delete(finding.pfn)
            except MedgridError as error:
                yield replace(finding, action=f"not deleted: {error.message}")
                return
            if gone:
                yield replace(finding, action="deleted", mended=True)

    def _delete(self, pfn: str) -> bool:
        """Delete bytes that belong to nobody; False when there are none, or they do."""
        place = (self._se, pfn)
        if not self._objects.condemn([place]):
            return False
        try:
            return self._storage.delete(pfn)
        finally:
            self._objects.end_condemned([place])

    def _half_done(self, uploads: dict[str, tuple[ObjectId, float]]) -> Iterator[Finding]:
        """Tell of what has been written or deleted for too long, and still is."""
        orders, now = self._orders, time.time()
        old = {pfn: one for pfn, one in uploads.items() if now - one[1] > self._patience_s(one[0])}
        is_only_told = not (orders.mend or orders.dry_run)
        standing = self._objects.reservations(self._se) if old and is_only_told else old
        for pfn, (object_id, since_s) in sorted(old.items()):
            if self.stop.is_set():
                return
            if standing.get(pfn) != (object_id, since_s):
                continue
            what = "its deletion began" if object_id == CONDEMNED else "announced"
            detail = f"{what} {_ago(now - since_s)}"
            finding = Finding(Kind.HALF_DONE, self._se, pfn, detail=detail)
            if is_only_told:
                yield finding
            elif orders.dry_run:
                yield replace(finding, action="would be deleted")
            else:
                yield from self._end_half_done(finding, since_s)

    def _patience_s(self, object_id: ObjectId) -> float:
        """How long bytes may be written, or deleted (`CONDEMNED`)."""
        least_s = _DELETION_S if object_id == CONDEMNED else 0.0
        return max(self._orders.min_age_s, least_s)

    def _end_half_done(self, finding: Finding, since_s: float) -> Iterator[Finding]:
        place = (self._se, finding.pfn)
        try:
            # first: from now on it cannot be registered any more
            if not self._objects.condemn_uploads([place], since_s):
                return
            self._storage.delete(finding.pfn)
            self._objects.end_condemned([place])
        except MedgridError as error:
            yield replace(finding, action=f"not deleted: {error.message}")
            return
        yield replace(finding, action="deleted", mended=True)


def _is_of(living: set[str], pfn: str) -> bool:
    """Whether bytes are an output of one of these attempts, or a part of one."""
    return pfn.removeprefix(PART).rpartition("/")[2][:16] in living


def _ago(age_s: float) -> str:
    """Say how long ago something was.

    Examples
    --------
    >>> _ago(90 * 60), _ago(59), _ago(50 * 3600)
    ('1 h ago', '0 min ago', '2 days ago')
    """
    if age_s < 3600:
        return f"{age_s // 60:.0f} min ago"
    if age_s < 48 * 3600:
        return f"{age_s // 3600:.0f} h ago"
    return f"{age_s // 86400:.0f} days ago"
