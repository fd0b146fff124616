"""NIfTI volumes of series that are in the grid, with the record of how they were made.

They are made of the series as they came: de-identified twins may lack numbers that vendors keep in
private elements, and without these a volume may look right and be wrong.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medgrid.actions.grid import Grid
from medgrid.actions.held import is_packed
from medgrid.actions.importing.drafts import group
from medgrid.actions.importing.twins import VOLUME_FILENAME, beside_parts
from medgrid.actions.progress import SILENT, Progress
from medgrid.actions.scratch import scratch_folder
from medgrid.actions.transfer import Uploads, fetch_packed
from medgrid.actions.versions import Loss, Succession
from medgrid.algorithms.descriptor import algorithm_digest
from medgrid.catalog.attributes import GEOMETRY_COMPLETE
from medgrid.catalog.objects import Registration
from medgrid.catalog.provenance import Derivation
from medgrid.crypto.vault import Sealing, Whose
from medgrid.errors import Denied, MedgridError, NotFound
from medgrid.images.convert import Converted, convert, converter, converter_version
from medgrid.images.pack import Changed, Part, packed
from medgrid.images.scan import scan
from medgrid.images.words import SHIPPED, Vocabulary
from medgrid.model import (
    LFN,
    PACKED_SUFFIX,
    Algorithm,
    GridObject,
    ObjectId,
    ObjectKind,
    Sha256,
    new_object_id,
)
from medgrid.storage.base import read_chunks

__all__ = ["convert_series", "converted"]

_NAME = "dcm2niix"
_OF_THIS_HOST = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENOMEM)
"""Errors that other series would meet, too."""

_WHOSE = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID")


def convert_series(
    grid: Grid,
    files: Mapping[ObjectId, Sequence[str]],
    se: str,
    on_new: Callable[[GridObject], None],
    on_failed: Callable[[LFN, str], None],
    on_empty: Callable[[LFN], None],
    on_lost: Callable[[Loss], None] = lambda _: None,
    progress: Progress = SILENT,
    *,
    vocabulary: Vocabulary = SHIPPED,
) -> None:
    """Convert series that were not converted yet.

    Parameters
    ----------
    grid : Grid
    files : mapping
        Originals by id, and files that have the content of each; where these are not all of it, the
        original is read from the grid. What is no series, or has no twin with an LFN, is passed
        over.
    se : str
        Storage element for the volumes.
    on_new : callable
        Told of each new object.
    on_failed : callable
        Told of each series that could not be converted, and why.
    on_empty : callable
        Told of each series that makes no volume.
    on_lost : callable
        Told of those who do not see a new version of what is granted to them.
    vocabulary : Vocabulary
        Words that descriptions may have.

    Raises
    ------
    ConfigError
        dcm2niix is not installed.
    OSError
        This host has no room, say.
    """
    program = _program()
    found = grid.whole.objects.twins(files)
    named = [item for item in found if item.kind is ObjectKind.SERIES and item.lfn is not None]
    made_from = grid.whole.provenance.made_from_many([item.id for item in named])
    series = [item for item in named if not any(map(_is_converter, made_from.get(item.id, ())))]
    if not series:
        return
    grid.catalog.algorithms.add(program)
    originals = grid.whole.objects.by_ids([item.original for item in series if item.original])
    progress.total(len(series))
    for item in sorted(series, key=lambda one: str(one.lfn)):
        assert item.lfn is not None  # noqa: S101 - chosen above
        try:
            original = originals.get(item.original or item.id)
            if original is None:
                raise NotFound("its original was removed meanwhile")
            made = _convert_one(
                grid,
                item,
                item.lfn,
                original,
                files.get(original.id, ()),
                se,
                program,
                on_lost,
                vocabulary,
            )
        except OSError as exc:
            if exc.errno in _OF_THIS_HOST:
                raise
            on_failed(item.lfn, f"not converted: {(exc.strerror or type(exc).__name__).lower()}")
            continue
        except (MedgridError, ValueError, Changed) as exc:
            on_failed(item.lfn, f"not converted: {exc}")
            continue
        finally:
            progress.advance()
        if made == []:
            on_empty(item.lfn)
        for volume in made or ():
            on_new(volume)


def converted(grid: Grid, series: Collection[ObjectId]) -> list[GridObject]:
    """Volumes that imports made of series, in the order that these gave them."""
    made = grid.catalog.provenance.made_from_many(series)
    runs = (run for one in series for run in made.get(one, ()) if _is_converter(run))
    ids = dict.fromkeys(one for run in runs for one in run.outputs.get("volume", ()))
    there = grid.catalog.objects.by_ids(ids)
    return [there[one] for one in ids if one in there]


def _is_converter(made: Derivation) -> bool:
    return made.algorithm_label.partition("@")[0] == _NAME


def _program() -> Algorithm:
    """The installed dcm2niix as an algorithm."""
    digest = Sha256(hashlib.sha256(Path(converter()).read_bytes()).hexdigest())
    descriptor: dict[str, Any] = {
        "name": _NAME,
        "tool-version": converter_version(),
        "description": "Converts a DICOM series into NIfTI volumes (medgrid import --nifti).",
        "schema-version": "0.5",
        "command-line": "dcm2niix -b y -ba y -z n -f volume -g i [SERIES]",
        "inputs": [
            {"id": "series", "name": "DICOM series", "type": "File", "value-key": "[SERIES]"}
        ],
        "output-files": [
            {"id": "volume", "name": "NIfTI volumes", "path-template": "*.nii", "list": True}
        ],
    }
    return Algorithm(
        name=_NAME,
        version=converter_version(),
        digest=algorithm_digest(descriptor, digest),
        descriptor=descriptor,
        bundle_sha256=digest,
    )


def _convert_one(
    grid: Grid,
    item: GridObject,
    lfn: LFN,
    original: GridObject,
    files: Sequence[str],
    se: str,
    program: Algorithm,
    on_lost: Callable[[Loss], None],
    vocabulary: Vocabulary,
) -> list[GridObject] | None:
    """Convert one series and register what comes of it, in one transaction.

    None says that another import has done so meanwhile.
    """
    started_s = time.time()
    earlier = {object_id for _, object_id in grid.whole.objects.versions(lfn)}
    names: list[Any] = [item.attributes.get(name) for name in _WHOSE]
    new: list[Registration] = []
    keys: list[Sealing] = []
    with scratch_folder(grid.settings) as folder, Uploads(grid) as uploads:
        known = {key: item.attributes[key] for key in item.attributes if key != GEOMETRY_COMPLETE}
        volumes = _volumes(grid, original, files, folder, known, vocabulary)
        ended_s = time.time()
        for volume in volumes:
            whose = Whose(item.data_class, item.patient, () if item.patient else (item.owner,))
            sealed = uploads.seal(new_object_id(), se, _chunks(volume), whose)
            place, version = _place(grid, f"{lfn}{volume.postfix}.nii", earlier)
            keys.append(sealed.sealing)
            made = GridObject(
                id=sealed.replica.object_id,
                lfn=place,
                version=version,
                kind=ObjectKind.VOLUME,
                filename=VOLUME_FILENAME + PACKED_SUFFIX * bool(volume.companions),
                size_bytes=sealed.size_bytes,
                sha256=sealed.replica.sha256,
                created_s=ended_s,
                attributes=volume.attributes,
                data_class=item.data_class,
                owner=item.owner,
                patient=item.patient,
                digest=sealed.digest,
                review=item.review,
            )
            new.append(Registration(made, (sealed.replica,), *names))
        grid.keep(keys)
        succession = Succession(grid)
        succession.prepare(one.object for one in new)
        with grid.catalog.transaction():
            grid.catalog.objects.hold_patients([item.patient] if item.patient else [])
            if any(map(_is_converter, grid.whole.provenance.made_from(item.id))):
                return None
            grid.catalog.objects.register(new, replace=True, uploaded=True)
            succession.hand_on(grid.catalog, {one.object.id for one in new})
            grid.catalog.provenance.record(
                Derivation(
                    id=secrets.token_hex(16),
                    algorithm=program.digest,
                    algorithm_label=str(program),
                    inputs={"series": [item.id], "original": [original.id]},
                    outputs={"volume": [one.object.id for one in new]} if new else {},
                    started_s=started_s,
                    ended_s=ended_s,
                    exit_code=0,
                )
            )
    for loss in succession.settle():
        on_lost(loss)
    return [one.object for one in new]


def _volumes(
    grid: Grid,
    original: GridObject,
    files: Sequence[str],
    folder: Path,
    known: Mapping[str, Any],
    vocabulary: Vocabulary,
) -> list[Converted]:
    instances, target = folder / "in", folder / "out"
    target.mkdir()
    if not _linked(grid, original, files, instances):
        replicas = grid.whole.objects.replicas([original.id])[original.id]
        try:
            fetch_packed(grid, original, replicas, instances)
        except Denied as exc:
            raise Denied(
                f"{len(files)} of its files are here, and only the patient's care team can read "
                "it from the grid",
                hint="import its folder again, when all of its files are there",
            ) from exc
    return convert(instances, target, known, vocabulary)


def _linked(grid: Grid, original: GridObject, files: Sequence[str], folder: Path) -> bool:
    """Make `folder` with links to the files of a series, when they are all of it."""
    images = scan([(path, path) for path in files], os.cpu_count() or 1)
    series = group((one for one in images if one.header), lambda _: None, lambda *_: None)
    if len(series) != 1 or not is_packed(grid, original, series[0].members):
        return False
    folder.mkdir()
    for number, one in enumerate(series[0].instances):
        (folder / f"{number:06d}.dcm").symlink_to(one.path)
    return True


def _chunks(volume: Converted) -> Iterator[bytes]:
    """Bytes of a volume, with its companions when it has any."""

    def image() -> Iterator[bytes]:
        with volume.path.open("rb") as stream:
            yield from read_chunks(stream)

    part = Part(VOLUME_FILENAME, volume.path.stat().st_size, image)
    return packed([part, *beside_parts(volume.companions)]) if volume.companions else image()


def _place(grid: Grid, name: str, earlier: set[ObjectId]) -> tuple[LFN, int]:
    """LFN and version for a volume.

    It is a free LFN, or that of the volume which an earlier version of the series gave.
    """
    stem, _, ending = name.rpartition(".")
    number = 1
    while True:
        lfn = LFN(name if number == 1 else f"{stem}-{number}.{ending}")
        taken = grid.whole.objects.get_many([lfn]).get(lfn)
        if taken is None:
            return lfn, 1
        made = grid.whole.provenance.made_by(taken.id)
        if made is not None and _is_converter(made) and earlier & set(made.inputs["series"]):
            return lfn, taken.version + 1
        number += 1
