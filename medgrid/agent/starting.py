"""Start of the agent by a bridge: detach it, and hear that it listens."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import Dict, List, Optional

from .layout import Layout

__all__ = ["archive_digest", "start_daemon"]


def archive_digest() -> str:
    """SHA-256 of the file this agent runs from."""
    with open(sys.argv[0], "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def start_daemon(layout: Layout) -> Optional[Dict[str, str]]:
    """Start ``serve`` detached, and wait until it listens; why it does not, if it does not."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                _detach(layout, [reader])
                argv = [sys.executable, "-I", "-S", sys.argv[0], "serve", layout.root, str(writer)]
                os.execv(sys.executable, argv)  # noqa: S606 - an argument list
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with open(reader, "rb") as stream:
        told = stream.read()
    if not told:
        return {"kind": "failed", "message": "the agent ended at its start: see %s" % layout.log}
    problem: Optional[Dict[str, str]] = json.loads(told)
    return problem


def _detach(layout: Layout, close: List[int]) -> None:
    nothing = os.open("/dev/null", os.O_RDWR)
    log = os.open(layout.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.dup2(log, 2)
    for descriptor in [*close, nothing, log]:
        if descriptor > 2:
            os.close(descriptor)
