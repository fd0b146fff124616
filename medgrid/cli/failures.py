"""How commands on many things show what failed, and end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medgrid.cli.output import warn

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
            warn(session, f"{failure.what}: {failure.error.message}")
    if hint is not None:
        error.hint = hint
    raise error
