"""What a value of a question means for an attribute of a given type."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from medgrid.model import LFN

__all__ = ["BadValue", "Coerce", "Span", "age", "day", "lfn", "moment", "number", "size", "text"]

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_AGE = re.compile(r"(\d{1,3})([DWMYdwmy])")
_SIZE = re.compile(r"(\d+(?:\.\d*)?)\s*([kKMGT]?)(i?)B?")
_DAY = re.compile(r"(\d{4})(?:-?(\d\d)(?:-?(\d\d))?)?")
_DAYS = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


class BadValue(ValueError):
    """A value that does not go with the attribute's type; says what was expected."""


@dataclass(frozen=True, slots=True)
class Span:
    """A value, or all values from `low` up to but not including `end`."""

    low: Any
    end: Any = None


Coerce = Callable[[str], Span]


def text(value: str) -> Span:
    """Any text."""
    return Span(value)


def lfn(value: str) -> Span:
    """A logical file name."""
    return Span(str(LFN(value)))


def number(value: str) -> Span:
    """A decimal number."""
    if not _NUMBER.fullmatch(value):
        raise BadValue("a number")
    found = float(value)
    if not math.isfinite(found):
        raise BadValue("a number")
    return Span(int(found) if found == int(found) and abs(found) < 2**53 else found)


def age(value: str) -> Span:
    """Years, or a DICOM age such as ``045Y``, ``018M``, ``003W``, ``010D`` (PS3.5 6.2)."""
    match = _AGE.fullmatch(value)
    if match:
        years = int(match[1]) * _DAYS[match[2].upper()] / _DAYS["Y"]
        return Span(int(years) if years == int(years) else years)
    try:
        return number(value)
    except BadValue:
        raise BadValue("years, or an age such as 045Y or 018M") from None


def size(value: str) -> Span:
    """Bytes, with ``k M G T`` (1000) or ``Ki Mi Gi Ti`` (1024), and ``B`` if one likes."""
    match = _SIZE.fullmatch(value)
    if not match:
        raise BadValue("bytes, such as 1500, 20MB or 4GiB")
    base = 1024 if match[3] else 1000
    return Span(round(float(match[1]) * base ** _POWERS[match[2]]))


def day(value: str) -> Span:
    """``YYYY-MM-DD`` or ``YYYYMMDD``; a whole month ``YYYY-MM`` or year ``YYYY``."""
    first, after = _days(value)
    if after - first == timedelta(days=1):
        return Span(first.isoformat())
    return Span(first.isoformat(), after.isoformat())


def moment(value: str) -> Span:
    """Epoch seconds of a day, month, year or ``YYYY-MM-DDTHH:MM[:SS]``, in local time."""
    try:
        first, after = _days(value)
    except BadValue:
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            raise BadValue("a date such as 2026-01-31 or 2026-01-31T12:00") from None
        step = 1.0 if value.count(":") > 1 else 60.0
        return Span(found.timestamp(), found.timestamp() + step)
    midnight = datetime.min.time()
    return Span(
        datetime.combine(first, midnight).timestamp(), datetime.combine(after, midnight).timestamp()
    )


def _days(value: str) -> tuple[date, date]:
    """First day of a date, month or year, and the first day after it."""
    match = _DAY.fullmatch(value)
    expected = BadValue("a date such as 2020-01-31 or 20200131")
    if match is None or (match[2] and not match[3] and "-" not in value):
        raise expected
    year, month = int(match[1]), int(match[2] or 1)
    try:
        first = date(year, month, int(match[3] or 1))
        if match[3]:
            return first, first + timedelta(days=1)
        if match[2]:
            return first, date(year + month // 12, month % 12 + 1, 1)
        return first, date(year + 1, 1, 1)
    except (ValueError, OverflowError):
        raise expected from None
