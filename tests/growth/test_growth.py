"""What a call of a store costs grows with what it is asked for, not with what the grid holds.

Costs are counted, on a grid and on one that is eight times as large: SQLite's steps, and rows and
blocks that PostgreSQL's plans touch. On SQLite nothing of it may hang on what the database knows of
how its values are spread: nothing, how it was when the grid was small, or how it is.
"""

from __future__ import annotations

import math
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, exists, select

from medgrid.catalog import Catalog
from medgrid.crypto.keystore import KeyStore
from medgrid.database.many import value_table
from tests.growth import job_calls, key_calls, object_calls, patient_calls
from tests.growth.calls import SHARE, Call, methods
from tests.growth.counting import PlanCounter, StepCounter, Work
from tests.growth.exceptions import AT_TIMES, NO_CALLS, ON_POSTGRES, ON_SQLITE
from tests.growth.world import DOCTOR, World, fill_catalog, fill_keys
from tests.lab.postgres import PostgresServer
from tests.lanes import Sample

SMALL, LARGE = World(300), World(2400)
MOST_OVER = 0.2  # exponent above what was asked for
FEW_ROWS = 100
UNSEEN_STEPS = 400  # so few more are no growth
UNSEEN_BLOCKS = 1000  # rows, too; what calls left that were undone is looked past
CATALOG_CALLS = [*object_calls.CALLS, *patient_calls.CALLS, *job_calls.CALLS]
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
            # who closes them looks at their values
            catalog = Catalog.create(self._url(world, "none", keys=False))
            fill_catalog(catalog, world)
            catalog.db.engine.dispose()
            keys = KeyStore.create(self._url(world, "none", keys=True), DOCTOR)
            fill_keys(keys, world)
            keys.db.engine.dispose()
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
            one.store.db.engine.dispose()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    found = Files(tmp_path_factory.mktemp("growth"))
    yield found
    found.close()


