"""The nouns of medgrid as frozen values: LFNs, ids, places, objects, jobs.

Standard library only; every room may import this module, it imports none but ``errors``.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType, Self

from medgrid.errors import UsageError

__all__ = [
    "LFN",
    "ORIGINAL_SUFFIX",
    "JobId",
    "ObjectId",
    "new_object_id",
    "Sha256",
    "SiteClass",
    "Site",
    "StorageElement",
    "Worker",
    "ObjectKind",
    "DataClass",
    "Review",
    "PACKED_SUFFIX",
    "SEGMENT_BYTES",
    "body_bytes",
    "is_tar",
    "GridObject",
    "Replica",
    "AttributeValue",
    "plain_number",
    "VARIES",
    "VARIES_WIDELY",
    "AttributeType",
    "Algorithm",
    "Dataset",
    "JobState",
    "Cause",
    "Priority",
    "Job",
    "JobOutput",
]

LFN_MAX_LENGTH = 1024

ObjectId = NewType("ObjectId", str)
"""Random 128-bit id of an object: 32 lower-case hexadecimal digits."""

Sha256 = NewType("Sha256", str)
"""SHA-256 digest: 64 lower-case hexadecimal digits."""

AttributeValue = str | int | float | bool | None
"""Value of a metadata attribute. Dates are ``YYYY-MM-DD`` strings."""

VARIES = "Varies"
"""Attribute that names those of which the instances of a series have several values."""

VARIES_WIDELY = "VariesWidely"
"""Attribute that names those of which they have more values than are kept."""


ORIGINAL_SUFFIX = ".original"
"""Ends the LFN of the bytes as they came; without it, that of their de-identified twin."""


def new_object_id() -> ObjectId:
    """Draw a random 128-bit object id."""
    return ObjectId(secrets.token_hex(16))


class LFN(str):
    """Logical file name: an absolute path in the catalog, such as ``/trial/P-7F3K/T1w``.

    Segments are separated by ``/``; none is empty, ``.`` or ``..``; no segment holds a control
    character or one of ``* ? [ ]`` (those are for globs). Text is normalised to Unicode NFC.

    Examples
    --------
    >>> LFN("/trial/P-7F3K/T1w").name
    'T1w'
    >>> LFN("/a/b").parent
    '/a'
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if isinstance(text, cls):
            return text
        text = unicodedata.normalize("NFC", text)
        problem = cls._problem(text)
        if problem:
            raise UsageError(
                f"{text!r} is not a logical file name: {problem}",
                hint="an LFN looks like /trial/P-7F3K/2021-03-04/T1w",
            )
        return super().__new__(cls, text)

    @staticmethod
    def _problem(text: str) -> str | None:
        if not text.startswith("/"):
            return "it does not start with '/'"
        if len(text) > LFN_MAX_LENGTH:
            return f"it is longer than {LFN_MAX_LENGTH} characters"
        if text == "/":
            return "it has no name after '/'"
        for segment in text[1:].split("/"):
            if segment in ("", ".", ".."):
                return f"it has the segment {segment!r}"
        for char in text:
            if char in "*?[]":
                return f"it holds {char!r}, which is for globs"
            if "\ud800" <= char <= "\udfff":
                return "it is not valid UTF-8"
            if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp"):
                return f"it holds the control character U+{ord(char):04X}"
        return None

    @property
    def name(self) -> str:
        """Last segment."""
        return self.rsplit("/", 1)[1]

    @property
    def parent(self) -> str:
        """All but the last segment; ``/`` for a top-level LFN."""
        return self.rsplit("/", 1)[0] or "/"

    def child(self, *segments: str) -> LFN:
        """LFN below this one."""
        return LFN("/".join((self, *segments)))


_JOB_ID = re.compile(r"([1-9]\d{0,17})\.([1-9]\d{0,17})")


@dataclass(frozen=True, slots=True, order=True)
class JobId:
    """Id of a job: ``42.7`` is the 7th job of submission 42."""

    submission: int
    number: int

    @classmethod
    def parse(cls, text: str) -> JobId:
        """Read ``"42.7"``.

        Raises
        ------
        UsageError
            `text` is not a job id.
        """
        match = _JOB_ID.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"{text!r} is not a job id", hint="job ids look like 42.7; 42 means all of 42"
            )
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.submission}.{self.number}"


class SiteClass(StrEnum):
    """How far a site is trusted with data."""

    KEYS = "keys"  # keeps key stores
    COMPUTE = "compute"  # may see plaintext while a job runs
    STORE = "store"  # never sees plaintext


