"""Calls of the C library that fail or are written down when a test wants it, clocks that jump.

`Shim` is a small library (``shim.c``) that the dynamic loader puts before the C library in the
processes of a test: so the writes of SQLite fail as well as those of Python. Nothing of medgrid
knows of it.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from enum import IntFlag
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.hosts import LabHost

__all__ = ["Call", "Role", "Shim", "shim_library", "why_no_shim"]

_SOURCE = Path(__file__).with_suffix(".c")
_FIELDS = (
    "clock_s",
    "read_only",
    "roles",
    "count",
    "first",
    "last",
    "error",
    "failed",
    "recording",
    "used",
)
_LINES_AT = 8 * len(_FIELDS)
_LINES_BYTES = 4 << 20
_FOREVER = 1 << 62
_LIBRARY = "usr/local/lib/medgrid-test-shim.so"
_CONTROL = "run/medgrid-test-shim"  # known to shim.c


class Role(IntFlag):
    """Processes whose calls count."""

    BROKER = 1
    AGENT = 2
    KEEPER = 4
    CARRIER = 8  # what links broker and agent: ``connect`` and ``bulk``
    UPGRADE = 16


@dataclass(frozen=True, slots=True)
class Call:
    """What a thread did to a file, a pipe or a socket, with success.

    Attributes
    ----------
    name : str
        Of the function; ``create`` for an `open` that made the file.
    file : str
        Device and inode.
    path : str
        What it was called then: for a rename, after it; ``pipe:[1]`` and the like have no path.
    old_path : str
        For a rename, what it was called before.
    """

    process: int
    thread: int
    name: str
    file: str
    path: str
    old_path: str


@cache
def why_no_shim() -> str | None:
    """Why there is none on this machine, None when there is one."""
    try:
        subprocess.run(["cc", "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "failing calls need a C compiler: install it with 'apt install gcc libc6-dev'"
    return None


@cache
def shim_library() -> Path:
    """The library, compiled once for this process."""
    folder = Path(tempfile.mkdtemp(prefix="mg-shim-"))
    library = folder / "shim.so"
    options = ["-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(["cc", *options], check=True)
    folder.chmod(0o755)
    return library


def pytest_sessionfinish() -> None:
    """Remove the library."""
    if shim_library.cache_info().currsize:
        shutil.rmtree(shim_library().parent)
        shim_library.cache_clear()


class Shim:
    """What the processes that have `env` in their environment suffer.

    Calls are counted that write, flush, send, rename, make or delete something. One that is not
    new says what processes suffer that have it mapped already: they die when its file is cut.
    """

    def __init__(self, control: Path, *, is_new: bool = True) -> None:
        self._path = control
        size_bytes = _LINES_AT + _LINES_BYTES
        if is_new:
            control.write_bytes(bytes(_LINES_AT))
            control.chmod(0o666)
            os.truncate(control, size_bytes)  # the lines take as much as is written there
        with control.open("r+b") as stream:
            self._memory = mmap.mmap(stream.fileno(), size_bytes)
        self.heal()

    @classmethod
    def on_host(cls, host: LabHost) -> Shim:
        """That of all processes that start from now on on a host; made anew after a crash."""
        library = host.root / _LIBRARY
        if not library.exists():  # else it is in use
            library.write_bytes(shim_library().read_bytes())
        host.exec(f"echo /{_LIBRARY} > /etc/ld.so.preload")
        return cls(host.root / _CONTROL)

    @property
    def env(self) -> dict[str, str]:
        """Variables for the processes."""
        return {"LD_PRELOAD": str(shim_library()), "MEDGRID_TEST_SHIM": str(self._path)}

    @property
    def count(self) -> int:
        """Calls since they were counted."""
        return self._get("count")

    @property
    def failed(self) -> int:
        """How many of them failed, or killed their process."""
        return self._get("failed")

    def count_calls(self, roles: Role) -> None:
        """Count the calls of processes from now on."""
        self._set(first=_FOREVER, last=0, count=0, failed=0, roles=roles)

    def fail(
        self, roles: Role, number: int, *, error: int | None = errno.EIO, lasts: bool = False
    ) -> None:
        """Let the `number`-th call from now on fail with `error`, or kill the process if None.

        With `lasts` all calls after it fail, too, until `heal`.
        """
        self._set(roles=0)
        last = _FOREVER if lasts else number
        self._set(first=number, last=last, error=error or 0, count=0, failed=0, roles=roles)

    def record(self) -> None:
        """Write down the calls of all processes from now on."""
        self._set(recording=0, used=0)
        self._set(recording=1)

    def recorded(self) -> list[Call]:
        """Calls that wrote, flushed, named, deleted or sent something, in order; ends `record`."""
        self._set(recording=0)
        used = self._get("used")
        assert used <= _LINES_BYTES, "more calls than there is room for"
        lines = self._memory[_LINES_AT : _LINES_AT + used].decode("utf-8", "surrogateescape")
        calls = []
        for line in lines.replace("\0", "").splitlines():  # a process was killed as it wrote
            process, thread, *words = line.split("\t")
            calls.append(Call(int(process), int(thread), *words))
        return calls

    def jump(self, seconds: int) -> None:
        """Set the clock forward or back by so much from what it truly is."""
        self._set(clock_s=seconds)

    def freeze_catalog(self, frozen: bool) -> None:
        """Let the catalog's files (SQLite) be on a file system that is read-only now."""
        self._set(read_only=int(frozen))

    def heal(self) -> None:
        """Let all go well again."""
        self._set(roles=0, first=_FOREVER, last=0, clock_s=0, read_only=0, recording=0)

    def _get(self, name: str) -> int:
        at = 8 * _FIELDS.index(name)
        return int(struct.unpack("q", self._memory[at : at + 8])[0])

    def _set(self, **values: int) -> None:
        for name, value in values.items():
            at = 8 * _FIELDS.index(name)
            self._memory[at : at + 8] = struct.pack("q", value)
