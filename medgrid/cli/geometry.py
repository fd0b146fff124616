"""What is said of de-identified series that lack private numbers."""

from __future__ import annotations

from collections.abc import Sequence

from medgrid.cli.output import warn
from medgrid.cli.params import Session

__all__ = ["warn_of_geometry"]

_SHOWN = 10


def warn_of_geometry(session: Session, lfns: Sequence[str]) -> None:
    """Warn of series that a conversion may misplace; nothing when there are none."""
    if not lfns:
        return
    some = ", ".join(lfns[:_SHOWN])
    more = f" and {len(lfns) - _SHOWN} more" if len(lfns) > _SHOWN else ""
    warn(
        session,
        f"GeometryComplete=no: what is converted from {some}{more} may be misplaced, or lack "
        "diffusion directions and slice times",
        hint="'medgrid import --nifti' makes volumes of the originals",
    )