@dataclass(frozen=True, slots=True)
class Site:
    """Who administers machines."""

    name: str
    site_class: SiteClass = SiteClass.COMPUTE


@dataclass(frozen=True, slots=True)
class StorageElement:
    """A named place that keeps replicas.

    `url` is ``file:///dir`` or ``sftp://user@host:port/dir``.
    """

    name: str
    url: str
    site: str
    enabled: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Worker:
    """A host that runs jobs.

    `url` is ``local:`` or ``ssh://user@host:port``; `options` holds ``root`` (agent directory on
    the host), ``jump`` (ssh URL of a jump host), ``identity`` (private key file), ``python``.
    """

    name: str
    url: str
    site: str
    slots: int = 1
    tags: frozenset[str] = frozenset()
    memory_bytes: int | None = None
    enabled: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


class ObjectKind(StrEnum):
    """What an object's bytes are."""

    SERIES = "series"  # tar of the DICOM instances of one series
    VOLUME = "volume"  # NIfTI, with its extension kept in `filename`; a tar with its companions
    TABLE = "table"  # CSV, TSV or JSON
    FILE = "file"  # anything else


class DataClass(StrEnum):
    """Who may ever see an object's content."""

    NOMINATIVE = "nominative"  # names the patient: the patient and the care team
    IMAGE = "image"  # personal but without names: also whom they grant it
    PUBLIC = "public"  # nobody's data, stored in the clear: code, templates


class Review(StrEnum):
    """Whether a person must look for text in the pixels before an object can be granted."""

    NONE = ""
    NEEDED = "needed"
    RELEASED = "released"


PACKED_SUFFIX = ".tar"
"""Ends the filename of a series, and of a volume that has companions."""


def is_tar(kind: ObjectKind, filename: str) -> bool:
    """Whether an object is a tar of files that are one thing.

    Of a series these are its instances, and become a folder; of a volume the image, called as
    `filename` says without its end, and its companions, which come to lie beside it.
    """
    return kind is ObjectKind.SERIES or (
        kind is ObjectKind.VOLUME and filename.endswith(PACKED_SUFFIX)
    )


SEGMENT_BYTES = 65536
_SEGMENT_OVERHEAD_BYTES = 28  # nonce and tag, GA4GH Crypt4GH 1.0 section 2.3


