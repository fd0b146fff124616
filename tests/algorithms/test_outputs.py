"""Where programs write: path-templates, conditions."""

from __future__ import annotations

from typing import Any

import pytest

from medgrid.algorithms.outputs import OutputPath, check_condition, fill_text, is_true, output_path
from medgrid.errors import ConfigError, UsageError

INPUTS: dict[str, dict[str, Any]] = {
    "image": {"id": "image", "type": "File", "value-key": "[IMAGE]"},
    "name": {"id": "name", "type": "String", "value-key": "[NAME]"},
    "bins": {"id": "bins", "type": "Number", "value-key": "[BINS]"},
}
IMAGE = "in/image/image.nii.gz"


def path(template: str, /, stripped: list[str] | None = None, **values: Any) -> OutputPath | None:
    output = {"id": "out", "path-template": template}
    if stripped is not None:
        output["path-template-stripped-extensions"] = stripped  # type: ignore[assignment]
    return output_path(output, INPUTS, values)


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("result.txt", {}, "result.txt"),
        ("out/[NAME].nii", {"name": "a b"}, "out/a b.nii"),
        ("[NAME]-[BINS].txt", {"name": "x", "bins": 64}, "x-64.txt"),
        ("out/[IMAGE].txt", {"image": IMAGE}, "out/image.nii.gz.txt"),
        ("[IMAGE].txt", {"image": IMAGE}, f"{IMAGE}.txt"),
        ("x[NAME].txt", {}, "x.txt"),
        ("./a//b.txt", {}, "a/b.txt"),
        ("[NAME]", {"name": "[BINS]", "bins": 3}, "[BINS]"),
    ],
)
def test_paths(template: str, values: dict[str, Any], expected: str) -> None:
    found = path(template, **values)
    assert found is not None
    assert found.path == expected


def test_extensions_are_stripped_from_values() -> None:
    found = path("out/[IMAGE]_brain.nii.gz", [".nii.gz", ".nii"], image=IMAGE)
    assert found == ("out/image_brain.nii.gz", "out/image_brain.nii.gz")


def test_wildcards_of_the_template_count_those_of_values_do_not() -> None:
    assert path("[NAME]-*.json", name="a*[b]?") == ("a*[b]?-*.json", "a[*][[]b][?]-*.json")


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "x/"])
def test_a_value_cannot_lead_out(name: str) -> None:
    with pytest.raises(UsageError) as error:
        path("[NAME]", name=name)
    assert error.value.message == (
        f"output out would be written to {name!r}, which is not a file in the job's directory"
    )
    assert error.value.hint == "check the parameters that name it"


def test_the_first_condition_that_holds_decides() -> None:
    output = {
        "id": "out",
        "conditional-path-template": [
            {"bins > 8 and name == 'x'": "fine.txt"},
            {"bins > 8": "many.txt"},
            {"default": "few.txt"},
        ],
    }
    cases: list[tuple[dict[str, Any], str]] = [
        ({"bins": 16, "name": "x"}, "fine.txt"),
        ({"bins": 16, "name": "y"}, "many.txt"),
        ({"bins": 16}, "many.txt"),
        ({"bins": 2}, "few.txt"),
        ({}, "few.txt"),
    ]
    for values, expected in cases:
        assert output_path(output, INPUTS, values) == (expected, expected)
    del output["conditional-path-template"][2]  # type: ignore[attr-defined]
    assert output_path(output, INPUTS, {"bins": 2}) is None


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("bins == 4", True),
        ("bins != 4", False),
        ("[bins] >= 4", True),
        ("(bins < 3) or (name == 'x')", True),
        ("1 < bins < 4", False),
        ("name > 3", False),
        ("other == 1", False),
    ],
)
def test_conditions(condition: str, holds: bool) -> None:
    assert is_true(condition, {"bins": 4, "name": "x"}) is holds


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("bins >", "the condition 'bins >' cannot be read"),
        ("__import__('os')", "the condition \"__import__('os')\" has Call"),
        ("bins.real", "the condition 'bins.real' has Attribute"),
        ("2 ** 99 > bins", "the condition '2 ** 99 > bins' has BinOp"),
        ("bin > 3", "the condition 'bin > 3' names 'bin', which is no input"),
    ],
)
def test_conditions_that_are_none(condition: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_condition(condition, INPUTS)
    assert error.value.message == said


def test_lines_of_configuration_files() -> None:
    assert fill_text("a=[NAME] [BINS]", INPUTS, {"name": "[BINS]", "bins": "3"}) == "a=[BINS] 3"
    assert fill_text("a=[NAME]", INPUTS, {}) is None
    assert fill_text("plain", INPUTS, {}) == "plain"
