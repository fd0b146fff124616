"""What commands share: the session, common options, lists of LFNs and ids from anywhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from medgrid.errors import UsageError

if TYPE_CHECKING:
    from medgrid.actions.grid import Grid
    from medgrid.config import Settings

__all__ = ["SIZE", "UNTIL", "Session", "input_option", "pass_session", "read_words"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Session:
    """The words before the command, and the grid they name."""

    home: str | None
    as_json: bool
    interactive: bool
    quiet: bool
    debug: bool
    passphrase_file: str | None = None

    def settings(self) -> Settings:
        """Settings of the grid home that is named; what the command line says wins."""
        from dataclasses import replace

        from medgrid.config import load_settings

        found = load_settings(Path(self.home) if self.home else None)
        if self.passphrase_file is None:
            return found
        return replace(found, passphrase_file=self.passphrase_file)

    def open_grid(self) -> Grid:
        """Open the grid; closed when the command ends."""
        from medgrid.actions.grid import Grid
        from medgrid.cli.secrets import passphrase

        grid = Grid(self.settings(), lambda name: passphrase(self, f"identity {name}"))
        click.get_current_context().call_on_close(lambda: self._close(grid))
        return grid

    def _close(self, grid: Grid) -> None:
        """Give back connections, after the audit log's new records are signed."""
        if grid.used_identity:
            from medgrid.actions.audit import sign
            from medgrid.cli.output import warn

            problem = sign(grid)
            if problem is not None:
                warn(self, problem.message, hint=problem.hint)
        grid.close()

    def confirm(self, question: str, *, yes: bool = False) -> None:
        """Ask before something that cannot be undone.

        Raises
        ------
        UsageError
            Nobody can be asked.
        click.Abort
            The answer is no.
        """
        if yes:
            return
        if not (self.interactive and sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(f"{question} cannot be asked here", hint="say --yes to go on")
        click.confirm(question, abort=True, err=True)


def _has_terminal() -> bool:
    """Whether somebody can type, also while stdin is a pipe."""
    try:
        with Path("/dev/tty").open("rb"):
            return True
    except OSError:
        return False


def pass_session(command: F) -> F:
    """Hand the `Session` to a command as its first argument.

    Lets ``--json``, ``--noint`` and ``--passphrase-file`` stand after the command, too.
    """

    @click.option("--json", "_json", is_flag=True, help="Print JSON.")
    @click.option("--noint", "_noint", is_flag=True, hidden=True)
    @click.option("--passphrase-file", "_passphrase_file", hidden=True)
    @click.pass_context
    @wraps(command)
    def inner(
        ctx: click.Context,
        /,
        *args: Any,
        _json: bool,
        _noint: bool,
        _passphrase_file: str | None,
        **kwargs: Any,
    ) -> Any:
        session = ctx.find_object(Session)
        assert session is not None  # noqa: S101 - set by the group
        session.as_json = session.as_json or _json
        session.interactive = session.interactive and not _noint
        session.passphrase_file = _passphrase_file or session.passphrase_file
        return ctx.invoke(command, session, *args, **kwargs)

    return inner  # type: ignore[return-value]


class SizeType(click.ParamType[int]):
    """An amount of bytes: ``1500``, ``16G``, ``1.5T``, ``512MiB``; K is 1024."""

    name = "size"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        from medgrid.config import parse_size

        try:
            return parse_size(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


SIZE = SizeType()


class UntilType(click.ParamType[int]):
    """The last day of something, such as ``2027-06-30``; its last second (UTC), since 1970."""

    name = "date"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        from datetime import UTC, datetime, time

        try:
            day = datetime.strptime(value, "%Y-%m-%d").date()
        except ValueError:
            self.fail(f"{value!r} is no date such as 2027-06-30", param, ctx)
        return int(datetime.combine(day, time(23, 59, 59), UTC).timestamp())


UNTIL = UntilType()


def input_option(what: str) -> Callable[[F], F]:
    """``-i FILE``: more `what`, one a line."""
    return click.option(
        "-i",
        "--input",
        "input_files",
        multiple=True,
        type=click.Path(allow_dash=True),
        help=f"File with {what}, one a line ('-' is stdin); repeatable.",
    )


def read_words(
    words: Iterable[str], input_files: tuple[str, ...], what: str, *, required: bool = True
) -> list[str]:
    """Collect words from arguments, ``-i FILE`` and stdin (``-``), in this order.

    Empty lines and lines that start with ``#`` are left out.

    Raises
    ------
    UsageError
        Nothing was named at all, or the file cannot be read. A list that was named and is empty
        is no error: it comes back empty.
    """
    found: list[str] = []
    named = False
    for word in words:
        named = True
        if word == "-":
            found += _lines(sys.stdin)
        else:
            found.append(word)
    for file in input_files:
        named = True
        if file == "-":
            found += _lines(sys.stdin)
            continue
        try:
            with Path(file).open(encoding="utf-8") as stream:
                found += _lines(stream)
        except (OSError, UnicodeDecodeError) as exc:
            raise UsageError(
                f"{file}: cannot be read: {getattr(exc, 'strerror', None) or 'not text'}"
            ) from exc
    if required and not named:
        raise UsageError(
            f"no {what} given", hint="name them, or give '-i FILE', or '-' to read stdin"
        )
    return found


def _lines(stream: Iterable[str]) -> list[str]:
    lines = (line.rstrip("\r\n") for line in stream)
    return [line for line in lines if line.strip() and not line.startswith("#")]
