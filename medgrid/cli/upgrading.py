"""What the upgrade of a database says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medgrid.database.upgrade import Upgraded

__all__ = ["document_of", "lines_of"]


def document_of(done: Upgraded) -> dict[str, Any]:
    """Fields of the JSON document."""
    backup = None if done.backup is None else str(done.backup)
    return {"before": done.before, "after": done.after, "backup": backup}


def lines_of(what: str, done: Upgraded) -> list[str]:
    """Lines for people."""
    if done.before == done.after:
        return [f"{what} has schema {done.after} already"]
    lines = [f"{what} had schema {done.before}, now it has {done.after}"]
    if done.backup is not None:
        lines.append(f"a copy of it as it was before is kept in {done.backup}")
    return lines
