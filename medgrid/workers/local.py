"""Engine ``local:``: an agent on this host, over the pipes of a child process."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
import tempfile
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from medgrid.config import Settings, private_dir
from medgrid.model import Worker
from medgrid.workers.bootstrap import COMMAND, Process, start_agent
from medgrid.workers.link import AgentLink

__all__ = ["LocalProcess", "open_local"]

_STDERR_KEPT_BYTES = 64 * 1024


class LocalProcess:
    """A child process whose two streams we hold."""

    def __init__(self, argv: list[str], scratch: Path) -> None:
        # lives as long as the process; a full /tmp is no reason to have no worker
        self._errors = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115
        self._child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )
        self.stdin = cast(BinaryIO, self._child.stdin)
        self.stdout = cast(BufferedReader, self._child.stdout)

    @property
    def stderr(self) -> bytes:
        """End of what the process wrote to standard error."""
        self._errors.seek(0)
        return self._errors.read()[-_STDERR_KEPT_BYTES:]

    def close(self) -> None:
        """Close its input, which ends it."""
        if self._child.returncode is None:
            with contextlib.suppress(OSError):
                self.stdin.close()
            self._child.terminate()
            self._child.wait()


def open_local(worker: Worker, settings: Settings) -> AgentLink:
    """Open a link to the agent of `worker` on this host.

    Its directory is the worker's option ``root``, by default in the grid home.
    """
    home = private_dir(settings.home) / "agent" / worker.name
    root = str(Path(worker.options.get("root") or home).expanduser().absolute())

    def open_stream(verb: str) -> Process:
        process = LocalProcess(shlex.split(COMMAND), settings.home)
        try:
            start_agent(
                process,
                worker.name,
                root,
                verb,
                str(worker.options.get("python") or sys.executable),
            )
        except BaseException:
            process.close()
            raise
        return process

    timeout_s = settings.connect_timeout_s + settings.keepalive_s
    return AgentLink(open_stream, lambda: None, worker.name, worker, timeout_s)
