"""The wheel of pydeface, whose images the program reads."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("SimpleITK")


@pytest.fixture(scope="session")
def pydeface(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Make the package importable, here and in programs that are started; skip without it."""
    if find_spec("pydeface") is not None:
        return
    folder = tmp_path_factory.mktemp("pydeface")
    argv = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
    if subprocess.run([*argv, "pydeface==2.0.2"], check=False, capture_output=True).returncode:
        pytest.skip("needs the wheel of pydeface from the package index")
    sys.path.append(str(folder))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{before}{os.pathsep}{folder}" if before else str(folder)


@pytest.fixture
def program() -> Path:
    """The program's file."""
    return Path(__file__).parents[2] / "config" / "algorithms" / "deface" / "deface.py"
