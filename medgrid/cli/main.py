"""Entry point: a group that imports a command's file only when that command is asked for."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from medgrid import __version__
from medgrid.errors import ExitCode, MedgridError

__all__ = ["cli", "entry"]

COMMANDS: dict[str, tuple[str, str, str]] = {
    # name: (module under medgrid.cli, section of the help, short help)
    "init": ("init", "Start", "Make a grid home: catalog, local storage, local worker."),
    "demo": ("demo", "Start", "Show the whole path on real images, in a throw-away grid."),
    "import": ("import_", "Data", "Bring DICOM and NIfTI images into the grid."),
    "query": ("query", "Data", "Ask about images and results; prints LFNs."),
    "dataset": ("dataset", "Data", "Saved queries."),
    "ls": ("lfn", "Data", "List LFNs below a place of the catalog."),
    "stat": ("lfn", "Data", "Show all that is known of an LFN."),
    "mv": ("lfn", "Data", "Give an LFN another name."),
    "rm": ("lfn", "Data", "Remove LFNs and their bytes."),
    "replica": ("replica", "Data", "The copies of an LFN."),
    "register": ("register", "Data", "Give outputs or files an LFN and metadata."),
    "fetch": ("fetch", "Data", "Bring outputs or objects to a local folder."),
    "provenance": ("provenance", "Data", "Show how an LFN was made, and what from it."),
    "algorithm": ("algorithm", "Jobs", "The programs the grid knows."),
    "submit": ("submit", "Jobs", "Run an algorithm on LFNs, one job each."),
    "status": ("status", "Jobs", "Where jobs are, and why."),
    "peek": ("peek", "Jobs", "Look at a job's output while it runs."),
    "cancel": ("cancel", "Jobs", "Stop jobs."),
    "clear": ("clear", "Jobs", "Discard the unregistered outputs of ended jobs."),
    "list-match": ("match", "Jobs", "Rank the workers for a job on an LFN."),
    "explain": ("match", "Jobs", "Say why a job waits."),
    "broker": ("broker", "Grid", "The process that moves jobs."),
    "worker": ("worker", "Grid", "The hosts that run jobs."),
    "se": ("se", "Grid", "The places that keep replicas."),
    "site": ("site", "Grid", "Who administers machines."),
    "apply": ("apply", "Grid", "Make sites, storage and workers match a file."),
    "catalog": ("catalog", "Grid", "Look after the catalog's database."),
    "fsck": ("fsck", "Grid", "Compare the catalog with what is stored."),
    "completion": ("completion", "Grid", "Print the completion script of a shell."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when used, and listed by section without importing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"medgrid.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name.replace("-", "_"), None) or getattr(
            module, cmd_name.replace("-", "_") + "_"
        )
        assert isinstance(command, click.Command)  # noqa: S101 - a programming error
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, COMMANDS, n=3, cutoff=0.5)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise click.UsageError(f"no such command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, (_, section, text) in COMMANDS.items():
            sections.setdefault(section, []).append((name, text))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="medgrid", message="%(prog)s %(version)s")
@click.option("--home", type=click.Path(file_okay=False), help="Grid home [$MEDGRID_HOME].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, here or after any command.")
@click.option("--noint", is_flag=True, help="Never ask, whatever stdin is.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no warnings.")
@click.option("--debug", is_flag=True, help="Show where an unexpected error came from.")
@click.pass_context
def cli(
    ctx: click.Context, home: str | None, as_json: bool, noint: bool, quiet: bool, debug: bool
) -> None:
    """Turn a question about medical images into jobs on the machines you have.

    \b
    medgrid init && medgrid import ~/dicom --to /trial
    medgrid query 'Modality=MR' | medgrid submit similarity - --with source=LFN -o ids
    medgrid status -i ids --wait && medgrid fetch -i ids --dir out
    """
    from medgrid.cli.params import Session

    ctx.obj = Session(home=home, as_json=as_json, interactive=not noint, quiet=quiet, debug=debug)


def entry(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command, print its error if it has one, exit with its code."""
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    debug = "--debug" in words
    code: int
    try:
        result = cli.main(words, prog_name="medgrid", standalone_mode=False)
        code = result if isinstance(result, int) else ExitCode.DONE
        sys.stdout.flush()
    except click.exceptions.Exit as exc:
        code = exc.exit_code
    except click.ClickException as exc:
        code = ExitCode.USAGE
        hint = None
        if isinstance(exc, click.UsageError) and exc.ctx is not None:
            hint = f"see '{exc.ctx.command_path} --help'"
        _print_error("UsageError", _plain(exc.format_message()), hint, code, as_json)
    except (click.Abort, KeyboardInterrupt):
        code = ExitCode.INTERRUPTED
        _print_error("Interrupted", "interrupted", None, code, as_json)
    except MedgridError as exc:
        if debug:
            _print_traceback()
        code = exc.exit_code
        _print_error(exc.kind, exc.message, exc.hint, code, as_json)
    except BrokenPipeError:
        # the reader of our stdout has gone, as 'head' does: say nothing
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except Exception as exc:
        if debug:
            _print_traceback()
        code = ExitCode.UNEXPECTED
        # the text of a foreign exception may quote data: show its type and place only
        _print_error(
            "Unexpected",
            f"unexpected {type(exc).__name__} in {_place(exc)}",
            "this is a bug in medgrid; run again with --debug and report it",
            code,
            as_json,
        )
    sys.exit(int(code))


def _plain(message: str) -> str:
    message = message.rstrip().removesuffix(".")
    return message[:1].lower() + message[1:]


def _place(exc: BaseException) -> str:
    trace = exc.__traceback__
    place = "medgrid"
    while trace is not None:
        code = trace.tb_frame.f_code
        if "medgrid" in code.co_filename:
            place = f"{os.path.basename(code.co_filename)}:{trace.tb_lineno}"  # noqa: PTH119
        trace = trace.tb_next
    return place


def _print_traceback() -> None:
    """Print the frames of the current error, without the values and texts it may quote."""
    import traceback

    _, error, trace = sys.exc_info()
    lines = traceback.format_tb(trace)
    print("".join(lines) + type(error).__name__, file=sys.stderr)  # noqa: T201


def _print_error(kind: str, message: str, hint: str | None, code: int, as_json: bool) -> None:
    if as_json:
        import json

        document: dict[str, Any] = {
            "schema": "medgrid.error/1",
            "error": kind,
            "message": message,
            "hint": hint,
            "exit_code": int(code),
        }
        click.echo(json.dumps(document, ensure_ascii=False), err=True)
        return
    click.echo(f"medgrid: error: {message}", err=True)
    if hint:
        click.echo(f"medgrid: hint: {hint}", err=True)
