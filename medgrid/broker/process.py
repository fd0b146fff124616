"""The broker as a process: who it is, whether it lives, starting one in the background."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import medgrid
from medgrid.catalog.leases import LeaseHolder
from medgrid.config import Settings, private_dir
from medgrid.errors import Unreachable

__all__ = [
    "gone_process",
    "has_begun",
    "is_starting",
    "last_error",
    "own_process",
    "start_in_background",
]

LOG_NAME = "broker.log"
MARK_NAME = "broker.start"
_START = 'mark=$1; shift; : >"$mark" || exit 1; "$@" & echo $! >"$mark"'
_STARTING_S = 3.0
_SLOW_START_S = 60.0
_LOG_TAIL_BYTES = 4096
_LAST_LINES = 3
_LOG_MAX_BYTES = 5 * 1024 * 1024
_KEPT = (
    "HOME",
    "LANG",
    "LOGNAME",
    "PATH",
    "SSH_AUTH_SOCK",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CACHE_HOME",
)
_KEPT_STARTS = ("LC_", "MEDGRID_", "PG", "PIP_", "PYTHON", "SSL_")


def own_process() -> tuple[str, str]:
    """This process, for people and for programs."""
    pid = os.getpid()
    return f"{socket.gethostname()} pid {pid}", f"{_machine()}/{pid}/{_start_of(pid)}"


def gone_process(holder: LeaseHolder | None) -> str | None:
    """Identity of the holder's process when it is known to be dead, else None."""
    if holder is None:
        return None
    machine, _, rest = holder.process.partition("/")
    pid, _, start = rest.partition("/")
    if not machine or machine != _machine() or not pid.isdigit():
        return None
    return holder.process if _start_of(int(pid)) != start else None


def _machine() -> str:
    """Identity of this boot of this machine, and of the process namespace; empty if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - no path there
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    """When a process started, in clock ticks after boot; empty when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def is_starting(settings: Settings) -> bool:
    """Whether a broker that was started in the background is on its way to the lease."""
    mark = settings.log_dir / MARK_NAME
    try:
        age_s = abs(time.time() - mark.stat().st_mtime)
        pid = mark.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return False
    if age_s < _STARTING_S:
        return True
    return age_s < _SLOW_START_S and pid.isdigit() and bool(_start_of(int(pid)))


def has_begun(settings: Settings) -> None:
    """Say that a broker has the lease: one that ends soon must not be taken for one that starts."""
    with suppress(OSError):
        (settings.log_dir / MARK_NAME).unlink()


def last_error(settings: Settings) -> str:
    """Why the last broker started in the background ended, when it ended by an error."""
    try:
        with (settings.log_dir / LOG_NAME).open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines[-_LAST_LINES:]):
        _, found, text = line.partition("medgrid: error: ")
        if found:
            return text
    return ""


def start_in_background(settings: Settings) -> None:
    """Start ``medgrid broker run`` so that it outlives this process, its terminal and its pipes.

    Two that are started at once do no harm: one gets the lease, the other ends.

    Raises
    ------
    MedgridError
        Its log cannot be written, or no process can be started.
    """
    log = private_dir(settings.log_dir) / LOG_NAME
    env = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.startswith(_KEPT_STARTS)
    }
    env["MEDGRID_HOME"] = str(settings.home)
    package = str(Path(medgrid.__file__).resolve().parent.parent)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (package, env.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "medgrid", "broker", "run", "--background"]
    try:
        if log.exists() and log.stat().st_size > _LOG_MAX_BYTES:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as stream:
            # the shell ends at once, so that the broker is nobody's child
            done = subprocess.run(
                ["/bin/sh", "-c", _START, "sh", str(log.with_name(MARK_NAME)), *command],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                close_fds=True,
                start_new_session=True,
                cwd="/",
                env=env,
                check=False,
            )
    except OSError as exc:
        raise Unreachable(
            f"no broker can be started: {log}: {os.strerror(exc.errno or 0).lower()}"
        ) from exc
    if done.returncode != 0:
        raise Unreachable(f"no broker can be started, see {log}")
