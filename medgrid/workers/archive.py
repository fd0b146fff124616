"""The agent as one file: a zipapp whose bytes depend on the sources and on this Python alone.

Beside each source lies its bytecode for this Python's version: a worker of the same version starts
the agent in half the time, and any other takes the source.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import marshal
import zipfile
from dataclasses import dataclass
from functools import cache
from importlib import resources

import medgrid
import medgrid.agent

__all__ = ["Archive", "agent_archive"]

_UNCHECKED_HASH = b"\1\0\0\0"  # PEP 552: the bytecode holds whatever the source's time
_WITHOUT_REFERENCES = 2  # the marshal format whose bytes do not depend on what else is in memory
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MAIN = "import sys\nfrom medgrid.agent.__main__ import main\nsys.exit(main(sys.argv[1:]))\n"


@dataclass(frozen=True, slots=True)
class Archive:
    """Bytes of the zipapp and their SHA-256."""

    data: bytes
    digest: str


@cache
def agent_archive() -> Archive:
    """Build the zipapp from the package's sources, and compile them."""
    folder = resources.files(medgrid.agent)
    members = {
        f"medgrid/agent/{file.name}": file.read_bytes()
        for file in folder.iterdir()
        if file.name.endswith(".py")
    }
    members["medgrid/__init__.py"] = resources.files(medgrid).joinpath("__init__.py").read_bytes()
    members |= {f"{name}c": _bytecode(name, source) for name, source in members.items()}
    members["__main__.py"] = _MAIN.encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(members.items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)
    data = buffer.getvalue()
    return Archive(data, hashlib.sha256(data).hexdigest())


def _bytecode(name: str, source: bytes) -> bytes:
    """What a ``.pyc`` file holds."""
    code = compile(source, name, "exec", dont_inherit=True)
    header = importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + importlib.util.source_hash(source)
    return header + marshal.dumps(code, _WITHOUT_REFERENCES)
