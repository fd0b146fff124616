"""Wheelhouses: built by the real pip from an index that is a folder, once, offline after."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medgrid.algorithms import wheelhouse as room
from medgrid.algorithms.invocation import JobEnvironment
from medgrid.algorithms.wheelhouse import NoWheel, pinned
from medgrid.errors import ConfigError, ExitCode, IntegrityError, Unreachable

TAGS = ("cp311", "manylinux_2_36_x86_64")


def wheelhouse(
    requirements: Sequence[str],
    tags: tuple[str, str],
    folder: Path,
    alone: Sequence[str] = (),
    lock: Sequence[str] = (),
    only: Path | None = None,
    cache: str = "grid",
) -> Path:
    """A tar of a grid's own, of wheels that all grids keep."""
    wanted = JobEnvironment(
        "python", requirements=tuple(requirements), alone=tuple(alone), lock=tuple(lock)
    )
    return room.wheelhouse(wanted, tags, folder / cache, folder / "kept", only)


def locked(index: Path, *names: str) -> list[str]:
    """Lines of a lock of wheels in the index."""
    lines = []
    for name in names:
        (wheel,) = index.glob(f"{name}-*.whl")
        package, version = wheel.name.split("-")[:2]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines.append(f"{package}=={version} --hash=sha256:{digest}")
    return lines


