"""The error tree: every error a user can meet, its exit code and its shape.

An error says what failed, on which LFN or host, what was expected and found (``message``),
and what to do next (``hint``). Only ``medgrid.cli.main`` prints errors and exits.
A message never holds a patient's name, a key or a passphrase.

Subclasses that belong to one room live in that room's module, derive from one of the
classes below and so inherit its exit code.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "ExitCode",
    "MedgridError",
    "UsageError",
    "PartlyDone",
    "NotFound",
    "AlreadyExists",
    "Denied",
    "IntegrityError",
    "Unreachable",
    "JobFailed",
    "ConfigError",
    "Busy",
]


class ExitCode(IntEnum):
    """Exit status of every medgrid command."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    PARTLY = 3
    NOT_FOUND = 4
    DENIED = 5
    INTEGRITY = 6
    UNREACHABLE = 7
    JOB_FAILED = 8
    CONFIG = 9
    INTERRUPTED = 130


class MedgridError(Exception):
    """Root of all errors medgrid raises on purpose.

    Parameters
    ----------
    message : str
        What failed, on what, expected and found; lower case, no full stop.
    hint : str, optional
        What to do next; lower case, no full stop.

    Attributes
    ----------
    detail : tuple of str
        Lines to show as they are below the message, such as a caret under a mistake.
    """

    exit_code: ExitCode = ExitCode.UNEXPECTED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Name of the error class, as it appears in ``--json`` errors."""
        return type(self).__name__


class UsageError(MedgridError):
    """The command line or a question cannot be understood."""

    exit_code = ExitCode.USAGE


class PartlyDone(MedgridError):
    """Some of the things asked for failed; each was listed, the rest is done."""

    exit_code = ExitCode.PARTLY


class NotFound(MedgridError):
    """No such LFN, job, worker, storage element, algorithm, dataset."""

    exit_code = ExitCode.NOT_FOUND


class AlreadyExists(MedgridError):
    """The name is taken."""

    exit_code = ExitCode.USAGE


class Denied(MedgridError):
    """The policy, or a remote system, refuses."""

    exit_code = ExitCode.DENIED


class IntegrityError(MedgridError):
    """Bytes are not what the catalog says they are."""

    exit_code = ExitCode.INTEGRITY


class Unreachable(MedgridError):
    """A host, storage element or database does not answer; trying later may help."""

    exit_code = ExitCode.UNREACHABLE


class JobFailed(MedgridError):
    """A job that was waited for ended badly."""

    exit_code = ExitCode.JOB_FAILED


class ConfigError(MedgridError):
    """The grid home, a configuration file or a descriptor is wrong."""

    exit_code = ExitCode.CONFIG


class Busy(MedgridError):
    """The catalog is locked by somebody else; trying later may help."""

    exit_code = ExitCode.UNREACHABLE
