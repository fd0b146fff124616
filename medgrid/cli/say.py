"""What goes to stderr: one line, who speaks, what kind of line it is."""

from __future__ import annotations

import os
import re
import shlex

import click

__all__ = ["colour", "for_home", "printable", "say"]

_COMMAND = re.compile(r"'medgrid (?!\S*--help|[^']* --help')")  # help is the same for all
_COLOURS = {"error": "red", "warning": "yellow", "hint": "cyan"}


def say(kind: str, message: str) -> None:
    """Print ``medgrid: kind: message``; `kind` is ``error``, ``warning`` or ``hint``."""
    label = click.style(f"{kind}:", fg=_COLOURS[kind], bold=True)
    click.echo(f"medgrid: {label} {printable(message)}", err=True, color=colour())


def for_home(hint: str | None, home: str | None) -> str | None:
    """A hint whose commands are said to the grid home that was named, as they must be."""
    if hint is None or home is None:
        return hint
    return _COMMAND.sub(lambda _: f"'medgrid --home {shlex.quote(home)} ", hint)


def colour() -> bool | None:
    """False when the user wants none (https://no-color.org), else click decides by terminal."""
    return False if os.environ.get("NO_COLOR") else None


def printable(text: str) -> str:
    """Text that cannot steer a terminal: control characters become visible escapes.

    Examples
    --------
    >>> printable("brain\\x1b[2J")
    'brain\\\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
