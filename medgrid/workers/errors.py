"""Errors of workers that are not said by an error of the root tree."""

from __future__ import annotations

from medgrid.errors import ExitCode, MedgridError

__all__ = ["AgentError", "NoSpace"]


class NoSpace(MedgridError):
    """The worker's disk is full; trying later, or elsewhere, may help."""

    exit_code = ExitCode.UNREACHABLE


class AgentError(MedgridError):
    """The agent refuses a request it should understand."""
