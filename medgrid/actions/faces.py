"""Images of heads show faces, which name the patient to whoever looks at a rendering of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from medgrid.actions.grid import Grid
from medgrid.model import GridObject, ObjectId, ObjectKind

__all__ = ["DEFACE", "with_faces"]

DEFACE = "deface"
"""Name of the algorithm that takes faces out of images."""

_IMAGES = (ObjectKind.SERIES, ObjectKind.VOLUME, ObjectKind.FILE)
_HEAD = re.compile(r"HEAD|BRAIN|SKULL|FACE|ORBIT|SINUS|NECK|CEREB|NEURO|IAC|PITUIT", re.IGNORECASE)
_SUFFIXES = frozenset(
    ("T1w", "T2w", "FLAIR", "PDw", "T2starw", "T1rho", "inplaneT1", "inplaneT2", "PDT2", "MP2RAGE")
)
_NAMES = ("BodyPartExamined", "SeriesDescription", "ProtocolName", "StudyDescription")


def with_faces(grid: Grid, items: Sequence[GridObject]) -> list[GridObject]:
    """Images of heads among `items` that do not come from algorithm `DEFACE`."""
    heads = [one for one in items if _is_head(one)]
    bare = _not_defaced(grid, {one.id for one in heads})
    return [one for one in heads if one.id in bare]


def _is_head(item: GridObject) -> bool:
    if item.kind not in _IMAGES:
        return False
    said = item.attributes
    texts = (text for name in _NAMES for text in _texts(said.get(name)))
    return said.get("suffix") in _SUFFIXES or any(map(_HEAD.search, texts))


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, list):
        return [str(one) for one in value]
    return [] if value is None else [str(value)]


def _not_defaced(grid: Grid, ids: set[ObjectId]) -> set[ObjectId]:
    """Those of `ids` with some way back to an image from outside that passes no `DEFACE`."""
    ways = {one: {one} for one in ids}  # where the ways back from each have come to
    seen = {one: {one} for one in ids}
    bare: set[ObjectId] = set()
    while ways:
        made_by = grid.whole.provenance.made_by_many(set().union(*ways.values()))
        further: dict[ObjectId, set[ObjectId]] = {}
        for start, places in ways.items():
            if places - made_by.keys():
                bare.add(start)
                continue
            back: set[ObjectId] = set()
            for place in places:
                maker = made_by[place]
                if maker.algorithm_label.partition("@")[0] != DEFACE:
                    back.update(*maker.inputs_of(place).values())
            back -= seen[start]
            if back:
                further[start] = back
                seen[start] |= back
        ways = further
    return bare
