"""The broker as a process: who it is, whether it lives, starting one in the background."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import medgrid
from medgrid.catalog.leases import LeaseHolder
from medgrid.config import Settings, private_dir

__all__ = ["gone_process", "own_process", "start_in_background"]

LOG_NAME = "broker.log"
_STARTING_S = 3.0
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


def start_in_background(settings: Settings) -> bool:
    """Start ``medgrid broker run`` so that it outlives this process, its terminal and its pipes.

    Two that are started at once do no harm: one gets the lease, the other ends. Still, none is
    started while another is on its way; False says so.
    """
    log = private_dir(settings.log_dir) / LOG_NAME
    mark = log.with_suffix(".start")
    try:
        if abs(time.time() - mark.stat().st_mtime) < _STARTING_S:
            return False
    except FileNotFoundError:
        pass
    mark.touch()
    if log.exists() and log.stat().st_size > _LOG_MAX_BYTES:
        log.replace(log.with_suffix(".log.1"))
    env = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.startswith(_KEPT_STARTS)
    }
    env["MEDGRID_HOME"] = str(settings.home)
    package = str(Path(medgrid.__file__).resolve().parent.parent)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (package, env.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "medgrid", "broker", "run", "--background"]
    with log.open("ab") as stream:
        # the shell ends at once, so that the broker is nobody's child
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            close_fds=True,
            start_new_session=True,
            cwd="/",
            env=env,
            check=False,
        )
    return True
