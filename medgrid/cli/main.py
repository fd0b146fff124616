"""Entry point: a group that imports a command's file only when that command is asked for."""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import click

from medgrid import __version__
from medgrid.cli.say import for_home, printable, say
from medgrid.errors import ExitCode, MedgridError

__all__ = ["cli", "entry", "run"]

_IS_COMPLETING = "_MEDGRID_COMPLETE" in os.environ
_SHORTAGES = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    errno.EAGAIN,  # no more processes
)
PIPE_CLOSED = 141
"""Exit code when the reader of stdout has gone: 128 + SIGPIPE, as the shell gives others."""

COMMANDS: dict[str, tuple[str, str, str]] = {
    # name: (module under medgrid.cli, section of the help, short help)
    "init": ("init", "Start", "Make a grid home: catalog, local storage, local worker."),
    "demo": ("demo", "Start", "Show the whole path on real images, in a throw-away grid."),
    "import": ("import_", "Data", "Bring DICOM and NIfTI images into the grid."),
    "query": ("query", "Data", "Ask about images and results; prints LFNs."),
    "meta": ("meta", "Data", "Attributes of patients and visits."),
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
    "top": ("top", "Jobs", "Watch jobs and workers."),
    "log": ("log", "Jobs", "What happened to a job, in order."),
    "peek": ("peek", "Jobs", "Look at a job's output while it runs."),
    "cancel": ("cancel", "Jobs", "Stop jobs."),
    "resubmit": ("resubmit", "Jobs", "Let jobs that failed wait again."),
    "clear": ("clear", "Jobs", "Discard the unregistered outputs of ended jobs."),
    "list-match": ("match", "Jobs", "Rank the workers for a job on an LFN."),
    "explain": ("match", "Jobs", "Say why a job waits."),
    "identity": ("identity", "People", "Who is who: keys and certificates."),
    "passphrase": ("passphrase", "People", "Set, change or remove the passphrase of your key."),
    "team": ("team", "People", "Who can open all data of a patient."),
    "patient": ("patient", "People", "Let two patients who are one person become one."),
    "whois": ("whois", "People", "Say who a patient is; for the care team."),
    "grant": ("grant", "People", "Let somebody see and read objects."),
    "revoke": ("revoke", "People", "Take grants back."),
    "review": ("review", "People", "Look for text in pixels, then let images be granted."),
    "rekey": ("rekey", "People", "Encrypt objects anew under new keys."),
    "withdraw": ("withdraw", "People", "Destroy all that the grid has of a patient."),
    "audit": ("audit", "People", "Who did what with which data."),
    "recovery": ("recovery", "People", "Bring back what lost identities could open."),
    "broker": ("broker", "Grid", "The process that moves jobs."),
    "worker": ("worker", "Grid", "The hosts that run jobs."),
    "quota": ("quota", "Grid", "What users may have at once."),
    "se": ("se", "Grid", "The places that keep replicas."),
    "site": ("site", "Grid", "Who administers machines."),
    "apply": ("apply", "Grid", "Make sites, storage and workers match a file."),
    "keystore": ("keystore", "Grid", "The databases that keep sealed keys."),
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
        if _IS_COMPLETING:
            from medgrid.cli.completion import attach

            attach(command, cmd_name)
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
@click.option(
    "--passphrase-file",
    metavar="FILE",
    help="File with your passphrase, which nobody else may read [$MEDGRID_PASSPHRASE_FILE].",
)
@click.option(
    "-q", "--quiet", is_flag=True, help="No progress, summaries and warnings; errors alone."
)
@click.option("--debug", is_flag=True, help="Show where an unexpected error came from.")
@click.pass_context
def cli(
    ctx: click.Context,
    home: str | None,
    as_json: bool,
    noint: bool,
    passphrase_file: str | None,
    quiet: bool,
    debug: bool,
) -> None:
    """Turn a question about medical images into jobs on the machines you have.

    \b
    medgrid init && medgrid import ~/dicom --to /trial
    medgrid query 'Modality=MR' | medgrid submit similarity - --with source=LFN -o ids
    medgrid status -i ids --wait && medgrid fetch -i ids --dir out
    """
    from medgrid.cli.params import Session

    ctx.obj = Session(
        home=home,
        as_json=as_json,
        interactive=not noint,
        quiet=quiet,
        debug=debug,
        passphrase_file=passphrase_file,
    )


def entry(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command, print its error if it has one, exit with its code."""
    words = list(sys.argv[1:] if argv is None else argv)
    _set_up_process()
    if _IS_COMPLETING:
        cli.main(words, prog_name="medgrid")
    code = run(words)
    # The result is out. To take the interpreter apart would cost as much as many a question, wait
    # for threads that talk to far hosts, and let a late signal change the exit code.
    sys.stderr.flush()
    os._exit(code)


def run(words: Sequence[str]) -> int:
    """Run one command, print its error if it has one, return its exit code."""
    as_json = "--json" in words
    debug = "--debug" in words
    try:
        code = _invoke(list(words))
        sys.stdout.flush()
        return code
    except BaseException as exc:
        if debug and not isinstance(exc, SystemExit):
            _print_traceback(exc)
        problem = _explain(exc)
        if problem.message:
            hint = for_home(problem.hint, _home_in(words))
            _print_error(problem._replace(hint=hint), as_json)
        if _stdout_error() is not None:
            _drop_stdout()
        return problem.code


def _home_in(words: Sequence[str]) -> str | None:
    """The grid home that was named."""
    for word, value in zip(words, [*words[1:], ""], strict=True):
        if word == "--home" and value:
            return value
        if word.startswith("--home="):
            return word.partition("=")[2]
    return None


def _invoke(words: list[str]) -> int:
    try:
        with cli.make_context("medgrid", words) as ctx:
            result = cli.invoke(ctx)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    return result if isinstance(result, int) and not isinstance(result, bool) else ExitCode.DONE


def _set_up_process() -> None:
    """Standard streams that can be used, no foreign warnings, an orderly end by signal."""
    import signal
    import warnings

    warnings.simplefilter("ignore")  # a library's warning may quote a patient's data
    if sys.stdout is None:  # closed by our caller: a write must fail, not go to another file
        sys.stdout = open(os.devnull, opener=_read_only, mode="w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    elif isinstance(sys.stderr, io.TextIOWrapper) and sys.stderr is sys.__stderr__:
        sys.stderr = _Stderr(
            sys.stderr.buffer, sys.stderr.encoding, "backslashreplace", line_buffering=True
        )
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _terminate)


class _Stderr(io.TextIOWrapper):
    """A stderr that may be full or gone: what is said there is lost, the work goes on."""

    def write(self, text: str, /) -> int:
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()


def _read_only(path: str, _flags: int) -> int:
    return os.open(path, os.O_RDONLY)


def _terminate(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


class _Problem(NamedTuple):
    """What is told of an error; nothing when `message` is empty."""

    kind: str
    message: str
    hint: str | None
    code: int
    detail: tuple[str, ...] = ()


def _explain(exc: BaseException) -> _Problem:
    if isinstance(exc, MedgridError):
        return _Problem(exc.kind, exc.message, exc.hint, exc.exit_code, exc.detail)
    if isinstance(exc, click.exceptions.NoArgsIsHelpError):
        click.echo(exc.format_message(), err=True)
        return _Problem("UsageError", "", None, ExitCode.USAGE)
    if isinstance(exc, click.ClickException):
        hint = None
        if isinstance(exc, click.UsageError) and exc.ctx is not None:
            hint = f"see '{exc.ctx.command_path} --help'"
        return _Problem("UsageError", _plain(exc.format_message()), hint, ExitCode.USAGE)
    if isinstance(exc, click.Abort | KeyboardInterrupt):
        return _Problem("Interrupted", "interrupted", None, ExitCode.INTERRUPTED)
    if isinstance(exc, SystemExit):
        return _Problem("", "", None, exc.code if isinstance(exc.code, int) else 1)
    if isinstance(exc, BrokenPipeError):
        # the reader of our stdout has gone, as 'head' does: say nothing
        return _Problem("", "", None, PIPE_CLOSED)
    if isinstance(exc, OSError) and (_stdout_error() is not None or _is_from_printing(exc)):
        return _Problem(
            "OutputError",
            f"the result cannot be written to stdout: {_plain(os.strerror(exc.errno or 0))}",
            None,
            ExitCode.UNEXPECTED,
        )
    if isinstance(exc, FileNotFoundError) and not _has_directory():
        return _Problem(
            "UsageError",
            "the current directory does not exist any more",
            "change to one that does",
            ExitCode.USAGE,
        )
    shortage = _shortage(exc)
    if shortage is not None:
        message = f"the work cannot go on: {shortage}"
        return _Problem("Shortage", message, None, ExitCode.UNREACHABLE)
    # the text of a foreign exception may quote data: show its type and place only
    return _Problem(
        "Unexpected",
        f"unexpected {type(exc).__name__} in {_place(exc)}",
        "this is a bug in medgrid; run again with --debug and report it",
        ExitCode.UNEXPECTED,
    )


def _shortage(exc: BaseException) -> str | None:
    """What this host has not enough of, when that is why `exc` was raised."""
    if isinstance(exc, OSError) and exc.errno in _SHORTAGES:
        return os.strerror(exc.errno or 0).lower()  # without its file, which may name a patient
    if isinstance(exc, MemoryError):
        return os.strerror(errno.ENOMEM).lower()
    if isinstance(exc, RuntimeError) and str(exc) == "can't start new thread":
        return "it may start no more threads and processes (ulimit -u)"
    return None


def _has_directory() -> bool:
    try:
        os.getcwd()  # noqa: PTH109
    except OSError:
        return False
    return True


def _stdout_error() -> OSError | None:
    """Why what was printed cannot leave, if it cannot."""
    try:
        sys.stdout.flush()
    except OSError as exc:
        return exc
    return None


def _is_from_printing(exc: OSError) -> bool:
    """Whether an error rose where lines are printed, as it does when stdout is not buffered."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = trace.tb_frame.f_code.co_filename if trace is not None else ""
    return exc.filename is None and place.endswith(("click/utils.py", "medgrid/cli/output.py"))


def _drop_stdout() -> None:
    """Let nothing be printed any more, so that Python ends without a word of its own."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _plain(message: str) -> str:
    message = " ".join(message.split()).removesuffix(".")
    message = message.replace(". Did you mean", "; did you mean")
    message = message.replace(". Choose from:", "; choose from")
    message, found, names = message.partition(". (Did you mean one of: ")
    if found:
        message += f"; did you mean {names.removesuffix(')')}"
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


def _print_traceback(exc: BaseException) -> None:
    """Print the frames of an error, without the values and texts it may quote."""
    import traceback

    lines = traceback.format_tb(exc.__traceback__)
    click.echo("".join(lines) + type(exc).__name__, err=True)


def _print_error(problem: _Problem, as_json: bool) -> None:
    if as_json:
        import json

        document: dict[str, Any] = {
            "schema": "medgrid.error/1",
            "error": problem.kind,
            "message": problem.message,
            "hint": problem.hint,
            "exit_code": int(problem.code),
        }
        if problem.detail:
            document["detail"] = list(problem.detail)
        click.echo(json.dumps(document, ensure_ascii=False), err=True)
        return
    say("error", problem.message)
    for line in problem.detail:
        click.echo(printable(line), err=True)
    if problem.hint:
        say("hint", problem.hint)
