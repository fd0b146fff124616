"""The mutants of the program, and which of them a seed draws."""

from __future__ import annotations

import ast
import builtins
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.mutation.operators import Fault, faults, swallowed
from tests.mutation.statements import Statement, statements

__all__ = ["ROOMS", "Mutant", "Module", "all_of", "draw", "modules"]

ROOMS = (
    *(f"medgrid/{room}/*.py" for room in ("agent", "broker", "crypto", "images", "storage")),
    *(f"medgrid/catalog/{name}.py" for name in ("job_*", "jobs", "leases", "custody", "quotas")),
    "medgrid/catalog/worker_health.py",
    "medgrid/images/private/*.py",
)


@dataclass(frozen=True)
class Module:
    """A source file."""

    path: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def statements(self) -> list[Statement]:
        return statements(self.path, self.source, self.tree)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault in one statement of a module."""

    module: Module
    statement: Statement
    operator: str
    start: int
    end: int
    text: str

    @property
    def room(self) -> str:
        return self.module.path.split("/")[1]

    @property
    def source(self) -> str:
        """The whole module with the fault."""
        data = self.module.source.encode()
        return (data[: self.start] + self.text.encode() + data[self.end :]).decode()

    @property
    def line(self) -> int:
        return self.module.source.encode()[: self.start].count(b"\n") + 1

    @property
    def name(self) -> str:
        """Path, scope and changed lines: what it is, wherever it stands now."""
        data = self.module.source.encode()
        first = data.rfind(b"\n", 0, self.start) + 1
        last = data.find(b"\n", self.end)
        changed = data[first : self.start] + self.text.encode() + data[self.end : last]
        _, _, number = self.statement.key.rpartition("#")
        which = () if number == "1" else (f"#{number}",)
        return "\n".join(
            [
                " ".join(filter(None, (self.module.path, self.statement.scope, *which))),
                *(f"- {line.strip()}" for line in data[first:last].decode().splitlines()),
                *(f"+ {line.strip()}" for line in changed.decode().splitlines() if line.strip()),
            ]
        )


def modules(root: Path) -> list[Module]:
    """The source files that take part."""
    paths = sorted({path for pattern in ROOMS for path in root.glob(pattern)})
    return [Module(str(path.relative_to(root)), path.read_text()) for path in paths]


def draw(root: Path, found: list[Module], seed: int, count: int) -> list[Mutant]:
    """So many mutants, each of another statement, in the order of their hashes."""
    errors = _errors(root)

    def rank(*words: object) -> str:
        return hashlib.sha256("\n".join(map(str, (seed, *words))).encode()).hexdigest()

    ranked = sorted(
        (
            (rank(statement.key), module, statement)
            for module in found
            for statement in module.statements
        ),
        key=lambda one: one[0],
    )
    drawn: list[Mutant] = []
    for _, module, statement in ranked:
        if len(drawn) == count:
            break
        ways = list(_mutants(module, statement, errors))
        if ways:
            drawn.append(min(ways, key=lambda one: rank(one.name, one.operator)))
    return drawn


def all_of(root: Path, module: Module) -> Iterator[Mutant]:
    """All mutants of a module."""
    errors = _errors(root)
    for statement in module.statements:
        yield from _mutants(module, statement, errors)


def _mutants(module: Module, statement: Statement, errors: frozenset[str]) -> Iterator[Mutant]:
    starts = [0]
    for line in module.source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for operator, first, last, text in _faults(module, statement, errors):
        start = starts[first.lineno - 1] + first.col_offset  # type: ignore[attr-defined]
        end = starts[last.end_lineno - 1] + last.end_col_offset  # type: ignore[attr-defined]
        if operator == "decorator":
            start = module.source.encode().rindex(b"@", 0, start)
        yield Mutant(module, statement, operator, start, end, text)


def _faults(module: Module, statement: Statement, errors: frozenset[str]) -> Iterator[Fault]:
    yield from faults(statement.node, errors)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and node.body[0] is statement.node:
            yield from swallowed(node)


def _errors(root: Path) -> frozenset[str]:
    """Names of classes whose arguments are words for people."""
    own = {
        node.name
        for path in (root / "medgrid").rglob("errors.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    kinds = vars(builtins).items()
    return frozenset(
        own | {n for n, k in kinds if isinstance(k, type) and issubclass(k, Exception)}
    )
