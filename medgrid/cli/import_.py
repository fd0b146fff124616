"""``medgrid import``."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.output import emit_json, emit_lines, progress, warn
from medgrid.cli.params import Session, pass_session
from medgrid.cli.say import printable
from medgrid.cli.tables import tell_table
from medgrid.errors import PartlyDone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medgrid.actions.importing.doubts import Doubt
    from medgrid.actions.importing.drafts import Failure
    from medgrid.actions.importing.tables import TableReport
    from medgrid.actions.importing.telling import Summary
    from medgrid.model import GridObject

_FEW = 10


@click.command("import")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--to", required=True, metavar="LFN", help="Folder of the catalog to put them below.")
@click.option("--se", default="", metavar="NAME", help="Storage element for the bytes.")
@click.option(
    "--issuer", default="", metavar="TEXT", help="Who gave the patient ids, if files do not say."
)
@click.option("--nifti", is_flag=True, help="Also convert series into NIfTI volumes (dcm2niix).")
@click.option(
    "--keep-names", is_flag=True, help="Name NIfTI files by known words of their own names."
)
@click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="Processes that read headers."
)
@click.option(
    "--team", multiple=True, metavar="NAME", help="Who cares for patients who are new; repeat."
)
@click.option(
    "--leave-out", multiple=True, metavar="NAME", help="Column of tables not to take; repeat."
)
@click.option(
    "--again", is_flag=True, help="Also what could not be imported before, or was removed."
)
@click.option("--dry-run", is_flag=True, help="Say what would be imported, change nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Name all that is left out.")
@pass_session
def import_(
    session: Session,
    paths: tuple[str, ...],
    to: str,
    se: str,
    issuer: str,
    nifti: bool,
    keep_names: bool,
    jobs: int | None,
    team: tuple[str, ...],
    leave_out: tuple[str, ...],
    again: bool,
    dry_run: bool,
    verbose: bool,
) -> None:
    """Bring DICOM and NIfTI images into the grid, and print the LFNs of what is new.

    Folders are searched to their ends. The instances of one DICOM series become one object; a NIfTI
    file becomes one with its companions: side-cars, gradient tables (.bval, .bvec), events, physio
    and what else BIDS names beside it. Where these change or come later, the image gets a new
    version. Patients get pseudonyms, and no
    metadata names them; the original bytes are kept in the object alone. Descriptions keep the
    words that medgrid knows: 'medgrid review --words' lists others. Files unchanged since
    the last import are not read again. What cannot be imported is listed with its reason, the
    rest goes in (exit status 3); unchanged, it is counted alone the next time, until --again. An
    instance that the grid has otherwise, from a file that was not whole yet, say, is refused with
    the LFN: when the new one is right, remove that with 'medgrid rm', and import with --again.
    What was removed with 'medgrid rm' is named once and stays away until --again. Where tables say
    another age or sex than images have, a warning says so (exit status 3); --again renews these.

    Reports, plans, contours, ECG and the like are kept for the care team, with what they refer to.
    Where no de-identified twin can be made of a series, a warning says why (exit status 3); so it
    does when somebody cannot see a new version of what is granted to them.

    What is neither an image nor a companion of one is left out: up to ten are named, more are
    counted and named by --verbose or --json. A companion that does not fit its image (b-values of
    another number than its volumes, say) goes in with a warning (exit status 3).

    Columns of participants.tsv, of sessions and scans files and of phenotype/*.tsv become
    attributes of patients and visits: 'medgrid query "arm=treated and edss>3"'. Numbers are kept,
    and words that the JSON file beside the table lists as Levels, or of which each stands there
    for several people; names, dates, ids and free text are left out, and said to be. A table
    changes what it said before, not what somebody set since; see medgrid-meta(1). A column that is
    to be blinded must not come in here: --leave-out arm, and then 'medgrid meta import
    participants.tsv --blind arm'. Where no table has the column, nothing of them is taken.

    Where images of one patient differ in sex, birth date or age, or two patients have one series,
    a warning says so (exit status 3): two people may have become one patient, or one person two,
    which 'medgrid patient merge' puts right.
    """
    from medgrid.actions.importing.images import import_images
    from medgrid.actions.importing.request import ImportRequest
    from medgrid.model import LFN

    request = ImportRequest(
        paths, LFN(to), se, issuer, nifti, keep_names, jobs or 0, dry_run, again, team, leave_out
    )
    telling = _Telling(session, verbose)
    summary = import_images(
        session.open_grid(), request, telling, progress(session, "reading headers")
    )
    _print_summary(session, summary, telling.few, dry_run)
    if summary.failed:
        raise PartlyDone(
            f"{_count(summary.failed, 'file')} could not be imported",
            hint="the reasons stand above",
        )
    if summary.damaged:
        raise PartlyDone(
            f"{_count(summary.damaged, 'companion')} may be wrong",
            hint="the warnings stand above; all images are in the grid",
        )
    if summary.doubts or summary.warnings:
        what = "some patients may be others than they seem to be"
        raise PartlyDone(
            what if summary.doubts else "not all is as it should be",
            hint="the warnings stand above; all images are in the grid",
        )


class _Telling:
    """Prints what is new on stdout, and what failed on stderr.

    `few` holds what was left out and is not named yet, as long as it is little.
    """

    def __init__(self, session: Session, verbose: bool) -> None:
        self.few: list[tuple[str, str]] = []
        self._session = session
        self._is_verbose = verbose

    def new(self, item: GridObject, files: Sequence[str]) -> None:
        if not self._session.as_json:
            emit_lines([str(item.lfn)])
            return
        document: dict[str, Any] = {
            "lfn": item.lfn,
            "id": item.id or None,
            "kind": item.kind,
            "size_bytes": item.size_bytes,
            "sha256": item.sha256 or None,
            "attributes": dict(item.attributes),
        }
        if item.kind == "volume" and files:
            document["files"] = [_shown(path) for path in files]
        emit_json("import/1", document)

    def left_out(self, path: str, reason: str) -> None:
        if self._session.as_json:
            _json_err("import-left-out/1", {"path": _shown(path), "reason": reason})
        elif self._is_verbose and not self._session.quiet:
            _say(f"left out: {_shown(path)}: {reason}")
        elif len(self.few) <= _FEW:
            self.few.append((path, reason))

    def damaged(self, failure: Failure) -> None:
        path = _shown(failure.path)
        if not self._session.as_json:
            warn(self._session, f"{path}: {failure.reason}", is_trouble=True)
            return
        _json_err("import-damaged/1", {"path": path, "reason": failure.reason})

    def failed(self, failure: Failure) -> None:
        path = _shown(failure.path)
        if not self._session.as_json:
            _say(f"medgrid: error: {path}: {failure.reason}")
            return
        _json_err("import-failure/1", {"path": path, "reason": failure.reason})

    def doubted(self, doubt: Doubt) -> None:
        warn(self._session, doubt.reason, hint=doubt.hint, is_trouble=True)

    def table(self, report: TableReport) -> None:
        tell_table(self._session, report)


def _shown(path: str) -> str:
    """A path for people: bytes that are no UTF-8 and control characters are escaped."""
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"))


def _json_err(schema: str, document: dict[str, Any]) -> None:
    _say(json.dumps({"schema": f"medgrid.{schema}", **document}, ensure_ascii=False))


def _say(line: str) -> None:
    """Print a line on stderr; on a terminal it goes above the progress bar."""
    sys.stderr.write(line + "\n")


def _print_summary(
    session: Session, summary: Summary, few: Sequence[tuple[str, str]], dry_run: bool
) -> None:
    if session.as_json:
        _json_err(
            "import-summary/1",
            {
                "new": summary.new,
                "versions": summary.versions,
                "files": summary.files,
                "imported": summary.imported,
                "unchanged": summary.unchanged,
                "known": summary.known,
                "failed": summary.failed,
                "failed_before": summary.failed_before,
                "damaged": summary.damaged,
                "removed": summary.removed,
                "doubts": summary.doubts,
                "warnings": summary.warnings,
                "tables": summary.tables,
                "attributes": summary.attributes,
                "left_out": dict(summary.left_out),
                "without_twin": dict(summary.lacking),
            },
        )
        return
    if session.quiet:
        return
    new = _count(summary.new, "object") if summary.new else "nothing"
    if summary.versions:
        new += f" ({_count(summary.versions, 'new version')})"
    if summary.imported:
        new += f" from {_count(summary.imported, 'file')}"
    parts = [f"would be new: {new}" if dry_run else f"new: {new}"]
    for text, count in (
        ("unchanged", summary.unchanged),
        ("in the grid already", summary.known),
        ("failed", summary.failed),
        ("failed before (--again lists them)", summary.failed_before),
        ("removed from the grid (--again brings them back)", summary.removed),
    ):
        if count:
            parts.append(f"{text}: {_count(count, 'file')}")
    if summary.attributes:
        parts.append(f"attributes of patients: {_count(summary.attributes, 'value')}")
    _say("; ".join(parts))
    for reason, count in sorted(summary.lacking.items()):
        _say(f"for the care team alone: {count} without a twin: {reason}")
    if len(few) <= _FEW:
        for path, reason in few:
            _say(f"left out: {_shown(path)}: {reason}")
        return
    for reason, count in sorted(summary.left_out.items()):
        _say(f"left out: {_count(count, 'file')}: {reason} (--verbose names them)")


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
