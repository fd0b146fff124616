"""De-identified series that lack numbers which their originals keep in private elements."""

from __future__ import annotations

from collections.abc import Iterable

from medgrid.catalog.attributes import GEOMETRY_COMPLETE
from medgrid.model import GridObject

__all__ = ["without_geometry"]


def without_geometry(items: Iterable[GridObject]) -> list[str]:
    """LFNs, or ids, of those whose images may be misplaced when they are converted."""
    lacking = (one for one in items if one.attributes.get(GEOMETRY_COMPLETE) == "no")
    return list(dict.fromkeys(str(one.lfn or one.id) for one in lacking))
