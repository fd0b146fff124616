"""New versions of LFNs: those whom the earlier one is granted keep what they were granted.

A grant is on what an LFN names. Whoever makes a new version has its key and seals it again, before
the catalog knows of it, to all whose grant still holds; then one transaction of the catalog
registers it and hands the grants on.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from medgrid.actions.grant_keys import Ends, follow_grants, granted, seal_grants
from medgrid.actions.grid import Grid
from medgrid.actions.permission import decide, patients_allowed
from medgrid.catalog import Catalog
from medgrid.crypto.policy import Verb
from medgrid.model import LFN, DataClass, GridObject, ObjectId, Review

__all__ = ["Loss", "Succession"]

_GRANT_AGAIN = "'medgrid grant' grants it anew"


@dataclass(frozen=True, slots=True)
class Loss:
    """That somebody does not see a new version of what is granted to them, why, and what to do."""

    lfn: LFN
    names: tuple[str, ...]
    reason: str
    hint: str

    def __str__(self) -> str:
        return f"{self.lfn}: {', '.join(self.names)} cannot see the new version: {self.reason}"


class Succession:
    """Hands grants on to new versions of LFNs.

    Call `prepare` when the keys of the new objects were made to last, `hand_on` in the transaction
    that registers them, and `settle` after it.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._sealed: list[tuple[GridObject, Ends]] = []
        self._refused: list[tuple[GridObject, LFN, str, str]] = []  # earlier versions, and why
        self._losses: list[Loss] = []

    def prepare(self, new: Iterable[GridObject]) -> None:
        """Seal the keys of objects to whom what their LFNs name is granted."""
        named = {one.lfn: one for one in new if one.lfn and one.data_class is DataClass.IMAGE}
        earlier = self._grid.whole.objects.get_many(named)
        if not earlier:
            return
        ends = granted(self._grid, earlier.values())
        refusals = self._refusals({lfn: named[lfn] for lfn in earlier}, earlier)
        wanted = []
        for lfn, old in earlier.items():
            if lfn in refusals:
                self._refused.append((old, lfn, *refusals[lfn]))
            else:
                wanted.append((named[lfn], ends.get(old.id, {})))
        strangers = seal_grants(self._grid, [one for one in wanted if one[1]])
        for item, theirs in wanted:
            self._sealed.append(
                (item, {name: end_s for name, end_s in theirs.items() if name not in strangers})
            )
            for name in sorted(strangers.keys() & theirs.keys()):
                assert item.lfn is not None  # noqa: S101 - chosen above
                self._lose(item.lfn, [name], strangers[name].message, _GRANT_AGAIN)

    def _refusals(
        self, items: Mapping[LFN, GridObject], earlier: Mapping[LFN, GridObject]
    ) -> dict[LFN, tuple[str, str]]:
        """Why grants of some are not handed on, and what to do."""
        decisions = decide(self._grid, Verb.GRANT, items.values())
        brought = {one.patient for one in items.values() if one.patient and not one.owner}
        refused = patients_allowed(self._grid, Verb.ADD, brought)
        found: dict[LFN, tuple[str, str]] = {}
        for lfn, item in items.items():
            old, decision = earlier[lfn], decisions[item.id]
            is_brought = item.patient in brought and not item.owner
            if (item.patient, item.owner) != (old.patient, old.owner):
                found[lfn] = "it is of somebody else", _GRANT_AGAIN
            elif item.review is Review.NEEDED:
                reason = f"it waits for a review, and version {old.version} stays until then"
                found[lfn] = reason, f"'medgrid review show {lfn}', then 'medgrid review release'"
            elif not decision and not (is_brought and refused[item.patient or ""] is None):
                found[lfn] = decision.reason, _GRANT_AGAIN
        return found

    def _lose(self, lfn: LFN, names: Iterable[str], reason: str, hint: str) -> None:
        self._losses.append(Loss(lfn, tuple(sorted(names)), reason, hint))

    def hand_on(self, catalog: Catalog, registered: Container[ObjectId]) -> None:
        """Grant those of the new versions that `catalog` has now."""
        catalog.access.inherit([item.id for item, _ in self._sealed if item.id in registered])

    def settle(self) -> list[Loss]:
        """Follow what happened to the grants meanwhile; give who does not see a new version."""
        followed = (item for item, _ in self._sealed)
        now = granted(self._grid, [*followed, *(old for old, *_ in self._refused)])
        for item, ends in self._sealed:
            if now.get(item.id, {}) != ends:
                follow_grants(self._grid, item, ends)
        for old, lfn, reason, hint in self._refused:
            if names := now.get(old.id):
                self._lose(lfn, names, reason, hint)
        return self._losses
