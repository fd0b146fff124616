"""Where passphrases come from: a private file, or the terminal. Never the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medgrid.errors import UsageError

if TYPE_CHECKING:
    from medgrid.cli.params import Session

__all__ = ["ask_hidden", "new_passphrase", "passphrase", "passphrase_file", "passphrase_of"]


def passphrase_of(session: Session, title: str) -> Callable[[], bytes]:
    """Ask for the passphrase of `title`, such as ``identity alice``, when that is called."""
    return lambda: passphrase(session, title)


def passphrase(session: Session, title: str) -> bytes:
    """Passphrase of an existing key.

    Raises
    ------
    UsageError
        No file is named and nobody can be asked.
    ConfigError
        The file cannot be used.
    """
    file = passphrase_file(session)
    if file is not None:
        return _first_line(file)
    hint = "say --passphrase-file FILE, or set MEDGRID_PASSPHRASE_FILE"
    return _ask(session, f"passphrase of {title}", hint)


def new_passphrase(
    session: Session, title: str, file: Path | None, none_option: str, file_option: str
) -> bytes:
    """Passphrase that a key is to get: the first line of `file`, or what is typed twice.

    Parameters
    ----------
    session : Session
    title : str
        What the key is called.
    file : Path, optional
    none_option, file_option : str
        Options that ask for none and that name `file`, for hints.

    Raises
    ------
    UsageError
        Nobody can be asked, what was typed is empty, or not the same twice.
    """
    if file is not None:
        return _first_line(file)
    hint = f"say {file_option} FILE, or {none_option}"
    typed = _ask(session, f"new passphrase of {title}", hint)
    if not typed:
        raise UsageError("an empty passphrase protects nothing", hint=f"say {none_option} for none")
    if _ask(session, "the same again", hint) != typed:
        raise UsageError("the two passphrases differ", hint="nothing was changed; try again")
    return typed


def passphrase_file(session: Session) -> Path | None:
    """File that the command line or the settings name for a passphrase."""
    named = session.settings().passphrase_file
    return Path(named).expanduser() if named else None


def _first_line(file: Path) -> bytes:
    from medgrid.crypto.private_file import read_passphrase

    return read_passphrase(file)


def _ask(session: Session, question: str, hint: str) -> bytes:
    return ask_hidden(session, question, hint).encode("utf-8", "surrogateescape")


def ask_hidden(session: Session, question: str, hint: str) -> str:
    """Ask on the terminal, also when stdin is a pipe that brings LFNs; what is typed is not shown.

    Raises
    ------
    UsageError
        Nobody can be asked; `hint` says what to do instead.
    """
    if not (session.interactive and sys.stderr.isatty() and _has_terminal()):
        raise UsageError(f"the {question} cannot be asked here", hint=hint)
    typed: str = click.prompt(question, default="", show_default=False, hide_input=True, err=True)
    return typed


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True
