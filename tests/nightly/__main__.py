"""What takes hours, in parts: ``bin/test --nightly [--seed N] [--part NAME ...] [--hours H]``.

Each part is a program of its own with a log of its own, below ``.nightly/COMMIT-SEED``, where a
digest of uncommitted changes follows the commit. A part that ended well is not run again there:
after an interruption the same words go on where it was (on another day with ``--seed`` and what was
said then). ``--again`` starts anew; ``--list`` shows the parts and how they ended. No part is
started after the given hours, and those that were not are named. Exit code 1 when a part failed, 3
when some were not run.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from tests.lab import json_lines
from tests.lab.checkout import state_of
from tests.lab.programs import ROOT, run_python

CAMPAIGNS, CAMPAIGN_RUNS = 3, 10
MUTATIONS, MUTANTS = 6, 300


@dataclass(frozen=True)
class Part:
    """A program of the nightly lane; `words` follow Python."""

    name: str
    words: Sequence[str]


@dataclass(frozen=True)
class Ended:
    """How a part ended, and what it said last."""

    name: str
    code: int
    took_s: int
    last_line: str


def parts(seed: int, directory: Path) -> list[Part]:
    """All parts, those that find most first; what they keep goes to `directory`."""
    tests = ("-m", "pytest", "-n4", "--dist=worksteal", "--durations=20")
    chosen = ("--nightly", f"--seed={seed}", "-m", "sampled or hypothesis")
    found = [Part("exhaustive", (*tests, *chosen))]
    for number in range(CAMPAIGNS):
        first = 1000 * seed + CAMPAIGN_RUNS * number
        words = ("-m", "tests.campaign", f"--runs={CAMPAIGN_RUNS}", f"--seed={first}")
        found.append(Part(f"campaign-{number + 1}", words))
    for number in range(MUTATIONS):
        words = ("-m", "tests.mutation", f"--count={MUTANTS}", f"--seed={seed}")
        kept = (f"--resume={directory / 'mutation'}", f"--part={number + 1}/{MUTATIONS}")
        found.append(Part(f"mutation-{number + 1}", (*words, *kept)))
    return found


def main(argv: Sequence[str]) -> int:
    """Run parts; an exit code."""
    parser = argparse.ArgumentParser(prog="bin/test --nightly", description=__doc__)
    today = int(f"{date.today():%Y%m%d}")
    parser.add_argument("--seed", type=int, default=today, help="what is drawn [the day's date]")
    parser.add_argument("--part", action="append", help="run this one alone; repeatable")
    parser.add_argument("--hours", type=float, default=4, help="start no part after so long [4]")
    parser.add_argument("--again", action="store_true", help="forget what was run before")
    parser.add_argument("--list", action="store_true", help="show the parts and how they ended")
    options = parser.parse_args(argv)
    whose = "" if os.geteuid() == 0 else "-user"  # who leaves out what takes root
    directory = ROOT / ".nightly" / f"{state_of(ROOT)}-{options.seed}{whose}"
    every = parts(options.seed, directory)
    unknown = set(options.part or ()) - {part.name for part in every}
    if unknown:
        parser.error(f"no part is called {', '.join(sorted(unknown))}; --list shows them")
    if options.again:
        shutil.rmtree(directory, ignore_errors=True)
    if options.list:
        known = ended(directory)
        for part in every:
            _say(_line(known[part.name]) if part.name in known else f"{part.name}: not run")
        return 0
    wanted = [part for part in every if not options.part or part.name in options.part]
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            parser.error(f"another run is at it; its logs are in {directory}")
        _say(f"seed {options.seed}")
        return run(wanted, directory, options.hours)


def run(wanted: Sequence[Part], directory: Path, hours: float) -> int:
    """Run those that have not ended well; an exit code."""
    deadline_s = time.monotonic() + 3600 * hours
    left = []
    for part in wanted:
        before = ended(directory).get(part.name)
        if before is not None and before.code == 0:
            _say(f"{_line(before)}; done before")
        elif time.monotonic() > deadline_s:
            left.append(part.name)
        else:
            _say(f"{part.name}: running; log: {directory / part.name}.log")
            _say(_line(run_one(part, directory)))
    known = ended(directory)
    failed = [part.name for part in wanted if part.name in known and known[part.name].code]
    if failed:
        _say(f"failed: {', '.join(failed)}")
    if left:
        _say(f"not run, time is up: {', '.join(left)}; the same words go on with them")
    return 1 if failed else 3 if left else 0


def run_one(part: Part, directory: Path) -> Ended:
    """Run a part to its end and write down how that was."""
    start = time.monotonic()
    log = directory / f"{part.name}.log"
    code = run_python(part.words, log)
    lines = log.read_text(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    result = Ended(part.name, code, round(time.monotonic() - start), last)
    json_lines.append(directory / "ended.jsonl", asdict(result))
    return result


def ended(directory: Path) -> dict[str, Ended]:
    """How parts ended the last time, by name."""
    results = (Ended(**told) for told in json_lines.read(directory / "ended.jsonl"))
    return {one.name: one for one in results}


def _line(result: Ended) -> str:
    word = "ok" if result.code == 0 else f"FAILED (exit {result.code})"
    return f"{result.name}: {word}, {result.took_s} s; {result.last_line}"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
