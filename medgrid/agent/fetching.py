"""Bytes that this host fetches by itself from a storage element, with a key of its own site."""

import errno
import os
import re
import shutil
import subprocess
from typing import Any, Callable, Dict, List, Tuple

from .layout import Layout, is_sha256
from .receiving import CHUNK_BYTES, Incoming, problem

__all__ = ["fetch"]

_LOOK_S = 0.5
_NO_SPACE = "No space left"
_TIMES = ("ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=3")
_SAFE = ("BatchMode=yes", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "ForwardAgent=no")
_HOST = re.compile(r"[A-Za-z0-9_.:%-]+")


def fetch(layout: Layout, request: Dict[str, Any], waiting: Callable[[], None]) -> Dict[str, Any]:
    """Fetch ``files`` (``sha256``, ``size_bytes``, ``path``) from ``source`` into the cache.

    Parameters
    ----------
    waiting : callable
        Called again and again meanwhile.

    Returns
    -------
    dict
        ``problems`` of the files that could not be had; ``is_out_of_reach`` when the host itself
        is.
    """
    folder = layout.part("fetch.%d" % os.getpid())
    shutil.rmtree(folder, ignore_errors=True)
    try:
        os.makedirs(folder, 0o700)
        said, code = _sftp(folder, request, waiting)
        problems = [found for one in request["files"] for found in _keep(layout, folder, one, said)]
    except OSError as exc:
        kind = "no-space" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else "unreadable"
        said, code = exc.strerror or str(exc), 255
        problems = [problem(kind, one["sha256"], said) for one in request["files"]]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"problems": problems, "is_out_of_reach": bool(problems) and code == 255}


def _sftp(folder: str, request: Dict[str, Any], waiting: Callable[[], None]) -> Tuple[str, int]:
    source = request["source"]
    if not _HOST.fullmatch(source["host"]) or source["host"].startswith("-"):
        raise ValueError("not a host")
    command = ["sftp", "-b", "-", "-P", str(int(source["port"]))]
    for option in _SAFE + _TIMES:
        command += ["-o", option]
    command += ["-o", "IdentityFile=%s" % os.path.expanduser(source["identity"])]
    if source.get("user"):
        command += ["-o", "User=%s" % source["user"]]
    command.append("[%s]" % source["host"] if ":" in source["host"] else source["host"])
    orders = [
        "-get %s %s" % (_quoted(one["path"]), _quoted(os.path.join(folder, _digest(one))))
        for one in request["files"]
    ]
    with open(os.path.join(folder, "said"), "w+b") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
        )
        assert process.stdin is not None
        try:
            process.stdin.write(("\n".join(orders) + "\n").encode())
            process.stdin.close()
        except BrokenPipeError:
            pass
        while True:
            try:
                code = process.wait(_LOOK_S)
                break
            except subprocess.TimeoutExpired:
                waiting()
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").splitlines()
    lines = [line for line in lines if line.strip() and not line.startswith("Connection closed")]
    return (lines[-1] if lines else "sftp ended with code %d" % code), code


def _keep(layout: Layout, folder: str, wanted: Dict[str, Any], said: str) -> List[Dict[str, str]]:
    """Put one fetched file into the cache if it is what it should be."""
    sha256 = _digest(wanted)
    path = os.path.join(folder, sha256)
    if not os.path.exists(path):
        kind = "no-space" if _NO_SPACE in said else "unreadable"
        return [] if os.path.exists(layout.cached(sha256)) else [problem(kind, sha256, said)]
    incoming = Incoming(layout, sha256)
    with open(path, "rb", buffering=0) as source:
        os.unlink(path)
        while True:
            chunk = source.read(CHUNK_BYTES)
            if not chunk:
                return incoming.finish()
            incoming.write(chunk)


def _quoted(path: str) -> str:
    return '"%s"' % path.replace("\\", "\\\\").replace('"', '\\"')


def _digest(wanted: Dict[str, Any]) -> str:
    if not is_sha256(wanted["sha256"]):
        raise ValueError("not a digest")
    return str(wanted["sha256"])
