"""Bytes of the cache put into a job's directory; tars unpacked with suspicion."""

from __future__ import annotations

import base64
import io
import os
import tarfile
from typing import Any, BinaryIO, Dict, List, Optional, Tuple

from .crypt4gh import Opener
from .layout import Layout
from .libcrypto import CipherError, Libcrypto

__all__ = ["StageError", "changed_inputs", "place_inputs", "unpack"]

_LINK_FROM_BYTES = 64 << 20  # larger files are hard-linked and checked afterwards, others copied
_CHUNK_BYTES = 1 << 20

Stamp = Tuple[int, int]
"""Size and modification time (ns) of a cached file that a job shares."""


class StageError(Exception):
    """An input cannot be put in place; the text says which and why.

    `neutral` says it without what stands in the input; `cause` is that of the attempt.
    """

    def __init__(self, text: str, neutral: Optional[str] = None, cause: str = "stage-in") -> None:
        super().__init__(text)
        self.neutral = text if neutral is None else neutral
        self.cause = cause


def place_inputs(
    layout: Layout, work: str, launch: Dict[str, Any], library: Optional[Libcrypto] = None
) -> Dict[str, Stamp]:
    """Put inputs and text files of a launch into directory `work`.

    Parameters
    ----------
    library : Libcrypto, optional
        What opens the inputs that come with a key.

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
            if wanted.get("key"):
                assert library is not None
                _place_body(library, cached, target, wanted)
            elif wanted.get("unpack"):
                with open(cached, "rb") as archive:
                    unpack(archive, target)
            else:
                stamp = _place(cached, target)
                if stamp is not None:
                    shared[wanted["sha256"]] = stamp
        except FileNotFoundError as exc:
            raise StageError("input %s is not in the cache" % wanted["path"]) from exc
        except tarfile.TarError as exc:
            neutral = "input %s is not a tar" % wanted["path"]
            raise StageError("%s: %s" % (neutral, exc), neutral) from exc
        except CipherError as exc:
            layout.discard(cached)
            raise StageError("input %s: %s" % (wanted["path"], exc)) from exc
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


def _member_path(top: str, name: str) -> str:
    try:
        return inside(top, name)
    except StageError as exc:
        raise StageError(str(exc), "a tar member leads out of the job's directory") from exc


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


def _place_body(library: Libcrypto, cached: str, target: str, wanted: Dict[str, Any]) -> None:
    """Decrypt a cached body to file `target`, or as a tar into that directory."""
    with open(cached, "rb", buffering=0) as source:
        opener = Opener(
            library,
            base64.b64decode(wanted["key"]),
            source,
            os.fstat(source.fileno()).st_size,
            wanted["plain_bytes"],
            wanted["tags_sha256"],
        )
        if not wanted.get("unpack"):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with open(os.open(target, flags, 0o400), "wb", buffering=0) as stream:
                for chunk in opener.chunks():
                    while chunk:
                        chunk = chunk[stream.write(chunk) :]
            return
        try:
            unpack(io.BufferedReader(opener, _CHUNK_BYTES), target)
        except (tarfile.TarError, StageError):
            opener.close_checked()  # it is no good tar because it is no good body
            raise
        opener.close_checked()


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


def unpack(archive: BinaryIO, target: str) -> None:
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
    with tarfile.open(fileobj=archive, mode="r|*") as tar:
        for member in tar:
            path = _member_path(target, member.name.rstrip("/"))
            if member.isdir():
                os.makedirs(path, exist_ok=True)
                continue
            if not member.isreg():
                raise StageError(
                    "tar member %r is neither file nor directory" % member.name,
                    "a tar member is neither file nor directory",
                )
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
