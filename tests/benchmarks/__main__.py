"""All benchmarks, one after the other: ``python -m tests.benchmarks``.

Each runs in a process of its own. What it prints goes to ``.benchmarks/NAME.log``, its rows with
day, commit and a digest of uncommitted changes to ``.benchmarks/results.jsonl``; ``--resume`` goes
on after an interruption. ``--write`` puts what was measured into the table of ARCHITECTURE.md,
where rows that were not measured, or on another day, say of which day they are. Exit code 1 when a
bar was missed or a benchmark failed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.benchmarks.figures import MISSED, Figure, LeftOut, Row, forget_grid
from tests.benchmarks.table import Table, of_day, updated
from tests.lab import json_lines
from tests.lab.checkout import state_of
from tests.lab.programs import ROOT, run_python

__all__ = ["all_figures", "main", "names"]

PAGE = ROOT / "ARCHITECTURE.md"
KEPT = ROOT / ".benchmarks"
_LONGEST_S = 30 * 60  # of one benchmark: one that hangs must not hold the others up
_LEFT_OUT = 77  # exit code of a process that says why nothing can be measured here
_SHOWN_LINES = 15


@dataclass
class Result:
    """What came of one benchmark."""

    name: str
    commit: str
    day: str
    quick: bool
    took_s: float = 0.0
    left_out: str = ""  # why it cannot be measured here
    failure: str = ""
    rows: list[Row] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing failed and no bar was missed; small sizes are held to none."""
        return not self.failure and not self.missed

    @property
    def missed(self) -> list[str]:
        """What missed its bar."""
        return [] if self.quick else [row.what for row in self.rows if not row.is_met]

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Result:
        """What a line of the file of results says."""
        return cls(**fields | {"rows": [Row(**row) for row in fields["rows"]]})


def names() -> list[str]:
    """All benchmarks, in the order of the table."""
    found = Path(__file__).parent.glob("bench_*.py")
    return sorted(path.stem.removeprefix("bench_") for path in found)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"tests.benchmarks.bench_{name}")


def all_figures() -> list[Figure]:
    """All that can be measured, in the order of the table."""
    return [figure for name in names() for figure in _module(name).FIGURES]


