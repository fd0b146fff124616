"""Random questions, and a plain reading of what they mean, to compare the catalog's with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from medgrid.catalog.query_ast import (
    And,
    Between,
    Compare,
    Known,
    Node,
    Not,
    OneOf,
    Or,
    Path,
    Patients,
    Value,
)

TEXTS = ["MR", "mr", "CT", "a%b", "a_b", "axb", "É", "é", "[x]", "a*b", "a\\b", "it's", "or", "-1"]
NUMBERS: list[int | float] = [0, 1, 2, 40, 45, -3, 1.5, 2300, 0.1]
DATES = ["2019-12-31", "2020-01-01", "2020-02-29", "2020-03-01", "2021-07-15"]
LFNS = [f"/{top}/P-{n}/{leaf}" for top in ("trial", "a_b", "é%") for n in (1, 2) for leaf in "xy"]

TEXT_NAMES = ["Modality", "ImageType", "note", "SeriesDescription", "EchoText"]
NUMBER_NAMES = ["PatientAge", "EchoTime", "FlipAngle", "volume", "Rows"]
DATE_NAMES = ["StudyDate", "scanned", "AcquisitionDate"]
LISTS = ["ImageType", "EchoTime", "FlipAngle"]  # of which one value may be a list itself
SEVERAL = ["ImageType", "EchoTime", "volume", "note", "FlipAngle"]  # may have several values


def _values(name: str) -> st.SearchStrategy[str]:
    if name in TEXT_NAMES:
        return st.sampled_from(TEXTS)
    if name in NUMBER_NAMES:
        return st.sampled_from(NUMBERS).map(str)
    days = st.sampled_from(DATES)
    return st.one_of(
        days,
        days.map(lambda d: d.replace("-", "")),
        days.map(lambda d: d[:7]),
        days.map(lambda d: d[:4]),
    )


@st.composite
def conditions(draw: st.DrawFn) -> Node:
    """A condition that makes sense for the attributes above."""
    if draw(st.integers(0, 7)) == 0:
        pattern = draw(st.sampled_from([*LFNS, "/trial", "/trial/", "/*/x", "/a_b/*", "/é%/P-?/y"]))
        return Path(Value(pattern))
    name = draw(st.sampled_from([*TEXT_NAMES, *NUMBER_NAMES, *DATE_NAMES]))
    value = _values(name).map(Value)
    kind = draw(st.sampled_from(["compare", "compare", "between", "in", "known"]))
    if kind == "between":
        return Between(name, draw(value), draw(value), draw(st.booleans()))
    if kind == "in":
        return OneOf(
            name, tuple(draw(st.lists(value, min_size=1, max_size=3))), draw(st.booleans())
        )
    if kind == "known":
        return Known(name, draw(st.booleans()))
    operators = ["=", "!=", "<", "<=", ">", ">="]
    if name in TEXT_NAMES and draw(st.booleans()):
        globs = ["*", "m*", "?R", "a?b", "a\\*b", "*\\\\*", "*%*", "É*", "[x]", "*'*", "a*b"]
        return Compare(
            name, draw(st.sampled_from(["~", "!~"])), Value(draw(st.sampled_from(globs)))
        )
    return Compare(name, draw(st.sampled_from(operators)), draw(value))


def trees(leaf: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """Questions over such conditions, in the shape the parser gives them."""

    def join(kind: type[And] | type[Or]) -> Any:
        def made(parts: list[Node]) -> Node:
            flat: list[Node] = []
            for part in parts:
                flat += part.parts if isinstance(part, kind) else [part]
            return kind(tuple(flat))

        return made

    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            inner.map(Not),
            st.lists(inner, min_size=2, max_size=3).map(join(And)),
            st.lists(inner, min_size=2, max_size=3).map(join(Or)),
        ),
        max_leaves=6,
    )


# -- the plain reading -----------------------------------------------------------------------------


def holds(node: Node, lfn: str, attributes: Mapping[str, Any]) -> bool:
    """Whether a question holds for an object, as medgrid-query(7) says it."""
    if isinstance(node, Not):
        return not holds(node.part, lfn, attributes)
    if isinstance(node, And):
        return all(holds(part, lfn, attributes) for part in node.parts)
    if isinstance(node, Or):
        return any(holds(part, lfn, attributes) for part in node.parts)
    if isinstance(node, Path):
        return _path(node.pattern.text, lfn)
    assert not isinstance(node, Patients)
    values = list(_each(attributes.get(node.name)))
    if isinstance(node, Known):
        return bool(values) == node.known
    if isinstance(node, Between):
        low, high = node.low.text, node.high.text
        inside = any(
            _compare(node.name, value, ">=", low) and _compare(node.name, value, "<=", high)
            for value in values
        )
        return bool(values) and not inside if node.negated else inside
    if isinstance(node, OneOf):
        one = any(_compare(node.name, v, "=", w.text) for v in values for w in node.values)
        return bool(values) and not one if node.negated else one
    operator = {"!=": "=", "!~": "~"}.get(node.op, node.op)
    some = any(_compare(node.name, value, operator, node.value.text) for value in values)
    return bool(values) and not some if node.op in ("!=", "!~") else some


def _each(found: Any) -> Iterator[Any]:
    """All values of an attribute, of which one may be a list itself."""
    if isinstance(found, list):
        for one in found:
            yield from _each(one)
    elif found is not None:
        yield found


def _compare(name: str, value: Any, operator: str, text: str) -> bool:
    if operator == "~":
        return bool(re.fullmatch(_regex(text), _lower(str(value)), re.DOTALL))
    low: Any
    end: Any
    if name in NUMBER_NAMES:
        low, end = float(text), None
    elif name in DATE_NAMES:
        low, end = _days(text)
    else:
        low, end = text, None
    if end is None:
        return bool({
            "=": value == low, "<": value < low, "<=": value <= low,
            ">": value > low, ">=": value >= low,
        }[operator])  # fmt: skip
    return bool({
        "=": low <= value < end, "<": value < low, "<=": value < end,
        ">": value >= end, ">=": value >= low,
    }[operator])  # fmt: skip


def _days(text: str) -> tuple[str, str]:
    digits = text.replace("-", "")
    year = int(digits[:4])
    if len(digits) == 4:
        return f"{year}-01-01", f"{year + 1}-01-01"
    month = int(digits[4:6])
    first = date(year, month, 1)
    if len(digits) == 6:
        return first.isoformat(), (first + timedelta(days=31)).replace(day=1).isoformat()
    day = first.replace(day=int(digits[6:8]))
    return day.isoformat(), (day + timedelta(days=1)).isoformat()


def _lower(text: str) -> str:
    return "".join(char.lower() if char.isascii() else char for char in text)


def _regex(glob: str) -> str:
    parts = []
    at = 0
    while at < len(glob):
        char = glob[at]
        if char == "\\" and at + 1 < len(glob):
            at += 1
            parts.append(re.escape(_lower(glob[at])))
        else:
            parts.append({"*": ".*", "?": "."}.get(char, re.escape(_lower(char))))
        at += 1
    return "".join(parts)


def _path(pattern: str, lfn: str) -> bool:
    if "*" in pattern or "?" in pattern:
        regex = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
        return bool(re.fullmatch(regex + (".*" if pattern.endswith("/") else ""), lfn))
    return lfn == pattern or lfn.startswith(pattern.rstrip("/") + "/")


def random_attributes(rng: Any) -> dict[str, Any]:
    """Attributes of an object: each unknown, of one value, or of several."""
    found: dict[str, Any] = {}
    for names, pool in ((TEXT_NAMES, TEXTS), (NUMBER_NAMES, NUMBERS), (DATE_NAMES, DATES)):
        for name in names:
            choice = rng.random()
            fitting: list[Any] = [one for one in pool if name != "Rows" or isinstance(one, int)]
            if choice < 0.3:
                continue
            if choice < 0.37 and name in LISTS:
                found[name] = [rng.sample(fitting, 2), rng.sample(fitting, 1)]
            elif choice < 0.5 and name in SEVERAL:
                found[name] = rng.sample(fitting, 2)
            else:
                found[name] = rng.choice(fitting)
    return found
