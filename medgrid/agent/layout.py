"""Where things lie below the agent's root directory."""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import Any, List, Optional

__all__ = [
    "Layout",
    "is_attempt",
    "is_sha256",
    "read_json",
    "remove_tree",
    "sync_directory",
    "write_json",
]

_ATTEMPT = re.compile(r"[1-9][0-9]{0,17}\.[1-9][0-9]{0,17}\.[1-9][0-9]{0,8}")
_DIRECTORIES = (
    "attempts",
    "cache",
    "cache/parts",
    "bundles",
    "environments",
    "spares",
    "trash",
    "run",
)


class Layout:
    """Paths below `root`, which is absolute. Everything is private to the user (umask 077)."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.journal = self.path("journal")
        self.lock = self.path("run", "lock")
        self.log = self.path("agent.log")
        self.socket = "run/socket"  # relative: the length of such a path is limited to 107 bytes
        self.ballast = self.path("run", "ballast")
        self.attempts = self.path("attempts")
        self.spares = self.path("spares")
        self.trash = self.path("trash")

    def path(self, *parts: str) -> str:
        """Path below the root."""
        return os.path.join(self.root, *parts)

    def make(self) -> None:
        """Make the directories, and make the root this process's working directory."""
        os.umask(0o077)
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        os.chdir(self.root)
        if os.stat(".").st_mode & 0o077:
            os.chmod(".", 0o700)
        for name in _DIRECTORIES:
            os.makedirs(name, mode=0o700, exist_ok=True)

    def attempt(self, attempt: str, *parts: str) -> str:
        """Path in the directory of an attempt."""
        return self.path("attempts", attempt, *parts)

    def cached(self, sha256: str) -> str:
        """Path of cached bytes."""
        return self.path("cache", sha256[:2], sha256)

    def part(self, sha256: str) -> str:
        """Path of the beginning of bytes that are to be cached."""
        return self.path("cache", "parts", sha256)

    def bundle(self, sha256: str) -> str:
        """Directory of an unpacked bundle."""
        return self.path("bundles", sha256)

    def environment(self, digest: str) -> str:
        """Directory of a built environment."""
        return self.path("environments", digest)

    def discard(self, path: str) -> None:
        """Move something into the trash, from where it is deleted later."""
        number = 0
        while True:
            number += 1
            target = os.path.join(
                self.trash, "%s.%d.%d" % (os.path.basename(path), os.getpid(), number)
            )
            if os.path.lexists(target):
                continue
            try:
                os.rename(path, target)
            except FileNotFoundError:
                pass
            return

    def empty_trash(self) -> None:
        """Delete what was discarded."""
        for name in os.listdir(self.trash):
            remove_tree(os.path.join(self.trash, name))


def remove_tree(path: str) -> None:
    """Delete a file or directory, also one that a job made unwritable."""

    if not os.path.isdir(path) or os.path.islink(path):
        try:
            os.unlink(path)
        except OSError:
            pass
        return
    shutil.rmtree(path, ignore_errors=True)
    if os.path.isdir(path):
        _open_up(path)
        for folder, names, _ in os.walk(path):
            for name in names:
                _open_up(os.path.join(folder, name))
        shutil.rmtree(path, ignore_errors=True)


def _open_up(directory: str) -> None:
    if not os.path.islink(directory):
        try:
            os.chmod(directory, 0o700)
        except OSError:
            pass


def is_attempt(text: str) -> bool:
    """Whether `text` is the id of an attempt."""
    return _ATTEMPT.fullmatch(text) is not None


def is_sha256(text: object) -> bool:
    """Whether `text` is 64 lower-case hexadecimal digits."""
    return isinstance(text, str) and len(text) == 64 and not text.strip("0123456789abcdef")


def write_json(path: str, value: Any, durable: bool = False) -> None:
    """Write a small file so that it is whole or not there."""
    temporary = path + ".tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, json.dumps(value).encode())
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, path)
    if durable:
        sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Make the names in a directory survive a power cut."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_json(path: str) -> Optional[Any]:
    """Value in a file that `write_json` wrote, None when there is no such (whole) file."""
    try:
        with open(path, "rb") as stream:
            return json.loads(stream.read())
    except (OSError, ValueError):
        return None


def list_directory(path: str) -> List[str]:
    """Names in a directory; none when it does not exist."""
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []
