"""Launches: which may be taken, and what bytes they need."""

from __future__ import annotations

from typing import Any, Dict, FrozenSet

from .layout import is_attempt
from .protected import check_protected
from .slots import rank_of

__all__ = ["Launch", "checked", "needs_of"]

Launch = Dict[str, Any]


def checked(launch: Any) -> Launch:
    """The launch, if it is one.

    Raises
    ------
    ValueError
        It is malformed.
    """
    if not isinstance(launch, dict) or not is_attempt(str(launch.get("attempt"))):
        raise ValueError("a launch names no attempt")
    if not launch.get("argv"):
        raise ValueError("attempt %s has no program" % launch["attempt"])
    if rank_of(launch) < 0:
        raise ValueError("attempt %s has no priority class" % launch["attempt"])
    check_protected(launch)
    return launch


def needs_of(launch: Launch) -> FrozenSet[str]:
    """Digests of its inputs, bundle and wheels, and that of its environment."""
    environment = launch.get("environment") or {}
    several = [*launch.get("inputs", ()), launch.get("bundle"), environment.get("wheels")]
    digests = [one["sha256"] for one in several if one]
    return frozenset([*digests, environment.get("digest", "")])
