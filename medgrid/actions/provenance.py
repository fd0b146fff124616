"""How an object was made, back to what came from outside; what was made from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from medgrid.actions.grid import Grid
from medgrid.catalog.provenance import Derivation
from medgrid.model import LFN, GridObject, ObjectId

__all__ = ["Node", "Step", "backward", "forward"]

_Runs = list[tuple[Derivation, Mapping[str, Sequence[ObjectId]]]]


@dataclass(frozen=True, slots=True)
class Step:
    """A derivation on the way, and the objects on its far side by role."""

    derivation: Derivation
    nodes: Mapping[str, Sequence[Node]]


@dataclass(slots=True)
class Node:
    """An object in a tree of provenance.

    `item` is None when the object has been removed. `seen` says that what lies behind the object
    is shown at an earlier place of the tree.
    """

    object_id: ObjectId
    item: GridObject | None = None
    steps: list[Step] = field(default_factory=list)
    seen: bool = False


def backward(grid: Grid, lfn: LFN) -> Node:
    """Tree of what an LFN was made from; leaves came from outside.

    Raises
    ------
    NotFound
        There is no such LFN.
    """
    provenance = grid.catalog.provenance
    root = grid.catalog.objects.get(lfn)
    makers: dict[ObjectId, Derivation] = {}  # of all objects on the way
    level = [root.id]
    known = {root.id}
    while level:
        found = provenance.made_by_many(level)
        makers.update(found)
        level = [
            one
            for object_id, maker in found.items()
            for ids in maker.inputs_of(object_id).values()
            for one in ids
            if one not in known
        ]
        level = list(dict.fromkeys(level))
        known.update(level)

    def steps(object_id: ObjectId) -> _Runs:
        maker = makers.get(object_id)
        return [(maker, maker.inputs_of(object_id))] if maker else []

    return _Tree(grid, known, steps).grow(root.id)


def forward(grid: Grid, lfn: LFN) -> Node:
    """Tree of what was made from an LFN.

    Raises
    ------
    NotFound
        There is no such LFN.
    """
    provenance = grid.catalog.provenance
    root = grid.catalog.objects.get(lfn)
    made: dict[ObjectId, _Runs] = {}
    level = {root.id}
    while level:
        found = provenance.made_from_many(level)
        runs = {run.id: run.outputs_from(level) for many in found.values() for run in many}
        made.update(
            (one, [(run, runs[run.id][one]) for run in found.get(one, ()) if one in runs[run.id]])
            for one in level
        )
        level = {
            output
            for sources in runs.values()
            for roles in sources.values()
            for ids in roles.values()
            for output in ids
        } - made.keys()
    return _Tree(grid, made, made.__getitem__).grow(root.id)


class _Tree:
    """Builds nodes; each object's steps once."""

    def __init__(
        self,
        grid: Grid,
        ids: Iterable[ObjectId],
        steps: Callable[[ObjectId], _Runs],
    ) -> None:
        self._items = grid.catalog.objects.by_ids(ids)
        self._steps = steps
        self._grown: set[ObjectId] = set()

    def grow(self, root: ObjectId) -> Node:
        """Node of an object with all that lies behind it."""
        top = Node(root, self._items.get(root))
        waiting = [top]
        while waiting:
            node = waiting.pop()
            found = self._steps(node.object_id)
            if node.object_id in self._grown:
                node.seen = bool(found)
                continue
            self._grown.add(node.object_id)
            for derivation, roles in found:
                nodes = {
                    role: [Node(one, self._items.get(one)) for one in ids]
                    for role, ids in roles.items()
                }
                node.steps.append(Step(derivation, nodes))
                waiting += [one for many in reversed(nodes.values()) for one in reversed(many)]
        return top
