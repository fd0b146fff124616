"""What the broker's main thread and its drivers tell each other.

The main thread alone touches the catalog; a driver alone talks to its worker. A driver hands out a
new `Inbox` with each connection, so that nothing meant for an old connection reaches a new one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from queue import SimpleQueue
from typing import Any

from medgrid.catalog.job_moves import AttemptEnd
from medgrid.crypto.vault import InputKey, SealedOutput
from medgrid.model import (
    Algorithm,
    GridObject,
    JobId,
    ObjectId,
    Priority,
    Replica,
    Sha256,
    StorageElement,
)
from medgrid.workers.base import AttemptId, Bundle, JournalRecord, WorkerInfo

__all__ = [
    "BundleSource",
    "Cancel",
    "Clean",
    "Collected",
    "Command",
    "Drop",
    "Failed",
    "Follow",
    "Given",
    "Inbox",
    "LinkDown",
    "LinkUp",
    "Records",
    "Report",
    "Stop",
    "Work",
    "split_attempt",
]


@lru_cache(maxsize=4096)
def split_attempt(attempt: AttemptId) -> tuple[JobId, int]:
    """Job and attempt number of an attempt id.

    Examples
    --------
    >>> split_attempt("42.7.1")
    (JobId(submission=42, number=7), 1)
    """
    submission, number, attempt_number = attempt.split(".")
    return JobId(int(submission), int(number)), int(attempt_number)


# -- to a driver -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BundleSource:
    """An algorithm's bundle and where its bytes are."""

    bundle: Bundle
    replicas: tuple[Replica, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """An attempt to be staged and launched.

    `keys` open those inputs that are encrypted; when `seal_to` is set, an X25519 public key, what
    the job writes is encrypted before it leaves the worker.
    """

    attempt: AttemptId
    algorithm: Algorithm
    bundle: BundleSource | None
    inputs: Mapping[str, tuple[GridObject, ...]]
    replicas: Mapping[ObjectId, tuple[Replica, ...]]
    parameters: Mapping[str, Any]
    se: StorageElement  # where its outputs go
    priority: Priority = Priority.NORMAL
    keys: Mapping[ObjectId, InputKey] = field(default_factory=dict)
    seal_to: bytes | None = None


@dataclass(frozen=True, slots=True)
class Follow:
    """Read the journal from here. `live` are all attempts there, with where their outputs go."""

    offset: int
    live: Mapping[AttemptId, StorageElement]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Kill these attempts."""

    attempts: tuple[AttemptId, ...]


@dataclass(frozen=True, slots=True)
class Clean:
    """Forget these ended attempts."""

    attempts: tuple[AttemptId, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """Delete bytes that no object names."""

    outputs: tuple[Collected, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """End the conversation."""


Command = Work | Follow | Cancel | Clean | Drop | Stop


class Inbox:
    """Commands for one connection, and the bell that wakes its driver."""

    def __init__(self) -> None:
        self._commands: SimpleQueue[Command] = SimpleQueue()
        self._bell = threading.Event()

    def put(self, command: Command) -> None:
        """Send a command."""
        self._commands.put(command)
        self._bell.set()

    def ring(self) -> None:
        """Wake the driver: the worker has told something."""
        self._bell.set()

    def wait(self, timeout_s: float) -> None:
        """Wait for the bell."""
        self._bell.wait(timeout_s)
        self._bell.clear()

    def take(self, most: int) -> list[Command]:
        """Up to `most` commands that are there."""
        found: list[Command] = []
        while len(found) < most and not self._commands.empty():
            found.append(self._commands.get())
        return found


# -- from a driver ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Collected:
    """An output that lies safe on a storage element.

    `stored_bytes` and `sha256` describe what lies there, `size_bytes` the content. `sealed` is what
    the worker says of an encrypted one, None of one in the clear.
    """

    role: str
    path: str  # where the job wrote it
    filename: str
    object_id: ObjectId
    se: str
    pfn: str
    size_bytes: int
    stored_bytes: int
    sha256: Sha256
    sealed: SealedOutput | None = None


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A worker answers; commands for it go to `inbox`, the first must be `Follow`."""

    worker: str
    info: WorkerInfo
    inbox: Inbox


@dataclass(frozen=True, slots=True)
class LinkDown:
    """A worker does not answer."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class Given:
    """A worker's agent has these attempts durably."""

    worker: str
    attempts: tuple[AttemptId, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt could not even be given to the worker, or its outputs not be fetched."""

    worker: str
    attempt: AttemptId
    end: AttemptEnd


@dataclass(frozen=True, slots=True)
class Records:
    """Journal of a worker up to `offset`, with the outputs of what is done."""

    worker: str
    offset: int
    records: tuple[JournalRecord, ...]
    outputs: Mapping[AttemptId, tuple[Collected, ...]]
    failed: Mapping[AttemptId, AttemptEnd]  # done, but the outputs cannot be had


Report = LinkUp | LinkDown | Given | Failed | Records
