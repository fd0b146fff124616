"""Questions: text to syntax tree. The language is described in medgrid-query(7).

::

    question  = disjunct
    disjunct  = conjunct { "or" conjunct }
    conjunct  = negation { "and" negation }
    negation  = "not" negation | "(" disjunct ")" | condition
    condition = LFN | "dataset:" NAME
              | name ( "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~" ) value
              | name [ "not" ] "between" value "and" value
              | name [ "not" ] "in" "(" value { "," value } ")"
              | name "is" ( "known" | "unknown" )
    name      = WORD | "(" HEX4 "," HEX4 ")"
    value     = WORD | QUOTED
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from medgrid.catalog.query_ast import (
    KEYWORDS,
    And,
    Between,
    Compare,
    Known,
    Node,
    Not,
    OneOf,
    Or,
    Path,
    Value,
    leaves,
)
from medgrid.errors import UsageError

if TYPE_CHECKING:
    from medgrid.catalog.nominative import Resolver

__all__ = ["Question", "QuestionError", "parse"]

_MAX_LENGTH = 100_000
_MAX_CONDITIONS = 500
_MAX_DEPTH = 50
_OPERATORS = ("!=", "!~", "<=", ">=", "==", "=", "<", ">", "~")
_SPACE = re.compile(r"\s+")
_TAG = re.compile(r"\(\s*([0-9a-fA-F]{4})\s*,\s*([0-9a-fA-F]{4})\s*\)")
_WORD = re.compile(r"""[^\s()=!<>~,'"]+""")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "t": "\t", "r": "\r"}


class QuestionError(UsageError):
    """A question that cannot be understood, with the place that is wrong."""

    def __init__(self, problem: str, text: str, at: int, *, hint: str | None = None) -> None:
        super().__init__(problem, hint=hint)
        self.at = at
        if text:
            self.detail = _pointed(text, at)


def _pointed(text: str, at: int) -> tuple[str, str]:
    """Lines that show `text`, cut to a window, and a caret under character `at`."""
    start = max(0, at - 60)
    window = "".join(" " if char in "\r\n\t" else char for char in text[start : at + 40])
    width = sum(_width(char) for char in window[: at - start])
    return f"{'... ' if start else '    '}{window}", f"    {' ' * width}^"


def _width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


@dataclass(frozen=True, slots=True)
class Question:
    """A question that was understood; None as `root` asks for every object.

    `text` is what was written; `wanted` are attributes that keys without a value ask to see.
    """

    root: Node | None
    text: str = ""
    wanted: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "/" if self.root is None else str(self.root)

    @classmethod
    def from_keys(cls, keys: Sequence[str]) -> Self:
        r"""Read ``NAME=VALUE`` keys as DICOM queries write them, all of which must hold.

        ``*`` and ``?`` in a value make it a glob, ``\`` separates alternatives, ``FROM-TO``,
        ``FROM-`` and ``-TO`` are ranges of dates. A key without a value asks for nothing, but to
        be shown.

        Raises
        ------
        QuestionError
            A key has no name, or a name is none.
        """
        from medgrid.catalog.query_keys import condition

        parts: list[Node] = []
        wanted: list[str] = []
        for key in keys:
            name, node = condition(key)
            if node is None:
                wanted.append(name)
            else:
                parts.append(node)
        if not parts:
            return cls(None, "", tuple(wanted))
        text = str(parts[0] if len(parts) == 1 else And(tuple(parts)))
        return cls(parse(text).root, text, tuple(wanted))

    def with_patients(self, resolve: Resolver) -> Question:
        """Answer the conditions on what names people; see `medgrid.catalog.nominative`."""
        from medgrid.catalog.nominative import with_patients

        return with_patients(self, resolve)

    def also(self, other: Question) -> Question:
        """Question that asks for both."""
        wanted = (*self.wanted, *other.wanted)
        if self.root is None or other.root is None:
            asked = other if self.root is None else self
            return Question(asked.root, asked.text, wanted)
        text = str(And((*_parts(self.root), *_parts(other.root))))
        return Question(parse(text).root, text, wanted)


def _parts(node: Node) -> tuple[Node, ...]:
    return node.parts if isinstance(node, And) else (node,)


def parse(text: str) -> Question:
    """Read a question.

    Raises
    ------
    QuestionError
        It is not one; the message shows the place.

    Examples
    --------
    >>> str(parse("Modality = MR and not (PatientAge<40 or visits < 3)"))
    'Modality=MR and not (PatientAge<40 or visits<3)'
    """
    if not text.strip():
        raise UsageError("the question is empty", hint="'/' asks for everything")
    if len(text) > _MAX_LENGTH:
        raise UsageError(f"the question is longer than {_MAX_LENGTH} characters")
    for at, char in enumerate(text):
        if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\r\t":
            raise QuestionError(
                f"the question holds the control character U+{ord(char):04X}",
                text.replace(char, "?"),
                at,
            )
    parser = _Parser(text)
    root = parser.question()
    if sum(1 for _ in leaves(root)) > _MAX_CONDITIONS:
        raise UsageError(
            f"the question has more than {_MAX_CONDITIONS} conditions",
            hint="use 'NAME in (...)', or a dataset",
        )
    if isinstance(root, Path) and root.pattern.text == "/":
        return Question(None, text)
    return Question(root, text)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # word, quoted, tag, keyword, op, ( ) , or end
    text: str
    at: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else repr(self.text)


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(text):
        if space := _SPACE.match(text, at):
            at = space.end()
            continue
        after_in = bool(found) and found[-1] == _Token("keyword", "in", found[-1].at)
        if not after_in and (tag := _TAG.match(text, at)):
            found.append(_Token("tag", f"({tag[1].lower()},{tag[2].lower()})", at))
            at = tag.end()
        elif text[at] in "(),":
            found.append(_Token(text[at], text[at], at))
            at += 1
        elif text[at] in "'\"":
            value, end = _quoted(text, at)
            found.append(_Token("quoted", value, at))
            at = end
        elif operator := next((op for op in _OPERATORS if text.startswith(op, at)), None):
            found.append(_Token("op", "=" if operator == "==" else operator, at))
            at += len(operator)
        elif word := _WORD.match(text, at):
            lower = word[0].lower()
            found.append(
                _Token("keyword", lower, at) if lower in KEYWORDS else _Token("word", word[0], at)
            )
            at = word.end()
        else:
            raise QuestionError(f"{text[at]!r} does not belong here", text, at)
    found.append(_Token("end", "", len(text)))
    return found


def _quoted(text: str, start: int) -> tuple[str, int]:
    quote = text[start]
    parts: list[str] = []
    at = start + 1
    while at < len(text):
        char = text[at]
        if char == quote:
            return "".join(parts), at + 1
        if char == "\\" and at + 1 < len(text):
            # an unknown escape is kept whole: '\*' is for the glob
            parts.append(_ESCAPES.get(text[at + 1], char + text[at + 1]))
            at += 2
            continue
        parts.append(char)
        at += 1
    raise QuestionError(f"the quote {quote} is not closed", text, start)


class _Parser:
    """Recursive descent over the tokens of one question."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0
        self._depth = 0

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _advance(self) -> _Token:
        token = self._token
        self._next += 1
        return token

    def _is(self, kind: str, text: str | None = None) -> bool:
        return self._token.kind == kind and text in (None, self._token.text)

    def _wrong(self, problem: str, token: _Token, hint: str | None = None) -> QuestionError:
        return QuestionError(problem, self._text, token.at, hint=hint)

    def _expect(self, kind: str, what: str, text: str | None = None) -> _Token:
        if not self._is(kind, text):
            raise self._wrong(f"expected {what}, found {self._token}", self._token)
        return self._advance()

    def question(self) -> Node:
        root = self._disjunct()
        if self._is("end"):
            return root
        if self._is(")"):
            raise self._wrong("')' has no '('", self._token)
        raise self._wrong(
            f"expected 'and', 'or' or the end, found {self._token}",
            self._token,
            "put values with spaces in quotes",
        )

    def _disjunct(self) -> Node:
        parts = [self._conjunct()]
        while self._is("keyword", "or"):
            self._advance()
            parts.append(self._conjunct())
        return parts[0] if len(parts) == 1 else Or(_flat(parts, Or))

    def _conjunct(self) -> Node:
        parts = [self._negation()]
        while self._is("keyword", "and"):
            self._advance()
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else And(_flat(parts, And))

    def _negation(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._wrong(
                f"more than {_MAX_DEPTH} levels of parentheses and 'not'", self._token
            )
        try:
            if self._is("keyword", "not"):
                self._advance()
                return Not(self._negation())
            if self._is("("):
                opening = self._advance()
                inner = self._disjunct()
                if not self._is(")"):
                    if self._is("end"):
                        raise self._wrong("'(' is not closed", opening)
                    raise self._wrong(
                        f"expected 'and', 'or' or ')', found {self._token}", self._token
                    )
                self._advance()
                return inner
            return self._condition()
        finally:
            self._depth -= 1

    def _condition(self) -> Node:
        token = self._token
        if token.kind in ("word", "quoted") and token.text.startswith("/"):
            self._advance()
            return Path(Value(token.text, token.at), token.at)
        if token.kind == "word" and token.text.startswith("dataset:"):
            self._advance()
            name = token.text.removeprefix("dataset:")
            if not name:
                raise self._wrong("expected a dataset's name after 'dataset:'", token)
            return Compare("dataset", "=", Value(name, token.at + len("dataset:")), token.at)
        if token.kind == "word" and _NAME.fullmatch(token.text) is None:
            raise self._wrong(
                f"expected an attribute or an LFN, found {token}",
                token,
                "LFNs start with '/'; attributes look like Modality",
            )
        if token.kind not in ("word", "tag"):
            raise self._wrong(f"expected an attribute or an LFN, found {token}", token)
        self._advance()
        return self._comparison(token)

    def _comparison(self, name: _Token) -> Node:
        if self._is("op"):
            operator = self._advance()
            return Compare(name.text, operator.text, self._value(), name.at)
        if self._is("keyword", "is"):
            self._advance()
            negated = self._is("keyword", "not") and bool(self._advance())
            if not (self._is("keyword", "known") or self._is("keyword", "unknown")):
                raise self._wrong(
                    f"expected 'known' or 'unknown', found {self._token}", self._token
                )
            return Known(name.text, (self._advance().text == "known") != negated, name.at)
        negated = False
        if self._is("keyword", "not"):
            self._advance()
            negated = True
        if self._is("keyword", "in"):
            self._advance()
            return OneOf(name.text, self._list(), negated, name.at)
        if self._is("keyword", "between"):
            self._advance()
            low = self._value()
            self._expect("keyword", "'and'", "and")
            return Between(name.text, low, self._value(), negated, name.at)
        raise self._wrong(
            f"expected an operator after {name.text}, found {self._token}",
            self._token,
            "operators are = != < <= > >= ~ !~ in, between, is known, is unknown",
        )

    def _value(self) -> Value:
        if self._token.kind not in ("word", "quoted"):
            hint = "put it in quotes" if self._is("keyword") else None
            raise self._wrong(f"expected a value, found {self._token}", self._token, hint)
        token = self._advance()
        return Value(token.text, token.at)

    def _list(self) -> tuple[Value, ...]:
        self._expect("(", "'('")
        values = [self._value()]
        while self._is(","):
            self._advance()
            values.append(self._value())
        self._expect(")", "',' or ')'")
        return tuple(values)


def _flat(parts: Sequence[Node], kind: type[And] | type[Or]) -> tuple[Node, ...]:
    """Take the parts of parts of the same kind up: ``(a and b) and c`` is one `And`."""
    found: list[Node] = []
    for part in parts:
        found += part.parts if isinstance(part, kind) else (part,)
    return tuple(found)
