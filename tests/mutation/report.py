"""What came of mutants: JSON lines that a later run goes on from, and a summary by room."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from tests.lab import json_lines
from tests.mutation.mutants import Mutant
from tests.mutation.trials import Verdict

__all__ = ["EQUIVALENT", "equivalents", "read_results", "summary", "told_of"]

EQUIVALENT = Path(__file__).with_name("equivalent.txt")
OUTCOMES = ("killed", "timeout", "survived", "equivalent", "untried")
MOST_SURVIVE, MOST_EQUIVALENT = 0.20, 0.05


def told_of(mutant: Mutant, verdict: Verdict, took_s: float) -> dict[str, Any]:
    """What a line of results says."""
    return {
        "mutant": mutant.name,
        "room": mutant.room,
        "operator": mutant.operator,
        "outcome": verdict.outcome,
        "by": verdict.by,
        "tests": verdict.tests,
        "is_cut": verdict.is_cut,
        "took_s": round(took_s, 1),
    }


def read_results(directory: Path) -> dict[str, dict[str, Any]]:
    """Results of all parts by the mutant's name; what was noticed once is not a survivor."""
    found: dict[str, dict[str, Any]] = {}
    for told in chain.from_iterable(map(json_lines.read, directory.glob("results*.jsonl"))):
        if told["mutant"] not in found or told["outcome"] != "survived":
            found[told["mutant"]] = told
    return found


def equivalents(file: Path = EQUIVALENT) -> dict[str, str]:
    """Reasons why mutants change nothing that anybody could see, by the mutant's name."""
    found = {}
    for block in file.read_text().split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if lines:
            first, *rest = lines
            changes = [line for line in rest if line[:2] in {"- ", "+ "}]
            reason = " ".join(line.strip() for line in rest if line not in changes)
            found["\n".join([first, *changes])] = reason
    return found


def summary(
    drawn: Sequence[Mutant], results: Mapping[str, dict[str, Any]], same: Mapping[str, str]
) -> tuple[str, bool]:
    """All survivors and a table by room; and whether few enough survived, once all were tried."""
    rooms: dict[str, Counter[str]] = defaultdict(Counter)
    told: list[str] = []
    for mutant in drawn:
        result = results.get(mutant.name, {"outcome": "untried"})
        outcome = result["outcome"]
        if outcome == "survived" and mutant.name in same:
            outcome = "equivalent"
        rooms[mutant.room][outcome] += 1
        if outcome == "survived":
            told.append(_survivor(mutant, result))
    total = sum(rooms.values(), Counter[str]())
    table: list[tuple[str, ...]] = [("", *OUTCOMES, "survived %")]
    for room, counts in (*sorted(rooms.items()), ("all", total)):
        share = 100 * counts["survived"] / counts.total()
        table.append((room, *(str(counts[one]) for one in OUTCOMES), f"{share:.1f}"))
    is_good = total["untried"] > 0 or (
        total["survived"] < MOST_SURVIVE * total.total()
        and total["equivalent"] <= MOST_EQUIVALENT * total.total()
    )
    lines = ["".join(f"{cell:>12}" for cell in row) for row in table]
    return "\n\n".join([*told, "\n".join(lines)]), is_good


def _survivor(mutant: Mutant, result: Mapping[str, Any]) -> str:
    first, *changes = mutant.name.splitlines()
    tests: Iterable[str] = result["tests"]
    files = Counter(test.partition("::")[0] for test in tests)
    ran = ", ".join(f"{file} ({count})" for file, count in files.most_common(5)) or "no test"
    more = ", and there were more" if result["is_cut"] else ""
    place = f"{mutant.module.path}:{mutant.line}"
    return "\n".join([first, *changes, f"survived at {place}, covered by {ran}{more}"])