def main(argv: Sequence[str]) -> int:
    """Run benchmarks; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=names(), metavar="NAME")
    parser.add_argument("--resume", action="store_true", help="leave out what was done before")
    parser.add_argument("--write", action="store_true", help="write the table of ARCHITECTURE.md")
    parser.add_argument(
        "--quick", action="store_true", help="see whether they work, on small sizes"
    )
    parser.add_argument("--measure", metavar="NAME", choices=names(), help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.quick and options.write:
        parser.error("small sizes are not for the table: leave out --quick or --write")
    if options.measure:
        return _measure(options.measure, options.into, options.quick)
    return _run(options.only or names(), options.quick, options.resume, options.write)


def _measure(name: str, into: Path, quick: bool) -> int:
    """Measure in this process; each row is kept as soon as it is known."""
    module = _module(name)
    forget_grid()
    try:
        for row in module.measure(**(module.QUICK if quick else {})):
            json_lines.append(into, asdict(row))
    except LeftOut as reason:
        print(reason)
        return _LEFT_OUT
    return 0


def _run(wanted: Sequence[str], quick: bool, resume: bool, write: bool) -> int:
    KEPT.mkdir(exist_ok=True)
    file = KEPT / "results.jsonl"
    commit = state_of(ROOT, but=PAGE.name)  # which is written on the way
    results = {}
    if resume:
        for one in _kept(file):
            if (one.commit, one.quick) == (commit, quick) and not (one.failure or one.left_out):
                results[one.name] = one
    else:
        _forget(file, wanted, quick)
    for number, name in enumerate(wanted, start=1):
        print(f"[{number}/{len(wanted)}] {name}", end=" ", flush=True)
        if name in results:
            print("was done before")
        else:
            results[name] = _in_process(name, commit, quick)
            json_lines.append(file, asdict(results[name]))
        _tell(results[name])
        if write:  # at once: what an interruption leaves is as good as it can be
            _write(results.values(), commit)
    return _sum_up([results[name] for name in wanted])


def _kept(file: Path) -> Iterator[Result]:
    for fields in json_lines.read(file):
        with contextlib.suppress(TypeError, KeyError):  # of another commit of this program
            yield Result.of(fields)


def _forget(file: Path, names: Sequence[str], quick: bool) -> None:
    """Leave out what is measured anew."""
    left = file.with_suffix(".new")
    left.unlink(missing_ok=True)
    left.touch()
    for one in _kept(file):
        if one.name not in names or one.quick != quick:
            json_lines.append(left, asdict(one))
    left.replace(file)


def _in_process(name: str, commit: str, quick: bool) -> Result:
    result = Result(name, commit, _today(), quick)
    log, rows = KEPT / f"{name}.log", KEPT / f"{name}.rows"
    rows.unlink(missing_ok=True)
    words = ["-u", "-m", "tests.benchmarks", "--measure", name, "--into", str(rows)]
    began_s = time.monotonic()
    code = 0
    try:
        code = run_python([*words, *(["--quick"] if quick else [])], log, _LONGEST_S)
    except subprocess.TimeoutExpired:
        result.failure = f"not done after {_LONGEST_S // 60} minutes"
    result.took_s = time.monotonic() - began_s
    if code == _LEFT_OUT:
        result.left_out = log.read_text(errors="replace").splitlines()[-1]
    elif code:
        result.failure = f"exit code {code}"
    result.rows = [Row(**told) for told in json_lines.read(rows)]
    rows.unlink(missing_ok=True)
    expected = {figure.what for figure in _module(name).FIGURES}
    given = {row.what for row in result.rows}
    lacking = expected - given
    if given - expected:
        result.failure = f"FIGURES lacks what it gave: {'; '.join(sorted(given - expected))}"
    if lacking and not (result.failure or result.left_out or quick):
        result.failure = f"gave no row of: {'; '.join(sorted(lacking))}"
    return result


def _tell(result: Result) -> None:
    print(f"{result.took_s:.0f} s", flush=True)
    for row in result.rows:
        bar = f"   (bar {row.bar})" if row.bar and not result.quick else ""
        print(f"    {row.what}: {row.measured.removesuffix(MISSED if result.quick else '')}{bar}")
    if result.left_out:
        print(f"    cannot be measured here: {result.left_out}")
    if result.failure:
        log = KEPT / f"{result.name}.log"
        print(f"    FAILED: {result.failure}; the end of {log}:")
        for line in log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]:
            print(f"    | {line}")


def _sum_up(results: Sequence[Result]) -> int:
    minutes = sum(result.took_s for result in results) / 60
    print(f"{len(results)} benchmarks, {minutes:.0f} minutes")
    for one in results:
        for words in (
            f"failed: {one.failure}" if one.failure else "",
            f"missed: {'; '.join(one.missed)}" if one.missed else "",
            f"left out: {one.left_out}" if one.left_out else "",
        ):
            if words:
                print(f"{one.name} {words}")
    return int(not all(result.is_good for result in results))


def _write(results: Iterable[Result], commit: str) -> None:
    today = _today()
    fresh = {
        row.what: row if one.day == today else of_day(row, one.day)
        for one in results
        for row in one.rows
    }
    about = (
        f"Last run: {today}, commit {commit}, on {_machine()}.\n"
        "Ratios hold better than seconds. A row that says a day was not measured then, but on it."
    )
    page = PAGE.read_text("utf-8")
    table = updated(Table.within(page), about, all_figures(), fresh)
    temporary = PAGE.with_suffix(".tmp")
    temporary.write_text(table.put_into(page), "utf-8")
    temporary.replace(PAGE)


def _today() -> str:
    return time.strftime("%Y-%m-%d")


def _machine() -> str:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores ({models[0] if models else platform.machine()}),"
        f" Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
