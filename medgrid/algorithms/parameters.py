"""Parameters as a user writes them -> typed values, and what may be given together."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from medgrid.errors import UsageError

__all__ = ["check_given", "check_parameters", "typed_value"]

_INTEGER = re.compile(r"[+-]?\d+")
_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


def check_parameters(descriptor: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Check and type the parameters of one job; defaults are put in.

    Parameters
    ----------
    descriptor : mapping
        A checked Boutiques descriptor.
    given : mapping of input id to value
        Text as typed, or values that are typed already. For a list: a list of either; numbers may
        also be separated by commas.

    Returns
    -------
    dict
        Values by input id, in the descriptor's order: int, float, str, bool, or a list of them.

    Raises
    ------
    UsageError
        There is no such parameter, it names a file, its value is not of its type, or one that is
        required is missing.

    Examples
    --------
    >>> bins = {"id": "bins", "name": "Bins", "type": "Number", "integer": True}
    >>> check_parameters({"name": "similarity", "inputs": [bins]}, {"bins": "64"})
    {'bins': 64}
    """
    inputs = {entry["id"]: entry for entry in descriptor["inputs"]}
    settable = [name for name, entry in inputs.items() if entry["type"] != "File"]
    label = descriptor["name"]
    for name in given:
        if name not in inputs:
            near = difflib.get_close_matches(name, settable, n=3, cutoff=0.5)
            known = f"its parameters are {', '.join(settable)}" if settable else "it takes none"
            raise UsageError(
                f"{label} has no parameter {name!r}",
                hint=f"did you mean {', '.join(near)}?" if near else known,
            )
        if inputs[name]["type"] == "File":
            raise UsageError(
                f"{name} of {label} is a file, not a parameter",
                hint=f"give it as an input: --with {name}=LFN",
            )
    found: dict[str, Any] = {}
    for name in settable:
        entry = inputs[name]
        if name in given:
            found[name] = typed_value(entry, given[name])
        elif "default-value" in entry:
            found[name] = typed_value(entry, entry["default-value"])
        elif not entry.get("optional") and entry["type"] != "Flag":
            raise UsageError(f"{label} needs the parameter {name}", hint=f"give -p {name}=VALUE")
    return found


def typed_value(entry: Mapping[str, Any], value: Any) -> Any:
    """Type the value of one input that is no file.

    Raises
    ------
    UsageError
        It is not what the input's type, choices, bounds or list length ask for.
    """
    name = entry["id"]
    if not entry.get("list"):
        if isinstance(value, list | tuple):
            if len(value) != 1:
                raise UsageError(f"parameter {name} takes one value, found {len(value)}")
            value = value[0]
        return _typed_one(entry, value)
    if isinstance(value, str) and entry["type"] == "Number":
        value = value.split(",")
    values = value if isinstance(value, list | tuple) else [value]
    check_length(entry, len(values), f"parameter {name}", "values")
    return [_typed_one(entry, one) for one in values]


def check_length(entry: Mapping[str, Any], length: int, what: str, unit: str) -> None:
    """Check the number of entries of a list input.

    Raises
    ------
    UsageError
        There are too few or too many.
    """
    least = entry.get("min-list-entries", 1)
    most = entry.get("max-list-entries", math.inf)
    if not least <= length <= most:
        wanted = (
            f"{least:g}"
            if least == most
            else f"{least:g} or more"
            if most == math.inf
            else f"{least:g} to {most:g}"
        )
        raise UsageError(f"{what} takes {wanted} {unit}, found {length}")


def _typed_one(entry: Mapping[str, Any], value: Any) -> Any:
    typed: Any
    match entry["type"]:
        case "Number":
            typed = _number(entry, value)
        case "Flag":
            typed = _flag(entry, value)
        case _:
            typed = _text(entry, value)
    choices = entry.get("value-choices")
    if choices and typed not in choices:
        wanted = ", ".join(str(choice) for choice in choices)
        raise UsageError(f"parameter {entry['id']} must be one of {wanted}, found {value!r}")
    return typed


