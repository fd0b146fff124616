"""How commands tell what became of a table about people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from medgrid.cli.output import emit_json, warn
from medgrid.cli.say import printable

if TYPE_CHECKING:
    from medgrid.actions.importing.tables import TableReport
    from medgrid.cli.params import Session

__all__ = ["tell_table"]

_FEW = 10


def tell_table(session: Session, report: TableReport) -> None:
    """Say on stderr what of a table is left out, and warn of what took another value's place."""
    if session.as_json:
        document = {
            "table": report.name,
            "new": len(report.fresh),
            "changed": [
                {"patient": one.patient, "visit": one.visit or None, "name": one.name}
                for one in report.replaced
            ],
            "left_out": report.left_out,
            "wrong": [one._asdict() for one in report.wrong],
            "unknown": report.unknown,
            "others": report.others,
            "lost": report.lost,
        }
        emit_json("table/1", document, err=True)
        return
    for one in report.replaced:
        where = f"{one.patient}/{one.visit}" if one.visit else one.patient
        warn(
            session,
            f"{where}: {one.name} in {report.name} is another than before",
            hint=f"'medgrid meta show --history {where}' has all values",
        )
    for reason in report.lost:
        warn(session, f"{report.name}: {reason}")
    if session.quiet:
        return
    lines = [f"column {name} left out: {reason}" for name, reason in report.left_out.items()]
    if report.wrong:
        wrong = (f"{one.row}, {one.column}: {one.reason}" for one in report.wrong)
        lines.append(f"left out: {_few(wrong, '; ')}")
    if report.unknown:
        lines.append(f"nobody in the grid: {_few(report.unknown)}")
    for line in lines:
        click.echo(printable(f"{report.name}: {line}"), err=True)


def _few(words: Iterable[str], between: str = ", ") -> str:
    given = list(words)
    more = len(given) - _FEW
    return between.join([*given[:_FEW], *([f"and {more} more"] if more > 0 else [])])
