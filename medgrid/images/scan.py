"""Reading files: what each is, by its content, in this process or over several."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import stat
import threading
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.synchronize import Event
from typing import NamedTuple

from medgrid.errors import MedgridError
from medgrid.images.dicom import header_of, refusal
from medgrid.images.pack import FileStamp
from medgrid.images.tags import Header
from medgrid.images.volume import Volume, read_volume
from medgrid.images.words import SHIPPED, Vocabulary

__all__ = ["Scanned", "scan", "scan_file"]

_CHUNK_FILES = 250
_IN_PROCESS_FILES = 1000
_DICOM_NAMES = (".dcm", ".dicom", ".ima", ".dic")
_IMAGE_NAMES = (*_DICOM_NAMES, ".nii", ".nii.gz", ".hdr")
_HEAD_BYTES = 352
_ARCHIVES = (b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")
_GZIP = 31  # zlib's word for that format


class Scanned(NamedTuple):
    """What one file is: an instance (`header`), a volume, or not imported for a `reason`.

    `root` is the place the walk began at. A reason that `is_failure` is a defect of something that
    should be an image; otherwise the file is none. `is_lasting` says that the reason holds as long
    as the file does not change.
    """

    path: str
    root: str
    stamp: FileStamp
    header: Header | None = None
    volume: Volume | None = None
    reason: str = ""
    is_failure: bool = False
    is_lasting: bool = True


def scan_file(path: str, root: str, vocabulary: Vocabulary = SHIPPED) -> Scanned:
    """Read one file.

    Parameters
    ----------
    path : str
        The file; a symbolic link is not followed.
    root : str
        Place the walk began at: a file that was itself named must be an image.
    vocabulary : Vocabulary
        Words that descriptions may have.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        return _unreadable(path, root, exc)
    try:
        found = os.fstat(descriptor)
        stamp = FileStamp.of(found)
        if not stat.S_ISREG(found.st_mode):
            return Scanned(path, root, stamp, reason="not a regular file", is_lasting=False)
        return _read(path, root, descriptor, stamp, vocabulary)
    except OSError as exc:
        return _unreadable(path, root, exc)
    finally:
        os.close(descriptor)


def _unreadable(path: str, root: str, exc: OSError) -> Scanned:
    stamp = FileStamp(0, 0, 0)
    if exc.errno == errno.ELOOP:
        return Scanned(path, root, stamp, reason="symbolic link", is_lasting=False)
    reason = (exc.strerror or type(exc).__name__).lower()
    return Scanned(path, root, stamp, reason=reason, is_failure=True, is_lasting=False)


def _read(
    path: str, root: str, descriptor: int, stamp: FileStamp, vocabulary: Vocabulary
) -> Scanned:
    name = path.lower()
    is_image_name = name.endswith(_IMAGE_NAMES) or path == root
    if stamp.size_bytes == 0:
        return Scanned(path, root, stamp, reason="empty file", is_failure=path == root)
    head = os.pread(descriptor, _HEAD_BYTES, 0)
    if head[128:132] != b"DICM":
        compressed = head[:2] == b"\x1f\x8b"
        says_nifti = name.endswith((".nii", ".nii.gz"))
        if says_nifti or head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0"):
            try:
                volume = read_volume(path, descriptor, stamp.size_bytes, compressed, vocabulary)
            except ValueError as exc:
                return Scanned(path, root, stamp, reason=str(exc), is_failure=True)
            if volume.problem:
                # brought without its side-car it would be described wrongly for ever
                return Scanned(
                    path, root, stamp, reason=volume.problem, is_failure=True, is_lasting=False
                )
            return Scanned(path, root, stamp, volume=volume)
    header = header_of(descriptor, stamp.size_bytes)
    if header is None:
        inside = _start_of_packed(head)
        if inside[128:132] == b"DICM":
            reason = "DICOM in a gzip file: unpack it (gunzip), and import what comes out"
            return Scanned(path, root, stamp, reason=reason, is_failure=True)
        kind = "not a DICOM file" if name.endswith(_DICOM_NAMES) else "neither DICOM nor NIfTI"
        is_tar = b"ustar" in (head[257:262], inside[257:262])
        if not is_image_name and (is_tar or head.startswith(_ARCHIVES)):
            kind = "an archive: unpack it, if it has images"
        return Scanned(path, root, stamp, reason=kind, is_failure=is_image_name)
    refused = refusal(header)
    if refused is None:
        return Scanned(path, root, stamp, header=header)
    return Scanned(path, root, stamp, reason=refused.reason, is_failure=refused.is_failure)


def _start_of_packed(head: bytes) -> bytes:
    """What a gzip file begins with when it is unpacked, empty for others."""
    try:
        return zlib.decompressobj(_GZIP).decompress(head, _HEAD_BYTES)
    except zlib.error:
        return b""


def scan(
    files: Sequence[tuple[str, str]], jobs: int, vocabulary: Vocabulary = SHIPPED
) -> Iterator[Scanned]:
    """Read files, given as (path, root), in order.

    Parameters
    ----------
    files : sequence of (str, str)
    jobs : int
        Processes to use; few files are read in this one.
    vocabulary : Vocabulary
        Words that descriptions may have.

    Raises
    ------
    MedgridError
        A process died.
    """
    if jobs < 2 or len(files) < _IN_PROCESS_FILES:
        for path, root in files:
            yield scan_file(path, root, vocabulary)
        return
    chunks = (files[start : start + _CHUNK_FILES] for start in range(0, len(files), _CHUNK_FILES))
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_start_process, initargs=(stop,)
    )
    try:
        for found in _in_order(pool, chunks, vocabulary, 4 * jobs):
            yield from found
    except BrokenProcessPool as exc:
        raise MedgridError(
            "a process that reads headers died", hint="say --jobs 1 to read in one process"
        ) from exc
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor,
    chunks: Iterable[Sequence[tuple[str, str]]],
    vocabulary: Vocabulary,
    ahead: int,
) -> Iterator[list[Scanned]]:
    """Results in the order of `chunks`, with no more than `ahead` of them under way."""
    source = iter(chunks)
    waiting: deque[Future[list[Scanned]]] = deque()
    waiting.extend(_submit(pool, chunk, vocabulary) for chunk in islice(source, ahead))
    while waiting:
        found = waiting.popleft().result()
        waiting.extend(_submit(pool, chunk, vocabulary) for chunk in islice(source, 1))
        yield found


def _submit(
    pool: ProcessPoolExecutor, chunk: Sequence[tuple[str, str]], vocabulary: Vocabulary
) -> Future[list[Scanned]]:
    """Submit with Ctrl-C held back: it may start a process, which inherits that."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_scan_chunk, chunk, vocabulary)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_stopped: Event | None = None
"""Set when nobody wants the results any more; in a process of the pool only."""


def _scan_chunk(chunk: Sequence[tuple[str, str]], vocabulary: Vocabulary) -> list[Scanned]:
    found = []
    for path, root in chunk:
        if _stopped is not None and _stopped.is_set():
            break
        found.append(scan_file(path, root, vocabulary))
    return found


def _start_process(stop: Event) -> None:
    """Leave Ctrl-C to the parent, and end when it is gone, however it went."""
    global _stopped
    _stopped = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()
