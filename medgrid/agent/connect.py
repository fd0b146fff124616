"""The bridge: gives the agent the two ends of our client's stream, then waits.

It starts the agent when none runs, or when the one that runs belongs to an older build.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Dict, Optional

from medgrid import __version__

from . import PROTOCOL
from .client import attach
from .layout import Layout
from .starting import archive_digest, start_daemon

__all__ = ["connect"]

_DEADLINE_S = 30.0


def connect(root: str) -> int:
    """Bridge standard input and output to the agent of `root`; an exit code."""
    layout = Layout(root)
    try:
        layout.make()
    except OSError as exc:
        kind = "no-space" if exc.errno in (28, 122) else "failed"
        return _fail({"kind": kind, "message": "%s: %s" % (root, exc.strerror)})
    hello = {"protocol": PROTOCOL, "version": __version__, "digest": archive_digest()}
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline:
        connection = _reach(layout)
        if connection is None:
            problem = start_daemon(layout)
            if problem is not None:
                return _fail(problem)
            continue
        with connection:
            attach(connection, hello, [0, 1])
            if connection.recv(1) != b"h":  # it handed over to us: start our own
                return 0
    return _fail({"kind": "failed", "message": "the agent does not start"})


def _reach(layout: Layout) -> Optional[socket.socket]:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(layout.socket)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    return connection


def _fail(problem: Dict[str, str]) -> int:
    os.write(1, json.dumps({"error": problem}).encode() + b"\n")
    return 1
