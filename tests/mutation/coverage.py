"""Which tests run a statement: a file that is collected once and kept, a line for each test."""

from __future__ import annotations

import base64
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab import json_lines
from tests.lab.leftovers import LEFT, TO_ITS_END
from tests.mutation import recording
from tests.mutation.mutants import Module, Mutant
from tests.mutation.statements import marked
from tests.mutation.trees import ALL_TESTS, copied

__all__ = ["Tests", "collect", "covering"]

Tests = Mapping[str, float]  # names of tests, and how long each takes (s)
_FIRST_LANE = "not slow and not lab"
_LIMIT_S = 12 * 3600


def collect(root: Path, found: Sequence[Module], record: Path, words: Sequence[str]) -> None:
    """Run tests (words of pytest) in a marked copy, but those that the file has already."""
    found = [Module(one.path, one.source) for one in found]  # marks change the trees
    keys = [one.key for module in found for one in module.statements]
    known = [told["test"] for told in json_lines.read(record) if "test" in told]
    json_lines.append(record, {"statements": keys})
    with copied(root) as tree:
        (tree.root / "marks-known").write_text("\n".join(known))
        marks = tree.root / "marks"
        marks.write_bytes(bytes(len(keys)))
        marks.chmod(0o666)  # other users run agents
        number = 0
        for module in found:
            numbers = {one.node: number + i for i, one in enumerate(module.statements)}
            called = {one.node: numbers[one.node] for one in module.statements if one.is_called}
            number += len(numbers)
            tree.write(module.path, marked(module.tree, called, str(marks), len(keys)))
        shutil.copy(recording.__file__, tree.root / "marks_recording.py")
        options = [f"--marks={marks}", f"--marks-to={record.resolve()}"]
        options += ["--marks-known=marks-known", "-m", _FIRST_LANE]
        words = words or [ALL_TESTS]
        code = tree.pytest("-p", "marks_recording", *options, *words, limit_s=_LIMIT_S)
        shutil.copy(tree.log, record.with_suffix(".log"))
        # a test that fails here, or on a marked tree, covers nothing
        if code not in (*TO_ITS_END, LEFT):
            raise RuntimeError(f"pytest ended with {code}, see {record.with_suffix('.log')}")


def covering(
    root: Path, mutants: Sequence[Mutant], record: Path, present: frozenset[str]
) -> list[Tests]:
    """The tests for each mutant, in the order in which they are to run; of those still there."""
    wanted = [_witnesses(one) for one in mutants]
    all_wanted = frozenset().union(*wanted)
    hit: dict[str, set[str]] = {}  # by test
    took_s: dict[str, float] = {}
    places: list[tuple[int, str]] = []
    for told in json_lines.read(record):
        if "statements" in told:
            places = [(i, key) for i, key in enumerate(told["statements"]) if key in all_wanted]
            continue
        if told["test"] not in present:
            continue
        marks = zlib.decompress(base64.b85decode(told["hits"]))
        hit[told["test"]] = {key for i, key in places if marks[i]}
        took_s[told["test"]] = told["s"]
    texts = {file: (root / file).read_text() for file in {test.partition("::")[0] for test in hit}}

    def order(mutant: Mutant, test: str) -> tuple[int, float]:
        file = test.partition("::")[0]
        module = mutant.module.path.removesuffix(".py").replace("/", ".")
        far = 0 if module in texts[file] else 1 if f"/{mutant.room}/" in file else 2
        return far, took_s[test]

    return [
        {
            test: took_s[test]
            for test in sorted(
                (test for test in hit if hit[test] & keys),
                key=lambda test: order(mutant, test),
            )
        }
        for mutant, keys in zip(mutants, wanted, strict=True)
    ]


def _witnesses(mutant: Mutant) -> frozenset[str]:
    if mutant.statement.is_called:
        return frozenset([mutant.statement.key])
    return frozenset(one.key for one in mutant.module.statements if one.is_called)
