"""Days and spans of time, as people type and read them; all in UTC."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import click

__all__ = ["MOMENT", "SPAN", "shown_day", "shown_time"]

_SPAN = re.compile(r"(\d{1,5})\s*([hdwy])")
_SPAN_S = {"h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}


class Span(click.ParamType[float]):
    """A span of time such as 12h, 90d, 8w or 2y, in seconds."""

    name = "span"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        match = _SPAN.fullmatch(value.strip())
        if match is None or not int(match[1]):
            self.fail(f"{value!r} is no span of time such as 12h, 90d, 8w or 2y", param, ctx)
        return float(int(match[1]) * _SPAN_S[match[2]])


class Moment(click.ParamType[float]):
    """A day, a time of a day, or how long ago: seconds since 1970."""

    name = "time"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        match = _SPAN.fullmatch(value.strip())
        if match is not None:
            return time.time() - int(match[1]) * _SPAN_S[match[2]]
        try:
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no time such as 2027-06-30, 2027-06-30T14:00 or 8h (ago)", param, ctx
            )


SPAN = Span()
MOMENT = Moment()


def shown_day(time_s: float | None) -> str | None:
    """Day of a time (UTC)."""
    return None if time_s is None else datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d")


def shown_time(time_s: float | None) -> str | None:
    """Date and time of day, to the second (UTC)."""
    if time_s is None:
        return None
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
