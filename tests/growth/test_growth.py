"""What a call of a store costs grows with what it is asked for, not with what the grid holds.

Costs are counted, on a grid and on one that is eight times as large: SQLite's steps, and rows and
blocks that PostgreSQL's plans touch. On SQLite nothing of it may hang on what the database knows of
how its values are spread: nothing, how it was when the grid was small, or how it is.
"""

from __future__ import annotations

import math
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from medgrid.catalog import Catalog
from medgrid.crypto.audit import AuditLog
from medgrid.crypto.keystore import KeyStore
from tests.growth import job_calls, key_calls, object_calls
from tests.growth.calls import Call, methods
from tests.growth.counting import PlanCounter, StepCounter, Work
from tests.growth.exceptions import ON_POSTGRES, ON_SQLITE
from tests.growth.world import DOCTOR, RESEARCHER, World, fill_catalog, fill_keys
from tests.lab.postgres import PostgresServer
from tests.lanes import Sample

SMALL, LARGE = World(300), World(2400)
MOST_OVER = 0.2  # exponent above what was asked for
FEW_ROWS = 100
UNSEEN = 400  # so few steps, rows and blocks are no growth
CATALOG_CALLS = [*object_calls.CALLS, *job_calls.CALLS]
CALLS: list[Call[Any]] = [*CATALOG_CALLS, *key_calls.CALLS]


class GrowsTooFastError(AssertionError):
    """A call costs more than it was asked for when the grid grows."""


@dataclass
class Opened:
    """A store of a world that somebody has open, and what counts its statements."""

    world: World
    store: Any
    counter: StepCounter | PlanCounter

    def cost(self, call: Call[Any], asked: str, *, plans: bool = False) -> Work:
        """What a call costs here."""
        with self.counter.counting(plans=plans) as work:
            call(self.store, self.store.db, self.world, asked)
        return work


class Files:
    """SQLite files of both worlds in each state of statistics, opened once for each viewer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: dict[tuple[World, str, str | None, bool], Opened] = {}
        for world in (SMALL, LARGE):
            with closing(Catalog.create(self._url(world, "none", keys=False))) as catalog:
                fill_catalog(catalog, world)
                catalog.db._grown = 0
            with closing(KeyStore.create(self._url(world, "none", keys=True), DOCTOR)) as keys:
                fill_keys(keys, world)
                keys.db._grown = 0
        for keys_too in (False, True):
            known = []
            for world in (SMALL, LARGE):
                path = self._copy(world, "own", keys=keys_too)
                with closing(sqlite3.connect(path)) as connection:
                    connection.execute("ANALYZE")
                    # as medgrid does: it keeps nothing of tables that are smaller yet
                    connection.execute(f"DELETE FROM sqlite_stat1 WHERE stat + 0 < {FEW_ROWS}")
                    connection.commit()
                    known.append(connection.execute("SELECT * FROM sqlite_stat1").fetchall())
            with closing(sqlite3.connect(self._copy(LARGE, "old", keys=keys_too))) as connection:
                connection.execute("ANALYZE sqlite_master")
                connection.execute("DELETE FROM sqlite_stat1")
                connection.executemany("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", known[0])
                connection.commit()

    def _path(self, world: World, statistics: str, *, keys: bool) -> Path:
        return self._folder / f"{'keys' if keys else 'catalog'}-{world.size}-{statistics}.db"

    def _url(self, world: World, statistics: str, *, keys: bool) -> str:
        return f"sqlite:///{self._path(world, statistics, keys=keys)}"

    def _copy(self, world: World, statistics: str, *, keys: bool) -> Path:
        path = self._path(world, statistics, keys=keys)
        shutil.copy(self._path(world, "none", keys=keys), path)
        return path

    def open(self, world: World, statistics: str, viewer: str | None, *, keys: bool) -> Opened:
        key = (world, statistics, viewer, keys)
        if key not in self._opened:
            url = self._url(world, statistics, keys=keys)
            store = KeyStore.open(url, viewer or "") if keys else Catalog.open(url, viewer)
            self._opened[key] = Opened(world, store, StepCounter(store.db.engine))
        return self._opened[key]

    def close(self) -> None:
        for one in self._opened.values():
            one.store.db._grown = 0
            one.store.close()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    found = Files(tmp_path_factory.mktemp("growth"))
    yield found
    found.close()


def check(call: Call[Any], asked: str, small: Work, large: Work, where: str) -> None:
    """Raise GrowsTooFastError when the larger grid took too much, or would take it."""
    wanted = 0.0 if asked == "few" else 1.0
    size = math.log(LARGE.size / SMALL.size)
    found = math.log((large.total + UNSEEN) / (small.total + UNSEEN)) / size
    if found > wanted + MOST_OVER:
        raise GrowsTooFastError(
            f"{call}, {asked} ({where}): {small.total} to {large.total}, as the power {found:.2f} "
            f"of the size, not {wanted:.0f}\n  most: {large.most}"
        )
    for statement, scans in large.scans_in_loops.items():
        raise GrowsTooFastError(
            f"{call}, {asked} ({where}): in a loop it does {', '.join(scans)}\n  "
            f"{' '.join(statement.split())}\n    " + "\n    ".join(large.plans[statement])
        )


def marked(calls: list[Call[Any]], exceptions: dict[str, str]) -> list[Any]:
    """Calls as parameters; an exception that is needed no more fails."""
    known = {str(call) for call in calls}
    assert exceptions.keys() <= known, sorted(exceptions.keys() - known)
    return [
        pytest.param(
            call,
            id=str(call),
            marks=pytest.mark.xfail(
                raises=GrowsTooFastError, strict=True, reason=exceptions[str(call)]
            )
            if str(call) in exceptions
            else (),
        )
        for call in calls
    ]


def check_on_sqlite(call: Call[Any], files: Files) -> None:
    keys = str(call).startswith("keys.")
    for asked in call.asked:
        for viewer in call.viewers:
            small = {
                statistics: files.open(SMALL, statistics, viewer, keys=keys).cost(call, asked)
                for statistics in ("none", "own")
            }
            for statistics, before in (("none", "none"), ("own", "own"), ("old", "own")):
                opened = files.open(LARGE, statistics, viewer, keys=keys)
                large = opened.cost(call, asked, plans=True)
                where = f"for {viewer or 'the grid'}, statistics: {statistics}"
                check(call, asked, small[before], large, where)


@pytest.mark.parametrize("call", marked(CALLS, ON_SQLITE))
def test_a_call_costs_what_it_is_asked_for(call: Call[Any], files: Files) -> None:
    check_on_sqlite(call, files)
