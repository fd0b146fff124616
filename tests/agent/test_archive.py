"""The shipped file: the same bytes from the same sources, and nothing but the standard library."""

from __future__ import annotations

import ast
import io
import sys
import zipfile

from medgrid.workers.archive import agent_archive


def test_bytes_are_stable() -> None:
    agent_archive.cache_clear()
    first = agent_archive()
    agent_archive.cache_clear()
    assert agent_archive() == first


def test_it_imports_the_standard_library_alone() -> None:
    with zipfile.ZipFile(io.BytesIO(agent_archive().data)) as archive:
        for name in archive.namelist():
            tree = ast.parse(archive.read(name), feature_version=(3, 8))
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    tops = {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    tops = {(node.module or "").split(".")[0]}
                else:
                    continue
                assert tops <= {*sys.stdlib_module_names, "medgrid"}, (name, tops)
