"""Where a program writes: path-templates, conditional ones, configuration files."""

from __future__ import annotations

import ast
import glob
import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from medgrid.errors import ConfigError, UsageError

__all__ = ["OutputPath", "Value", "check_condition", "fill_text", "is_true", "output_path"]

Value = str | int | float | bool | Sequence[str | int | float]
"""What a value-key stands for: a typed parameter, or the relative path(s) of a File input."""


class OutputPath(NamedTuple):
    """The path as the program is given it, and the glob that finds what it wrote.

    Wildcards of the template stay in the glob; those that stand in values are escaped.
    """

    path: str
    glob: str


_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def output_path(
    output: Mapping[str, Any],
    inputs: Mapping[str, Mapping[str, Any]],
    values: Mapping[str, Value],
) -> OutputPath | None:
    """Where one output is written, relative to the job's working directory.

    A File input stands for its path at the start of the template, for its file name elsewhere, as
    in Boutiques.

    Parameters
    ----------
    output : mapping
        Entry of ``output-files``.
    inputs : mapping of input id to entry
    values : mapping of input id to value
        The inputs that are given.

    Returns
    -------
    OutputPath or None
        None when no condition of a conditional-path-template holds.

    Raises
    ------
    UsageError
        A value would lead out of the job's directory.
    """
    template = _template(output, values)
    if template is None:
        return None
    stripped = output.get("path-template-stripped-extensions", ())

    def text_of(name: str, at_start: bool) -> str:
        text = _path_text(values.get(name, ""))
        for extension in stripped:
            text = text.removesuffix(extension)
        if inputs[name]["type"] == "File" and not at_start:
            text = PurePosixPath(text).name
        return text

    filled = _filled(template, inputs, text_of)
    path = PurePosixPath(filled)
    if path.is_absolute() or ".." in path.parts or not path.parts or filled.endswith("/"):
        raise UsageError(
            f"output {output['id']} would be written to {filled!r}, "
            "which is not a file in the job's directory",
            hint="check the parameters that name it",
        )
    pattern = _filled(template, inputs, lambda *key: glob.escape(text_of(*key)))
    return OutputPath(str(path), str(PurePosixPath(pattern)))


def _template(output: Mapping[str, Any], values: Mapping[str, Value]) -> str | None:
    if "path-template" in output:
        return str(output["path-template"])
    for choice in output["conditional-path-template"]:
        for condition, template in choice.items():
            if condition == "default" or is_true(condition, values):
                return str(template)
    return None


def _path_text(value: Value) -> str:
    if isinstance(value, list | tuple):
        return " ".join(str(one) for one in value)
    return str(value)


def fill_text(
    template: str, inputs: Mapping[str, Mapping[str, Any]], values: Mapping[str, str]
) -> str | None:
    """Put values into one line of a configuration file, or into an environment variable.

    Returns
    -------
    str or None
        None when the line has the key of an input that is not given.
    """
    if any(
        entry.get("value-key", "\0") in template and name not in values
        for name, entry in inputs.items()
    ):
        return None
    return _filled(template, inputs, lambda name, _: values[name])


def _filled(
    template: str,
    inputs: Mapping[str, Mapping[str, Any]],
    text_of: Callable[[str, bool], str],
) -> str:
    """Replace each value-key once, from left to right: what was put in is not read again."""
    keys = {entry["value-key"]: name for name, entry in inputs.items() if "value-key" in entry}
    found: list[str] = []
    at = 0
    while at < len(template):
        key = next((key for key in keys if template.startswith(key, at)), None)
        if key is None:
            found.append(template[at])
            at += 1
        else:
            found.append(text_of(keys[key], at == 0))
            at += len(key)
    return "".join(found)


def check_condition(condition: str, names: Mapping[str, Any]) -> None:
    """Check a condition of a conditional-path-template.

    Raises
    ------
    ConfigError
        It is more than comparisons of inputs with constants, joined by and, or and parentheses.
    """
    for node in ast.walk(_parsed(condition)):
        if isinstance(node, ast.Name) and node.id not in names:
            raise ConfigError(f"the condition {condition!r} names {node.id!r}, which is no input")


def is_true(condition: str, values: Mapping[str, Value]) -> bool:
    """Evaluate a condition; one that names an input that is not given is false.

    Examples
    --------
    >>> is_true("bins > 8 and mode == 'fast'", {"bins": 16, "mode": "fast"})
    True
    """
    tree = _parsed(condition)
    if any(isinstance(node, ast.Name) and node.id not in values for node in ast.walk(tree)):
        return False
    return bool(_evaluated(tree.body, values))


def _parsed(condition: str) -> ast.Expression:
    text = condition.replace("[", "").replace("]", "")
    allowed = (
        ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.Compare, ast.Name, ast.Load,
        ast.Constant, *_COMPARE,
    )  # fmt: skip
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        raise ConfigError(f"the condition {condition!r} cannot be read") from None
    for node in ast.walk(tree):
        if not isinstance(node, allowed):
            raise ConfigError(
                f"the condition {condition!r} has {type(node).__name__}",
                hint="conditions compare inputs with constants, joined by 'and' and 'or'",
            )
    return tree


def _evaluated(node: ast.expr, values: Mapping[str, Value]) -> Any:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_evaluated(part, values) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_evaluated(part, values) for part in parts)
        case ast.Compare(left=left, ops=ops, comparators=rights):
            terms = [_evaluated(term, values) for term in (left, *rights)]
            try:
                return all(
                    _COMPARE[type(op)](a, b)
                    for op, a, b in zip(ops, terms, terms[1:], strict=False)
                )
            except TypeError:
                return False
        case ast.Name(id=name):
            return values[name]
        case ast.Constant(value=value):
            return value
    raise AssertionError(node)
