"""What the upgrade of a database says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medgrid.database.upgrade import Upgraded

__all__ = ["document_of", "lines_of"]


def document_of(done: Upgraded) -> dict[str, Any]:
    """Fields of the JSON document."""
    return {"before": done.before, "after": done.after, "copies": list(map(str, done.copies))}


def lines_of(what: str, done: Upgraded) -> list[str]:
    """Lines for people."""
    if done.before == done.after:
        lines = [f"{what} has schema {done.after} already"]
    else:
        lines = [f"{what} had schema {done.before}, now it has {done.after}"]
    return lines + [f"a copy of it as it was before is kept in {copy}" for copy in done.copies]
