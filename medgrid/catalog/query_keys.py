r"""Conditions in the manner of DICOM queries: ``Modality=MR``, ``StudyDate=20200101-20201231``."""

from __future__ import annotations

import re

from medgrid.catalog.dictionary import dicom
from medgrid.catalog.query_ast import Between, Compare, Node, OneOf, Value
from medgrid.errors import UsageError
from medgrid.model import AttributeType

__all__ = ["condition"]

_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*|\(?[0-9a-fA-F]{4},[0-9a-fA-F]{4}\)?)(?:=(.*))?", re.S)


def condition(key: str) -> tuple[str, Node | None]:
    """Read one key: the attribute's name, and what it asks for (None: only to be shown).

    Raises
    ------
    UsageError
        It is not ``NAME`` or ``NAME=VALUE``.
    """
    match = _KEY.fullmatch(key.strip())
    if match is None:
        raise UsageError(f"{key!r} is not a key", hint="keys look like Modality=MR or 0008,0060=MR")
    name, value = match[1], (match[2] or "").strip()
    if "," in name:
        name = f"({name.strip('()').lower()})"
    if not value:
        return name, None
    alternatives = [part.strip() for part in value.split("\\")]
    if len(alternatives) > 1:
        return name, OneOf(name, tuple(Value(part) for part in alternatives))
    known = dicom(name)
    if known is not None and known.type is AttributeType.DATE:
        dates = _range(value)
        if dates is not None:
            return name, _between(name, *dates)
    return name, Compare(name, "~" if set("*?") & set(value) else "=", Value(value))


def _range(value: str) -> tuple[str, str] | None:
    """``FROM-TO``, ``FROM-`` or ``-TO``; dates may hold hyphens themselves."""
    match = re.fullmatch(r"(\d{8}|\d{4}-\d\d-\d\d)?-(\d{8}|\d{4}-\d\d-\d\d)?", value)
    if match is None or not (match[1] or match[2]):
        return None
    return match[1] or "", match[2] or ""


def _between(name: str, low: str, high: str) -> Node:
    if not low:
        return Compare(name, "<=", Value(high))
    if not high:
        return Compare(name, ">=", Value(low))
    return Between(name, Value(low), Value(high))
