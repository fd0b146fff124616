"""Patients who became others, for those who ask for them as they were."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medgrid.actions.grid import Grid

__all__ = ["merged_in"]

_PSEUDONYM = re.compile(r"P-[0-9A-Z]+")


def merged_in(grid: Grid, text: str) -> dict[str, str]:
    """Patients in a text who became others, and whom, as far as the user may know."""
    found = sorted(set(_PSEUDONYM.findall(text)))
    merged = grid.catalog.merged.all() if found else {}
    return {one: merged[one] for one in found if one in merged}