def _number(entry: Mapping[str, Any], value: Any) -> int | float:
    name = entry["id"]
    whole = entry.get("integer", False)
    wanted = "a whole number" if whole else "a number"
    number: int | float
    try:
        if isinstance(value, bool):
            raise ValueError
        text = value.strip() if isinstance(value, str) else repr(value)
        number = int(text) if _INTEGER.fullmatch(text) else float(text)
    except (ValueError, TypeError):
        raise UsageError(f"parameter {name} must be {wanted}, found {value!r}") from None
    if not math.isfinite(number) or "_" in text or (whole and isinstance(number, float)):
        raise UsageError(f"parameter {name} must be {wanted}, found {value!r}")
    low, high = entry.get("minimum"), entry.get("maximum")
    above = ">" if entry.get("exclusive-minimum") else ">="
    below = "<" if entry.get("exclusive-maximum") else "<="
    if low is not None and (number < low or (number == low and above == ">")):
        raise UsageError(f"parameter {name} must be {above} {low:g}, found {number:g}")
    if high is not None and (number > high or (number == high and below == "<")):
        raise UsageError(f"parameter {name} must be {below} {high:g}, found {number:g}")
    return number


def _flag(entry: Mapping[str, Any], value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise UsageError(f"parameter {entry['id']} must be true or false, found {value!r}")


def _text(entry: Mapping[str, Any], value: Any) -> str:
    name = entry["id"]
    if not isinstance(value, str):
        raise UsageError(f"parameter {name} must be text, found {value!r}")
    if "\0" in value:
        raise UsageError(f"parameter {name} holds a NUL character, which no program can be given")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"parameter {name} is not valid UTF-8") from None
    return value


def check_given(
    descriptor: Mapping[str, Any],
    roles: Mapping[str, int],
    parameters: Mapping[str, Any],
) -> None:
    """Check what is given together: files, groups, and what one input asks of others.

    Parameters
    ----------
    roles : mapping of File input id to number of files
    parameters : mapping
        Typed values, defaults included.

    Raises
    ------
    UsageError
        A file is missing or one too many, or inputs do not go together.
    """
    label = descriptor["name"]
    files = {entry["id"]: entry for entry in descriptor["inputs"] if entry["type"] == "File"}
    for role in roles:
        if role not in files:
            raise UsageError(
                f"{label} has no input {role!r}",
                hint=f"its inputs are {', '.join(files) or 'parameters only'}",
            )
    for role, entry in files.items():
        count = roles.get(role, 0)
        if count == 0 and not entry.get("optional"):
            raise UsageError(f"{label} needs the input {role}", hint=f"give --with {role}=LFN")
        if count and entry.get("list"):
            check_length(entry, count, f"input {role} of {label}", "files")
        elif count > 1:
            raise UsageError(f"input {role} of {label} takes one file, found {count}")
    active = {name for name, value in parameters.items() if value is not False}
    active |= {role for role, count in roles.items() if count}
    groups = {group["id"]: group for group in descriptor.get("groups", ())}
    for group in groups.values():
        _check_group(label, group, active)
    for entry in descriptor["inputs"]:
        name = entry["id"]
        if name not in active:
            continue
        choice = str(parameters.get(name))
        required = [*entry.get("requires-inputs", ()), *_of_choice(entry, "requires", choice)]
        disabled = [*entry.get("disables-inputs", ()), *_of_choice(entry, "disables", choice)]
        for other in required:
            members = groups[other]["members"] if other in groups else [other]
            if not active.intersection(members):
                raise UsageError(f"{name} of {label} needs {' or '.join(members)} as well")
        for other in disabled:
            if other in active:
                raise UsageError(f"{name} of {label} cannot be given together with {other}")


def _of_choice(entry: Mapping[str, Any], what: str, choice: str) -> Sequence[str]:
    found: Sequence[str] = entry.get(f"value-{what}", {}).get(choice, ())
    return found


def _check_group(label: str, group: Mapping[str, Any], active: Collection[str]) -> None:
    members = group["members"]
    given = [name for name in members if name in active]
    if group.get("mutually-exclusive") and len(given) > 1:
        raise UsageError(f"{label} takes only one of {_listed(members)}, found {_listed(given)}")
    if group.get("one-is-required") and not given:
        raise UsageError(f"{label} needs one of {_listed(members)}")
    if group.get("all-or-none") and given and len(given) < len(members):
        raise UsageError(
            f"{label} takes all of {_listed(members)} or none, found only {_listed(given)}"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
