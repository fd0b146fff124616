"""The shipped file: the same bytes from the same sources, and nothing but the standard library."""

from __future__ import annotations

import ast
import importlib.util
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from medgrid.workers.archive import agent_archive

MADE = "from medgrid.workers.archive import agent_archive; print(agent_archive().digest)"
LOADED = """
import sys
sys.path.insert(0, sys.argv[1])
import medgrid.agent.daemon
agent = [module for name, module in sys.modules.items() if name.startswith("medgrid")]
print(*sorted({module.__file__.rpartition(".")[2] for module in agent}))
"""


def test_bytes_are_stable() -> None:
    agent_archive.cache_clear()
    first = agent_archive()
    for before, seed in (("", "1"), ("import medgrid.agent.daemon, xml.dom; ", "2")):
        command = [sys.executable, "-c", before + MADE]
        env = {**os.environ, "PYTHONHASHSEED": seed}
        told = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
        assert told.stdout.strip() == first.digest


def test_it_imports_the_standard_library_alone() -> None:
    with zipfile.ZipFile(io.BytesIO(agent_archive().data)) as archive:
        sources = [name for name in archive.namelist() if name.endswith(".py")]
        assert len(sources) > 30
        for name in sources:
            tree = ast.parse(archive.read(name), feature_version=(3, 8))
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    tops = {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    tops = {(node.module or "").split(".")[0]}
                else:
                    continue
                assert tops <= {*sys.stdlib_module_names, "medgrid"}, (name, tops)


def test_a_python_of_the_same_version_compiles_nothing(tmp_path: Path) -> None:
    assert _loaded(tmp_path, agent_archive().data) == "pyc"


def test_another_version_takes_the_sources(tmp_path: Path) -> None:
    data = agent_archive().data
    other = data.replace(importlib.util.MAGIC_NUMBER, b"\x01\x02\r\n")
    assert other != data
    assert _loaded(tmp_path, other) == "py"


def _loaded(tmp_path: Path, data: bytes) -> str:
    """Kinds of files that the agent's modules come from."""
    file = tmp_path / "agent.pyz"
    file.write_bytes(data)
    command = [sys.executable, "-I", "-S", "-c", LOADED, str(file)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
