"""What the upgrade of a database says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medgrid.cli.output import emit_json, emit_lines, warn

if TYPE_CHECKING:
    from medgrid.cli.params import Session
    from medgrid.database.upgrade import Upgraded

__all__ = ["say_upgraded"]


def say_upgraded(session: Session, what: str, done: Upgraded, document: str, **more: str) -> None:
    """Print what was done to `what`: lines for people, or a JSON document, with `more` fields."""
    copies = list(map(str, done.copies))
    if session.as_json:
        emit_json(document, {**more, "before": done.before, "after": done.after, "copies": copies})
    else:
        said = (
            f"{what} has schema {done.after} already"
            if done.before == done.after
            else f"{what} had schema {done.before}, now it has {done.after}"
        )
        emit_lines([said, *(f"a copy of it as it was before is kept in {one}" for one in copies)])
    for words in done.broken:
        warn(session, f"{what}: {words}, as before the upgrade", hint="they stay as they are")
