"""Checking a document against a JSON schema, with errors a person can act on."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgrid.errors import ConfigError

if TYPE_CHECKING:
    from jsonschema import Draft4Validator, ValidationError

__all__ = ["check_schema", "json_path"]


def check_schema(document: Any, schema: str, source: str, path: str = "$") -> None:
    """Check a document against one of this room's schemas.

    Parameters
    ----------
    document : Any
        Parsed JSON.
    schema : str
        ``boutiques`` or ``medgrid``.
    source : str
        Where the document comes from, for the message.
    path : str
        JSON path of `document` in its file.

    Raises
    ------
    ConfigError
        It does not fit; says where, what was expected and what was found.
    """
    errors = sorted(_validator(schema).iter_errors(document), key=_rank)
    if errors:
        error = errors[0]
        where = json_path(path, *error.absolute_path)
        raise ConfigError(f"{source}: {where}: {_wording(error)}", hint=_hint(error))


@cache
def _validator(schema: str) -> Draft4Validator:
    from jsonschema import Draft4Validator

    file = Path(__file__).with_name(f"{schema}.schema.json")
    return Draft4Validator(json.loads(file.read_text(encoding="utf-8")))


def json_path(root: str, *steps: str | int) -> str:
    """JSON path of something below `root`.

    Examples
    --------
    >>> json_path("$", "inputs", 2, "value-key")
    '$.inputs[2].value-key'
    """
    return root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _rank(error: ValidationError) -> tuple[bool, int, str]:
    """What is plain comes before alternatives, what is far up before what is deep."""
    return (
        error.validator in ("oneOf", "anyOf", "allOf"),
        len(error.absolute_path),
        str(list(error.absolute_path)),
    )


def _wording(error: ValidationError) -> str:
    instance: Any = error.instance
    found = _shown(instance)
    wanted: Any = error.validator_value
    match error.validator:
        case "type":
            kinds = [wanted] if isinstance(wanted, str) else wanted
            return f"expected {' or '.join(map(str, kinds))}, found {found}"
        case "enum":
            choices = " or ".join(json.dumps(choice) for choice in wanted)
            return f"expected {choices}, found {found}"
        case "required":
            missing = [name for name in wanted if name not in instance]
            return f"expected {missing[0]!r}, which is missing"
        case "additionalProperties":
            return f"unknown name {_unknown(error)!r}"
        case "pattern":
            return f"expected text like {wanted}, found {found}"
        case "minLength":
            return f"expected text of {wanted} character or more, found {found}"
        case "minItems":
            return f"expected a list of {wanted} or more, found {found}"
        case "uniqueItems":
            return "expected entries that differ, found the same twice"
        case "minimum":
            above = ">" if _rules(error).get("exclusiveMinimum") else ">="
            return f"expected a number {above} {wanted}, found {found}"
        case "dependencies":
            present = [name for name in wanted if name in instance]
            return f"{present[0]!r} needs {', '.join(map(repr, wanted[present[0]]))}"
        case "oneOf" if "output-files" in error.absolute_path:
            return "expected one of 'path-template' and 'conditional-path-template'"
        case "anyOf" if "output-files" in error.absolute_path:
            return "an output with a 'file-template' cannot be a list"
        case "anyOf" if "inputs" in error.absolute_path:
            return "a Flag cannot be a list"
        case "oneOf" if "container-image" in error.absolute_path:
            return "expected 'type' docker or singularity with 'image', or rootfs with 'url'"
    return f"not valid ({error.validator}), found {found}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _rules(error: ValidationError) -> Mapping[str, Any]:
    return error.schema if isinstance(error.schema, Mapping) else {}


def _unknown(error: ValidationError) -> str:
    known = _rules(error).get("properties", {})
    instance: Any = error.instance
    return next(str(name) for name in instance if name not in known)


def _hint(error: ValidationError) -> str | None:
    if error.validator != "additionalProperties":
        return None
    known = list(_rules(error).get("properties", {}))
    near = difflib.get_close_matches(_unknown(error), known, n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else f"known names are {', '.join(known)}"
