"""The wheel of pydeface, whose images the program reads."""

from __future__ import annotations

import os
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.lab.wheels import fetched, locked_alone

pytest.importorskip("SimpleITK")


@pytest.fixture(scope="session")
def pydeface(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Make the package importable, here and in programs that are started; skip without it."""
    if find_spec("pydeface") is not None:
        return
    folder = tmp_path_factory.mktemp("pydeface")
    wheel = fetched(tmp_path_factory.mktemp("wheels"), locked_alone("deface", "pydeface"))
    with zipfile.ZipFile(wheel["pydeface"]) as archive:
        archive.extractall(folder)
    sys.path.append(str(folder))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{before}{os.pathsep}{folder}" if before else str(folder)


@pytest.fixture
def program() -> Path:
    """The program's file."""
    return Path(__file__).parents[2] / "config" / "algorithms" / "deface" / "deface.py"
