"""What a job wrote: found by globs, measured and digested; nothing outside its directory."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from typing import Any, Callable, Dict, List, Optional, Tuple

from .limits import size_text

__all__ = ["OutputProblem", "TooLarge", "find_outputs", "open_inside"]

_CHUNK_BYTES = 1 << 20


Take = Callable[[Dict[str, Any], str, int], Dict[str, Any]]
"""Given a pattern, a file's name and its open descriptor, which it closes: the output's fields."""


class OutputProblem(Exception):
    """An output is missing or may not be taken; the text says which and why.

    `neutral` says it without the name of a file that the job wrote.
    """

    def __init__(self, text: str, neutral: Optional[str] = None) -> None:
        super().__init__(text)
        self.neutral = text if neutral is None else neutral


class TooLarge(OutputProblem):
    """The outputs are larger than they may be."""


def measure(pattern: Dict[str, Any], name: str, descriptor: int) -> Dict[str, Any]:
    """Fields of an output that stays as it is."""
    size, sha256 = digest_file(descriptor)
    return {"role": pattern["role"], "path": name, "size_bytes": size, "sha256": sha256}


def find_outputs(
    work: str,
    patterns: List[Dict[str, Any]],
    take: Take = measure,
    limit_bytes: Optional[int] = None,
) -> List[Dict[str, Any]]:
    """Outputs of a job in directory `work`, in order of `patterns`, then of name.

    Parameters
    ----------
    take : callable
        Makes the fields of each.
    limit_bytes : int, optional
        What they may hold together; nothing is taken when they hold more.

    Raises
    ------
    TooLarge
        They hold more.
    OutputProblem
        One is missing, is there several times, or lies outside `work`.
    """
    found: List[Dict[str, Any]] = []
    if not patterns:
        return found
    top = os.path.realpath(work)
    wanted: List[Tuple[Dict[str, Any], str]] = []
    total = 0
    for pattern in patterns:
        role, shape = pattern["role"], pattern["glob"]
        if os.path.isabs(shape) or ".." in shape.split("/"):
            raise OutputProblem("output %s: %r leads out of the job's directory" % (role, shape))
        paths = sorted(glob.glob(os.path.join(glob.escape(top), shape), recursive=True))
        names = [os.path.relpath(path, top) for path in paths if not os.path.isdir(path)]
        if not names and not pattern.get("optional"):
            raise OutputProblem("output %s: no file matches %r" % (role, shape))
        if len(names) > 1 and not pattern.get("is_list"):
            raise OutputProblem(
                "output %s: %d files match %r, expected one" % (role, len(names), shape)
            )
        wanted.extend((pattern, name) for name in names)
        if limit_bytes is not None:
            for name in names:
                descriptor = open_inside(top, name, role)
                total += os.fstat(descriptor).st_size
                os.close(descriptor)
    if limit_bytes is not None and total > limit_bytes:
        raise TooLarge("outputs of %s, limit %s" % (size_text(total), size_text(limit_bytes)))
    for pattern, name in wanted:
        found.append(take(pattern, name, open_inside(top, name, pattern["role"])))
    return found


def open_inside(top: str, name: str, role: str = "") -> int:
    """Open the regular file `name`, which must lie below `top` also after symlinks.

    Raises
    ------
    OutputProblem
        It does not, or is no regular file.
    """
    real = os.path.realpath(os.path.join(top, name))

    def problem(what: str) -> OutputProblem:
        return OutputProblem(
            "output %s: %r %s" % (role, name, what), "output %s: a file %s" % (role, what)
        )

    if not real.startswith(top + os.sep):
        raise problem("leads out of the job's directory")
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise problem("cannot be read: %s" % exc.strerror) from exc
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise problem("is not a regular file")
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
