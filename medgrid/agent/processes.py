"""Processes: who they are, what they use, and how a whole family of them is ended.

A process is known by its pid, its start time (field 22 of ``/proc/PID/stat``, proc(5)) and the
boot id of its host, since pids are used again.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import time
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

__all__ = [
    "MARKER",
    "alive",
    "boot_id",
    "become_subreaper",
    "close_others",
    "descendants",
    "find_program",
    "go_on",
    "identity",
    "kill_marked",
    "resident_bytes",
    "stop_below",
]

MARKER = "MEDGRID_ATTEMPT"
"""Environment variable by which the processes of an attempt are found whatever they do."""

_PR_SET_CHILD_SUBREAPER = 36
_STOP_DEADLINE_S = 0.5
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_KILL_DEADLINE_S = 3.0

_found: Dict[Tuple[str, str], str] = {}


def boot_id() -> str:
    """Random id of the host's current boot."""
    with open("/proc/sys/kernel/random/boot_id") as stream:
        return stream.read().strip()


def _stat(pid: int) -> Optional[List[str]]:
    """Fields of ``/proc/PID/stat`` from the state on; None when there is no such process."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stream:
            text = stream.read().decode("ascii", "replace")
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def identity(pid: int, boot: str) -> Dict[str, Any]:
    """What a process is known by; start 0 when it is gone already."""
    fields = _stat(pid)
    return {"pid": pid, "start": int(fields[19]) if fields else 0, "boot": boot}


def alive(known: Optional[Dict[str, Any]], boot: str) -> bool:
    """Whether the process of this `identity` still runs (a zombie does not)."""
    if not known or known.get("boot") != boot:
        return False
    fields = _stat(int(known["pid"]))
    return fields is not None and fields[0] not in "ZX" and int(fields[19]) == known["start"]


def become_subreaper() -> None:
    """Become the parent of all orphans below this process, daemons included (Linux >= 3.4)."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass


def find_program(name: str, path: str) -> Optional[str]:
    """Where a program is on a search path, None when nowhere; what was found once soon again."""
    found = _found.get((name, path))
    if found is None or not os.access(found, os.X_OK):
        found = shutil.which(name, path=path)
        if found is not None:
            _found[name, path] = found
    return found


def _pids() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            yield int(name)


def _children(pid: int) -> List[int]:
    found: List[int] = []
    try:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task)) as stream:
                found.extend(int(word) for word in stream.read().split())
    except FileNotFoundError:
        if os.path.exists("/proc/%d" % pid) and not os.path.exists("/proc/self/task/self/children"):
            return _children_by_scan(pid)
    except OSError:
        pass
    return found


def _children_by_scan(pid: int) -> List[int]:
    parent = str(pid)
    return [one for one in _pids() if (_stat(one) or ["", ""])[1] == parent]


def descendants(pid: int) -> List[int]:
    """Pids of all processes below `pid`, parents first."""
    found: List[int] = []
    todo = [pid]
    while todo:
        children = _children(todo.pop())
        found.extend(children)
        todo.extend(children)
    return found


def stop_below(pid: int) -> Optional[List[int]]:
    """Stop all processes below `pid`; which were stopped, None when one of them cannot be."""
    stopped: List[int] = []
    deadline = time.monotonic() + _STOP_DEADLINE_S
    while True:
        states = {one: (_stat(one) or ["Z"])[0] for one in descendants(pid)}
        moving = [one for one, state in states.items() if state not in "TtZX"]
        if not moving or time.monotonic() > deadline:  # the kernel holds what has not stopped yet
            return stopped
        for one in moving:
            try:
                os.kill(one, signal.SIGSTOP)
            except ProcessLookupError:
                continue
            except PermissionError:
                go_on(stopped)
                return None
            if one not in stopped:
                stopped.append(one)
        time.sleep(0.001)


def go_on(pids: Iterable[int]) -> None:
    """Let processes that `stop_below` stopped go on."""
    for pid in reversed(list(pids)):
        kill(pid, signal.SIGCONT)


def resident_bytes(pids: Iterable[int], limit: Optional[int] = None) -> int:
    """Memory that processes hold.

    The sum of their resident sets counts shared pages several times; when it passes `limit`, the
    proportional sets are summed instead.
    """
    pids = list(pids)
    total = sum(_resident(pid) for pid in pids)
    if limit is None or total <= limit:
        return total
    return sum(_proportional(pid) for pid in pids)


def _resident(pid: int) -> int:
    try:
        with open("/proc/%d/statm" % pid) as stream:
            return int(stream.read().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    try:
        with open("/proc/%d/smaps_rollup" % pid) as stream:
            for line in stream:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _resident(pid)


def _marked(value: str) -> List[int]:
    wanted = ("%s=%s" % (MARKER, value)).encode()
    found = []
    for pid in _pids():
        try:
            with open("/proc/%d/environ" % pid, "rb") as stream:
                if wanted in stream.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            continue
    return found


def kill_marked(value: str) -> bool:
    """Kill all processes whose `MARKER` is `value`; whether none is left."""
    deadline = time.monotonic() + _KILL_DEADLINE_S
    while True:
        pids = [pid for pid in _marked(value) if pid != os.getpid()]
        if not pids:
            return True
        for pid in pids:
            kill(pid)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a process that may be gone."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def close_others(*keep: int) -> None:
    """Close all descriptors but the standard ones and `keep`.

    A forked child that kept the agent's would keep its socket alive after it.
    """
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:  # the one that listed the directory
                pass


def kill_group(pgid: int, number: int = signal.SIGKILL) -> None:
    """Signal a process group that may be gone."""
    try:
        os.killpg(pgid, number)
    except (ProcessLookupError, PermissionError):
        pass
