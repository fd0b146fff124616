"""What is written down in the directory of an attempt: one file, which only grows.

A line is a JSON object: ``{"keeper": identity}`` first, then ``{"process": identity}`` of the
program once it has run for a while, and ``{"result": ...}``. One write makes one line, so that a
crash leaves whole lines and, at most, a torn last one, which says nothing.
"""

from __future__ import annotations

import errno
import json
import os
from typing import Any, Dict

__all__ = ["NOTES", "Notes", "read_notes"]

NOTES = "notes"


class Notes:
    """The notes of an attempt in its `directory`; what was there of another goes with the first."""

    def __init__(self, directory: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(os.path.join(directory, NOTES), flags, 0o600)
        self._size_bytes = 0

    def add(self, durable: bool = False, **note: Any) -> None:
        """Write a note, and on request wait until it is on the disk.

        Raises
        ------
        OSError
            It cannot be written; what stood there before still does.
        """
        line = json.dumps(note).encode() + b"\n"
        try:
            if os.pwrite(self._file, line, self._size_bytes) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._file, self._size_bytes)
            raise
        if not self._size_bytes:  # only now: ext4 writes out at once what was emptied before
            os.ftruncate(self._file, len(line))
        self._size_bytes += len(line)
        if durable:
            os.fsync(self._file)

    def close(self) -> None:
        """Write no more."""
        os.close(self._file)


def read_notes(directory: str) -> Dict[str, Any]:
    """What is noted in an attempt's directory; nothing when there is none."""
    try:
        with open(os.path.join(directory, NOTES), "rb") as stream:
            *lines, _ = stream.read().split(b"\n")
    except OSError:
        return {}
    found: Dict[str, Any] = {}
    for line in lines:
        try:
            found.update(json.loads(line))
        except ValueError:  # a crash of the host left zeros in its place
            continue
    return found
