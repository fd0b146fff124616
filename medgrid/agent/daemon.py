"""The agent from its start on: take the lock, recover, listen."""

from __future__ import annotations

import errno
import fcntl
import gc
import json
import os
import secrets
import selectors
import socket
import time
import traceback
from typing import Any, Optional

from medgrid import __version__

from . import PROTOCOL, host, processes
from .attempts import Attempts
from .journal import Journal
from .layout import Layout, read_json, sync_directory, write_json
from .server import Server
from .starting import archive_digest

__all__ = ["serve"]

_GARBAGE_AFTER = 20_000  # objects: little of what the agent makes is in cycles
_LOCK_WAIT_S = 10.0


def serve(root: str, ready: int) -> None:
    """Be the agent of `root`; write to descriptor `ready` when listening, or why not.

    Returns when idle, after a handover, or when another agent has the lock.
    """
    layout = Layout(root)
    try:
        layout.make()
        server = _set_up(layout)
    except Exception as exc:
        traceback.print_exc()
        number = getattr(exc, "errno", None)
        kind = "no-space" if number in (errno.ENOSPC, errno.EDQUOT) else "failed"
        os.write(ready, json.dumps({"kind": kind, "message": str(exc) or repr(exc)}).encode())
        return
    os.write(ready, b"null")
    os.close(ready)
    if server is not None:
        try:
            server.run()
        except BaseException:
            host.log(traceback.format_exc())
            raise


def _set_up(layout: Layout) -> Optional[Server]:
    if not _lock(layout):
        return None
    boot = processes.boot_id()
    state = read_json(layout.path("run", "state")) or {}
    rebooted = state.get("boot") not in (None, boot)
    if rebooted:  # what was written shortly before a crash may be torn
        for name in ("cache", "bundles", "environments"):
            layout.discard(layout.path(name))
        layout.make()
    journal = Journal(layout.journal, layout.ballast)
    sync_directory(layout.root)
    agent_id = _agent_id(journal)
    write_json(layout.path("run", "state"), processes.identity(os.getpid(), boot), durable=True)
    base_env = host.base_environment()
    selector = selectors.DefaultSelector()
    attempts = Attempts(layout, journal, selector, agent_id, boot, base_env)
    attempts.recover(rebooted)
    journal.commit()
    gc.freeze()  # what is here stays; keepers share it
    gc.set_threshold(_GARBAGE_AFTER)
    about = host.describe(base_env["PATH"])
    about.update(
        agent_id=agent_id,
        agent_digest=archive_digest(),
        boot_id=boot,
        protocol=PROTOCOL,
        version=__version__,
    )
    server = Server(layout, _listen(layout), journal, attempts, selector, about)
    server.stop_on_signals()
    return server


def _lock(layout: Layout) -> bool:
    """Take the lock of the root; False when another agent keeps it."""
    lock = os.open(layout.lock, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            if _answers(layout) or time.monotonic() > deadline:
                _refuse_shared_root(lock)
                os.close(lock)
                return False
            time.sleep(0.02)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, socket.gethostname().encode(), 0)
            return True


def _refuse_shared_root(lock: int) -> None:
    holder = os.pread(lock, 256, 0).decode("utf-8", "replace")
    if holder and holder != socket.gethostname():
        raise RuntimeError(
            "the agent's directory is in use on host %s: give each worker its own (option root)"
            % holder
        )


def _answers(layout: Layout) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(layout.socket)
        except OSError:
            return False
    return True


def _listen(layout: Layout) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.unlink(layout.socket)
    except FileNotFoundError:
        pass
    listener.bind(layout.socket)
    listener.listen(64)
    listener.setblocking(False)
    return listener


def _agent_id(journal: Journal) -> str:
    for _, record in journal.records():
        found: Any = record.get("agent_id")
        if found:
            return str(found)
        break
    agent_id = secrets.token_hex(8)
    journal.append({"event": "journal", "agent_id": agent_id})
    journal.commit()
    return agent_id
