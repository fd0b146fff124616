"""The statements of a module, under names that stay when other lines change, and marks in them."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["Statement", "bodies", "marked", "statements"]

_MARKS = """
def _open_marks():
    import builtins, mmap, os
    if not hasattr(builtins, "_marks"):
        try:
            with open({path!r}, "r+b") as file:
                kept = os.dup(file.fileno())
                os.close(kept)
                builtins._marks = mmap.mmap(file.fileno(), 0)
            os.close(kept)  # the mapping does not need what it keeps open, and tests count
        except OSError:
            builtins._marks = bytearray({size})
    return builtins._marks
_marks = _open_marks()
"""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of a module.

    Attributes
    ----------
    key : str
        Path, scope, first line and how often that came before: not its line number.
    is_called : bool
        It lies in a function; what does not runs on import.
    """

    key: str
    path: str
    scope: str
    node: ast.stmt
    is_called: bool


def bodies(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """Lists of statements right below a node; those of handlers and cases belong to its own."""
    for name in ("body", "orelse", "finalbody"):
        found = getattr(node, name, None)
        if isinstance(found, list) and found:
            yield found
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield part.body


def statements(path: str, source: str, tree: ast.Module) -> list[Statement]:
    """All but docstrings, from the first to the last."""
    lines = source.splitlines()
    seen: Counter[str] = Counter()

    def below(node: ast.AST, scope: str, is_called: bool) -> Iterator[Statement]:
        for one in (one for body in bodies(node) for one in body):
            if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant):
                continue  # a docstring, or ...
            name = f"{path}:{scope}:{lines[one.lineno - 1].strip()}"
            seen[name] += 1
            yield Statement(f"{name}#{seen[name]}", path, scope, one, is_called)
            is_scope = isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            inner = f"{scope}.{one.name}".lstrip(".") if is_scope else scope  # type: ignore[attr-defined]
            yield from below(
                one, inner, is_called or (is_scope and not isinstance(one, ast.ClassDef))
            )

    return list(below(tree, "", False))


def marked(tree: ast.Module, numbers: Mapping[ast.stmt, int], marks: str, size: int) -> str:
    """Source of a module whose numbered statements set their byte of the file `marks`."""
    for node in list(ast.walk(tree)):
        for body in bodies(node):
            body[:] = [part for one in body for part in (*_mark(numbers.get(one)), one)]
    first = next(
        (
            i
            for i, one in enumerate(tree.body)
            if not (isinstance(one, ast.ImportFrom) and one.module == "__future__")
            and not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
        ),
        len(tree.body),
    )
    tree.body[first:first] = ast.parse(_MARKS.format(path=marks, size=size)).body
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _mark(number: int | None) -> list[ast.stmt]:
    return [] if number is None else ast.parse(f"_marks[{number}] = 1").body
