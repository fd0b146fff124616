"""``python -m tests.mutation --seed 1 --count 300``: see ``tests/mutation/__init__.py``.

Results, one JSON line for each mutant, lie in ``.nightly/mutation-COMMIT``, where a digest of
uncommitted changes follows the commit, or in the directory that ``--resume`` names; so does what
tests cover, which takes longest to find. A run goes on where one with that directory ended, and
``--part 1/2`` and ``--part 2/2`` may run at once. Exit code 1 when all have been tried and too many
survived.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from tests.lab import json_lines
from tests.lab.checkout import state_of
from tests.mutation.coverage import collect, covering
from tests.mutation.mutants import draw, modules
from tests.mutation.report import equivalents, read_results, summary, told_of
from tests.mutation.trees import copied
from tests.mutation.trials import try_mutant

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[2]
# tests of checkouts, of the guide and of these programs make trees and environments of their own
LEFT_OUT = tuple(f"--ignore=tests/{name}" for name in ("packaging", "guide", "mutation", "deface"))


def main(argv: list[str], root: Path = ROOT) -> int:
    """Do a run; an exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--resume", type=Path, metavar="DIR", help="of an earlier run")
    parser.add_argument("--part", default="1/1", metavar="I/N", help="every Nth from the Ith")
    parser.add_argument("--most-s", type=float, default=60, help="of tests for one mutant [60]")
    parser.add_argument("--again", action="store_true", help="try survivors once more")
    parser.add_argument("--coverage", type=Path, metavar="FILE", help="of an earlier run")
    parser.add_argument("--collect", nargs="+", metavar="TEST", help="only see what tests cover")
    options = parser.parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # what was started is ended, too
        signal.signal(number, signal.default_int_handler)
    directory = options.resume or root / ".nightly" / f"mutation-{state_of(root)}"
    directory.mkdir(parents=True, exist_ok=True)
    record: Path = options.coverage or directory / "coverage"
    found = modules(root)
    if options.collect:
        collect(root, found, record, options.collect)
        return 0
    if not record.exists():
        partly = record.with_suffix(".partly")
        _say(f"looking what tests cover, for {record}")
        collect(root, found, partly, [*LEFT_OUT, "tests"])
        partly.rename(record)
    drawn = draw(root, found, options.seed, options.count)
    part, parts = map(int, options.part.split("/"))
    done = read_results(directory)
    # what no test covered then may be covered by now
    done = {
        name: one
        for name, one in done.items()
        if one["outcome"] != "survived" or (one["tests"] and not options.again)
    }
    left = [mutant for mutant in drawn[part - 1 :: parts] if mutant.name not in done]
    results = directory / f"results-{options.seed}-{part}of{parts}.jsonl"
    with copied(root) as tree:
        for mutant, tests in zip(left, covering(root, left, record, tree.tests()), strict=True):
            start_s = time.monotonic()
            verdict = try_mutant(tree, mutant, tests, options.most_s)
            json_lines.append(results, told_of(mutant, verdict, time.monotonic() - start_s))
            _say(f"{verdict.outcome}: {mutant.name}\nby {verdict.by or 'no test'}\n")
    text, is_good = summary(drawn, read_results(directory), equivalents())
    _say(text)
    return 0 if is_good else 1


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
