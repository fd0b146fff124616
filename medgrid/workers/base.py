"""The contract of a place that runs jobs, and the values that cross it.

A `WorkerLink` is an open conversation with the agent of one worker host. The broker holds one per
worker. Every engine passes ``tests/workers/test_contract.py``. The wire format behind it is
described in `medgrid.agent`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from medgrid.model import Cause, Sha256

__all__ = [
    "AttemptId",
    "Bundle",
    "Environment",
    "InputFile",
    "JournalRecord",
    "Launch",
    "Limits",
    "OutputFile",
    "OutputPattern",
    "StageItem",
    "WorkerInfo",
    "WorkerLink",
]

AttemptId = str
"""``submission.number.attempt``, for example ``42.7.1``."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file staged into the job's directory from the agent's content-addressed cache.

    `path` is relative to the job's working directory, made of neutral names. `unpack` says that
    the bytes are a tar whose members go into the directory `path`.
    """

    sha256: Sha256
    size_bytes: int
    path: str
    unpack: bool = False


@dataclass(frozen=True, slots=True)
class OutputPattern:
    """A glob, relative to the job's working directory, of what the job writes."""

    role: str
    glob: str
    optional: bool = False
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What one job may use; None is no limit. Enforced by the agent, named in the cause."""

    walltime_s: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """The algorithm's code: a tar in the cache, unpacked once per host, read-only."""

    sha256: Sha256
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Environment:
    """What the program needs on the worker.

    kind ``host``: `programs` must be on PATH. kind ``python``: a venv made from `requirements`
    and the tar of wheels `wheels` (in the cache), itself cached under `digest`. kind
    ``container``: `image` run by apptainer or podman, whichever the worker has.
    """

    kind: str = "host"
    programs: tuple[str, ...] = ()
    digest: Sha256 | None = None
    wheels: Bundle | None = None
    requirements: tuple[str, ...] = ()
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """All an agent needs to run one attempt. It names no patient, LFN or user.

    `argv` elements are whole arguments, never seen by a shell. An element that is a tuple is the
    concatenation of its parts, where the part ``{"bundle": True}`` (any mapping) stands for the
    directory of the unpacked bundle.
    """

    attempt: AttemptId
    argv: tuple[str | tuple[str | Mapping[str, bool], ...], ...]
    env: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[InputFile, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)  # relative path -> small text file
    outputs: tuple[OutputPattern, ...] = ()
    limits: Limits = field(default_factory=Limits)
    bundle: Bundle | None = None
    environment: Environment = field(default_factory=Environment)
    slots: int = 1


@dataclass(frozen=True, slots=True)
class OutputFile:
    """An output an attempt wrote, still in its directory on the worker."""

    role: str
    path: str
    size_bytes: int
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One line of the agent's fsynced journal.

    `offset` is the position *after* this line: pass it to `WorkerLink.follow` to resume. `event` is
    ``accepted``, ``staged``, ``started``, ``done`` or ``refused``. Only ``done`` means done; its
    record carries `cause`, `exit_code`, outputs, tails and times.
    """

    offset: int
    attempt: AttemptId
    event: str
    time_s: float
    cause: Cause | None = None
    exit_code: int | None = None
    message: str = ""
    outputs: tuple[OutputFile, ...] = ()
    stdout_tail: str = ""
    stderr_tail: str = ""
    started_s: float | None = None
    ended_s: float | None = None
    max_rss_bytes: int | None = None
    cpu_s: float | None = None


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What an agent says of its host at hello."""

    agent_id: str  # drawn at first start; a new one means a new journal
    agent_digest: str
    python: str  # "3.11.2"
    python_tags: tuple[str, ...]  # platform tags for wheels: ("cp311", "manylinux_2_36_x86_64")
    hostname: str
    cpus: int
    memory_bytes: int
    free_bytes: int
    journal_offset: int
    boot_id: str
    runtimes: tuple[str, ...] = ()  # of apptainer, podman
    attempts: Mapping[AttemptId, str] = field(default_factory=dict)  # known -> last event


@dataclass(frozen=True, slots=True)
class StageItem:
    """Bytes that must be in the agent's cache before a launch.

    `path` is an absolute path on the *worker's* host when the agent can read the bytes itself;
    else `open` gives them on this side.
    """

    sha256: Sha256
    size_bytes: int
    open: Callable[[], AbstractContextManager[BinaryIO]] | None = None
    path: str | None = None


class WorkerLink(Protocol):
    """An open conversation with one worker's agent; all methods may be called from any thread.

    Every method raises `medgrid.errors.Unreachable` when the worker stops answering; the link is
    then dead and a new one is opened. What was asked may or may not have happened: asking again is
    safe for all methods.
    """

    info: WorkerInfo

    def missing(self, digests: Iterable[Sha256]) -> set[Sha256]:
        """Which of `digests` the agent's cache does not hold."""
        ...

    def stage(self, items: Iterable[StageItem]) -> None:
        """Put bytes into the cache: many in one stream, each verified. Present ones are skipped.

        Raises
        ------
        IntegrityError
            The bytes given are not those the digest names.
        NoSpace
            The worker's disk is full (`medgrid.workers.errors.NoSpace`).
        """
        ...

    def launch(self, launches: Sequence[Launch]) -> None:
        """Give attempts to the agent; returns when it has them durably.

        An attempt it already knows, in whatever state, is left alone: each starts at most once.
        """
        ...

    def follow(self, offset: int, timeout_s: float) -> list[JournalRecord]:
        """Journal records after `offset`; waits up to `timeout_s` for the first."""
        ...

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Kill the whole process group of each; its ``done`` record says ``cancelled``.

        An attempt the agent does not know is recorded as cancelled, so that it can never start.
        """
        ...

    def peek(self, attempt: AttemptId, stream: str, offset: int, limit: int) -> tuple[bytes, bool]:
        """Bytes of ``stdout`` or ``stderr`` from `offset`, and whether the job has ended."""
        ...

    def collect(
        self, wanted: Iterable[tuple[AttemptId, OutputFile]]
    ) -> Iterable[tuple[AttemptId, OutputFile, Iterable[bytes]]]:
        """Stream output bytes back, in order, many in one stream; each must be read in turn."""
        ...

    def clean(self, attempts: Sequence[AttemptId]) -> None:
        """Forget ended attempts: their directories go, their ids stay known."""
        ...

    def probe(self, programs: Sequence[str]) -> dict[str, str | None]:
        """Where each program is on the worker's PATH, None when missing."""
        ...

    def close(self) -> None:
        """End the conversation; the agent and its jobs go on."""
        ...
