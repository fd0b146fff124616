"""``medgrid submit``: run an algorithm on LFNs."""

from __future__ import annotations

from pathlib import Path

import click

from medgrid.cli.geometry import warn_of_geometry
from medgrid.cli.output import emit_json, emit_lines, note, progress, warn
from medgrid.cli.params import Session, input_option, pass_session, read_words
from medgrid.cli.status import report_end, see_to_broker
from medgrid.errors import PartlyDone, UsageError
from medgrid.model import JobId, Priority

__all__ = ["submit"]


@click.command()
@click.argument("algorithm")
@click.argument("lfns", nargs=-1, metavar="[LFN]...")
@input_option("LFNs")
@click.option(
    "--with", "shared", multiple=True, metavar="ROLE=LFN", help="Input that every job gets."
)
@click.option(
    "-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Parameter."
)
@click.option("--per-job", type=click.IntRange(min=1), help="LFNs for each job [1].")
@click.option(
    "-o",
    "--output",
    "output_file",
    type=click.Path(dir_okay=False),
    help="File that the job ids are appended to.",
)
@click.option("--se", metavar="NAME", help="Storage element for the outputs.")
@click.option(
    "--priority",
    type=click.Choice([str(one) for one in Priority]),
    default=str(Priority.NORMAL),
    show_default=True,
    help="Who goes first; an emergency does not even wait for a free slot.",
)
@click.option("--name", default="", metavar="TEXT", help="A name for your own use.")
@click.option("--wait", "wait_", is_flag=True, help="Wait until all jobs have ended.")
@pass_session
def submit(
    session: Session,
    algorithm: str,
    lfns: tuple[str, ...],
    input_files: tuple[str, ...],
    shared: tuple[str, ...],
    parameters: tuple[str, ...],
    per_job: int | None,
    output_file: str | None,
    se: str | None,
    priority: str,
    name: str,
    wait_: bool,
) -> int:
    """Run ALGORITHM (NAME or NAME@VERSION) on LFNs: one job for each.

    Prints the ids of the jobs, one a line, and returns at once. A broker in the background does
    the rest. Everything is checked before anything is written.

    \b
    medgrid submit bias /trial/P-7F3K/2021-03-04/T1w
    medgrid query 'Modality=MR' | medgrid submit similarity - --with source=/trial/a/T1w -o ids
    """
    from medgrid.actions.submit import submit as act

    words = read_words(lfns, input_files, "LFN")
    roles = [_pair(text, "--with", "ROLE=LFN") for text in shared]
    values: dict[str, str | list[str]] = {}
    for text in parameters:
        key, value = _pair(text, "-p", "NAME=VALUE")
        before = values.get(key)
        if before is None:
            values[key] = value
        else:
            values[key] = [*(before if isinstance(before, list) else [before]), value]
    grid = session.open_grid()
    if output_file is not None:
        _check_output(output_file)
    done = act(
        grid,
        algorithm,
        words,
        shared=roles,
        parameters=values,
        per_job=per_job,
        se=se,
        priority=Priority(priority),
        name=name,
    )
    if done.number is None:
        warn(session, "no LFN given: nothing was submitted")
        if session.as_json:
            emit_json("submission/1", {"submission": None, "jobs": []})
        return 0
    try:
        if output_file is not None:
            _append(output_file, done.jobs)
    finally:
        try:
            _show(session, done.number, done.jobs, str(done.algorithm))
            warn_of_geometry(session, done.lacking)
        finally:
            see_to_broker(session, grid, is_news=False)
    if not wait_:
        return 0
    from medgrid.actions.status import wait

    word = str(done.number)
    wait(grid, [word], progress=progress(session, "jobs"))
    return report_end(session, grid, [word])


def _show(session: Session, number: int, jobs: tuple[JobId, ...], algorithm: str) -> None:
    if session.as_json:
        emit_json(
            "submission/1",
            {"submission": number, "algorithm": algorithm, "jobs": [str(job) for job in jobs]},
        )
        return
    emit_lines(str(job) for job in jobs)
    count = f"{len(jobs)} jobs" if len(jobs) > 1 else "1 job"
    note(session, f"{count} of {algorithm}; see 'medgrid status {number}'")


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UsageError(f"{option} {text!r} is not of the form {form}")
    return name, value


def _check_output(output_file: str) -> None:
    try:
        with Path(output_file).open("a", encoding="utf-8"):
            pass
    except OSError as exc:
        raise UsageError(f"{output_file}: cannot be written: {exc.strerror}") from exc


def _append(output_file: str, jobs: tuple[JobId, ...]) -> None:
    try:
        with Path(output_file).open("a", encoding="utf-8") as stream:
            stream.writelines(f"{job}\n" for job in jobs)
    except OSError as exc:
        raise PartlyDone(
            f"{output_file}: cannot be written: {exc.strerror}; the jobs are submitted",
            hint="their ids are above",
        ) from exc
