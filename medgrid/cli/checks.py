"""What ``worker check`` and ``se check`` share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from medgrid.cli.output import warn
from medgrid.cli.params import Session

if TYPE_CHECKING:
    from medgrid.actions.check import SeCheck, WorkerCheck

__all__ = ["accept_hostkey_option", "finish_checks", "one_name"]

accept_hostkey_option = click.option(
    "--accept-hostkey", metavar="SHA256:...", help="Trust the host key with this fingerprint."
)


def one_name(names: Sequence[str]) -> str:
    """The one place whose host key is accepted."""
    if len(names) != 1:
        raise click.UsageError("--accept-hostkey goes with one name")
    return names[0]


def finish_checks(session: Session, checks: Sequence[WorkerCheck] | Sequence[SeCheck]) -> None:
    """End the command as its checks ended: each failure of several is a warning first."""
    from medgrid.actions.check import failure

    error = failure(checks)
    if error is None:
        return
    if len(checks) > 1:
        for check in checks:
            if check.error is not None:
                hint = f" ({check.error.hint})" if check.error.hint else ""
                warn(session, f"{check.name}: {check.error.message}{hint}")
    raise error
