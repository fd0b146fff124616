"""The lock files: they are of this setup.cfg, whole and no larger than need be. Without network.

What a package depends on is read from the environment that runs the tests, which was made from the
locks.
"""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from medgrid.algorithms.descriptor import load
from medgrid.algorithms.invocation import environment_of
from medgrid.algorithms.lockfile import read_lock
from medgrid.algorithms.pip_download import WorkerPython
from tests.lab.prompt import ROOT

LOCKS = ROOT / "config" / "locks"
ALGORITHMS = ROOT / "config" / "algorithms"
PARTS = ("base", "postgres", "imaging", "test")
LOCKED_ALGORITHMS = ("bias", "deface", "similarity")
RELOCK = "run bin/lock"


def wanted(part: str) -> list[str]:
    """Requirements in setup.cfg of medgrid itself, or of an extra."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    if part == "base":
        return setup["options"]["install_requires"].split("\n")[1:]
    return setup["options.extras_require"][part].split("\n")[1:]


def entries(file: Path) -> Iterator[Requirement]:
    """What a lock pins; each with a digest, and with nothing that names an index."""
    for line in read_lock(file):
        assert re.fullmatch(r"[^-]\S*==\S+( ;.*?)?( --hash=sha256:[0-9a-f]{64})+", line), line
        yield Requirement(re.sub(r" --hash=\S+", "", line))


def here(requirements: Iterable[Requirement]) -> dict[str, Requirement]:
    """Those that count for this Python; one version of each."""
    found: dict[str, Requirement] = {}
    for one in requirements:
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            known = found.setdefault(canonicalize_name(one.name), one)
            assert known.specifier == one.specifier, f"{one.name} is locked twice: {RELOCK}"
    return found


def reached(requirements: Iterable[str]) -> dict[str, list[Requirement]]:
    """All that requirements need here, and what asks for each, as the installed packages say."""
    found: dict[str, list[Requirement]] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(Requirement(text), "") for text in requirements]
    while todo:
        one, extra = todo.pop()
        if one.marker is not None and not one.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(one.name)
        found.setdefault(name, []).append(one)
        for more in {"", *one.extras}:
            if (name, more) not in seen:
                seen.add((name, more))
                todo += [(Requirement(text), more) for text in requires(name)]
    return found


def requires(name: str) -> list[str]:
    """What an installed package depends on."""
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        pytest.fail(f"{name} is not installed: {RELOCK}, then bin/test")


@pytest.mark.parametrize("part", PARTS)
def test_a_lock_is_of_this_setup_cfg(part: str) -> None:
    said = re.findall(r"^# wanted: (.*)$", (LOCKS / f"{part}.txt").read_text(), re.MULTILINE)
    assert sorted(said) == sorted(set(wanted(part))), RELOCK


@pytest.mark.parametrize("part", PARTS)
def test_a_lock_holds_all_that_is_needed_and_nothing_else(part: str) -> None:
    base = list(entries(LOCKS / "base.txt"))
    locked = here([*base, *entries(LOCKS / f"{part}.txt")])
    needed = reached([*wanted("base"), *wanted(part)])
    assert set(locked) == set(needed), RELOCK
    for name, askers in needed.items():
        (version,) = (spec.version for spec in locked[name].specifier)
        for one in askers:
            assert one.specifier.contains(version, prereleases=True), f"{one}: {RELOCK}"


def test_extras_fit_together() -> None:
    here(one for part in PARTS for one in entries(LOCKS / f"{part}.txt"))


@pytest.mark.parametrize("name", ["nilearn", "pip"])
def test_what_is_used_without_what_it_depends_on(name: str) -> None:
    (one,) = entries(LOCKS / f"{name}.txt")
    assert one.name == name


@pytest.mark.parametrize("name", LOCKED_ALGORITHMS)
@pytest.mark.parametrize("python", ["cp39", "cp310", "cp311", "cp312"])
def test_samples_are_locked_for_workers(name: str, python: str) -> None:
    """`load` has compared requirements and lock; here each Python has one version of each."""
    environment = environment_of(load(ALGORITHMS / f"{name}.json").descriptor)
    markers = dict(WorkerPython(python, "manylinux_2_36_aarch64").markers)
    pinned: dict[str, set[str]] = {}
    for one in entries(ALGORITHMS / f"{name}.lock"):
        if one.marker is None or one.marker.evaluate({**markers, "extra": ""}):
            pinned.setdefault(canonicalize_name(one.name), set()).add(str(one.specifier))
    assert all(len(versions) == 1 for versions in pinned.values())
    for text in (*environment.requirements, *environment.alone, "pip"):
        one = Requirement(text)
        if one.marker is None or one.marker.evaluate({**markers, "extra": ""}):
            assert canonicalize_name(one.name) in pinned


def test_every_sample_with_packages_is_locked() -> None:
    documents = {path.stem: json.loads(path.read_text()) for path in ALGORITHMS.glob("*.json")}
    kinds = {
        name: document["custom"]["medgrid"].get("environment", {}).get("kind")
        for name, document in documents.items()
    }
    assert sorted(name for name, kind in kinds.items() if kind == "python") == sorted(
        LOCKED_ALGORITHMS
    )
