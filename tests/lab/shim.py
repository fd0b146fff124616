"""Calls of the C library that fail when a test wants it, and a clock that jumps.

`Shim` is a small library (``shim.c``) that the dynamic loader puts before the C library in the
processes of a test: so the writes of SQLite fail as well as those of Python. Nothing of medgrid
knows of it.
"""

from __future__ import annotations

import errno
import mmap
import struct
import subprocess
import tempfile
from enum import IntFlag
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.hosts import LabHost

__all__ = ["Role", "Shim", "shim_library", "why_no_shim"]

_SOURCE = Path(__file__).with_suffix(".c")
_FIELDS = ("clock_s", "read_only", "roles", "count", "first", "last", "error", "failed")
_FOREVER = 1 << 62
_LIBRARY = "usr/local/lib/medgrid-test-shim.so"
_CONTROL = "run/medgrid-test-shim"  # known to shim.c


class Role(IntFlag):
    """Processes whose calls count."""

    BROKER = 1
    AGENT = 2
    KEEPER = 4
    CARRIER = 8  # what links broker and agent: ``connect`` and ``bulk``


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


class Shim:
    """What the processes that have `env` in their environment suffer.

    Calls are counted that write, flush, send, rename, make or delete something.
    """

    def __init__(self, control: Path) -> None:
        self._path = control
        size_bytes = 8 * len(_FIELDS)
        control.write_bytes(bytes(size_bytes))
        control.chmod(0o666)
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

    def jump(self, seconds: int) -> None:
        """Set the clock forward or back by so much from what it truly is."""
        self._set(clock_s=seconds)

    def freeze_catalog(self, frozen: bool) -> None:
        """Let the catalog's files (SQLite) be on a file system that is read-only now."""
        self._set(read_only=int(frozen))

    def heal(self) -> None:
        """Let all go well again."""
        self._set(roles=0, first=_FOREVER, last=0, clock_s=0, read_only=0)

    def _get(self, name: str) -> int:
        at = 8 * _FIELDS.index(name)
        return int(struct.unpack("q", self._memory[at : at + 8])[0])

    def _set(self, **values: int) -> None:
        for name, value in values.items():
            at = 8 * _FIELDS.index(name)
            self._memory[at : at + 8] = struct.pack("q", value)
