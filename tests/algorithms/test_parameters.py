"""Parameters: text -> typed values, and what may be given together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgrid.algorithms.parameters import check_given, check_parameters, typed_value
from medgrid.errors import UsageError
from tests.algorithms.sample import minimal, with_inputs


def number(**more: Any) -> dict[str, Any]:
    return {"id": "x", "type": "Number", **more}


def message(entry: dict[str, Any], value: Any) -> str:
    with pytest.raises(UsageError) as error:
        typed_value(entry, value)
    return error.value.message


@pytest.mark.parametrize(
    ("entry", "value", "typed"),
    [
        (number(integer=True), "64", 64),
        (number(integer=True), " +64 ", 64),
        (number(integer=True), 64, 64),
        (number(), "1e-3", 0.001),
        (number(), "-5", -5),
        (number(), "0.5", 0.5),
        (number(list=True), "1,2.5", [1, 2.5]),
        (number(list=True), ["1", "2"], [1, 2]),
        (number(list=True), 3, [3]),
        ({"id": "x", "type": "Flag"}, "yes", True),
        ({"id": "x", "type": "Flag"}, "False", False),
        ({"id": "x", "type": "String"}, "a, b", "a, b"),
        ({"id": "x", "type": "String"}, ["a"], "a"),
        ({"id": "x", "type": "String", "list": True}, "a,b", ["a,b"]),
        ({"id": "x", "type": "String", "value-choices": ["a", "b"]}, "b", "b"),
        (number(**{"value-choices": [1, 2]}), "2", 2),
    ],
)
def test_typed_values(entry: dict[str, Any], value: Any, typed: Any) -> None:
    found = typed_value(entry, value)
    assert found == typed
    assert type(found) is type(typed)


@pytest.mark.parametrize(
    ("entry", "value", "said"),
    [
        (number(integer=True), "64.0", "parameter x must be a whole number, found '64.0'"),
        (number(integer=True), "many", "parameter x must be a whole number, found 'many'"),
        (number(), "nan", "parameter x must be a number, found 'nan'"),
        (number(), "1e999", "parameter x must be a number, found '1e999'"),
        (number(), "1_000", "parameter x must be a number, found '1_000'"),
        (number(), True, "parameter x must be a number, found True"),
        (number(), "", "parameter x must be a number, found ''"),
        (number(minimum=2), "1", "parameter x must be >= 2, found 1"),
        (number(maximum=2), "2.5", "parameter x must be <= 2, found 2.5"),
        (
            number(minimum=0, **{"exclusive-minimum": True}),
            "0",
            "parameter x must be > 0, found 0",
        ),
        (
            number(maximum=1, **{"exclusive-maximum": True}),
            "1",
            "parameter x must be < 1, found 1",
        ),
        (number(), ["1", "2"], "parameter x takes one value, found 2"),
        (
            number(list=True, **{"min-list-entries": 3, "max-list-entries": 3}),
            "1,2",
            "parameter x takes 3 values, found 2",
        ),
        (
            number(list=True, **{"max-list-entries": 2}),
            "1,2,3",
            "parameter x takes 1 to 2 values, found 3",
        ),
        (
            number(list=True, **{"min-list-entries": 2}),
            "1",
            "parameter x takes 2 or more values, found 1",
        ),
        ({"id": "x", "type": "Flag"}, "maybe", "parameter x must be true or false, found 'maybe'"),
        (
            {"id": "x", "type": "String", "value-choices": ["a", "b"]},
            "c",
            "parameter x must be one of a, b, found 'c'",
        ),
        ({"id": "x", "type": "String"}, 3, "parameter x must be text, found 3"),
        (
            {"id": "x", "type": "String"},
            "a\0b",
            "parameter x holds a NUL character, which no program can be given",
        ),
        ({"id": "x", "type": "String"}, "a\udc80", "parameter x is not valid UTF-8"),
    ],
)
def test_wrong_values(entry: dict[str, Any], value: Any, said: str) -> None:
    assert message(entry, value) == said


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back_from_their_text(value: float) -> None:
    assert typed_value(number(), str(value)) == value


def test_defaults_are_put_in() -> None:
    assert check_parameters(minimal(), {}) == {"bins": 64}
    assert check_parameters(minimal(), {"bins": "8"}) == {"bins": 8}


def fails(descriptor: dict[str, Any], given: dict[str, Any]) -> tuple[str, str | None]:
    with pytest.raises(UsageError) as error:
        check_parameters(descriptor, given)
    return error.value.message, error.value.hint


def test_unknown_missing_and_misplaced_parameters() -> None:
    assert fails(minimal(), {"bin": "3"}) == (
        "sample has no parameter 'bin'",
        "did you mean bins?",
    )
    assert fails(minimal(), {"zzz": "3"}) == (
        "sample has no parameter 'zzz'",
        "its parameters are bins",
    )
    assert fails(minimal(), {"image": "x.nii"}) == (
        "image of sample is a file, not a parameter",
        "give it as an input: --with image=LFN",
    )
    required = with_inputs("p [A]", {"id": "a", "type": "String", "value-key": "[A]"})
    assert fails(required, {}) == ("sample needs the parameter a", "give -p a=VALUE")


def refused(
    descriptor: dict[str, Any], roles: dict[str, int], parameters: dict[str, Any]
) -> tuple[str, str | None]:
    with pytest.raises(UsageError) as error:
        check_given(descriptor, roles, parameters)
    return error.value.message, error.value.hint


def test_files_that_are_missing_or_too_many() -> None:
    assert refused(minimal(), {}, {}) == (
        "sample needs the input image",
        "give --with image=LFN",
    )
    assert (
        refused(minimal(), {"image": 2}, {})[0] == "input image of sample takes one file, found 2"
    )
    assert refused(minimal(), {"image": 1, "mask": 1}, {}) == (
        "sample has no input 'mask'",
        "its inputs are image",
    )
    several = with_inputs(
        "p [I]",
        {"id": "i", "type": "File", "list": True, "value-key": "[I]", "min-list-entries": 2},
    )
    assert refused(several, {"i": 1}, {})[0] == "input i of sample takes 2 or more files, found 1"
    check_given(several, {"i": 3}, {})


def text(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "String", "optional": True, **more}


def test_groups() -> None:
    def grouped(**rule: bool) -> dict[str, Any]:
        group = {"id": "g", "name": "G", "members": ["a", "b"], **rule}
        return with_inputs("p", text("a"), text("b"), groups=[group])

    exclusive = grouped(**{"mutually-exclusive": True})
    check_given(exclusive, {}, {"a": "1"})
    assert refused(exclusive, {}, {"a": "1", "b": "2"})[0] == (
        "sample takes only one of a, b, found a, b"
    )
    one = grouped(**{"one-is-required": True})
    assert refused(one, {}, {})[0] == "sample needs one of a, b"
    check_given(one, {}, {"b": "1"})
    together = grouped(**{"all-or-none": True})
    check_given(together, {}, {})
    assert refused(together, {}, {"b": "2"})[0] == (
        "sample takes all of a, b or none, found only b"
    )


def test_what_one_input_asks_of_others() -> None:
    descriptor = with_inputs(
        "p",
        text("a", **{"requires-inputs": ["b"]}),
        text("b", **{"disables-inputs": ["c"]}),
        text("c"),
        text(
            "mode",
            **{
                "value-choices": ["fast", "fine"],
                "value-requires": {"fine": ["c"]},
                "value-disables": {"fast": ["a"]},
            },
        ),
    )
    assert refused(descriptor, {}, {"a": "1"})[0] == "a of sample needs b as well"
    assert refused(descriptor, {}, {"b": "1", "c": "1"})[0] == (
        "b of sample cannot be given together with c"
    )
    assert refused(descriptor, {}, {"mode": "fine"})[0] == "mode of sample needs c as well"
    assert refused(descriptor, {}, {"mode": "fast", "a": "1", "b": "1"})[0] == (
        "mode of sample cannot be given together with a"
    )
    check_given(descriptor, {}, {"a": "1", "b": "1"})
    check_given(descriptor, {}, {"mode": "fine", "c": "1"})
