"""Ask the catalog: questions, saved questions, and why an answer is empty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from medgrid.catalog.query import Question, parse
from medgrid.errors import UsageError
from medgrid.model import LFN, Dataset

if TYPE_CHECKING:
    from medgrid.actions.grid import Grid
    from medgrid.catalog.explain import Clause

__all__ = ["answered", "ask", "count", "explain_question", "find", "read_question", "save"]


def read_question(expression: str | None, keys: Sequence[str]) -> Question:
    """Join an expression and ``-k`` keys to one question: all must hold.

    Raises
    ------
    UsageError
        There is neither, or one cannot be understood.
    """
    if expression is None and not keys:
        raise UsageError("no question given", hint="'/' asks for everything")
    found = Question(None) if expression is None else parse(expression)
    return found.also(Question.from_keys(keys)) if keys else found


def answered(grid: Grid, question: Question) -> Question:
    """The question with its conditions on what names people answered, on this computer.

    The seals of the patients in the user's care are opened and compared here; the catalog is asked
    for pseudonyms only. For whoever cares for nobody such a condition holds for nobody, as it does
    for a name that does not occur.

    Raises
    ------
    UsageError
        Such a condition makes no sense.
    """
    from medgrid.catalog.nominative import asked, matches

    leaves = asked(question)
    if not leaves:
        return question
    for leaf in leaves:
        matches(leaf, {})  # a mistake is one for everybody
    names = _names(grid)
    return question.with_patients(
        lambda leaf: [patient for patient, known in names.items() if matches(leaf, known)]
    )


def _names(grid: Grid) -> dict[str, dict[str, list[str]]]:
    """What names the patients in the user's care, by DICOM keyword."""
    from medgrid.actions.patients import sealed_names

    mine = grid.catalog.access.patients_of(grid.settings.user)
    if not mine:
        return {}
    found = {}
    for patient, names in sealed_names(grid, mine, "query").items():
        values = {name: text.split("\\") for name, text in names.items()}
        # PatientID in a question is the pseudonym: the hospital's id is one of the others
        others = [*values.get("PatientID", ()), *values.get("OtherPatientIDs", ())]
        found[patient] = {**values, "OtherPatientIDs": others}
    return found


def find(grid: Grid, question: Question, limit: int | None = None) -> Iterator[LFN]:
    """LFNs that answer, sorted."""
    return grid.catalog.objects.lfns(question, limit)


def ask(
    grid: Grid,
    question: Question,
    columns: Sequence[str],
    sort: Sequence[str] = (),
    limit: int | None = None,
) -> Iterator[tuple[Any, ...]]:
    """Columns of the objects that answer."""
    return grid.catalog.objects.select(question, columns, sort, limit)


def count(grid: Grid, question: Question) -> int:
    """How many objects answer."""
    return grid.catalog.objects.count(question)


def explain_question(grid: Grid, question: Question) -> list[Clause]:
    """How many objects each part of the question finds."""
    return grid.catalog.objects.explain(question)


def save(
    grid: Grid, name: str, question: Question, *, freeze: bool = False, replace: bool = False
) -> Dataset:
    """Keep a question as a dataset.

    Raises
    ------
    UsageError
        It asks for what names people.
    """
    from medgrid.catalog.nominative import asked

    for leaf in asked(question):
        raise UsageError(
            f"a question for {leaf.name} is not kept: the dataset would tell the name",
            hint="show pseudonyms with '--columns PatientID', and keep a question for these",
        )
    return grid.catalog.datasets.save(name, question, freeze=freeze, replace=replace)
