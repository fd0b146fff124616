"""What a job wrote: found by globs, measured and digested; nothing outside its directory."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from typing import Any, Dict, List, Tuple

__all__ = ["OutputProblem", "digest_file", "find_outputs"]

_CHUNK_BYTES = 1 << 20


class OutputProblem(Exception):
    """An output is missing or may not be taken; the text says which and why."""


def find_outputs(work: str, patterns: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Outputs of a job in directory `work`, in order of `patterns`, then of name.

    Raises
    ------
    OutputProblem
        One is missing, is there several times, or lies outside `work`.
    """
    found: List[Dict[str, Any]] = []
    if not patterns:
        return found
    top = os.path.realpath(work)
    for pattern in patterns:
        role, wanted = pattern["role"], pattern["glob"]
        if os.path.isabs(wanted) or ".." in wanted.split("/"):
            raise OutputProblem("output %s: %r leads out of the job's directory" % (role, wanted))
        paths = sorted(glob.glob(os.path.join(glob.escape(top), wanted), recursive=True))
        names = [os.path.relpath(path, top) for path in paths if not os.path.isdir(path)]
        if not names and not pattern.get("optional"):
            raise OutputProblem("output %s: no file matches %r" % (role, wanted))
        if len(names) > 1 and not pattern.get("is_list"):
            raise OutputProblem(
                "output %s: %d files match %r, expected one" % (role, len(names), wanted)
            )
        for name in names:
            size, sha256 = digest_file(open_inside(top, name, role))
            found.append({"role": role, "path": name, "size_bytes": size, "sha256": sha256})
    return found


def open_inside(top: str, name: str, role: str = "") -> int:
    """Open the regular file `name`, which must lie below `top` also after symlinks.

    Raises
    ------
    OutputProblem
        It does not, or is no regular file.
    """
    real = os.path.realpath(os.path.join(top, name))
    if not real.startswith(top + os.sep):
        raise OutputProblem("output %s: %r leads out of the job's directory" % (role, name))
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise OutputProblem(
            "output %s: %r cannot be read: %s" % (role, name, exc.strerror)
        ) from exc
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OutputProblem("output %s: %r is not a regular file" % (role, name))
    return descriptor


def digest_file(descriptor: int) -> Tuple[int, str]:
    """Size and SHA-256 of an open file, which gets closed."""
    digest = hashlib.sha256()
    size = 0
    with open(descriptor, "rb", buffering=0) as stream:
        while True:
            chunk = stream.read(_CHUNK_BYTES)
            if not chunk:
                return size, digest.hexdigest()
            size += len(chunk)
            digest.update(chunk)
