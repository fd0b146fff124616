"""Revoke: take grants back, so that the key store gives nothing out for them any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from medgrid.actions.grant_keys import ends_of, opened, seal_grants
from medgrid.actions.grid import Grid
from medgrid.actions.outcome import Failure
from medgrid.actions.permission import choose
from medgrid.catalog.access import Grant
from medgrid.errors import NotFound
from medgrid.model import GridObject, JobId, ObjectId

__all__ = ["STAYS_FETCHED", "Revoked", "recall", "revoke"]

STAYS_FETCHED = (
    "what {name} has fetched stays fetched, and so do results made from it; if {name} may have "
    "kept keys, 'medgrid rekey' encrypts the objects anew"
)
"""What taking back a grant does not protect from."""


@dataclass(slots=True)
class Revoked:
    """What `revoke` did.

    `jobs` are open jobs of the identity that got no keys of these objects any more; those that run
    already had them.
    """

    grants: list[Grant] = field(default_factory=list)
    items: list[GridObject] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    jobs: list[JobId] = field(default_factory=list)


def revoke(
    grid: Grid,
    identity: str,
    words: Sequence[str] = (),
    *,
    dataset: str | None = None,
) -> Revoked:
    """Take back what was granted to `identity`, as far as the user may.

    Parameters
    ----------
    words : sequence of str
        LFNs; without any, and without a dataset, all is taken back.
    dataset : str, optional
        What the user granted with this dataset, whatever it holds now.

    Raises
    ------
    NotFound
        There is nothing to take back.
    """
    access = grid.catalog.access
    found = Revoked()
    ids: list[ObjectId] | None = None
    if words:
        chosen = choose(grid, words)
        found.failures = chosen.failures
        lfns = [one.lfn for one in chosen.items if one.lfn is not None]
        # a grant is on all versions of its LFN
        ids = [one for many in grid.catalog.objects.contents(lfns).values() for one in many]
    giver = grid.settings.user if dataset is not None else None
    with grid.catalog.transaction():
        found.grants = access.revoke(identity, granted_by=giver, dataset=dataset, ids=ids)
        gone = {one.object_id for one in found.grants}
        # those whom the grant let see an object do not see it now
        items = list(grid.whole.objects.by_ids(gone).values())
        _drop_keys(grid, identity, items)
    if not found.grants and not found.failures:
        what = f" with dataset {dataset}" if dataset is not None else ""
        what = " on these objects" if words else what
        raise NotFound(
            f"{identity} has no grant{what} that is yours to take back",
            hint=f"see 'medgrid grant ls {identity}'",
        )
    found.items = items
    found.jobs = recall(grid, identity, items)
    return found


def _drop_keys(grid: Grid, identity: str, items: Sequence[GridObject]) -> None:
    """Destroy headers; where somebody else's grant still holds, it is sealed again to its end."""
    if not items:
        return
    store = grid.vault.store
    store.drop_grants(identity, [one.key_id for one in items])
    # by the connection that took grants back: others still see them
    left = ends_of(grid.catalog.access.grants(identity, ids=[one.id for one in items]))
    still = [one for one in items if one.id in left]
    if still:
        good, _ = opened(grid, still, f"grant to {identity}")
        seal_grants(grid, [(one, left[one.id]) for one in good])


def recall(grid: Grid, identity: str | None, items: Iterable[GridObject]) -> list[JobId]:
    """Take back the keys lent to open jobs of `identity`, or of anybody, that need objects.

    All that was lent for such a job is taken back: without one input it cannot run.
    """
    wanted = {one.key_id for one in items if one.is_protected}
    store = grid.vault.store
    found: list[JobId] = []
    for submission, lent in store.delegations().items():
        numbers = sorted({number for number, object_id in lent if object_id in wanted})
        if not numbers or (
            identity is not None and grid.whole.jobs.desk.head(submission).owner != identity
        ):
            continue
        store.drop_delegation(submission, numbers)
        found += [JobId(submission, number) for number in numbers]
    return found
