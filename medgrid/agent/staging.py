"""Bytes of the cache put into a job's directory; tars unpacked with suspicion."""

from __future__ import annotations

import os
import tarfile
from typing import Any, Dict, List, Optional, Tuple

from .layout import Layout

__all__ = ["StageError", "changed_inputs", "place_inputs", "unpack"]

_LINK_FROM_BYTES = 64 << 20  # larger files are hard-linked and checked afterwards, others copied
_CHUNK_BYTES = 1 << 20

Stamp = Tuple[int, int]
"""Size and modification time (ns) of a cached file that a job shares."""


class StageError(Exception):
    """An input cannot be put in place; the text says which and why."""


def place_inputs(layout: Layout, work: str, launch: Dict[str, Any]) -> Dict[str, Stamp]:
    """Put inputs and text files of a launch into directory `work`.

    Returns
    -------
    dict
        Digest -> stamp of the cached files that are shared with the job, not copied.

    Raises
    ------
    StageError
        An input is not in the cache, or its path leads out of `work`.
    OSError
        The disk is full or broken.
    """
    shared: Dict[str, Stamp] = {}
    for wanted in launch.get("inputs", ()):
        target = inside(work, wanted["path"])
        cached = layout.cached(wanted["sha256"])
        try:
            os.makedirs(target if wanted.get("unpack") else os.path.dirname(target), exist_ok=True)
            if wanted.get("unpack"):
                unpack(cached, target)
            else:
                stamp = _place(cached, target)
                if stamp is not None:
                    shared[wanted["sha256"]] = stamp
        except FileNotFoundError as exc:
            raise StageError("input %s is not in the cache" % wanted["path"]) from exc
        except tarfile.TarError as exc:
            raise StageError("input %s is not a tar: %s" % (wanted["path"], exc)) from exc
    for path, text in launch.get("texts", {}).items():
        target = inside(work, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w", encoding="utf-8") as stream:
            stream.write(text)
    return shared


def changed_inputs(layout: Layout, shared: Dict[str, Stamp]) -> List[str]:
    """Digests of shared cached files that somebody changed; they are dropped from the cache."""
    changed = []
    for sha256, stamp in shared.items():
        path = layout.cached(sha256)
        try:
            if _stamp(path) == stamp:
                continue
        except OSError:
            pass
        changed.append(sha256)
        layout.discard(path)
    return changed


def inside(top: str, relative: str) -> str:
    """Absolute path of `relative` below `top`.

    Raises
    ------
    StageError
        It would lie elsewhere.
    """
    parts = relative.split("/")
    if os.path.isabs(relative) or ".." in parts or "\0" in relative or not relative:
        raise StageError("path %r leads out of the job's directory" % relative)
    return os.path.join(top, relative)


def _stamp(path: str) -> Stamp:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def _place(source: str, target: str) -> Optional[Stamp]:
    stamp = _stamp(source)
    if stamp[0] >= _LINK_FROM_BYTES:
        try:
            os.link(source, target)
            return stamp
        except OSError:  # another file system, or one without hard links
            pass
    _copy(source, target)
    return None


def _copy(source: str, target: str) -> None:
    reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        try:
            while os.sendfile(writer, reader, None, 1 << 30):
                pass
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def unpack(archive: str, target: str) -> None:
    """Unpack the regular files and directories of a tar into directory `target`.

    Owners, times and special modes are not kept. Links, devices and paths that lead out of
    `target` are refused.

    Raises
    ------
    StageError
        The tar holds such a thing.
    tarfile.TarError, OSError
        It cannot be read, or its members not written.
    """
    with tarfile.open(archive, "r|*") as tar:
        for member in tar:
            path = inside(target, member.name.rstrip("/"))
            if member.isdir():
                os.makedirs(path, exist_ok=True)
                continue
            if not member.isreg():
                raise StageError("tar member %r is neither file nor directory" % member.name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            mode = 0o500 if member.mode & 0o111 else 0o400
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            source = tar.extractfile(member)
            assert source is not None
            with open(os.open(path, flags, mode), "wb") as stream:
                while True:
                    chunk = source.read(_CHUNK_BYTES)
                    if not chunk:
                        break
                    stream.write(chunk)
