"""``medgrid apply``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.output import emit_json, emit_lines, note
from medgrid.cli.params import Session, pass_session

if TYPE_CHECKING:
    from medgrid.actions.apply import Change

__all__ = ["apply"]

SIGNS = {"add": "+", "change": "~", "remove": "-", "keep": "="}


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show the difference, change nothing.")
@click.option("--prune", is_flag=True, help="Also remove what the file does not name.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@pass_session
def apply(session: Session, file: Path, dry_run: bool, prune: bool, yes: bool) -> None:
    """Make sites, storage and workers match a file.

    Shows the difference first: '+' is added, '~' changed, '-' removed, '=' is not in the file and
    stays. Then makes all of it, or nothing. config/grid.yaml is a commented example.

    \b
    medgrid apply config/grid.yaml --dry-run
    medgrid apply config/grid.yaml
    """
    from medgrid.actions.apply import apply_plan, make_plan

    grid = session.open_grid()
    plan = make_plan(grid, file, prune=prune)
    if not session.as_json:
        emit_lines(line for change in plan.changes for line in _lines(change))
    if not plan.to_make:
        note(session, "nothing to change")
    elif not dry_run:
        removed = sum(change.verb == "remove" for change in plan.to_make)
        if removed:
            session.confirm(f"remove {removed} from the catalog?", yes=yes)
        apply_plan(grid, plan)
    if session.as_json:
        for change in plan.changes:
            made = not dry_run and change.verb != "keep"
            emit_json("change/1", {**_document(change), "made": made})


def _document(change: Change) -> dict[str, Any]:
    return {
        "change": change.verb,
        "kind": change.kind,
        "name": change.name,
        "details": list(change.details),
    }


def _lines(change: Change) -> list[str]:
    return [
        f"{SIGNS[change.verb]} {change.kind} {change.name}",
        *(f"    {detail}" for detail in change.details),
    ]
