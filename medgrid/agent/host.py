"""What the agent tells of its host, what jobs inherit from it, and its log."""

from __future__ import annotations

import os
import platform
import sys
import time
from typing import Any, Dict

from . import libcrypto, processes
from .container import runtimes
from .layout import Layout, list_directory

__all__ = ["base_environment", "describe", "empty_trash_aside", "log", "python_tags"]

_INHERITED = ("PATH", "LANG", "TZ", "USER", "LOGNAME", "LD_LIBRARY_PATH")
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
CIPHER = "x25519_chacha20_ietf_poly1305"
_LOG_BYTES = 1 << 20


def base_environment() -> Dict[str, str]:
    """Variables that every job gets: few, and none of the connection's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith("LC_")
    }
    kept.setdefault("PATH", _DEFAULT_PATH)
    return kept


def python_tags() -> "tuple[str, str]":
    """Interpreter and platform tags of wheels this host's python takes (PEP 425, 600, 656)."""
    interpreter = "cp%d%d" % sys.version_info[:2]
    machine = platform.machine()
    try:
        library, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        library, version = "", ""
    if library == "glibc":
        return interpreter, "manylinux_%s_%s" % ("_".join(version.split(".")[:2]), machine)
    return interpreter, "musllinux_1_2_%s" % machine


def describe(path: str) -> Dict[str, Any]:
    """Fixed facts about this host."""
    return {
        "python": platform.python_version(),
        "python_tags": python_tags(),
        "hostname": platform.node(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "runtimes": runtimes(path),
        "path": path,
        "ciphers": [CIPHER] if libcrypto.load() is not None else [],
    }


def empty_trash_aside(layout: Layout) -> None:
    """Delete discarded files in a process of its own: it may take long."""
    if not list_directory(layout.trash):
        return
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    try:
        processes.close_others()
        if os.fork() == 0:  # the grandchild is nobody's to wait for
            os.nice(10)
            layout.empty_trash()
    finally:
        os._exit(0)


def log(message: str) -> None:
    """Write to the agent's log (its standard error), which starts anew at 1 MiB; if it can be."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S")
    try:
        if os.fstat(2).st_size > _LOG_BYTES:
            os.ftruncate(2, 0)
        os.write(2, ("%s %s\n" % (stamp, message)).encode("utf-8", "replace"))
    except OSError:  # on a full disk the agent goes on
        pass
