"""Wheels that tests run real programs with: fetched once on a machine, and as locked.

They are kept where those of any grid of this user are (``surroundings.py`` leads there), so that
brokers that tests start find them.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from medgrid.agent.host import python_tags
from medgrid.algorithms.descriptor import load
from medgrid.algorithms.invocation import JobEnvironment, environment_of
from medgrid.algorithms.lockfile import read_lock
from medgrid.algorithms.wheelhouse import NoWheel, wheelhouse
from medgrid.config import user_cache_dir
from medgrid.errors import Unreachable
from tests.lab.prompt import ROOT

ALGORITHMS = ROOT / "config" / "algorithms"
# the last pip for Python 3.8, the oldest of a worker
PIP = "pip==24.3.1 --hash=sha256:3790624780082365f47549d032f3770eeb2b1e8bd1f7b2e02dace1afa361b4ed"


def fetched(
    folder: Path, wanted: JobEnvironment, tags: Sequence[str] | None = None
) -> dict[str, Path]:
    """Wheels of an environment in `folder`, by name of the package; skips where there are none."""
    cache = user_cache_dir() / "wheels"
    try:
        tar = wheelhouse(wanted, tags or python_tags(), folder, cache)
    except (Unreachable, NoWheel) as exc:
        pytest.skip(f"needs wheels that were not fetched yet: {exc}")
    with tarfile.open(tar) as archive:
        archive.extractall(folder)  # noqa: S202 - our own
    return {path.name.partition("-")[0]: path for path in folder.glob("*.whl")}


def locked_alone(name: str, package: str) -> JobEnvironment:
    """One package of an algorithm's lock."""
    lines = read_lock(ALGORITHMS / f"{name}.lock")
    lock = (PIP, *(line for line in lines if line.startswith(f"{package}==")))
    return JobEnvironment("python", lock=lock)


@pytest.fixture(scope="session")
def pip_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of pip itself, for the Python of any worker."""
    wanted = JobEnvironment("python", lock=(PIP,))
    tags = ("cp38", "manylinux_2_17_x86_64")
    return fetched(tmp_path_factory.mktemp("pip"), wanted, tags)["pip"]


def _of_algorithm(name: str, factory: pytest.TempPathFactory) -> None:
    wanted = environment_of(load(ALGORITHMS / f"{name}.json").descriptor)
    fetched(factory.mktemp(name), wanted)


@pytest.fixture(scope="session")
def similarity_wheels(tmp_path_factory: pytest.TempPathFactory) -> None:
    """See that workers of this machine's Python can get what ``similarity`` needs."""
    _of_algorithm("similarity", tmp_path_factory)


@pytest.fixture(scope="session")
def deface_wheels(tmp_path_factory: pytest.TempPathFactory) -> None:
    """See that workers of this machine's Python can get what ``deface`` needs."""
    _of_algorithm("deface", tmp_path_factory)
