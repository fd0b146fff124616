"""What a process can do so that its memory does not reach a disk or another process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource

from .layout import list_directory

__all__ = ["avoid_swap", "drop_empty_groups", "forbid_core_dumps", "hide_memory"]

_PR_SET_DUMPABLE = 4
_LOCK_ALL = 1 | 2 | 4  # MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT
_CAP_IPC_LOCK = 14
_CGROUPS = "/sys/fs/cgroup"
_GROUP = "medgrid."


def forbid_core_dumps() -> None:
    """Let neither this process nor its children leave their memory on the disk.

    A limit of 0 still lets a program that collects core dumps have them through its pipe; 1 is the
    value by which the kernel forbids that too (core(5), ``do_coredump``). It is too small for a
    file.
    """
    with contextlib.suppress(ValueError, OSError):  # the limit is 0 already
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def hide_memory() -> None:
    """Keep other processes of this user from reading our memory, and ours from being swapped.

    The latter only where this user may lock any amount: with a limit, some later allocation would
    fail.
    """
    library = ctypes.CDLL(None)
    with contextlib.suppress(AttributeError):
        library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if limit == resource.RLIM_INFINITY or _may_lock():
        with contextlib.suppress(AttributeError):
            library.mlockall(_LOCK_ALL)


def _may_lock() -> bool:
    with contextlib.suppress(OSError, ValueError), open("/proc/self/status") as stream:
        for line in stream:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_IPC_LOCK & 1)
    return False


def avoid_swap(cgroups: str = _CGROUPS) -> bool:
    """Move this process to a control group whose memory, files on tmpfs included, stays in memory.

    Returns
    -------
    bool
        Whether it did: only where there is swap, and a group that was given into our hands
        (cgroup v2, ``memory.swap.max``).
    """
    if not _has_swap():
        return False
    own = _own_group()
    if own is None:
        return False
    for above in (own, os.path.dirname(own)):
        if _swapless_group(os.path.join(cgroups, above.lstrip("/"))):
            return True
    return False


def _swapless_group(above: str) -> bool:
    path = os.path.join(above, "%s%d" % (_GROUP, os.getpid()))
    try:
        with open(os.path.join(above, "cgroup.subtree_control")) as stream:
            if "memory" not in stream.read().split():
                return False
        os.mkdir(path)
    except OSError:
        return False
    try:
        for name, value in (("memory.swap.max", "0"), ("cgroup.procs", str(os.getpid()))):
            with open(os.path.join(path, name), "w") as stream:
                stream.write(value)
    except OSError:
        with contextlib.suppress(OSError):
            os.rmdir(path)
        return False
    return True


def _has_swap() -> bool:
    try:
        with open("/proc/swaps") as stream:
            return len(stream.readlines()) > 1
    except OSError:
        return False


def _own_group() -> "str | None":
    """Our control group in the unified hierarchy."""
    with contextlib.suppress(OSError), open("/proc/self/cgroup") as stream:
        for line in stream:
            if line.startswith("0::"):
                return line[3:].strip()
    return None


def drop_empty_groups(cgroups: str = _CGROUPS) -> None:
    """Remove the control groups of processes that are gone."""
    own = _own_group()
    for above in () if own is None else (own, os.path.dirname(own)):
        folder = os.path.join(cgroups, above.lstrip("/"))
        for name in list_directory(folder):
            if name.startswith(_GROUP):
                with contextlib.suppress(OSError):  # it has processes
                    os.rmdir(os.path.join(folder, name))
