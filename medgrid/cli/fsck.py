"""``medgrid fsck``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from medgrid.cli.failures import finish
from medgrid.cli.output import emit, note, progress, warn
from medgrid.cli.params import Session, pass_session

if TYPE_CHECKING:
    from medgrid.actions.fsck import Finding

__all__ = ["fsck"]


@click.command()
@click.argument("ses", nargs=-1, metavar="[SE]...")
@click.option("--deep", is_flag=True, help="Read all bytes and compare digests.")
@click.option("--repair", is_flag=True, help="Copy bad replicas anew, delete leftovers.")
@click.option("--dry-run", is_flag=True, help="Say what --repair would do, and do nothing.")
@click.option(
    "--min-age",
    "min_age_h",
    type=click.FloatRange(min=0),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="Delete only leftovers that are older.",
)
@click.option("--restart", is_flag=True, help="With --deep: read all, also what was read before.")
@pass_session
def fsck(
    session: Session,
    ses: tuple[str, ...],
    deep: bool,
    repair: bool,
    dry_run: bool,
    min_age_h: float,
    restart: bool,
) -> None:
    """Compare the catalog with what storage elements and workers hold, all by default.

    \b
    LOST        catalogued, not stored
    CORRUPT     stored, but not the bytes the catalog knows (size; with --deep also digest)
    NO-REPLICA  an object without any copy
    DARK        stored, not catalogued
    HALF-DONE   an upload or a deletion that never ended
    TEMPORARY   left by a writer that was killed
    ORPHAN      the directory of an attempt on a worker that no job is at

    The last four cost space only. --repair copies LOST and CORRUPT replicas anew from a good one
    and deletes the leftovers; --dry-run says first what it would do. Both may run beside imports
    and jobs. With a small --min-age an upload that is under way may be taken for one that was given
    up: it fails and can be said again; nothing that is registered is ever deleted.

    Storage elements, and workers when no SE is named, are checked at the same time. With --deep a
    check that was interrupted goes on where it was, for a week, and says what it passes over.

    Exit code 0 when all data are safe (also when leftovers were found), 6 when not.
    """
    from medgrid.actions.fsck import Kind, Orders, check_grid
    from medgrid.errors import IntegrityError

    found: list[Finding] = []
    report = check_grid(
        session.open_grid(),
        ses,
        found.append,
        Orders(deep, repair and not dry_run, dry_run, min_age_h * 3600, restart),
        progress(session, "checking"),
    )
    found.sort(key=lambda one: (one.kind is Kind.NO_REPLICA, one.se))
    rows = (
        {
            "kind": str(one.kind),
            "se": one.se or None,
            "pfn": one.pfn or None,
            "worker": one.worker or None,
            "lfn": one.name or None,
            "detail": one.detail or None,
            "action": one.action or None,
            "mended": one.mended,
        }
        for one in found
    )
    emit(session, "finding/1", rows, ("kind", "se", "lfn", "pfn", "detail", "action"))
    note(session, f"{report.checked} replicas checked, {report.mended} findings mended")
    if report.harmful:
        for failure in report.failures:
            warn(session, f"{failure.what}: {failure.error.message}")
        raise IntegrityError(
            f"data are at risk: {report.harmful} bad of {report.checked} replicas",
            hint=None if repair else "'medgrid fsck --repair' mends what has a good replica",
        )
    finish(session, report.failures, report.places)
