"""A copy of the tree, and programs that run in it and leave nothing."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

__all__ = ["ALL_TESTS", "Tree", "copied"]

ALL_TESTS = "tests/"
"""Named, so that no lane draws one implementation of several."""

_LEFT_OUT = (".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", ".benchmarks", ".nightly")
_COLLECT_S = 1800
_PR_SET_CHILD_SUBREAPER = 36
_IN_NAMESPACE = ("unshare", "--mount", "--propagation=private", "sh", "-c")


class Tree:
    """A copy of the tree below a temporary directory."""

    def __init__(self, place: Path) -> None:
        self.root = place / "tree"
        self.log = place / "log"
        self._tmp = place / "tmp"
        self._python = self.root / ".venv" / "bin" / "python"

    def write(self, path: str, source: str) -> None:
        """Replace a file; what Python compiled of it goes: that knows a file by second and size."""
        file = self.root / path
        file.write_text(source)
        for old in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
            old.unlink()

    def tests(self) -> frozenset[str]:
        """Names of all tests there are."""
        code = self.pytest("--collect-only", ALL_TESTS, limit_s=_COLLECT_S)
        lines = self.log.read_text(errors="replace").splitlines()
        if code != 0:
            raise RuntimeError("\n".join(["tests cannot be collected", *lines[-20:]]))
        return frozenset(line for line in lines if "::" in line)

    def pytest(self, *words: str, limit_s: float) -> int | None:
        """Run pytest there; its exit code, or None when the time was out."""
        self._tmp.mkdir()
        python = self._python if self._python.exists() else Path(sys.executable)
        command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", *words]
        environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [*_alone(), *command],
                cwd=self.root,
                env={**environ, "TMPDIR": str(self._tmp)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            process.returncode = _wait(process.pid, limit_s)
            return process.returncode
        finally:
            _end_all_below()
            shutil.rmtree(self._tmp, ignore_errors=True)


@contextlib.contextmanager
def copied(root: Path) -> Iterator[Tree]:
    """A copy of a tree, the environment linked; removed at the end."""
    # all that a test starts becomes ours when its parent ends, so that nothing stays
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # short: the paths of sockets are
    place = Path(tempfile.mkdtemp(prefix="mgm-", dir="/tmp"))
    place.chmod(0o755)  # a database server runs as another user
    try:
        tree = Tree(place)
        shutil.copytree(root, tree.root, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        if (root / ".venv").exists():
            (tree.root / ".venv").symlink_to((root / ".venv").resolve())
        yield tree
    finally:
        shutil.rmtree(place, ignore_errors=True)


@cache
def _alone() -> tuple[str, ...]:
    """Words before a command: mounts and shared memory of its own, where that is allowed."""
    words = (*_IN_NAMESPACE, 'mount -t tmpfs marks /dev/shm && exec "$@"', "sh")
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return ()
    return words if subprocess.run([*words, "true"], capture_output=True).returncode == 0 else ()


def _wait(wanted: int, limit_s: float) -> int | None:
    """Wait for a child, and for orphans that became ours: tests wait until those are gone."""
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == wanted:
            return os.waitstatus_to_exitcode(status)
        if not pid:
            time.sleep(0.02)
    return None


def _end_all_below() -> None:
    """Kill all processes below this one, and wait for them."""
    deadline_s = time.monotonic() + 30
    while (found := _below(os.getpid())) and time.monotonic() < deadline_s:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.02)


def _below(top: int) -> Sequence[int]:
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = {top}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {top})
