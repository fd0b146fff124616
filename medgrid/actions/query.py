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

__all__ = ["ask", "count", "explain_question", "find", "read_question", "save"]


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
    """Keep a question as a dataset."""
    return grid.catalog.datasets.save(name, question, freeze=freeze, replace=replace)
