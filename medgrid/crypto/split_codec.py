"""What a write changes, as bytes: kept in each of several key stores until all of them have it."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any, NamedTuple

from medgrid.crypto.audit_record import Event
from medgrid.crypto.keystore_values import (
    Compartment,
    CompartmentId,
    DelegatedKey,
    GrantRow,
    HeaderRow,
    Seal,
    WrapRow,
)
from medgrid.errors import IntegrityError
from medgrid.model import DataClass

__all__ = ["Step", "decode", "encode", "together"]

_TYPES: dict[str, type[Any]] = {
    one.__name__: one
    for one in (
        *(Compartment, CompartmentId, DelegatedKey, Event, GrantRow, HeaderRow, Seal, WrapRow),
        DataClass,
    )
}


class Step(NamedTuple):
    """One call of a key store's method."""

    method: str
    args: tuple[Any, ...]
    options: dict[str, Any]


def encode(steps: Sequence[Step]) -> bytes:
    """Steps as JSON."""
    rows = [[step.method, _encode(step.args), _encode(step.options)] for step in steps]
    return json.dumps(rows, separators=(",", ":")).encode()


def together(*parts: bytes) -> bytes:
    """What `encode` gave of several lists of steps, as one."""
    return b"[" + b",".join(parts) + b"]"


def decode(data: bytes) -> list[Step]:
    """Read what `together` gave.

    Raises
    ------
    IntegrityError
        It is damaged.
    """
    try:
        return [
            Step(method, tuple(_decode(args)), _decode(options))
            for part in json.loads(data)
            for method, args, options in part
        ]
    except (KeyError, TypeError, ValueError):
        raise IntegrityError("an interrupted write in the key store is damaged") from None


def _encode(value: Any) -> Any:
    name = type(value).__name__
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if name in _TYPES:
        if isinstance(value, DataClass):
            parts: tuple[Any, ...] = (value.value,)
        elif isinstance(value, tuple):
            parts = tuple(value)
        else:
            parts = (value.id, *astuple(value)[1:])
        return {name: [_encode(part) for part in parts]}
    if isinstance(value, dict):
        return {"dict": [[_encode(key), _encode(one)] for key, one in value.items()]}
    if isinstance(value, list | tuple):
        return [_encode(one) for one in value]
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(one) for one in value]
    if not isinstance(value, dict):
        return value
    ((name, inside),) = value.items()
    if name == "bytes":
        return base64.b64decode(inside, validate=True)
    if name == "dict":
        return {_decode(key): _decode(one) for key, one in inside}
    return _TYPES[name](*map(_decode, inside))
