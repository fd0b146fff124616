"""How long to wait before another try: longer each time, within bounds, and never all at once."""

from __future__ import annotations

import random

__all__ = ["pause"]

_DOUBLINGS_MOST = 30


def pause(first_s: float, longest_s: float, tries: int) -> float:
    """Seconds to wait after `tries` failures: doubled each time up to a bound, then spread.

    Examples
    --------
    >>> 1.0 <= pause(2.0, 300.0, 1) <= 2.0
    True
    >>> 150.0 <= pause(2.0, 300.0, 99) <= 300.0
    True
    """
    doublings = min(max(0, tries - 1), _DOUBLINGS_MOST)
    whole_s: float = min(longest_s, first_s * 2.0**doublings)
    return whole_s * random.uniform(0.5, 1.0)  # noqa: S311 - so that not all come at once