def body_bytes(plain_bytes: int) -> int:
    """Size of the encrypted body of so many plain bytes.

    Examples
    --------
    >>> body_bytes(65537)
    65593
    """
    return plain_bytes + _SEGMENT_OVERHEAD_BYTES * -(-plain_bytes // SEGMENT_BYTES)


@dataclass(frozen=True, slots=True)
class GridObject:
    """What an LFN names: immutable content.

    `filename` is the neutral name the bytes take when they are staged or fetched, for example
    ``image.nii.gz`` (it never comes from a patient's data). `size_bytes` is the size of the
    content; `sha256` the digest of the bytes as they are stored, which is the encrypted body
    unless the object is public; `digest` a keyed digest of the content, where it is known.
    `patient` is a pseudonym; `original` is what this is the de-identified twin of. `attributes`
    holds all metadata, by attribute name, nominative ones excluded.
    """

    id: ObjectId
    lfn: LFN | None
    kind: ObjectKind
    filename: str
    size_bytes: int
    sha256: Sha256
    version: int = 1
    created_s: float = 0.0
    attributes: Mapping[str, AttributeValue | list[Any]] = field(default_factory=dict)
    data_class: DataClass = DataClass.PUBLIC
    owner: str = ""
    patient: str | None = None
    digest: str | None = None
    review: Review = Review.NONE
    original: ObjectId | None = None
    rekeyed_as: ObjectId | None = None

    @property
    def key_id(self) -> ObjectId:
        """What the key store calls the object's key: its id, until it was encrypted anew."""
        return self.rekeyed_as or self.id

    @property
    def is_protected(self) -> bool:
        """Whether its bytes are stored encrypted."""
        return self.data_class is not DataClass.PUBLIC

    @property
    def stored_bytes(self) -> int:
        """Size of the bytes as they are stored."""
        return body_bytes(self.size_bytes) if self.is_protected else self.size_bytes


@dataclass(frozen=True, slots=True)
class Replica:
    """One copy of an object: storage element, physical file name, checksum of the stored bytes."""

    object_id: ObjectId
    se: str
    pfn: str
    size_bytes: int
    sha256: Sha256
    created_s: float = 0.0


def plain_number(number: float) -> str:
    """A number as questions have it: with all its digits, as what is rounded finds nothing.

    Examples
    --------
    >>> plain_number(1234567.0), plain_number(12.345678)
    ('1234567', '12.345678')
    """
    return repr(number).removesuffix(".0")


class AttributeType(StrEnum):
    """Type of an attribute, for parsing and comparing."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A program the catalog knows: Boutiques descriptor + code bundle, by name, version, digest."""

    name: str
    version: str
    digest: Sha256
    descriptor: Mapping[str, Any]
    bundle_sha256: Sha256 | None = None
    created_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A saved query; frozen when its member list is fixed."""

    name: str
    question: str
    frozen: bool
    created_s: float = 0.0
    members: tuple[LFN, ...] | None = None


class JobState(StrEnum):
    """States of a job, gLite's words.

    Order of a normal life: Submitted, Waiting, Ready, Scheduled, Running, Done, Cleared.
    """

    SUBMITTED = "Submitted"  # written in the catalog
    WAITING = "Waiting"  # seen by a broker, no worker yet; the reason says why
    READY = "Ready"  # a worker is chosen
    SCHEDULED = "Scheduled"  # the worker's agent is being given it (staging in) or holds it
    RUNNING = "Running"  # its process runs
    UNKNOWN = "Unknown"  # the worker does not answer
    DONE = "Done"  # ended; carries an exit code and a cause
    ABORTED = "Aborted"  # medgrid gave up: infrastructure
    CANCELLED = "Cancelled"  # the user asked
    CLEARED = "Cleared"  # Done, and its unregistered outputs are discarded

    @property
    def is_final(self) -> bool:
        """Whether a job in this state never changes by itself again."""
        return self in (JobState.DONE, JobState.ABORTED, JobState.CANCELLED, JobState.CLEARED)


class Cause(StrEnum):
    """Why an attempt ended. The class decides between the user's fault and the infrastructure's."""

    OK = "ok"
    EXIT = "exit"  # non-zero exit code
    SIGNAL = "signal"  # killed by a signal nobody here sent
    MISSING_OUTPUT = "missing-output"
    WALLTIME = "walltime"
    MEMORY = "memory"
    DISK = "disk"  # wrote more than its limit
    OUTPUT_SIZE = "output-size"  # its outputs are larger than its limit
    CANCELLED = "cancelled"
    STAGE_IN = "stage-in"
    STAGE_OUT = "stage-out"
    ENVIRONMENT = "environment"  # the worker cannot build or find what the algorithm needs
    NO_SPACE = "no-space"  # the worker's disk is full
    LOST = "lost"  # host restarted, agent or process gone without a result
    PREEMPTED = "preempted"  # killed for an emergency job

    @property
    def is_infrastructure(self) -> bool:
        """Whether another try elsewhere may help."""
        return self in (
            Cause.STAGE_IN,
            Cause.STAGE_OUT,
            Cause.ENVIRONMENT,
            Cause.NO_SPACE,
            Cause.LOST,
            Cause.PREEMPTED,
        )


class Priority(StrEnum):
    """Priority classes, highest first."""

    EMERGENCY = "emergency"
    INTERACTIVE = "interactive"
    NORMAL = "normal"
    BATCH = "batch"

    @property
    def rank(self) -> int:
        """Place in the order: 0 is an emergency."""
        return list(Priority).index(self)


@dataclass(frozen=True, slots=True)
class JobOutput:
    """One output file of a job, kept as an object that has no LFN until it is registered."""

    role: str
    filename: str
    object_id: ObjectId
    size_bytes: int
    sha256: Sha256
    lfn: LFN | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One run asked for.

    `inputs` maps a role of the algorithm to the objects given for it; `parameters` are typed
    values by Boutiques input id. It has no other attempt before `not_before_s`. Its program stands
    still since `suspended_s`, and stood still for `paused_s` seconds before.
    """

    id: JobId
    algorithm: Sha256  # digest
    algorithm_label: str  # name@version
    owner: str
    state: JobState
    reason: str
    cause: Cause | None
    exit_code: int | None
    attempt: int
    worker: str | None
    priority: Priority
    inputs: Mapping[str, tuple[ObjectId, ...]]
    parameters: Mapping[str, Any]
    created_s: float
    updated_s: float
    started_s: float | None = None
    ended_s: float | None = None
    outputs: tuple[JobOutput, ...] = ()
    stdout_tail: str = ""
    stderr_tail: str = ""
    not_before_s: float = 0.0
    cancel_asked: bool = False
    suspended_s: float | None = None
    paused_s: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether it is done and did all it had to."""
        return self.state in (JobState.DONE, JobState.CLEARED) and self.cause is Cause.OK
