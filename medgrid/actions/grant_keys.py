"""Keys of granted objects: headers in the key store, sealed again to whom they are granted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence

from medgrid.actions.grid import Grid
from medgrid.actions.outcome import Failure
from medgrid.actions.transfer import label
from medgrid.catalog.access import Grant
from medgrid.crypto.crypt4gh import seal_header
from medgrid.crypto.keystore_values import GrantRow
from medgrid.errors import Denied, IntegrityError, MedgridError, NotFound
from medgrid.model import GridObject, ObjectId

__all__ = ["Ends", "ends_of", "follow_grants", "granted", "opened", "seal_grants"]

Ends = Mapping[str, float]
"""Until when an object is granted, by identity; seconds since 1970."""

_NEVER_S = 253402300799.0  # last second of the year 9999


def ends_of(grants: Iterable[Grant]) -> dict[ObjectId, dict[str, float]]:
    """Until when objects are granted to whom; what has ended is left out, of several the last."""
    now_s = time.time()
    found: dict[ObjectId, dict[str, float]] = {}
    for one in grants:
        if one.is_open(now_s):
            ends = found.setdefault(one.object_id, {})
            end_s = _NEVER_S if one.until_s is None else one.until_s
            ends[one.identity] = max(end_s, ends.get(one.identity, 0.0))
    return found


def opened(
    grid: Grid, items: Sequence[GridObject], purpose: str
) -> tuple[list[GridObject], list[Failure]]:
    """Ask for the keys of objects, all at once; those that can be opened, and why others cannot."""
    with contextlib.suppress(IntegrityError):  # one is damaged: each is asked for below
        grid.keys(items, purpose)
    good: list[GridObject] = []
    failures: list[Failure] = []
    for item in items:
        try:
            grid.key(item)
        except (Denied, NotFound, IntegrityError) as error:
            failures.append(Failure(label(item), error))
        else:
            good.append(item)
    return good, failures


def seal_grants(grid: Grid, wanted: Sequence[tuple[GridObject, Ends]]) -> dict[str, MedgridError]:
    """Seal the keys of objects, opened before, to identities until some time; all or none.

    Returns
    -------
    dict
        Identities that nothing was sealed to, since their certificates do not hold, and why.
    """
    vault = grid.vault
    public: dict[str, bytes] = {}
    refused: dict[str, MedgridError] = {}
    for name in {name for _, ends in wanted for name in ends}:
        try:
            public[name] = vault.trust(name).encryption_public
        except (Denied, NotFound) as error:
            refused[name] = error
    rows = []
    for item, ends in wanted:
        key = grid.key(item)
        if key is None:
            continue
        rows += [
            GrantRow(
                item.key_id, name, end_s, vault.name, seal_header(key.data_key, [public[name]])
            )
            for name, end_s in ends.items()
            if name in public
        ]
    if rows:
        vault.store.put_grant_headers(rows)
    return refused


def granted(grid: Grid, items: Iterable[GridObject]) -> dict[ObjectId, dict[str, float]]:
    """To whom objects are granted now, and until when."""
    return ends_of(grid.whole.access.grants(ids=[one.id for one in items]))


def follow_grants(grid: Grid, item: GridObject, sealed: Ends) -> None:
    """Follow grants that were given or taken back since an object's key was `sealed`."""
    now = granted(grid, [item]).get(item.id, {})
    for gone in sealed.keys() - now.keys():
        grid.vault.store.drop_grants(gone, [item.key_id])
    new = {name: end_s for name, end_s in now.items() if sealed.get(name) != end_s}
    if new:
        seal_grants(grid, [(item, new)])
