"""``medgrid dataset``: saved queries."""

from __future__ import annotations

import click

from medgrid.cli.output import emit, emit_json, emit_lines, warn
from medgrid.cli.params import Session, pass_session

__all__ = ["dataset"]


@click.group()
def dataset() -> None:
    """Saved queries. Make one with 'medgrid query ... --save NAME [--freeze]'."""


@dataset.command("ls")
@pass_session
def ls(session: Session) -> None:
    """List datasets."""
    grid = session.open_grid()
    emit(
        session,
        "dataset/1",
        (
            {"name": one.name, "frozen": one.frozen, "question": one.question}
            for one in grid.catalog.datasets.list()
        ),
        ["name", "frozen", "question"],
    )


@dataset.command("show")
@click.argument("name")
@pass_session
def show(session: Session, name: str) -> None:
    """Print a dataset's question, or the members of a frozen one."""
    grid = session.open_grid()
    found = grid.catalog.datasets.get(name)
    if found.frozen:
        new, gone = grid.catalog.datasets.changed(name)
        for lfn in new:
            warn(session, f"{lfn} has new content since")
        for lfn in gone:
            warn(session, f"{lfn} is gone")
    if session.as_json:
        emit_json(
            "dataset/1",
            {
                "name": found.name,
                "frozen": found.frozen,
                "question": found.question,
                "created_s": found.created_s,
                "members": None if found.members is None else list(found.members),
            },
        )
        return
    emit_lines([found.question] if found.members is None else found.members)


@dataset.command("rm")
@click.argument("names", nargs=-1, required=True)
@pass_session
def rm(session: Session, names: tuple[str, ...]) -> None:
    """Forget datasets; their objects stay."""
    grid = session.open_grid()
    for name in names:
        grid.catalog.datasets.remove(name)
