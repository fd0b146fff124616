"""How commands on many things show what failed, and end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from medgrid.cli.output import emit_json
from medgrid.cli.say import say

if TYPE_CHECKING:
    from medgrid.actions.outcome import Failure
    from medgrid.cli.params import Session

__all__ = ["finish"]


def finish(
    session: Session, failures: Sequence[Failure], done: int, *, hint: str | None = None
) -> None:
    """Warn of each failure, then raise what they come to; nothing when there is none.

    Raises
    ------
    MedgridError
        See `medgrid.actions.outcome.summary`.
    """
    from medgrid.actions.outcome import summary

    error = summary(failures, done)
    if error is None:
        return
    if error is not failures[0].error:
        for failure in failures:
            _tell(session, failure)
    if hint is not None:
        error.hint = hint
    raise error


def _tell(session: Session, failure: Failure) -> None:
    """Show one failure on stderr, also of a quiet command."""
    error = failure.error
    if not session.as_json:
        say("warning", _with_name(failure.what, error.message))
        return
    document = {"what": failure.what, "error": error.kind, "message": error.message}
    emit_json("failure/1", {**document, "exit_code": int(error.exit_code)}, err=True)


def _with_name(what: str, message: str) -> str:
    """Return a message that says what it is about."""
    named = re.search(rf"(?<!\S){re.escape(what)}(?![^\s:,])", message)
    return message if named else f"{what}: {message}"
