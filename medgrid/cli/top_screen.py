"""The screen of ``medgrid top``: drawn anew until 'q' or Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from medgrid.cli.say import colour, printable
from medgrid.cli.times import shown_time
from medgrid.cli.top import FAILURE_COLUMNS, WORKER_COLUMNS, failure_rows, worker_rows
from medgrid.cli.totals import totals_rows
from medgrid.errors import Busy, Unreachable

if TYPE_CHECKING:
    from medgrid.actions.top import Snapshot

__all__ = ["watch"]

_LEAST_WORKERS = 3


def watch(look: Callable[[], Snapshot], first: Snapshot, interval_s: float) -> None:
    """Show what `look` gives every `interval_s`, until somebody ends it.

    A catalog that does not answer for a while is said on the screen, above what was seen last.
    """
    console = Console(no_color=colour() is False or None, force_terminal=True)
    found, trouble = first, ""
    with (
        contextlib.suppress(KeyboardInterrupt),
        _keys() as pressed,
        Live(
            _screen(found, trouble, console.height),
            console=console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as live,
    ):
        while True:
            live.update(_screen(found, trouble, console.height), refresh=True)
            if pressed(interval_s):
                return
            try:
                found, trouble = look(), ""
            except (Busy, Unreachable) as exc:
                trouble = exc.message


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """A function that waits so many seconds, and says whether 'q' was typed meanwhile."""
    if not sys.stdin.isatty():
        yield _sleep
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)

    def pressed(wait_s: float) -> bool:
        until_s = time.monotonic() + wait_s
        while (left_s := until_s - time.monotonic()) > 0:
            if select.select([keyboard], [], [], left_s)[0]:
                typed = os.read(keyboard, 64)
                if not typed or b"q" in typed.lower():
                    return True
        return False

    tty.setcbreak(keyboard)
    try:
        yield pressed
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _sleep(wait_s: float) -> bool:
    time.sleep(wait_s)
    return False


def _screen(found: Snapshot, trouble: str, height: int) -> Group:
    broker = found.broker or "none works on this grid"
    parts: list[Any] = [
        _line(f"medgrid  {shown_time(found.time_s)}  broker: {broker}  ('q' ends)", "bold")
    ]
    if trouble:
        parts.append(_line(trouble, "bold red"))
    totals = totals_rows(found.totals)
    left = height - len(parts) - len(totals) - 4 - (len(found.failures) + 2)
    shown = found.workers[: max(_LEAST_WORKERS, left)]
    parts += [Text(), _table(totals, ("jobs", "")), Text()]
    parts.append(_table(worker_rows(shown), WORKER_COLUMNS))
    if len(shown) < len(found.workers):
        parts.append(_line(f"and {len(found.workers) - len(shown)} more workers", "dim"))
    if found.failures:
        parts += [Text(), _table(failure_rows(found), FAILURE_COLUMNS)]
    return Group(*parts)


def _line(text: str, style: str) -> Text:
    return Text(printable(text), style=style, no_wrap=True, overflow="ellipsis")


def _table(rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, title in enumerate(columns):
        cells = [row[number] for row in rows]
        is_number = bool(cells) and all(isinstance(one, int | float) for one in cells)
        table.add_column(
            title, justify="right" if is_number else "left", no_wrap=True, overflow="ellipsis"
        )
    for row in rows:
        table.add_row(*(Text(printable(str(one))) for one in row))
    return table
