"""Questions about what names people: the catalog does not hold it, the asker's own seals do.

`Question.with_patients` asks `Resolver` for the pseudonyms for which each condition of this kind
holds. Who answers opens the seals of the patients in the asker's care, on the asker's machine, and
compares with `matches`. A condition that nobody answers holds for nobody: nothing tells why.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from medgrid.catalog.query import Question
from medgrid.catalog.query_ast import (
    And,
    Between,
    Compare,
    Known,
    Leaf,
    Node,
    Not,
    OneOf,
    Or,
    Patients,
    Value,
    leaves,
)
from medgrid.catalog.query_values import BadValue, Span, day
from medgrid.errors import UsageError

__all__ = [
    "NAMES",
    "Resolver",
    "asked",
    "is_nominative",
    "matches",
    "sealed",
    "with_patients",
    "without_names",
]

Resolver = Callable[[Leaf], Collection[str]]
"""Pseudonyms of the patients for whom a condition holds."""

NAMES: dict[str, str] = {
    "(0010,0010)": "PatientName",
    "(0010,0021)": "IssuerOfPatientID",
    "(0010,0030)": "PatientBirthDate",
    "(0010,1000)": "OtherPatientIDs",
    "(0010,1001)": "OtherPatientNames",
    "(0010,1005)": "PatientBirthName",
    "(0010,1040)": "PatientAddress",
    "(0010,1060)": "PatientMotherBirthName",
    "(0010,2154)": "PatientTelephoneNumbers",
}
"""What can be asked for and is sealed, by DICOM tag."""

_BY_LOWER = {name.lower(): name for name in NAMES.values()}
_PERSON_NAMES = frozenset(name for name in NAMES.values() if name.endswith("Name"))
_DATES = frozenset(("PatientBirthDate",))
_NEGATIVE = {"!=": "=", "!~": "~"}


def sealed(name: str) -> str | None:
    """Keyword of what a name of a question means, when it is sealed; None for all others."""
    return NAMES.get(name) or _BY_LOWER.get(name.lower())


def is_nominative(name: str) -> bool:
    """Whether a question that uses `name` asks for what is sealed."""
    return sealed(name) is not None


def asked(question: Question) -> list[Leaf]:
    """Conditions of a question on what is sealed, from left to right."""
    return [
        leaf
        for leaf in (leaves(question.root) if question.root is not None else ())
        if isinstance(leaf, Leaf) and is_nominative(leaf.name)
    ]


def with_patients(question: Question, resolve: Resolver) -> Question:
    """Answer the conditions of a question on what is sealed.

    The question still prints as it was written. Do this last: `Question.also` forgets it.
    """
    if question.root is None or not asked(question):
        return question
    return replace(question, root=_answered(question.root, resolve))


def _answered(node: Node, resolve: Resolver) -> Node:
    if isinstance(node, Not):
        return Not(_answered(node.part, resolve))
    if isinstance(node, And):
        return And(tuple(_answered(part, resolve) for part in node.parts))
    if isinstance(node, Or):
        return Or(tuple(_answered(part, resolve) for part in node.parts))
    if isinstance(node, Leaf) and is_nominative(node.name):
        return Patients(node, frozenset(resolve(node)), node.at)
    return node


def without_names(question: Question) -> Question:
    """Question that asks for pseudonyms where `question` asks for names, to be kept."""
    from medgrid.catalog.query import parse

    if question.root is None or not any(
        isinstance(leaf, Patients) or (isinstance(leaf, Leaf) and is_nominative(leaf.name))
        for leaf in leaves(question.root)
    ):
        return question
    text = str(_by_pseudonym(question.root))
    return replace(question, root=parse(text).root, text=text)


def _by_pseudonym(node: Node) -> Node:
    if isinstance(node, Not):
        return Not(_by_pseudonym(node.part))
    if isinstance(node, And):
        return And(tuple(_by_pseudonym(part) for part in node.parts))
    if isinstance(node, Or):
        return Or(tuple(_by_pseudonym(part) for part in node.parts))
    if isinstance(node, Patients):
        found = sorted(node.pseudonyms)
    elif isinstance(node, Leaf) and is_nominative(node.name):
        found = []
    else:
        return node
    # no patient has the empty pseudonym
    return OneOf("PatientID", tuple(Value(one) for one in found or [""]), False, node.at)


def matches(leaf: Leaf, nominative: Mapping[str, Any]) -> bool:
    """Whether a condition holds for one patient.

    Parameters
    ----------
    leaf : Leaf
        One of `asked`.
    nominative : mapping of str to text or list of texts
        What the seal holds, by DICOM keyword.

    Raises
    ------
    UsageError
        The condition makes no sense, such as ``PatientName<x``.
    """
    name = sealed(leaf.name) or leaf.name
    test = _test(leaf, name)
    found = nominative.get(name)
    values = found if isinstance(found, list | tuple) else [found]
    texts = [str(value) for value in values if value not in (None, "")]
    if isinstance(leaf, Known):
        return bool(texts) == leaf.known
    holds = any(test(text) for text in texts)
    negative = leaf.op in _NEGATIVE if isinstance(leaf, Compare) else leaf.negated
    return bool(texts) and not holds if negative else holds


def _test(leaf: Leaf, name: str) -> Callable[[str], bool]:
    """Positive form of a condition, for one value."""
    if isinstance(leaf, Known):
        return bool
    if name in _DATES:
        return _date_test(leaf)
    if isinstance(leaf, Between):
        raise UsageError(f"'between' does not go with {leaf.name}")
    if isinstance(leaf, OneOf):
        wanted = {form for value in leaf.values for form in _forms(value.text, name)}
        return lambda text: not wanted.isdisjoint(_forms(text, name))
    operator = _NEGATIVE.get(leaf.op, leaf.op)
    if operator == "=":
        same = _forms(leaf.value.text, name)
        return lambda text: not same.isdisjoint(_forms(text, name))
    if operator != "~":
        raise UsageError(f"{leaf.op!r} does not go with {leaf.name}")
    pattern = re.compile(_regex(_folded(leaf.value.text)), re.DOTALL)
    return lambda text: any(pattern.fullmatch(form) for form in _forms(text, name))


def _date_test(leaf: Between | Compare | OneOf) -> Callable[[str], bool]:
    if isinstance(leaf, OneOf):
        spans = [_day(leaf, value) for value in leaf.values]
        return lambda text: any(_compare(_iso(text), "=", span) for span in spans)
    if isinstance(leaf, Between):
        low, high = _day(leaf, leaf.low), _day(leaf, leaf.high)
        return lambda text: _compare(_iso(text), ">=", low) and _compare(_iso(text), "<=", high)
    operator = _NEGATIVE.get(leaf.op, leaf.op)
    if operator == "~":
        pattern = re.compile(_regex(leaf.value.text))
        return lambda text: bool(pattern.fullmatch(_iso(text)) or pattern.fullmatch(text))
    span = _day(leaf, leaf.value)
    return lambda text: _compare(_iso(text), operator, span)


def _day(leaf: Leaf, value: Value) -> Span:
    try:
        return day(value.text)
    except BadValue as error:
        raise UsageError(f"{leaf.name} is compared with {error}, found {value.text!r}") from error


def _iso(text: str) -> str:
    """Write a DICOM date (PS3.5 6.2) as ISO 8601 does."""
    digits = text.replace(".", "").replace("-", "").strip()
    if len(digits) == 8 and digits.isdigit():
        return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
    return text


def _compare(text: str, operator: str, span: Span) -> bool:
    low: str = span.low
    if operator == "=":
        return text == low if span.end is None else low <= text < span.end
    if operator == "<":
        return text < low
    if operator == ">=":
        return text >= low
    if operator == "<=":
        return text <= low if span.end is None else text < span.end
    return text > low if span.end is None else text >= span.end


def _folded(text: str) -> str:
    """Text as it is compared: case does not count (DICOM PS3.4 C.2.2.2.1)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold())


def _forms(text: str, name: str) -> set[str]:
    """Ways a value may be written; a person's name also by each of its component groups.

    Empty components at the end do not count (DICOM PS3.5 6.2.1.1).
    """
    if name not in _PERSON_NAMES and name != "OtherPatientNames":
        return {_folded(text.strip())}
    groups = [group.rstrip("^ ") for group in text.split("=")]
    return {_folded(form.strip()) for form in (*groups, "=".join(groups)) if form.strip()}


def _regex(glob: str) -> str:
    parts: list[str] = []
    chars = iter(glob)
    for char in chars:
        if char == "\\":
            parts.append(re.escape(next(chars, "\\")))
        else:
            parts.append({"*": ".*", "?": "."}.get(char, re.escape(char)))
    return "".join(parts)