def add_wheel(
    index: Path, name: str, version: str, *requires: str, tag: str = "py3-none-any"
) -> None:
    """Put a wheel that holds one empty module into a folder."""
    info = f"{name}-{version}.dist-info"
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    head += "Provides-Extra: more\n"
    head += "".join(f"Requires-Dist: {line}\n" for line in requires)
    with zipfile.ZipFile(index / f"{name}-{version}-{tag}.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", head)
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its index."""
    folder = tmp_path / "index"
    folder.mkdir()
    add_wheel(folder, "pip", "25.0")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def names(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return sorted(name.rsplit("-", 3)[0] for name in tar.getnames())


def test_dependencies_and_pip_are_in_it(index: Path, tmp_path: Path) -> None:
    add_wheel(index, "alpha", "1.0", "beta>=1")
    add_wheel(index, "beta", "1.0")
    add_wheel(index, "beta", "1.5")
    add_wheel(index, "unused", "1.0")
    found = wheelhouse(["alpha==1.0"], TAGS, tmp_path)
    assert names(found) == ["alpha-1.0", "beta-1.5", "pip-25.0"]
    assert found.stem == hashlib.sha256(found.read_bytes()).hexdigest()


def test_what_was_made_once_needs_no_index(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_wheel(index, "alpha", "1.0")
    first = wheelhouse(["alpha==1.0"], TAGS, tmp_path)
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert wheelhouse(["alpha==1.0"], TAGS, tmp_path) == first
    # the same requirements in another order, or with a marker that holds, are the same
    assert wheelhouse(["alpha==1.0; python_version >= '3.9'"], TAGS, tmp_path) == first


def test_another_grid_needs_no_index(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_wheel(index, "alpha", "1.0")
    first = wheelhouse(["alpha==1.0"], TAGS, tmp_path)
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    other = wheelhouse(["alpha==1.0"], TAGS, tmp_path, cache="other")
    assert other != first
    assert other.read_bytes() == first.read_bytes()


def test_a_kept_wheel_that_was_damaged_is_fetched_again(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_wheel(index, "alpha", "1.0")
    first = wheelhouse(["alpha==1.0"], TAGS, tmp_path)
    (wheel,) = (tmp_path / "kept").glob("alpha-*.whl")
    wheel.write_bytes(wheel.read_bytes()[:-1])
    with monkeypatch.context() as away:
        away.setenv("PIP_FIND_LINKS", "/nowhere")
        with pytest.raises(NoWheel):
            wheelhouse(["alpha==1.0"], TAGS, tmp_path, cache="other")
    other = wheelhouse(["alpha==1.0"], TAGS, tmp_path, cache="other")
    assert other.read_bytes() == first.read_bytes()


def test_a_directory_of_wheels_is_all_that_is_looked_at(index: Path, tmp_path: Path) -> None:
    add_wheel(index, "alpha", "1.0")
    only = tmp_path / "only"
    with pytest.raises(ConfigError) as refused:
        wheelhouse(["alpha==1.0"], TAGS, tmp_path, only=only)
    assert refused.value.message == f"the setting wheels is no directory: {only}"
    only.mkdir()
    with pytest.raises(NoWheel) as error:
        wheelhouse(["alpha==1.0"], TAGS, tmp_path, only=only)
    assert error.value.message == (
        f"{only} has no wheel of pip for CPython 3.11 on manylinux_2_36_x86_64"
    )
    for wheel in index.iterdir():
        wheel.rename(only / wheel.name)
    assert names(wheelhouse(["alpha==1.0"], TAGS, tmp_path, only=only)) == ["alpha-1.0", "pip-25.0"]


def test_a_lock_says_all_that_is_in_it(index: Path, tmp_path: Path) -> None:
    add_wheel(index, "alpha", "1.0", "beta")
    add_wheel(index, "beta", "1.0")
    lock = locked(index, "alpha", "beta", "pip")
    add_wheel(index, "beta", "1.5")
    add_wheel(index, "data", "2.0", "heavy")
    lock += locked(index, "data")
    lock.append(f"old==1.0 ; python_full_version < '3.10' --hash=sha256:{'0' * 64}")
    found = wheelhouse(["alpha==1.0"], TAGS, tmp_path, ["data==2.0"], lock)
    assert names(found) == ["alpha-1.0", "beta-1.0", "data-2.0", "pip-25.0"]


def test_a_file_that_is_not_the_locked_one(index: Path, tmp_path: Path) -> None:
    add_wheel(index, "alpha", "1.0")
    lock = locked(index, "alpha", "pip")
    expected = lock[0].rpartition(":")[2]
    add_wheel(index, "alpha", "1.0", "beta")
    found = locked(index, "alpha")[0].rpartition(":")[2]
    with pytest.raises(IntegrityError) as error:
        wheelhouse(["alpha==1.0"], TAGS, tmp_path, lock=lock)
    assert error.value.message == (
        "the package index has another file of alpha==1.0 for CPython 3.11 on "
        f"manylinux_2_36_x86_64 than the algorithm's lock: expected SHA-256 {expected}, "
        f"found {found}"
    )
    assert {path.suffix for path in (tmp_path / "kept").iterdir()} == {".lock"}


def test_a_lock_that_lacks_a_dependency(index: Path, tmp_path: Path) -> None:
    add_wheel(index, "alpha", "1.0", "beta>=1")
    add_wheel(index, "beta", "1.0")
    with pytest.raises(ConfigError) as error:
        wheelhouse(["alpha==1.0"], TAGS, tmp_path, lock=locked(index, "alpha", "pip"))
    assert error.value.message == (
        "the algorithm's lock lacks beta>=1 for CPython 3.11 on manylinux_2_36_x86_64"
    )


def test_markers_are_those_of_the_worker(index: Path, tmp_path: Path) -> None:
    add_wheel(index, "alpha", "1.0", 'old; python_version < "3.9"', 'mac; sys_platform == "darwin"')
    add_wheel(index, "alpha", "2.0")
    add_wheel(index, "old", "1.0", "older")
    add_wheel(index, "older", "1.0")
    add_wheel(index, "mac", "1.0")
    both = ["alpha==1.0; python_version < '3.10'", "alpha==2.0; python_version >= '3.10'"]
    old = wheelhouse(both, ("cp38", "manylinux_2_17_x86_64"), tmp_path)
    assert names(old) == ["alpha-1.0", "old-1.0", "older-1.0", "pip-25.0"]
    assert names(wheelhouse(both, TAGS, tmp_path)) == ["alpha-2.0", "pip-25.0"]


def test_extras(index: Path, tmp_path: Path) -> None:
    add_wheel(index, "alpha", "1.0", 'beta; extra == "more"')
    add_wheel(index, "beta", "1.0")
    assert names(wheelhouse(["alpha==1.0"], TAGS, tmp_path)) == ["alpha-1.0", "pip-25.0"]
    more = wheelhouse(["alpha[more]==1.0"], TAGS, tmp_path)
    assert names(more) == ["alpha-1.0", "beta-1.0", "pip-25.0"]


def test_a_wheel_without_what_it_depends_on(index: Path, tmp_path: Path) -> None:
    add_wheel(index, "alpha", "1.0", "beta")
    add_wheel(index, "beta", "1.0")
    add_wheel(index, "data", "2.0", "heavy", "alpha>=3")
    alone = wheelhouse(["alpha==1.0"], TAGS, tmp_path, ["data==2.0; python_version >= '3.9'"])
    assert names(alone) == ["alpha-1.0", "beta-1.0", "data-2.0", "pip-25.0"]
    assert pinned(alone) == ("alpha==1.0", "beta==1.0", "data==2.0")
    assert names(wheelhouse(["alpha==1.0"], TAGS, tmp_path)) == [
        "alpha-1.0",
        "beta-1.0",
        "pip-25.0",
    ]
    with pytest.raises(NoWheel) as error:
        wheelhouse([], TAGS, tmp_path, ["data==3.0"])
    assert error.value.message == (
        "the package index has no wheel of data==3.0 for CPython 3.11 on manylinux_2_36_x86_64"
    )


@pytest.mark.parametrize(
    "tag",
    [
        "cp311-cp311-manylinux_2_28_x86_64",
        "cp311-cp311-manylinux2014_x86_64",
        "cp39-abi3-manylinux_2_17_x86_64",
        "cp311-cp311-linux_x86_64",
    ],
)
def test_wheels_of_older_systems_fit(index: Path, tmp_path: Path, tag: str) -> None:
    add_wheel(index, "alpha", "1.0", tag=tag)
    assert names(wheelhouse(["alpha==1.0"], TAGS, tmp_path)) == ["alpha-1.0", "pip-25.0"]


@pytest.mark.parametrize(
    "tag",
    [
        "cp312-cp312-manylinux_2_28_x86_64",
        "cp311-cp311-manylinux_2_39_x86_64",
        "cp311-cp311-manylinux_2_28_aarch64",
        "cp311-cp311-musllinux_1_2_x86_64",
    ],
)
def test_no_wheel_fits(index: Path, tmp_path: Path, tag: str) -> None:
    add_wheel(index, "alpha", "1.0", tag=tag)
    with pytest.raises(NoWheel) as error:
        wheelhouse(["alpha==1.0"], TAGS, tmp_path)
    assert error.value.exit_code is ExitCode.CONFIG
    assert error.value.message == (
        "the package index has no wheel of alpha==1.0 for CPython 3.11 on manylinux_2_36_x86_64"
    )
    assert error.value.hint == "check its name, and that this host reaches the package index"
    # nothing half-made stays
    assert list((tmp_path / "grid" / "wheelhouse").iterdir()) == []
    assert {path.suffix for path in (tmp_path / "kept").iterdir()} == {".lock"}


def test_other_versions_fit(index: Path, tmp_path: Path) -> None:
    add_wheel(index, "alpha", "0.9")
    with pytest.raises(NoWheel) as error:
        wheelhouse(["alpha==1.0"], TAGS, tmp_path)
    assert error.value.hint == "pin a version that has one, or give the worker another python3"


def test_requirements_that_contradict_each_other(index: Path, tmp_path: Path) -> None:
    add_wheel(index, "alpha", "1.0", "beta==2.0")
    add_wheel(index, "beta", "1.0")
    add_wheel(index, "beta", "2.0")
    with pytest.raises(ConfigError) as error:
        wheelhouse(["alpha==1.0", "beta==1.0"], TAGS, tmp_path)
    assert error.value.message == (
        "the algorithm's requirements contradict each other for "
        "CPython 3.11 on manylinux_2_36_x86_64"
    )


def test_an_index_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("CONFIG_FILE", "/dev/null"),
        ("INDEX_URL", "http://127.0.0.1:9/simple"),
        ("RETRIES", "1"),
    ):
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(Unreachable) as error:
        wheelhouse(["alpha==1.0"], TAGS, tmp_path)
    assert error.value.message == "the package index does not answer"


def test_a_worker_that_runs_no_cpython(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        wheelhouse(["alpha==1.0"], ("pp310", "manylinux_2_36_x86_64"), tmp_path)
    assert error.value.message == "a worker runs 'pp310', which is not CPython"


def test_several_at_once_build_it_once(index: Path, tmp_path: Path) -> None:
    add_wheel(index, "alpha", "1.0")
    with ThreadPoolExecutor(3) as pool:
        made = set(pool.map(lambda _: wheelhouse(["alpha==1.0"], TAGS, tmp_path), range(3)))
    assert len(made) == 1


def test_the_real_pip_installs_from_it(index: Path, tmp_path: Path) -> None:
    add_wheel(index, "alpha", "1.0", "beta")
    add_wheel(index, "beta", "1.0")
    found = wheelhouse(["alpha==1.0"], TAGS, tmp_path)
    wheels = tmp_path / "wheels"
    with tarfile.open(found) as tar:
        tar.extractall(wheels)  # noqa: S202 - our own
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", wheels,
         "--target", tmp_path / "site", "alpha==1.0"],
        check=True,
        env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (tmp_path / "site" / "beta.py").exists()
