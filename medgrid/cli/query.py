"""``medgrid query``: a question, and the LFNs that answer it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.output import emit_json, emit_lines, emit_table, note
from medgrid.cli.params import Session, pass_session
from medgrid.cli.patient import warn_of_merged
from medgrid.cli.times import shown_time
from medgrid.errors import NotFound, UsageError

if TYPE_CHECKING:
    from medgrid.actions.grid import Grid
    from medgrid.catalog.query import Question

__all__ = ["query"]


@click.command()
@click.argument("expression", required=False)
@click.option(
    "-k",
    "--key",
    "keys",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="A condition as DICOM queries write it: wildcards, ranges of dates; without value: show.",
)
@click.option("-c", "--columns", metavar="NAME,...", help="Show these beside the LFN.")
@click.option(
    "-s", "--sort", multiple=True, metavar="[-]NAME", help="Sort by this; '-' is descending."
)
@click.option("-n", "--limit", type=click.IntRange(min=0), help="At most so many.")
@click.option("--count", "only_count", is_flag=True, help="Print how many there are.")
@click.option("--explain", is_flag=True, help="Print how many objects each part finds.")
@click.option("--save", metavar="NAME", help="Keep the question as a dataset.")
@click.option("--freeze", is_flag=True, help="With --save: fix the list of members as it is now.")
@click.option("--replace", is_flag=True, help="With --save: replace a dataset of that name.")
@click.option("-0", "--null", is_flag=True, help="End LFNs by NUL, for 'xargs -0'.")
@click.option("--fail-empty", is_flag=True, help="Exit 4 when nothing is found.")
@pass_session
def query(
    session: Session,
    expression: str | None,
    keys: tuple[str, ...],
    columns: str | None,
    sort: tuple[str, ...],
    limit: int | None,
    only_count: bool,
    explain: bool,
    save: str | None,
    freeze: bool,
    replace: bool,
    null: bool,
    fail_empty: bool,
) -> None:
    """Ask about images and results; prints LFNs, one a line.

    \b
    medgrid query "Modality=MR and BodyPartExamined~'*BRAIN*' and PatientAge>=40"
    medgrid query -k Modality=MR -k StudyDate=20200101-20201231 --columns Rows,Columns
    medgrid query "algorithm=similarity and nmi>1.2" --columns nmi --sort -nmi
    medgrid query '/trial/*/T1w' --save t1 --freeze

    Physicians find their own patients by name: the question is answered from the seals of the
    patients in their care, on this computer, and finds nothing for anybody else. A name on the
    command line stays in the shell's history and is seen by others on this computer; '-' reads the
    question from stdin.

    \b
    medgrid query "PatientName='DOE^JANE'"
    medgrid query - <question

    The language is described in medgrid-query(7). An empty answer is no error.
    """
    from medgrid.actions import query as actions

    if (freeze or replace) and not save:
        raise UsageError("--freeze and --replace go with --save NAME")
    if expression == "-":
        expression = sys.stdin.read().strip()
    question = actions.read_question(expression, keys)
    grid = session.open_grid()
    if save:
        kept = actions.save(grid, save, question, freeze=freeze, replace=replace)
        what = "question" if kept.members is None else f"{len(kept.members)} LFNs"
        note(session, f"kept the {what} as dataset {save}")
    warn_of_merged(session, grid, str(question))
    question = actions.answered(grid, question)
    if explain:
        _explain(session, grid, question)
        return
    if only_count:
        found = actions.count(grid, question)
        if session.as_json:
            emit_json("count/1", {"question": str(question), "count": found})
        else:
            emit_lines([str(found)])
        _check_found(found > 0, fail_empty)
        return
    names = _columns(columns, question.wanted)
    if not names and not sort:
        lfns = actions.find(grid, question, limit)
        rows: Iterator[tuple[Any, ...]] = ((lfn,) for lfn in lfns)
    else:
        rows = _dated(actions.ask(grid, question, ["lfn", *names], sort, limit), names)
    first = next(rows, None)
    _print(session, [] if first is None else chain([first], rows), names, null)
    _check_found(first is not None, fail_empty)


def _columns(text: str | None, wanted: Sequence[str]) -> list[str]:
    named = [name.strip() for name in (text or "").split(",") if name.strip()]
    return [name for name in dict.fromkeys([*named, *wanted]) if name != "lfn"]


def _dated(rows: Iterator[tuple[Any, ...]], names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Rows whose seconds since the epoch are dates, in words that a question understands."""
    if "created" not in names:
        return rows
    at = 1 + names.index("created")
    return ((*row[:at], shown_time(row[at]), *row[at + 1 :]) for row in rows)


def _print(
    session: Session, rows: Iterable[tuple[Any, ...]], names: Sequence[str], null: bool
) -> None:
    if session.as_json:
        for row in rows:
            emit_json("object/1", dict(zip(("lfn", *names), row, strict=True)))
    elif null:
        for row in rows:
            sys.stdout.write(f"{row[0]}\0")
    elif names:
        emit_table(rows, ["lfn", *names])
    else:
        emit_lines(row[0] for row in rows)


def _explain(session: Session, grid: Grid, question: Question) -> None:
    from medgrid.actions.query import explain_question

    clauses = explain_question(grid, question)
    if session.as_json:
        for clause in clauses:
            emit_json(
                "clause/1",
                {
                    "clause": clause.text,
                    "depth": clause.depth,
                    "alone": clause.alone,
                    "together": clause.together,
                    "note": clause.note,
                },
            )
        return
    rows = [
        (
            clause.alone,
            "" if clause.together is None else clause.together,
            "  " * clause.depth + clause.text,
            clause.note or ("leaves nothing" if clause.together == 0 else ""),
        )
        for clause in clauses
    ]
    emit_table(rows, ["alone", "with those above", "part", ""])


def _check_found(found: bool, fail_empty: bool) -> None:
    if fail_empty and not found:
        raise NotFound("nothing found", hint="'--explain' says which part leaves nothing")
