"""Lock files of algorithms: what is read of them, what is refused, and what they are a part of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medgrid.algorithms.descriptor import load
from medgrid.algorithms.invocation import environment_of
from medgrid.errors import ConfigError
from tests.algorithms.sample import minimal, written

ONE, TWO = "1" * 64, "2" * 64
GOOD = f"""# made by something
numpy==2.0.2 ; python_version < '3.10' \\
    --hash=sha256:{ONE} \\
    --hash=sha256:{TWO}
    # via scipy
numpy==2.2.6 ; python_version >= '3.10' --hash=sha256:{ONE}  # a comment

Pip==25.0 --hash=sha256:{TWO}
"""


def algorithm(folder: Path, lock: str, *requirements: str) -> Path:
    (folder / "some.lock").write_text(lock)
    environment = {"kind": "python", "requirements": requirements, "lock": "some.lock"}
    return written(folder, minimal(custom={"medgrid": {"environment": environment}}))


def refused(path: Path) -> tuple[str, str | None]:
    with pytest.raises(ConfigError) as error:
        load(path)
    place = f"{path}: $.custom.medgrid.environment.lock: "
    return error.value.message.removeprefix(place), error.value.hint


def test_its_lines_become_a_part_of_the_descriptor(tmp_path: Path) -> None:
    loaded = load(algorithm(tmp_path, GOOD, "numpy==2.2.6; python_version >= '3.10'"))
    assert environment_of(loaded.descriptor).lock == (
        f"numpy==2.0.2 ; python_version < '3.10' --hash=sha256:{ONE} --hash=sha256:{TWO}",
        f"numpy==2.2.6 ; python_version >= '3.10' --hash=sha256:{ONE}",
        f"Pip==25.0 --hash=sha256:{TWO}",
    )
    # what a grid shows can be added to another one
    (tmp_path / "again.json").write_text(json.dumps(loaded.descriptor))
    assert load(tmp_path / "again.json").digest == loaded.digest


def test_another_digest_makes_another_algorithm(tmp_path: Path) -> None:
    first = load(algorithm(tmp_path, GOOD)).digest
    assert load(algorithm(tmp_path, "# only a comment\n" + GOOD)).digest == first
    assert load(algorithm(tmp_path, GOOD.replace(TWO, "3" * 64))).digest != first


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("numpy==2.0.2", "numpy==2.0.2"),
        (f"numpy>=2 --hash=sha256:{ONE}", f"numpy>=2 --hash=sha256:{ONE}"[:57] + "..."),
        ("numpy==2.0.2 --hash=md5:1234", "numpy==2.0.2 --hash=md5:1234"),
        ("--index-url https://example.org/simple", "--index-url https://example.org/simple"),
        ("-r other.txt", "-r other.txt"),
    ],
)
def test_lines_that_lock_nothing(tmp_path: Path, line: str, shown: str) -> None:
    assert refused(algorithm(tmp_path, f"{GOOD}{line}\n")) == (
        f"{shown!r} is not a version pinned with '==' and --hash=sha256:",
        "uv pip compile --universal --generate-hashes writes such a file; options such as an "
        "index do not belong there",
    )


def test_requirements_that_are_not_locked(tmp_path: Path) -> None:
    assert refused(algorithm(tmp_path, GOOD, "numpy==2.1.0")) == (
        "'numpy==2.1.0' is required, and 2.0.2 and 2.2.6 of it is locked",
        "make the lock anew",
    )
    assert refused(algorithm(tmp_path, GOOD, "scipy==1.15.3"))[0] == (
        "'scipy==1.15.3' is required, and nothing of it is locked"
    )


def test_a_lock_without_pip(tmp_path: Path) -> None:
    assert refused(algorithm(tmp_path, f"numpy==2.0.2 --hash=sha256:{ONE}\n"))[0] == (
        "it does not lock pip, which installs the rest on a worker"
    )


def test_where_the_file_may_lie(tmp_path: Path) -> None:
    for lock, reason in (
        ("../some.lock", "the file must lie beside the descriptor"),
        ("none.lock", f"{tmp_path / 'none.lock'} cannot be read: no such file or directory"),
    ):
        environment = {"kind": "python", "lock": lock}
        path = written(tmp_path, minimal(custom={"medgrid": {"environment": environment}}))
        assert refused(path)[0] == reason


def test_only_python_environments_have_one(tmp_path: Path) -> None:
    environment = {"kind": "host", "lock": "some.lock"}
    path = written(tmp_path, minimal(custom={"medgrid": {"environment": environment}}))
    assert refused(path)[0] == "only an environment of kind python has one"