@dataclass(frozen=True, slots=True)
class Grown:
    """What a call cost on the smaller grid and on the larger one."""

    call: Call[Any]
    asked: str
    where: str
    small: Work
    large: Work
    unseen: int = UNSEEN_STEPS

    @property
    def power(self) -> float:
        """That power of the size which the costs grow with."""
        ratio = (self.large.total + self.unseen) / (self.small.total + self.unseen)
        return math.log(ratio) / math.log(LARGE.size / SMALL.size)

    def check(self) -> None:
        """Raise GrowsTooFastError when the larger grid took too much, or would take it."""
        wanted = 0.0 if self.asked == "few" else 1.0
        name = f"{self.call}, {self.asked} ({self.where})"
        if self.power > wanted + MOST_OVER:
            raise GrowsTooFastError(
                f"{name}: {self.small.total} to {self.large.total}, as the power "
                f"{self.power:.2f} of the size, not {wanted:.0f}\n  most: {self.large.most}"
            )
        for statement, scans in self.large.scans_in_loops.items():
            raise GrowsTooFastError(
                f"{name}: in a loop it does {', '.join(scans)}\n  "
                f"{' '.join(statement.split())}\n    " + "\n    ".join(self.large.plans[statement])
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


def grown_on_sqlite(call: Call[Any], files: Files) -> Iterator[Grown]:
    """What a call costs there, for each viewer and each state of statistics."""
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
                yield Grown(call, asked, where, small[before], large)


def check_on_sqlite(call: Call[Any], files: Files) -> None:
    for grown in grown_on_sqlite(call, files):
        grown.check()


@pytest.mark.parametrize("call", marked(CALLS, ON_SQLITE))
def test_a_call_costs_what_it_is_asked_for(call: Call[Any], files: Files) -> None:
    check_on_sqlite(call, files)


def test_every_method_of_every_store_is_called(files: Files) -> None:
    catalog = files.open(SMALL, "none", None, keys=False).store
    keys = files.open(SMALL, "none", None, keys=True).store
    stores = {name: getattr(catalog, name) for name in public_names(Catalog)}
    stores |= {"desk": catalog.jobs.desk, "tally": catalog.jobs.tally}
    stores |= {"keys": keys, "keys.audit": keys.audit}
    known = {
        method
        for word, store in stores.items()
        if type(store).__module__.startswith("medgrid.")
        for method in methods(word, type(store))
    }
    called = {str(call).partition(" ")[0] for call in CALLS}
    lacking = known - called - NO_CALLS.keys()
    assert not lacking, f"tests/growth/*_calls.py have no call of {sorted(lacking)}"
    assert called <= known
    assert not NO_CALLS.keys() & called
    assert NO_CALLS.keys() <= known


def public_names(store: type) -> list[str]:
    """Its parts, that are no methods."""
    return [
        name
        for name, value in vars(store).items()
        if isinstance(value, cached_property) and not name.startswith("_")
    ]


# -- that it notices -------------------------------------------------------------------------------


def called(method: str) -> Call[Any]:
    return next(call for call in CALLS if str(call) == method)


def test_a_table_of_values_inside_a_loop_is_noticed(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def joined(connection: Connection, column: Any, values: Iterable[str]) -> Any:
        given = value_table(connection, values)
        return exists(select(given.c.value).where(given.c.value == column))

    monkeypatch.setattr("medgrid.catalog.scanned.among", joined)
    with pytest.raises(GrowsTooFastError, match=r"SCAN given|as the power 1"):
        check_on_sqlite(called("scanned.known"), files)
    few = replace(called("scanned.known"), asked=SHARE)
    with pytest.raises(GrowsTooFastError, match=r"SCAN given|as the power [12]"):
        check_on_sqlite(few, files)


def test_an_index_that_finds_too_much_is_noticed(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medgrid.catalog.scanned.unindexed", lambda connection, column: column)
    with pytest.raises(GrowsTooFastError, match=r"scanned.series, few .*, not 0"):
        check_on_sqlite(called("scanned.series"), files)


def test_a_scan_for_a_value_that_hardly_any_row_has_is_noticed(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medgrid.catalog.job_desk.rare", lambda connection, condition: condition)
    with pytest.raises(GrowsTooFastError, match=r"desk.live_on.*statistics: own"):
        check_on_sqlite(called("desk.live_on"), files)


# -- PostgreSQL ------------------------------------------------------------------------------------


@pytest.fixture
def served(postgres_server: PostgresServer) -> Iterator[dict[tuple[World, bool], Opened]]:
    """Catalogs and key stores of both worlds on a server, which has seen how values are spread."""
    found: dict[tuple[World, bool], Opened] = {}
    names = []
    for world in (SMALL, LARGE):
        for keys in (False, True):
            names.append(postgres_server.make_database())
            url = postgres_server.url(names[-1])
            store = KeyStore.create(url, DOCTOR) if keys else Catalog.create(url)
            if isinstance(store, KeyStore):
                fill_keys(store, world)
            else:
                fill_catalog(store, world)
            with store.db.engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.exec_driver_sql("VACUUM ANALYZE")
            found[world, keys] = Opened(world, store, PlanCounter(store.db.engine))
    yield found
    for one in found.values():
        one.store.close()
    for name in names:
        postgres_server.drop_database(name)


def too_fast_on_postgres(
    calls: Iterable[Call[Any]], served: dict[tuple[World, bool], Opened]
) -> dict[str, str]:
    """Calls that grow too fast, and how.

    They are made one after another, since what is undone is there until it is swept away.
    """
    found: dict[str, str] = {}
    for call in calls:
        if not {None, DOCTOR} & {*call.viewers}:
            continue
        keys = str(call).startswith("keys.")
        for asked in call.asked:
            small, large = (served[world, keys].cost(call, asked) for world in (SMALL, LARGE))
            try:
                Grown(call, asked, "on PostgreSQL", small, large, UNSEEN_BLOCKS).check()
            except GrowsTooFastError as error:
                found[str(call)] = str(error)
    return {name: text for name, text in found.items() if name not in AT_TIMES}


@pytest.mark.postgres
def test_calls_cost_what_they_are_asked_for_on_postgres(
    served: dict[tuple[World, bool], Opened], sample: Sample
) -> None:
    found = too_fast_on_postgres(sample(CALLS, 60), served)
    assert not found.keys() - ON_POSTGRES.keys(), "\n".join(found.values())


@pytest.mark.slow
@pytest.mark.postgres
def test_all_calls_cost_what_they_are_asked_for_on_postgres(
    served: dict[tuple[World, bool], Opened],
) -> None:
    found = too_fast_on_postgres(CALLS, served)
    assert not found.keys() - ON_POSTGRES.keys(), "\n".join(found.values())
    assert found.keys() == ON_POSTGRES.keys()  # an exception that is needed no more goes
