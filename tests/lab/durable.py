"""What must be on the disk when: a table of names, and what a recording of calls breaks of it.

A power cut undoes what was not flushed, in any order. So the bytes of a file are flushed before it
gets a name that says it is whole, and the directory after that where the name must not be lost.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.prompt import ROOT
from tests.lab.shim import Call, Shim, why_no_shim

__all__ = ["RULES", "Rule", "broken_rules", "calls_of", "too_early"]

_WRITES = {
    *("write", "writev", "pwrite", "pwrite64", "ftruncate", "ftruncate64", "truncate"),
    *("posix_fallocate64", "sendfile", "sendfile64"),
}
_SYNCS = {"fsync", "fdatasync"}
_NAMES = {"create", "rename", "renameat", "link", "linkat", "mkdir"}


@dataclass(frozen=True, slots=True)
class Rule:
    """What is demanded of names that match `pattern`, the whole path below the test's folder.

    Attributes
    ----------
    content : bool
        What is called so was flushed before; what is made under this name is not asked.
    name : bool
        The directory is flushed after, and before the thread flushes anything else.
    why : str
        Why it must be so, or need not.
    """

    pattern: str
    content: bool
    name: bool
    why: str


RULES = (
    Rule(r"grid", False, True, "all that the grid has lies in it"),
    Rule(r"grid/keys(/identities|/recovery)?", False, True, "keys are lost with their directory"),
    Rule(
        r"grid/keys/(pseudonym|registration)\.key|grid/keys/(registration|recovery)\.pub",
        True,
        True,
        "a second pseudonym key would give second pseudonyms; nobody can make these again",
    ),
    Rule(r"grid/keys/identities/[^./]+\.(c4gh|pub|cert)", True, True, "data is sealed to them"),
    Rule(r"grid/keys/recovery/share-\d\.txt", True, True, "what is sealed relies on them"),
    Rule(r"grid/keys/audit\.json", True, True, "an older one would not notice a log that was cut"),
    Rule(r"grid/keys/revoked\.json", True, True, "an older one would believe who was revoked"),
    Rule(r"grid/keys/(.*/)?\.(draft\.\w+|lock)", False, False, "a draft is whole by no name"),
    Rule(r"grid/(catalog|keystore)\.db(-\w+)?", False, False, "SQLite flushes them by itself"),
    Rule(
        r"grid/(catalog|keystore)\.db\.schema-\d{4}\.part",
        False,
        False,
        "it is whole by no such name",
    ),
    Rule(r"grid/(catalog|keystore)\.db\.schema-\d{4}", True, True, "the way back from an upgrade"),
    Rule(r"grid/known_hosts", False, False, "a key that is lost is shown and accepted again"),
    Rule(r"grid/(log|cache|agent)(/scratch.*)?", False, False, "can be thrown away"),
    Rule(r"grid/log/.*", False, False, "nothing is decided by what a log says"),
    Rule(r"grid/fsck(/\w+\.log)?", False, False, "what a check forgets is checked again"),
    Rule(r"grid/storage", False, True, "all bytes lie in it"),
    Rule(r"grid/storage/\.tmp(/[\w-]+)?", False, False, "it is whole by no such name"),
    Rule(r"grid/storage/\w\w(/\w\w)?", False, True, "objects lie in it"),
    Rule(r"grid/storage/\w\w/\w\w/\w{32}", True, True, "the catalog says that it is there"),
    Rule(r"grid/agent/local", False, False, "a worker that has lost all says so"),
    Rule(r"grid/agent/local/journal", False, True, "what it says was answered for"),
    Rule(r"grid/agent/local/run/state", True, True, "says whether the host restarted since"),
    Rule(
        r"grid/agent/local/(cache|bundles|environments)(/.*)?",
        False,
        False,
        "thrown away when the host has restarted",
    ),
    Rule(
        r"grid/agent/local/attempts(/.*)?",
        False,
        False,
        "an attempt whose directory a restart took or tore is lost; the journal alone says done",
    ),
    Rule(r"grid/agent/local/(spares|trash)(/.*)?", False, False, "empty, or to be deleted"),
    Rule(
        r"grid/agent/local/run(/(lock|ballast|state\.tmp|socket|(draft|making)\..*))?",
        False,
        False,
        "of this start of the agent alone",
    ),
    Rule(r"grid/agent/local/agent(\.log|/.*)?", False, False, "the program: sent again if torn"),
    Rule(r"out(/.*)?/\.medgrid-.*", False, False, "it is whole by no such name"),
    Rule(r"out(/.*)?", True, True, "who has fetched a result may clear it"),
    Rule(r"audit", False, True, "it is compared with a log that may have been cut"),
)


def broken_rules(calls: Iterable[Call], top: str, rules: Sequence[Rule] = RULES) -> list[str]:
    """What calls below the folder `top` break of the rules; also names that no rule is about."""
    dirty: dict[str, str] = {}
    unsafe: dict[int, list[str]] = defaultdict(list)  # thread -> names that are not flushed yet
    problems: list[str] = []
    for call in calls:
        name = call.path.removeprefix(f"{top}/")
        if call.name in _SYNCS:
            dirty.pop(call.file, None)
            _resolve(call, unsafe[call.thread], problems)
        elif name == call.path:
            pass  # elsewhere
        elif call.name in _WRITES:
            dirty[call.file] = name
        elif call.name in _NAMES:
            rule = next((one for one in rules if re.fullmatch(one.pattern, name)), None)
            if rule is None:
                problems.append(
                    f"no rule of tests/lab/durable.py says what {call.name} of {name} needs"
                )
                continue
            old = call.old_path.removeprefix(f"{top}/")
            torn = [one for one in dirty.values() if f"{one}/".startswith(f"{old}/")] if old else []
            if rule.content and (call.file in dirty or torn):
                problems.append(f"{name} is named before it is flushed ({rule.why})")
            if rule.name:
                unsafe[call.thread].append(call.path)
            if call.file in dirty:
                dirty[call.file] = name
    problems += [f"the name {path} is not flushed" for some in unsafe.values() for path in some]
    return problems


def _resolve(call: Call, unsafe: list[str], problems: list[str]) -> None:
    """Take away the names that a flush makes safe; only that of its own file may still wait."""
    if not any(call.path == path or call.path == _folder(path) for path in unsafe):
        problems += [f"{path} is named, and {call.path} flushed before that" for path in unsafe]
        unsafe.clear()
    unsafe[:] = [path for path in unsafe if _folder(path) != call.path]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def too_early(
    calls: Iterable[Call], path: str, acts: Callable[[Call], bool]
) -> Iterator[tuple[Call, bool]]:
    """Each call that `acts` picks, and whether `path` held then what was not flushed."""
    dirty = False
    for call in calls:
        if call.path == path and call.name in _WRITES | _SYNCS:
            dirty = call.name in _WRITES
        if acts(call):
            yield call, dirty


def calls_of(folder: Path, code: str, *words: str | Path) -> list[Call]:
    """What Python `code` of a process of its own does; ``sys.argv[1:]`` are `words`."""
    reason = why_no_shim()
    if reason:
        pytest.skip(reason)
    shim = Shim(folder / "shim")
    shim.record()
    subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        env={**os.environ, **shim.env, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    return shim.recorded()
