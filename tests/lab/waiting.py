"""How tests wait: until something is so, however long a busy machine takes.

Nothing else in the tests sleeps or reads a clock; ``tests/test_waiting.py`` looks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

__all__ = ["PATIENCE_S", "linger", "put_clock_on", "wait_for"]

_Found = TypeVar("_Found")

PATIENCE_S = 240.0
"""After this long it never comes: a guard against a test that hangs, not what anything may take."""

_LOOK_EVERY_S = 0.02


def wait_for(
    condition: Callable[[], _Found],
    what: str | Callable[[], object],
    *,
    while_: Callable[[], object] = lambda: True,
    patience_s: float | None = None,
) -> _Found:
    """Wait until ``condition()`` is true, and return what it is.

    Parameters
    ----------
    what : str or callable
        What is waited for, or what tells more of it; for the error.
    while_ : callable, optional
        What must be true meanwhile: without it, it cannot come.
    patience_s : float, optional
        For what may as well not come; the default is `PATIENCE_S`.

    Raises
    ------
    AssertionError
        It does not come.
    """
    patience_s = PATIENCE_S if patience_s is None else patience_s
    until_s = time.monotonic() + patience_s
    while True:
        began_s = time.monotonic()
        if found := condition():
            return found
        look_s = time.monotonic() - began_s
        told = what if isinstance(what, str) else ""
        if time.monotonic() > until_s:
            raise AssertionError(f"waited {patience_s:g} s for {told or what()}")  # type: ignore[operator]
        if not while_() and not condition():
            raise AssertionError(f"in vain waited for {told or what()}")  # type: ignore[operator]
        # what is waited for needs the processor more than who waits
        time.sleep(max(_LOOK_EVERY_S, min(2 * look_s, 1.0)))


def put_clock_on(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let this process, to the end of the test, think that it is later."""
    true_s, true_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: true_s() + seconds)
    monkeypatch.setattr(time, "time_ns", lambda: true_ns() + round(seconds * 1e9))


def linger(seconds: float, why: str) -> None:
    """Let time pass; `why` says what could go wrong meanwhile, or what a clock must show.

    No test may need that something *is* done after it.
    """
    del why
    time.sleep(seconds)
