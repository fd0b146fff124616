"""The shape of a question: frozen nodes that print as the text they are read from.

``parse(str(node)) == node`` holds for every node that `medgrid.catalog.query` makes; positions
(`at`, characters from the start of the question) are for messages and take no part in comparing.
The test is ``tests/catalog/test_query_language.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = [
    "KEYWORDS",
    "And",
    "Between",
    "Compare",
    "Known",
    "Leaf",
    "Node",
    "Not",
    "OneOf",
    "Or",
    "Path",
    "Patients",
    "Value",
    "leaves",
]

KEYWORDS = frozenset(("and", "or", "not", "in", "between", "is", "known", "unknown"))

_PLAIN = re.compile(r"[\w.\-/:@+%*?]+")


@dataclass(frozen=True, slots=True)
class Value:
    """What an attribute is compared with: text until the attribute's type is known."""

    text: str
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        if _PLAIN.fullmatch(self.text) and self.text.lower() not in KEYWORDS:
            return self.text
        escaped = self.text.replace("\\", "\\\\").replace("'", "\\'")
        for char, letter in (("\n", "n"), ("\t", "t"), ("\r", "r")):
            escaped = escaped.replace(char, f"\\{letter}")
        return f"'{escaped}'"


@dataclass(frozen=True, slots=True)
class Compare:
    """``NAME OP VALUE``; `op` is one of ``= != < <= > >= ~ !~``."""

    name: str
    op: str
    value: Value
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.name}{self.op}{self.value}"


@dataclass(frozen=True, slots=True)
class Between:
    """``NAME [not] between LOW and HIGH``, both included."""

    name: str
    low: Value
    high: Value
    negated: bool = False
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        word = "not between" if self.negated else "between"
        return f"{self.name} {word} {self.low} and {self.high}"


@dataclass(frozen=True, slots=True)
class OneOf:
    """``NAME [not] in (VALUE, ...)``."""

    name: str
    values: tuple[Value, ...]
    negated: bool = False
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        word = "not in" if self.negated else "in"
        return f"{self.name} {word} ({', '.join(map(str, self.values))})"


@dataclass(frozen=True, slots=True)
class Known:
    """``NAME is known`` or ``NAME is unknown``."""

    name: str
    known: bool = True
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.name} is {'known' if self.known else 'unknown'}"


@dataclass(frozen=True, slots=True)
class Path:
    """A bare LFN, folder or LFN glob."""

    pattern: Value
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return str(self.pattern)


@dataclass(frozen=True, slots=True)
class Patients:
    """A condition on what names people, and the pseudonyms it was found to hold for.

    It prints as the condition; no text is read as this node.
    """

    leaf: Compare | Between | OneOf | Known
    pseudonyms: frozenset[str]
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return str(self.leaf)


@dataclass(frozen=True, slots=True)
class Not:
    """``not PART``."""

    part: Node

    def __str__(self) -> str:
        return f"not {_enclosed(self.part, And, Or)}"


@dataclass(frozen=True, slots=True)
class And:
    """``PART and PART ...``, two or more, none of them an `And`."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " and ".join(_enclosed(part, And, Or) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    """``PART or PART ...``, two or more, none of them an `Or`."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " or ".join(_enclosed(part, Or) for part in self.parts)


Leaf = Compare | Between | OneOf | Known
Node = Leaf | Path | Patients | Not | And | Or


def _enclosed(node: Node, *kinds: type[And] | type[Or]) -> str:
    return f"({node})" if isinstance(node, kinds) else str(node)


def leaves(node: Node) -> Iterator[Leaf | Path | Patients]:
    """Conditions of a question, from left to right."""
    if isinstance(node, Not):
        yield from leaves(node.part)
    elif isinstance(node, And | Or):
        for part in node.parts:
            yield from leaves(part)
    else:
        yield node
