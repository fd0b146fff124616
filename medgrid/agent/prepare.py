"""What several jobs share: unpacked bundles and python environments, each made once.

Each is made by a forked child, so that the agent goes on answering. A directory without its
``.complete`` file is half-made and gets discarded; the file says how many bytes there are, and its
time when they were last used.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from typing import Any, Dict, List, Optional, Tuple

from . import processes
from .layout import Layout
from .staging import StageError, unpack

__all__ = ["COMPLETE", "Preparation", "Preparations"]

COMPLETE = ".complete"
_TOLD_BYTES = 2000
Failure = Tuple[str, str]
"""Cause and message."""


class Preparation:
    """One thing that is being made: wait until `reader` can be read, then call `finish`."""

    def __init__(self, key: str, pid: int, reader: int) -> None:
        self.key = key
        self.reader = reader
        self._pid = pid
        self._told = b""

    def finish(self) -> Tuple[bool, Optional[Failure]]:
        """Whether it is over, and then why it failed, if it did."""
        chunk = os.read(self.reader, 65536)
        if chunk:
            self._told += chunk
            return False, None
        os.close(self.reader)
        os.waitpid(self._pid, 0)
        if not self._told:
            return True, ("lost", "the process that prepared %s was killed" % self.key)
        cause, message = json.loads(self._told)
        return True, (cause, message) if cause else None


class Preparations:
    """Says what a launch needs first, and starts the making of it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def missing(self, launch: Dict[str, Any]) -> List[str]:
        """Directories that must be made before this launch."""
        wanted = []
        if launch.get("bundle"):
            wanted.append(self._layout.bundle(launch["bundle"]["sha256"]))
        environment = launch.get("environment") or {}
        if environment.get("kind") == "python":
            wanted.append(self._layout.environment(environment["digest"]))
        return [path for path in wanted if not _use(os.path.join(path, COMPLETE))]

    def start(self, path: str, launch: Dict[str, Any]) -> Preparation:
        """Start making the directory `path`, as `launch` describes it."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid:
            os.close(writer)
            return Preparation(path, pid, reader)
        try:
            os.setsid()
            processes.close_others(writer)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            failure = self._make(path, launch)
            os.write(writer, json.dumps(failure or ("", "")).encode())
        finally:
            os._exit(0)

    def _make(self, path: str, launch: Dict[str, Any]) -> Optional[Failure]:
        lock = os.open(
            self._layout.path("run", "making." + os.path.basename(path)),
            os.O_RDWR | os.O_CREAT,
            0o600,
        )
        fcntl.lockf(lock, fcntl.LOCK_EX)  # a killed agent's child may still be at it
        if os.path.exists(os.path.join(path, COMPLETE)):
            return None
        self._layout.discard(path)
        cause = "stage-in"
        try:
            os.mkdir(path, 0o700)
            if path.startswith(self._layout.path("bundles")):
                with open(self._layout.cached(launch["bundle"]["sha256"]), "rb") as archive:
                    unpack(archive, path)
            else:
                cause = "environment"
                self._make_environment(path, launch["environment"])
        except FileNotFoundError:
            failure = ("stage-in", "the algorithm's files are not in the cache")
        except OSError as exc:
            failure = ("no-space" if exc.errno in (28, 122) else cause, str(exc))
        except (StageError, _BuildError) as exc:
            failure = (cause, str(exc))
        except Exception as exc:
            failure = (cause, "cannot be unpacked: %s" % exc)
        else:
            with open(os.path.join(path, COMPLETE), "w") as stream:
                stream.write("%d" % _size(path))
            return None
        self._layout.discard(path)
        return failure

    def _make_environment(self, path: str, environment: Dict[str, Any]) -> None:
        wheels = os.path.join(path, "wheels")
        _run([sys.executable, "-m", "venv", "--without-pip", path], path)
        os.mkdir(wheels)
        with open(self._layout.cached(environment["wheels"]["sha256"]), "rb") as archive:
            unpack(archive, wheels)
        found = [os.path.join(top, name) for top, _, names in os.walk(wheels) for name in names]
        pip = [file for file in found if os.path.basename(file).startswith("pip-")]
        if not pip:
            raise _BuildError("the wheels hold no pip")
        links = sorted({os.path.dirname(file) for file in found})
        _run(
            [os.path.join(path, "bin", "python"), os.path.join(pip[0], "pip")]
            + ["install", "--no-index", "--no-deps", "--no-input", "--no-cache-dir", "--quiet"]
            + ["--disable-pip-version-check", "--no-warn-script-location"]
            + ["--find-links=" + link for link in links]
            + list(environment["requirements"]),
            path,
        )
        for file in found:
            os.unlink(file)


def _use(path: str) -> bool:
    """Whether a file is there; its time becomes now."""
    try:
        os.utime(path)
    except OSError:
        return os.path.exists(path)
    return True


def _size(directory: str) -> int:
    files = (os.path.join(top, name) for top, _, names in os.walk(directory) for name in names)
    return sum(os.lstat(file).st_size for file in files)


class _BuildError(Exception):
    pass


def _run(argv: List[str], directory: str) -> None:
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": directory, "TMPDIR": directory}
    done = subprocess.run(
        argv,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        told = done.stdout.decode("utf-8", "replace").strip()[-_TOLD_BYTES:]
        raise _BuildError("the python environment cannot be built: %s" % told)
