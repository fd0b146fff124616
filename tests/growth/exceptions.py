"""Calls that may grow faster than what they are asked for, and why."""

from __future__ import annotations

__all__ = ["ON_POSTGRES", "ON_SQLITE"]

ON_SQLITE: dict[str, str] = {}

ON_POSTGRES: dict[str, str] = {}
