"""What is written down in the directory of an attempt: one file, which only grows.

A line is a JSON object with the ``attempt``, and ``keeper`` (its identity) first, then ``process``
(that of the program, once it has run for a while) and ``result``. One write makes one line, so that
a crash leaves whole lines and, at most, a torn last one, which says nothing. Neither does a line of
another attempt, which a crash of the host can bring back where the file was used again.
"""

from __future__ import annotations

import errno
import json
import os
from typing import Any, Dict

__all__ = ["NOTES", "Notes", "read_notes"]

NOTES = "notes"


class Notes:
    """The notes of `attempt` in a `directory`; those of another one go with the first note."""

    def __init__(self, directory: str, attempt: str) -> None:
        self._attempt = attempt
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
        line = json.dumps(dict(note, attempt=self._attempt)).encode() + b"\n"
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
    """What is noted in an attempt's directory, which has its name; nothing when there is none."""
    try:
        with open(os.path.join(directory, NOTES), "rb") as stream:
            *lines, _ = stream.read().split(b"\n")
    except OSError:
        return {}
    found: Dict[str, Any] = {}
    for line in lines:
        try:
            note = json.loads(line)
        except ValueError:  # a crash of the host left zeros in its place
            continue
        if note.pop("attempt", None) == os.path.basename(directory):
            found.update(note)
    return found
