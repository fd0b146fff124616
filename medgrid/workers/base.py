"""The contract of a place that runs jobs, and the values that cross it.

A `WorkerLink` is an open conversation with the agent of one worker host. The broker holds one per
worker. Every engine passes ``tests/workers/test_contract.py``. The wire format behind it is
described in `medgrid.agent`.

A launch with `Launch.seal_to` is *protected*: its inputs come as Crypt4GH bodies whose data keys
stand in the launch alone, its outputs and what it printed leave the job's directory encrypted. The
agent keeps keys in memory only; one that is restarted before the job started ends the attempt with
`Cause.LOST`. A worker takes protected launches when `WorkerInfo.ciphers` names ``CIPHER``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from medgrid.model import Cause, Priority, Sha256

__all__ = [
    "CIPHER",
    "DIGEST_PURPOSE",
    "AttemptId",
    "Bundle",
    "Environment",
    "InputFile",
    "JournalRecord",
    "Launch",
    "Limits",
    "Listening",
    "OutputFile",
    "OutputPattern",
    "SftpSource",
    "StageItem",
    "WorkerInfo",
    "WorkerLink",
]

AttemptId = str
"""``submission.number.attempt``, for example ``42.7.1``."""

CIPHER = "x25519_chacha20_ietf_poly1305"
"""What `WorkerInfo.ciphers` holds when the agent can open and seal Crypt4GH."""

DIGEST_PURPOSE = b"medgrid content digest"
"""Associated data of `OutputFile.sealed_digest`."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file staged into the job's directory from the agent's content-addressed cache.

    `path` is relative to the job's working directory, made of neutral names. `unpack` says that
    the bytes are a tar whose members go into the directory `path`.

    When `key` is set the cached bytes, which `sha256` and `size_bytes` describe, are a Crypt4GH
    body under this data key. It becomes `plain_bytes` bytes, once the digest of its segments'
    nonces and tags is found to be `tags_sha256`.
    """

    sha256: Sha256
    size_bytes: int
    path: str
    unpack: bool = False
    key: bytes | None = field(default=None, repr=False)
    plain_bytes: int = 0
    tags_sha256: Sha256 | None = None


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
    output_bytes: int | None = None  # all outputs together


@dataclass(frozen=True, slots=True)
class Bundle:
    """The algorithm's code: a tar in the cache, unpacked once per host, read-only."""

    sha256: Sha256
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Environment:
    """What the program needs on the worker.

    kind ``host``: `programs` must be on PATH. kind ``python``: a venv with all of
    `requirements`, and nothing that these depend on beside, from the tar of wheels `wheels` (in
    the cache), itself cached under `digest`. kind
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

    `rank` is that of its `medgrid.model.Priority`. One of rank 0 is an emergency: when it is ready
    to start and finds no free slot, the agent suspends running attempts, lowest class and last
    started first, or ends them with `Cause.PREEMPTED` where the worker's memory is too small for
    them and it, or where they cannot be stopped. What was suspended goes on when emergencies leave
    room, before anything else starts, and whenever the agent ends; its walltime stands still
    meanwhile.

    `seal_to` is an X25519 public key: outputs and tails are sealed to it, and nothing of this
    launch but its attempt and slots is written to the worker's disk.
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
    rank: int = Priority.NORMAL.rank
    seal_to: bytes | None = None


@dataclass(frozen=True, slots=True)
class OutputFile:
    """An output an attempt wrote, still in its directory on the worker.

    Of a protected attempt `path` is a neutral name, `size_bytes` the size of the content, and
    `sha256` and `body_bytes` describe the Crypt4GH body, which `WorkerLink.collect` streams.
    `header` holds its data key, sealed to `Launch.seal_to`. `sealed_digest` is the SHA-256 of the
    content (32 bytes), encrypted under the data key with ChaCha20-Poly1305: nonce (12 bytes),
    ciphertext, tag; associated data `DIGEST_PURPOSE`.
    """

    role: str
    path: str
    size_bytes: int
    sha256: Sha256
    header: bytes = b""
    tags_sha256: Sha256 | None = None
    body_bytes: int = 0
    sealed_digest: bytes = b""


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One line of the agent's fsynced journal.

    `offset` is the position *after* this line: pass it to `WorkerLink.follow` to resume. `event` is
    ``accepted``, ``started``, ``suspended``, ``resumed``, ``done`` or ``refused``. Only
    ``done`` means done; its record carries `cause`, `exit_code`, outputs, tails and times.

    Of a protected attempt `message` quotes nothing that the job wrote, both tails are empty, and
    `sealed_tails` is a Crypt4GH file sealed to `Launch.seal_to`. It holds JSON: ``stdout_tail``,
    ``stderr_tail``, ``message`` when there is more to say, and ``paths``, the outputs' own names.
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
    sealed_tails: bytes = b""


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
    ciphers: tuple[str, ...] = ()  # `CIPHER`, or none
    private_memory_bytes: int = 0  # room for protected jobs' files in memory; 0: they use the disk
    cache_bytes: int = 0  # staged inputs, unpacked bundles and environments
    cache_limit_bytes: int = 0
    attempts: Mapping[AttemptId, str] = field(default_factory=dict)  # known -> last event


@dataclass(frozen=True, slots=True)
class SftpSource:
    """A host with bytes that the worker's host may fetch itself, by SFTP.

    `identity` is a key file on the *worker's* host: its site's own, never a user's. The host must
    be among the known hosts of the worker's account. Without `user` it is that account's name.
    """

    host: str
    port: int
    user: str | None
    identity: str


@dataclass(frozen=True, slots=True)
class StageItem:
    """Bytes that must be in the agent's cache before a launch.

    `path` is an absolute path on the *worker's* host when the agent can read the bytes itself,
    on that of `source` when it is given; else `open` gives them on this side, from their start.
    """

    sha256: Sha256
    size_bytes: int
    open: Callable[[], AbstractContextManager[BinaryIO]] | None = None
    path: str | None = None
    source: SftpSource | None = None


class Listening(Protocol):
    """Journal records that were asked for and have not come yet."""

    @property
    def is_over(self) -> bool:
        """Whether `records` would not wait."""
        ...

    def records(self) -> list[JournalRecord]:
        """Wait for the records; empty when there were none in time."""
        ...


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

        They stay there until they are launched with, or this link is closed. What has come of a
        large file before a connection broke is not sent again.

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

    def listen(self, offset: int, timeout_s: float, heard: Callable[[], None]) -> Listening:
        """As `follow`, without waiting: other methods may be called meanwhile.

        `heard` is called, by another thread, when there is something to fetch, the time is over,
        or the link broke; it must not block.
        """
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
        self, wanted: Iterable[tuple[AttemptId, OutputFile]], offset: int = 0
    ) -> Iterable[tuple[AttemptId, OutputFile, Iterable[bytes]]]:
        """Stream output bytes back, in order, many in one stream; each must be read in turn.

        The first begins at `offset`, where an earlier stream of it broke; whoever has both parts
        compares the digest of the whole.
        """
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
