"""What a database does for statements: SQLite's steps, and what PostgreSQL's plans touch."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, event

__all__ = ["PlanCounter", "StepCounter", "Work"]

_EVERY = 50  # steps between two looks
_PLANNED = ("SELECT", "WITH", "UPDATE", "DELETE", "INSERT")
_GIVEN = re.compile(r"json_each\(\?\) AS (\w+)")
_SCAN = re.compile(r"SCAN (?!CONSTANT ROW)(\w+)")
_ONCE = ("LIST SUBQUERY", "SCALAR SUBQUERY", "MATERIALIZE", "CO-ROUTINE")
_NUMBER = re.compile(r"_\d+$")
_HAVE_A_FIXED_SIZE = frozenset(
    (
        *("site", "storage_element", "worker", "worker_link", "worker_health", "lease", "grid"),
        *("attribute_name", "algorithm", "dataset", "quota", "usage", "store", "certificate"),
        *("released_code", "sealed_codes"),
    )
)


@dataclass(slots=True)
class Work:
    """What some statements cost, each by its text, and where one of them reads too often."""

    by_statement: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    plans: dict[str, list[str]] = field(default_factory=dict)
    scans_in_loops: dict[str, list[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The cost of all."""
        return sum(self.by_statement.values())

    @property
    def most(self) -> str:
        """The statement that costs most, and its plan."""
        if not self.by_statement:
            return "no statement"
        statement = max(self.by_statement, key=self.by_statement.__getitem__)
        plan = "\n    ".join(self.plans.get(statement, ()))
        return f"{self.by_statement[statement]} for {' '.join(statement.split())}\n    {plan}"


class StepCounter:
    """Counts the steps of SQLite's virtual machine, and reads its plans."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._work = Work()
        self._now = ""
        self._parameters: dict[str, Any] = {}
        self._scans: dict[str, tuple[list[str], list[str]]] = {}
        event.listen(engine, "connect", self._connected)
        event.listen(engine, "before_cursor_execute", self._before)
        engine.dispose()

    @contextmanager
    def counting(self, *, plans: bool) -> Iterator[Work]:
        """Count what is done inside this ``with``; with `plans`, look at each statement's, too."""
        work = self._work = Work()
        self._parameters = {}
        yield work
        self._work = Work()  # to explain is no part of it
        if plans:
            for statement, parameters in self._parameters.items():
                work.plans[statement], scans = self._plan(statement, parameters)
                if scans:
                    work.scans_in_loops[statement] = scans

    def _connected(self, connection: sqlite3.Connection, _: object) -> None:
        connection.set_progress_handler(self._progress, _EVERY)

    def _progress(self) -> int:
        self._work.by_statement[self._now] += _EVERY
        return 0

    def _before(self, *args: Any) -> None:
        _, _, statement, parameters, _, many = args
        self._now = statement
        if statement.lstrip().upper().startswith(_PLANNED):
            self._parameters[statement] = parameters[0] if many else parameters

    def _plan(self, statement: str, parameters: Any) -> tuple[list[str], list[str]]:
        if statement not in self._scans:
            connection = self._engine.raw_connection()
            try:
                cursor = connection.cursor()
                cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
                rows = cursor.fetchall()
            finally:
                connection.close()
            self._scans[statement] = [row[3] for row in rows], _scans_in_loops(statement, rows)
        return self._scans[statement]


def _scans_in_loops(statement: str, rows: Sequence[Any]) -> list[str]:
    """Steps of a plan that read a big table, or all given values, once for each row of another."""
    given = set(_GIVEN.findall(statement))
    below: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for key, parent, _, text in rows:
        below[parent].append((key, text))
    found: list[str] = []

    def walk(parent: int, in_loop: bool) -> None:
        looping = in_loop
        for key, text in below[parent]:
            scanned = _SCAN.match(text)
            if looping and scanned is not None and _is_big(scanned[1], text, given):
                found.append(text)
            # what does not hang on the row around it is done once
            walk(key, text.startswith("CORRELATED") or (looping and not text.startswith(_ONCE)))
            if text.startswith(("SCAN", "SEARCH")):
                looping = True  # what follows beside it is inside of it

    walk(0, False)
    return found


def _is_big(name: str, step: str, given: set[str]) -> bool:
    if "VIRTUAL TABLE" in step:
        return name in given  # the others take a document of the row around them apart
    return _NUMBER.sub("", name) not in _HAVE_A_FIXED_SIZE


class PlanCounter:
    """Adds up rows and blocks that PostgreSQL's plans touch."""

    def __init__(self, engine: Engine) -> None:
        self._work = Work()
        self._now = ""
        event.listen(engine, "connect", self._connected)
        event.listen(engine, "before_cursor_execute", self._before)
        engine.dispose()

    @contextmanager
    def counting(self, *, plans: bool) -> Iterator[Work]:
        """Count what is done inside this ``with``; each statement tells its plan."""
        self._work = Work()
        yield self._work

    def _connected(self, connection: Any, _: object) -> None:
        connection.add_notice_handler(self._told)
        settings = {
            "log_min_duration": "0",
            "log_level": "notice",
            "log_format": "json",
            "log_analyze": "on",
            "log_buffers": "on",
            "log_timing": "off",
            "log_nested_statements": "on",
        }
        connection.execute("LOAD 'auto_explain'")
        for name, value in settings.items():
            connection.execute(f"SET auto_explain.{name} = {value}")
        # what is small here is read whole, and merged, which says nothing of when it has grown:
        # then a block is one of many, and rows are what counts
        for name in ("seq_page_cost", "random_page_cost"):
            connection.execute(f"SET {name} = 0.1")
        connection.execute("SET enable_seqscan = off")
        connection.commit()

    def _before(self, *args: Any) -> None:
        self._now = args[2]

    def _told(self, notice: Any) -> None:
        text = notice.message_primary or ""
        start = text.find("{")
        if "plan:" not in text[:60] or start < 0:
            return
        plan = json.loads(text[start:])["Plan"]
        cost, lines = _touched(plan)
        blocks = ("Shared Hit Blocks", "Shared Read Blocks", "Temp Read Blocks")
        self._work.by_statement[self._now] += cost + sum(plan.get(name, 0) for name in blocks)
        self._work.plans[self._now] = lines


def _touched(node: dict[str, Any]) -> tuple[int, list[str]]:
    """Rows that a plan reads, also those that it does not keep; and its steps."""
    names = ("Filter", "Join Filter", "Index Recheck")
    rows = node.get("Actual Rows", 0)
    rows += sum(node.get(f"Rows Removed by {name}", 0) for name in names)
    loops = node.get("Actual Loops", 1)
    of = next((node[k] for k in ("Index Name", "Relation Name", "Function Name") if k in node), "")
    cost, lines = rows * loops, [f"{node['Node Type']} {of}: {rows} rows, {loops} times"]
    for part in node.get("Plans", ()):
        more, below = _touched(part)
        cost += more
        lines += [f"  {line}" for line in below]
    return cost, lines
