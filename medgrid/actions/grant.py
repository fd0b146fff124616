"""Grants: let somebody see and read de-identified objects, until some day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from medgrid.actions.faces import with_faces
from medgrid.actions.grant_keys import Ends, ends_of, opened, seal_grants
from medgrid.actions.grid import Grid
from medgrid.actions.outcome import Failure
from medgrid.actions.permission import choose, members_of, sift
from medgrid.catalog.access import Grant
from medgrid.crypto.policy import Role, Verb
from medgrid.errors import Denied
from medgrid.model import LFN, DataClass, GridObject, ObjectId

__all__ = ["Given", "Granted", "grant", "list_grants"]

_READERS = (Role.RESEARCHER, Role.PHYSICIAN)
_REVIEW_HINT = "look at them with 'medgrid review show', then 'medgrid review release'"


@dataclass(slots=True)
class Given:
    """What `grant` did; `public` counts objects that everybody may read anyway."""

    items: list[GridObject] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    faces: list[GridObject] = field(default_factory=list)
    public: int = 0

    @property
    def hint(self) -> str | None:
        """What to do about those that were refused."""
        unseen = any("not reviewed" in one.error.message for one in self.failures)
        return _REVIEW_HINT if unseen else None


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant, and the LFN of its object where it has one."""

    grant: Grant
    lfn: LFN | None


def grant(
    grid: Grid,
    identity: str,
    words: Sequence[str],
    until_s: float,
    dataset: str | None = None,
) -> Given:
    """Let `identity` see and read objects until `until_s` (seconds since 1970).

    What policy refuses is listed, the rest is granted. The key store comes first, then the
    catalog: an object that the catalog shows can be opened.

    Parameters
    ----------
    words : sequence of str
        LFNs.
    dataset : str, optional
        Also what this dataset of the user has now.

    Raises
    ------
    NotFound
        There is no such identity or dataset.
    Denied
        The identity's certificate does not hold, or it is neither researcher nor physician.
    """
    known = grid.vault.trust(identity)
    if not known.roles.intersection(_READERS):
        raise Denied(
            f"{identity} cannot be granted data: its certificate says neither researcher nor "
            "physician",
            hint=f"it says {', '.join(sorted(known.roles))}",
        )
    lfns = [*words, *(members_of(grid, dataset) if dataset is not None else ())]
    chosen = choose(grid, lfns)
    found = Given(failures=chosen.failures)
    personal = [one for one in chosen.items if one.data_class is not DataClass.PUBLIC]
    found.public = len(chosen.items) - len(personal)
    allowed = sift(grid, Verb.GRANT, personal)
    items, closed = opened(grid, allowed.items, f"grant to {identity}")
    found.failures += [_with_hint(one) for one in allowed.failures] + closed
    new = [Grant(one.id, identity, grid.settings.user, until_s, dataset) for one in items]
    seal_grants(grid, list(zip(items, _ends(grid, new), strict=True)))
    grid.catalog.access.grant(*new)
    found.items = items
    found.faces = with_faces(grid, items)
    return found


def _with_hint(failure: Failure) -> Failure:
    if "not reviewed" in failure.error.message:
        failure.error.hint = _REVIEW_HINT
    return failure


def _ends(grid: Grid, new: Sequence[Grant]) -> list[Ends]:
    """Until when each object of `new` will be granted, other grants of it counted too."""
    if not new:
        return []
    identity = new[0].identity
    there = grid.whole.access.grants(identity, ids=[one.object_id for one in new])
    taken = {(one.object_id, one.granted_by, one.dataset) for one in new}
    others = [one for one in there if (one.object_id, one.granted_by, one.dataset) not in taken]
    ends: Mapping[ObjectId, Ends] = ends_of([*others, *new])
    return [ends.get(one.object_id, {}) for one in new]


def list_grants(grid: Grid, identity: str | None = None) -> list[Granted]:
    """Grants that the user gave, got, or that are on data of their patients; ended ones too.

    Of one that was handed on to new versions, the newest alone.
    """
    objects = grid.catalog.objects
    grants = grid.catalog.access.grants(identity)
    items = objects.by_ids({one.object_id for one in grants})
    lfns = {one.id: one.lfn for one in items.values() if one.lfn is not None}
    older = objects.version_lfns(items.keys() - lfns.keys())
    handed_on = {_key(one, lfns[one.object_id]) for one in grants if one.object_id in lfns}
    return [
        Granted(one, lfns.get(one.object_id))
        for one in grants
        if one.object_id not in older or _key(one, older[one.object_id]) not in handed_on
    ]


def _key(one: Grant, lfn: LFN) -> tuple[str, str, str, str | None]:
    """What tells the grants of an LFN apart."""
    return lfn, one.identity, one.granted_by, one.dataset
