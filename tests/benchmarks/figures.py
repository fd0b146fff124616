"""What a benchmark measures: figures with their bars, and the rows they become.

Each ``bench_NAME.py`` has

- `FIGURES`, all that it can measure: the table in ARCHITECTURE.md has one row for each;
- ``measure(...)``, which yields their rows, and prints what leads to them. Its keyword arguments
  are the sizes of a whole run;
- `QUICK`, smaller sizes, to see whether it works.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["MISSED", "Figure", "LeftOut", "Measure", "Row", "command", "forget_grid", "processor_s"]

MISSED = ", **missed**"
"""Ends what was measured and missed its bar."""


class LeftOut(Exception):
    """What this machine cannot measure, and why."""


@dataclass(frozen=True, slots=True)
class Row:
    """A figure as it was measured, in the words of the table."""

    what: str
    bar: str
    measured: str
    is_met: bool = True


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing to measure.

    Parameters
    ----------
    what : str
        What it is, in one line; no other figure is called so.
    unit : str
        Written behind the number as it stands here: ``" s"``, ``"/s"``.
    at_most, at_least : float, optional
        The bar.
    """

    what: str
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def bar(self) -> str:
        """The bar in words, empty when there is none.

        Examples
        --------
        >>> Figure("status", " s", at_most=0.5).bar
        '<= 0.5 s'
        """
        if self.at_most is not None:
            return f"<= {_number(self.at_most)}{self.unit}"
        if self.at_least is not None:
            return f">= {_number(self.at_least)}{self.unit}"
        return ""

    def row(self, value: float, note: str = "") -> Row:
        """What was measured, and whether it meets the bar.

        Examples
        --------
        >>> Figure("jobs", "/s", at_least=400).row(388.9, "one worker").measured
        '389/s (one worker), **missed**'
        """
        is_met = (self.at_most is None or value <= self.at_most) and (
            self.at_least is None or value >= self.at_least
        )
        words = f"{_number(value)}{self.unit}" + (f" ({note})" if note else "")
        return Row(self.what, self.bar, words if is_met else words + MISSED, is_met)


Measure = Callable[..., Iterator[Row]]


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def processor_s(action: Callable[[], object]) -> float:
    """Processor time of this process that `action` takes."""
    began_s = time.process_time()
    action()
    return time.process_time() - began_s


def forget_grid() -> None:
    """Take from this process what leads medgrid to a grid of its user: none is for benchmarks."""
    for name in list(os.environ):
        if name.startswith("MEDGRID"):
            del os.environ[name]


def command(measure: Measure, doc: str | None) -> None:
    """Measure as the arguments of this process say, one option for each argument of `measure`."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, one in inspect.signature(measure).parameters.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(one.default, bool):
            parser.add_argument(flag, action="store_true")
        else:
            kind: Any = type(one.default)
            parser.add_argument(flag, type=kind, default=one.default, help="[%(default)s]")
    missed = False
    forget_grid()
    try:
        for row in measure(**vars(parser.parse_args())):
            print(f"=> {row.what}: {row.measured}" + (f" (bar {row.bar})" if row.bar else ""))
            missed |= not row.is_met
    except LeftOut as reason:
        sys.exit(f"cannot be measured here: {reason}")
    sys.exit(missed)
