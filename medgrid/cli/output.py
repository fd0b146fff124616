"""How results leave: tables for a terminal, plain lines for a pipe, JSON when asked.

stdout holds the result only. Progress, warnings and notes go to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.say import colour, for_home, printable, say

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from medgrid.actions.progress import Progress
    from medgrid.cli.params import Session

__all__ = [
    "emit",
    "emit_done",
    "emit_json",
    "emit_lines",
    "emit_row",
    "emit_table",
    "human_bytes",
    "note",
    "progress",
    "warn",
]


def emit_json(schema: str, document: Mapping[str, Any], *, err: bool = False) -> None:
    """Print one JSON document on one line; `schema` is ``name/version`` without ``medgrid.``."""
    named = {"schema": f"medgrid.{schema}", **document}
    click.echo(json.dumps(named, ensure_ascii=False, default=str), err=err)


def emit_lines(lines: Iterable[str]) -> None:
    """Print plain lines, as they come."""
    write = sys.stdout.write
    for line in lines:
        write(line + "\n")
    sys.stdout.flush()  # what was done is told, whatever ends this process next


def emit_table(
    rows: Iterable[Sequence[Any]], headers: Sequence[str], *, plain_headers: bool = False
) -> None:
    """Print rows: a table on a terminal, tab-separated lines in a pipe."""
    if not sys.stdout.isatty():
        if plain_headers:
            click.echo("\t".join(headers))
        emit_lines("\t".join(_flat(value) for value in row) for row in rows)
        return
    table = [list(row) for row in rows]
    if not table:
        return
    from tabulate import tabulate

    columns = zip(*table, strict=True)
    text = tabulate(
        [[_flat(value, digits=6) for value in row] for row in table],
        headers=[click.style(title, bold=True) for title in headers],
        tablefmt="simple",
        disable_numparse=True,
        colalign=["right" if _is_numeric(column) else "left" for column in columns],
    )
    click.echo(text, color=colour())


def emit_row(row: Sequence[Any]) -> None:
    """Print one row as it comes, tab-separated wherever it goes to."""
    emit_lines(["\t".join(_flat(value) for value in row)])


def emit(
    session: Session,
    schema: str,
    items: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    labels: Sequence[str] | None = None,
) -> None:
    """Print a list of things: JSON Lines, or a table of `columns`."""
    if session.as_json:
        for item in items:
            emit_json(schema, item)
        return
    emit_table(([item.get(name) for name in columns] for item in items), list(labels or columns))


def emit_done(session: Session, schema: str, document: Mapping[str, Any]) -> None:
    """Say what a command without a result did: one JSON document when asked, else nothing."""
    if session.as_json:
        emit_json(schema, document)


def human_bytes(amount: int | None) -> str | None:
    """Size for people.

    Examples
    --------
    >>> human_bytes(1536)
    '1.5K'
    """
    if amount is None:
        return None
    size = float(amount)
    for unit in ("", "K", "M", "G", "T"):
        if abs(size) < 1024:
            return f"{size:.0f}" if not unit else f"{size:.1f}{unit}"
        size /= 1024
    return f"{size:.1f}P"


def _is_numeric(column: Iterable[Any]) -> bool:
    kinds = {type(value) for value in column} - {type(None)}
    return bool(kinds) and kinds <= {int, float}


def _flat(value: Any, digits: int = 10, between: str = ",") -> str:
    """One cell as text that holds no tab, no line end, nothing that steers a terminal."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, list | tuple | set | frozenset):
        return between.join(_flat(part, digits, "\\") for part in value)
    text = str(value)
    return text if text.isprintable() else printable(" ".join(text.split()))


def warn(
    session: Session, message: str, *, hint: str | None = None, is_trouble: bool = False
) -> None:
    """Print a warning on stderr; a quiet command prints only what ends it with 3, `is_trouble`."""
    if session.quiet and not is_trouble:
        return
    hint = for_home(hint, session.home)
    if session.as_json:
        emit_json("warning/1", {"message": message, "hint": hint}, err=True)
        return
    say("warning", message)
    if hint is not None:
        say("hint", hint)


def note(session: Session, message: str) -> None:
    """Print a note on stderr, on a terminal only."""
    if not session.quiet and sys.stderr.isatty():
        click.echo(printable(message), err=True)


class _Bar:
    """Progress on a terminal, by rich; warnings are printed above the bar."""

    def __init__(self, text: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

        self._bar = Progress(
            "{task.description}",
            BarColumn(),
            *_amounts(""),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # else the result would go to stderr
        )
        self._task = self._bar.add_task(text, total=None)
        self._bar.start()

    def total(self, amount: int, unit: str = "") -> None:
        columns = self._bar.columns
        self._bar.columns = (*columns[:2], *_amounts(unit), *columns[-2:])
        task = self._bar.tasks[0]
        if task.total != amount or task.finished:
            self._bar.reset(self._task, total=amount)

    def advance(self, amount: int = 1) -> None:
        self._bar.advance(self._task, amount)

    def note(self, text: str) -> None:
        self._bar.update(self._task, description=printable(text).replace("[", "\\["))

    def warn(self, message: str) -> None:
        text = f"medgrid: warning: {printable(message)}"
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        self._bar.stop()


def _amounts(unit: str) -> list[ProgressColumn]:
    """Columns that show how much of `unit` is done."""
    from rich.progress import DownloadColumn, MofNCompleteColumn, TransferSpeedColumn

    return [DownloadColumn(), TransferSpeedColumn()] if unit == "B" else [MofNCompleteColumn()]


class _Quiet:
    """No terminal: warnings only."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def total(self, amount: int, unit: str = "") -> None:
        pass

    def advance(self, amount: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def warn(self, message: str) -> None:
        warn(self._session, message)


def progress(session: Session, text: str) -> Progress:
    """Start a progress display that ends with the command."""
    if session.quiet or session.as_json or not sys.stderr.isatty():
        return _Quiet(session)
    bar = _Bar(text)
    stop: Callable[[], None] = bar.stop
    click.get_current_context().call_on_close(stop)
    return bar
