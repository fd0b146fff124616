"""``python -m tests.growth``: what each call costs on SQLite, where it grows most, as a table."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from tabulate import tabulate

from tests.growth.exceptions import ON_SQLITE
from tests.growth.test_growth import CALLS, LARGE, SMALL, Files, grown_on_sqlite


def rows(files: Files) -> Iterator[tuple[object, ...]]:
    """One for each call and size of what it is asked for."""
    for call in CALLS:
        for asked, found in groupby(grown_on_sqlite(call, files), lambda one: one.asked):
            most = max(found, key=lambda one: one.power)
            why = ON_SQLITE.get(str(call), "")
            yield call, asked, most.small.total, most.large.total, most.power, most.where, why


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="mg-") as folder:
        files = Files(Path(folder))
        heads = ("call", "asked", f"steps, {SMALL.size}", f"{LARGE.size}", "power", "where", "why")
        sys.stdout.write(tabulate(rows(files), heads, floatfmt=".2f") + "\n")
        files.close()
