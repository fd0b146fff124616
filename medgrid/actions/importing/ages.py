"""Ages and sexes that images have from tables: whether a table says otherwise by now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from medgrid.actions.grid import Grid
from medgrid.actions.importing.drafts import Namer
from medgrid.images.bids import subjects, subjects_of
from medgrid.images.volume import said_at_visits, said_by_tables
from medgrid.model import ObjectId

__all__ = ["differing", "renew"]


def renew(
    grid: Grid,
    images: Mapping[str, ObjectId],
    of_others: Callable[[Iterable[str]], set[str]],
) -> None:
    """Let images that are in the grid have the age and sex that tables say now.

    Parameters
    ----------
    grid : Grid
    images : mapping of str to ObjectId
        Originals by the paths of their files.
    of_others : callable
        Which of some patients this user may not bring data of.
    """
    objects = grid.whole.objects
    items = objects.by_ids(images.values())
    others = of_others({one.patient for one in items.values() if one.patient})
    changed: dict[ObjectId, dict[str, Any]] = {}
    for path, original in images.items():
        item = items.get(original)
        if item is not None and item.patient not in others:
            said = said_by_tables(path)
            new = {name: one for name, one in said.items() if item.attributes.get(name) != one}
            if new:
                changed[original] = new
    for item in (*objects.by_ids(changed).values(), *objects.twins(changed)):
        objects.set_attributes(item.id, changed[item.original or item.id])


def differing(grid: Grid, namer: Namer, root: str) -> int:
    """How many subjects of a dataset have images of another age or sex than its tables say."""
    dataset = subjects_of(root)
    whose = {namer.of_subject(one, dataset): one for one in subjects(root)}
    images = grid.catalog.imported.said_of(whose)
    return sum(
        any(
            _is_other(
                {one[name] for one in said_at_visits(root, whose[patient]) if name in one},
                {one[name] for one in said if one[name] is not None},
            )
            for name in ("PatientSex", "PatientAge")
        )
        for patient, said in images.items()
    )


def _is_other(told: set[Any], known: set[Any]) -> bool:
    """Whether something is told that no image says, and images say what nobody tells."""
    return bool(told - known) and bool(known - told)
