"""The namer of a grid: it knows the words, the sessions and the merged patients of the grid."""

from __future__ import annotations

from functools import cache

from medgrid.actions.grid import Grid
from medgrid.actions.importing.drafts import Namer
from medgrid.actions.vocabulary import vocabulary
from medgrid.catalog.query import parse
from medgrid.crypto.pseudonym import load_key
from medgrid.model import LFN

__all__ = ["namer_of"]


def namer_of(grid: Grid, to: LFN, issuer: str = "") -> Namer:
    """Make it for what goes below `to`, with ids that `issuer` gave where nothing says who did."""

    @cache
    def has_session(label: str) -> bool:
        question = parse(f"session='{label}' and class in (nominative, image)")
        return any(True for _ in grid.whole.objects.lfns(question, limit=1))

    key, merged = load_key(grid.settings.keys_dir), grid.whole.merged.all()
    return Namer(key, to, issuer, vocabulary(grid), has_session, merged)
