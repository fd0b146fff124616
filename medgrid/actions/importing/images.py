"""Bring DICOM and NIfTI images into the grid."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from medgrid.actions.grid import Grid
from medgrid.actions.importing.ages import differing, renew
from medgrid.actions.importing.beside import Companions
from medgrid.actions.importing.convert import convert_series
from medgrid.actions.importing.doubts import Doubt, Doubts, Facts, spelled
from medgrid.actions.importing.drafts import (
    Draft,
    Failure,
    Instance,
    Namer,
    SeriesFiles,
    group,
    series_draft,
)
from medgrid.actions.importing.looking import GIVEN_OUT, Looking
from medgrid.actions.importing.merge import merged_draft
from medgrid.actions.importing.naming import namer_of
from medgrid.actions.importing.request import ImportRequest
from medgrid.actions.importing.tables import PeopleTables
from medgrid.actions.importing.telling import Listener, Summary, Telling
from medgrid.actions.importing.volumes import Volumes
from medgrid.actions.importing.writer import Names, Writer
from medgrid.actions.patients import Patients
from medgrid.actions.progress import SILENT, Progress
from medgrid.actions.scratch import scratch_folder, sweep_scratch
from medgrid.catalog.attributes import TWIN_REMOVED
from medgrid.catalog.removed import Mark
from medgrid.errors import Denied, MedgridError, NotFound, UsageError
from medgrid.images.bids import may_be_companion
from medgrid.images.convert import converter
from medgrid.images.pack import Changed, FileStamp
from medgrid.images.scan import Scanned, scan
from medgrid.images.walk import walk
from medgrid.model import GridObject, ObjectId, Sha256

__all__ = ["import_images"]

_OF_OTHERS = "only the care team of its patient, or a registrar, can add to what the grid has"


def import_images(
    grid: Grid, request: ImportRequest, listener: Listener, progress: Progress = SILENT
) -> Summary:
    """Import all images below some places.

    What cannot be read is told to `listener`, once, and the rest goes in. Killed at any point,
    nothing is half registered, and the next import goes on.

    Raises
    ------
    NotFound
        A path does not exist, or there is no image at all.
    UsageError
        The storage element is switched off.
    MedgridError
        Catalog or storage fail; what was told to `listener` is safe.
    """
    roots = _roots(request.paths)
    if request.nifti:
        converter()
    se = grid.catalog.places.se(request.se) if request.se else grid.default_se()
    if not se.enabled:
        raise UsageError(f"storage element {se.name} is switched off")
    sweep_scratch(grid.settings)
    namer = namer_of(grid, request.to, request.issuer)
    work = _Import(grid, request, se.name, namer, listener)
    work.run(roots, progress)
    if request.nifti and not request.dry_run:
        work.convert(progress)
    summary = work.telling.summary
    found = summary.imported or summary.unchanged or summary.known
    found = found or summary.removed or summary.tables or summary.left_out[GIVEN_OUT]
    if not (found or summary.failed or summary.failed_before):
        where = ", ".join(map(repr, request.paths))
        what = f"{summary.files} files, none DICOM or NIfTI" if summary.files else "no files"
        raise NotFound(f"no images below {where}: {what}")
    return summary


def _roots(paths: Iterable[str]) -> list[str]:
    """Real paths of what was named, each once.

    Raises
    ------
    NotFound
        One does not exist.
    """
    roots: dict[str, None] = {}
    for path in paths:
        if not os.path.exists(path):  # noqa: PTH110 - a Path would normalise the name
            raise NotFound(f"{path!r} does not exist", hint="name a file or a folder")
        roots[os.path.realpath(path)] = None
    return list(roots)


class _Import:
    def __init__(
        self, grid: Grid, request: ImportRequest, se: str, namer: Namer, listener: Listener
    ) -> None:
        self.grid = grid
        self.request = request
        self.namer = namer
        self.telling = Telling(grid, namer, listener, is_dry=request.dry_run)
        self._companions = Companions(grid, namer, self.telling)
        self._files: dict[ObjectId, list[str]] = {}  # of originals that may be converted
        self._names = Names(grid)
        self._doubts = Doubts(grid, namer, self.telling.doubted)
        self._patients = Patients(grid, request.team, self._doubts.contradict)
        self._tables = PeopleTables(
            grid,
            self.namer,
            self._patients.of_others,
            self.telling.table,
            self.telling.failed,
            request.leave_out,
        )
        self._look = Looking(
            grid,
            namer,
            self.telling,
            self._companions,
            self._tables,
            self._holds,
            again=request.again,
        )
        self._writer = Writer(
            grid,
            se,
            namer,
            self._patients,
            self._is_new,
            self._is_known,
            self.telling.lost,
            self.telling.lacking,
            self.telling.failed,
            self.telling.broken,
        )
        self._volumes = Volumes(
            grid,
            request,
            namer,
            self._writer.spots,
            self._look,
            self._companions,
            self.telling,
            self._is_known,
            self._is_removed,
        )

    def run(self, roots: list[str], progress: Progress) -> None:
        entries = walk(roots, self._look.is_home())
        files = list(self._look.to_read(entries, are_distinct=len(roots) == 1))
        for path, root, held in self._companions.gaining(roots, files):
            self.telling.summary.unchanged -= 1
            self._look.before[path] = held
            self._volumes.same.add(path)
            files.append((path, root))
        progress.total(len(files))
        images = list(self._read(files, progress))
        self.telling.flush()
        progress.note("storing")
        headers = spelled(self.grid, self.namer, [one for one in images if one.header])
        series = group(headers, self.telling.failed, self.telling.broken)
        volumes = [one for one in images if one.volume]
        for one in volumes:
            self._tables.beside(one.path)
        progress.total(len(series) + len(volumes))
        drafts = self._drafts(series, volumes, progress)
        if self.request.dry_run:
            for draft in drafts:
                self._would_be_new(draft)
        else:
            self._writer.write(drafts)
        self._companions.leave_out(volumes)
        self.telling.flush()
        self._tables.give(is_dry=self.request.dry_run)
        if self.request.again and not self.request.dry_run:
            renew(self.grid, self._companions.resting, self._patients.of_others)
        self._compare_people()

    def _compare_people(self) -> None:
        """Say that images have another age or sex than tables say by now."""
        for root in self._tables.datasets:
            if count := differing(self.grid, self.namer, root):
                of_whom = f"{count} subject{'s' * (count > 1)}"
                reason = (
                    f"images of {of_whom} have another age or sex than the tables of {root} say"
                )
                self.telling.warned(Doubt(reason, "'medgrid import --again' renews them"))

    def convert(self, progress: Progress) -> None:
        """Make volumes of all series that were found."""
        progress.note("converting")
        convert_series(
            self.grid,
            self._files,
            self._writer.se,
            lambda item: self.telling.new(item, is_version=item.version > 1),
            lambda lfn, reason: self.telling.failed(Failure(lfn, reason)),
            lambda lfn: self.telling.left_out(lfn, "series that makes no volume"),
            self.telling.lost,
            progress,
            vocabulary=self.namer.vocabulary,
        )

    def _read(self, files: list[tuple[str, str]], progress: Progress) -> Iterator[Scanned]:
        """Scan files and give the images among them."""
        jobs = self.request.jobs or os.cpu_count() or 1
        for one in scan(files, jobs, self.namer.vocabulary):
            progress.advance()
            if not one.reason:
                yield one
            elif not (one.is_lasting and self._companions.is_aside(one)):
                self.telling.not_imported(one)

    # -- drafting ----------------------------------------------------------------------------------

    def _drafts(
        self, series: list[SeriesFiles], volumes: list[Scanned], progress: Progress
    ) -> Iterator[Draft]:
        called = [self.namer.series_names(files.key) for files in series]
        names = [many[0] for many in called]
        whose = [self.namer.of_volume(one.volume) for one in volumes if one.volume is not None]
        patients = {one for one in (*(one.patient for one in names), *whose) if one is not None}
        strange = self._patients.of_others(patients)
        self._doubts.recall(patients - strange)
        self._doubts.compare((files.key, name) for files, name in zip(series, names, strict=True))
        held = self.grid.whole.scanned.series(name.series_uid or "" for name in names)
        new = [one for many in called if many[0] not in held for one in many]
        marks = self.grid.whole.removed.series(new, self.grid.settings.user)
        for files, many in zip(series, called, strict=True):
            try:
                name, base = many[0], held.get(many[0])
                marked = [one for one in many if one in marks]
                if name.patient in strange:
                    for one in files.files:
                        self.telling.failed(Failure(one.path, _OF_OTHERS))
                elif base is None and marked and not self.request.again:
                    mark = marks[marked[0]]
                    self._is_removed(mark, [(x.path, x.stamp) for x in files.files])
                elif base is None:
                    draft = series_draft(files, self.namer)
                    draft.was_removed, draft.marked = bool(marked), marked
                    yield draft
                else:
                    yield from self._next_version(files, base)
            except Changed as exc:
                self.telling.unreadable(exc, [one.path for one in files.files])
            except MedgridError as exc:
                reason = (
                    "the grid has its series; only the patient's care team can add to it"
                    if isinstance(exc, Denied)
                    else f"the grid has its series, which cannot be added to: {exc}"
                )
                for one in files.files:
                    self.telling.failed(Failure(one.path, reason))
            progress.advance()
        for volume, patient in zip(volumes, whose, strict=True):
            if patient in strange:
                self.telling.failed(Failure(volume.path, _OF_OTHERS))
            else:
                yield from self._volumes.drafts(volume)
            progress.advance()

    def _next_version(self, files: SeriesFiles, base: ObjectId) -> Iterator[Draft]:
        item = self.grid.whole.objects.by_ids([base]).get(base)
        if item is None:
            raise NotFound("somebody removed it meanwhile")

        def contradicts(one: Instance, reason: str) -> None:
            self.telling.failed(Failure(one.path, reason))
            self.telling.refuse(one.path, one.stamp, reason, is_failure=True, object_id=base)

        lack, anew = self._look.lack(base)
        with scratch_folder(self.grid.settings) as folder:
            draft = merged_draft(self.grid, files, item, self.namer, folder, contradicts, anew=anew)
            if draft is not None:
                draft.lacks_twin = lack if lack == TWIN_REMOVED and not anew else ""
                yield draft
                return
        self._look.note_lack(base, lack)
        self._holds(base, *(one.path for one in files.files))
        self.telling.known(base, [(one.path, one.stamp) for one in files.files])

    def _is_removed(self, mark: Mark, files: Sequence[tuple[str, FileStamp]]) -> None:
        images = {path for path, _ in files if not may_be_companion(path)}
        self.telling.removed(mark, files, is_known=images <= self._look.were_removed)

    # -- what became of drafts ---------------------------------------------------------------------

    def _is_new(self, item: GridObject, draft: Draft) -> None:
        if draft.patient is not None:
            self._doubts.see(draft.patient, Facts.of(item.attributes))
        files = self._companions.take(draft)
        self._holds(item.original or item.id, *(path for path, _ in draft.files))
        self.telling.new(item, files, draft.all_files, is_version=draft.replaces is not None)

    def _is_known(self, held: ObjectId, draft: Draft) -> None:
        self.telling.summary.known += self._companions.take(draft)
        self._holds(held, *(path for path, _ in draft.files))

    def _would_be_new(self, draft: Draft) -> None:
        try:
            draft.look()
        except Changed as exc:
            self.telling.unreadable(exc, [path for path, _ in draft.files])
            return
        except ValueError as exc:
            for path, stamp in draft.files:
                self.telling.broken(path, stamp, str(exc))
            return
        said = draft.described()
        lfn = draft.twin_lfn or self._names.free(said.folder, said.label)
        item = GridObject(
            id=ObjectId(""),
            lfn=lfn,
            kind=draft.kind,
            filename=draft.filename,
            size_bytes=draft.size_bytes,
            sha256=Sha256(""),
            attributes=said.attributes,
        )
        self._is_new(item, draft)

    def _holds(self, object_id: ObjectId, *paths: str) -> None:
        """Note that an original has the content of files."""
        if self.request.nifti:
            self._files.setdefault(object_id, []).extend(paths)
