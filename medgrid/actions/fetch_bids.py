"""Bring images to a folder of this host as a BIDS dataset."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

from medgrid.actions.fetch import Fetched, Layout, fetch, find, write_text
from medgrid.actions.files import make_folder
from medgrid.actions.grid import Grid
from medgrid.actions.outcome import Failure
from medgrid.actions.progress import SILENT, Progress
from medgrid.actions.transfer import BadReplica
from medgrid.catalog.attributes import nearest
from medgrid.catalog.patient_attributes import Given
from medgrid.documents import Unreadable, read_file, read_json
from medgrid.errors import MedgridError, NotFound, UsageError
from medgrid.exchange.bids import (
    DERIVATIVES,
    Misfit,
    Place,
    columns,
    description,
    labels_of,
    named,
    numbered,
    place_of,
    references,
    subject_of,
    table,
    visit_of,
)
from medgrid.images.bids import SIDE_CAR, dataset_sources
from medgrid.model import LFN, PACKED_SUFFIX, GridObject, ObjectKind, plain_number

__all__ = ["fetch_bids"]

_DESCRIPTION = "dataset_description.json"
_README = """Images that medgrid gave out, under pseudonyms; dates were moved.

Import of this folder into the same grid adds nothing to it.
"""


def fetch_bids(
    grid: Grid,
    words: Sequence[str],
    folder: Path,
    *,
    attributes: Sequence[str] | None = None,
    force: bool = False,
    on_bad: Callable[[BadReplica], None],
    progress: Progress = SILENT,
) -> Generator[Fetched | Failure, None, None]:
    """Bring images by LFN to `folder`, which becomes a BIDS dataset.

    Parameters
    ----------
    words : sequence of str
        LFNs.
    attributes : sequence of str, optional
        Those of patients and visits that tables have; all by default.

    Yields
    ------
    Fetched or Failure
        What has no place in a dataset; each description and table, and each image.

    Raises
    ------
    NotFound
        No patient or visit that the user sees has one of `attributes`.
    MedgridError
        Nothing could say in `folder` that the grid gave it out: an import would take it for new.
    """
    _check(grid, attributes or ())
    places: dict[LFN, Place] = {}
    items: dict[LFN, GridObject] = {}
    for word, item in find(grid, list(dict.fromkeys(words))):
        try:
            if isinstance(item, MedgridError):
                raise item
            places[LFN(word)] = _place(LFN(word), item)
            items[LFN(word)] = item
        except MedgridError as error:
            yield Failure(word, error)
    labels = _labels(items)
    for lfn, item in items.items():
        label = labels[_whose(item)][visit_of(item.attributes)]
        places[lfn] = places[lfn]._replace(session=label)
    order = sorted(places)
    for lfn, place in zip(order, numbered([places[lfn] for lfn in order]), strict=True):
        if isinstance(place, Misfit):
            yield Failure(lfn, _misfit(lfn, place))
            del places[lfn], items[lfn]
        else:
            places[lfn] = place

    known = named(places.values())

    def amend(lfn: LFN, file: Path) -> None:
        if file.name == SIDE_CAR:
            _refer(file, places[lfn].subject, known)

    if places:  # first, so that what is interrupted is known to be given out
        yield from _describe(grid, folder, places, items, labels, attributes, force=force)
    layout = Layout({lfn: place.path for lfn, place in places.items()}, amend)
    yield from fetch(
        grid, list(places), folder, force=force, on_bad=on_bad, progress=progress, layout=layout
    )


def _check(grid: Grid, attributes: Sequence[str]) -> None:
    known = grid.catalog.patient_attributes.names() if attributes else {}
    for name in attributes:
        if name not in known:
            hint = nearest(name, known) or "'medgrid meta ls' shows which there are"
            raise NotFound(f"no patient or visit has an attribute {name!r}", hint=hint)


def _whose(item: GridObject) -> str:
    assert item.patient is not None  # noqa: S101 - it has a place
    return item.patient


def _labels(items: Mapping[LFN, GridObject]) -> dict[str, dict[str, str]]:
    """Labels of visits, by patient."""
    visits: dict[str, set[str]] = {}
    for item in items.values():
        visits.setdefault(_whose(item), set()).add(visit_of(item.attributes))
    return {patient: labels_of(known) for patient, known in visits.items()}


def _place(lfn: LFN, item: GridObject) -> Place:
    if item.kind is ObjectKind.SERIES:
        hint = "'medgrid import --nifti' makes volumes of series"
        raise _misfit(lfn, Misfit("it is a DICOM series"), hint)
    try:
        filename = item.filename.removesuffix(PACKED_SUFFIX)
        return place_of(item.attributes, item.patient, filename)
    except Misfit as exc:
        raise _misfit(lfn, exc) from None


def _misfit(
    lfn: LFN, reason: Misfit, hint: str = "'medgrid fetch --dir' brings it as it is"
) -> UsageError:
    return UsageError(f"{lfn} has no place in a BIDS dataset: {reason}", hint=hint)


def _refer(file: Path, subject: str, known: Mapping[tuple[str, str], str]) -> None:
    """Let a side-car name images as the dataset does."""
    try:
        fields = read_json(read_file(file))
    except Unreadable:
        return  # it stays as it came
    if isinstance(fields, dict) and (said := references(fields, subject, known)) != fields:
        file.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def _describe(
    grid: Grid,
    folder: Path,
    places: dict[LFN, Place],
    items: dict[LFN, GridObject],
    labels: Mapping[str, Mapping[str, str]],
    attributes: Sequence[str] | None,
    *,
    force: bool,
) -> Generator[Fetched | Failure, None, None]:
    """Write tables and descriptions."""
    name = f"images of the grid {grid.catalog.grid_id[:8]}"
    tables, failures = _tables(grid, items, labels, attributes)
    files = {
        _DESCRIPTION: description(grid.catalog.grid_id, name, derived=False),
        "README": _README,
        **tables,
    }
    if any(place.is_derived for place in places.values()):
        derived = description(grid.catalog.grid_id, name, derived=True)
        files[f"{DERIVATIVES}/{_DESCRIPTION}"] = derived
    for relative, text in files.items():
        path = folder / relative
        try:
            make_folder(path.parent)
            write_text(path, text.encode(), force)
        except MedgridError as error:
            mark = f"medgrid:{grid.catalog.grid_id}"
            if relative == _DESCRIPTION and mark not in dataset_sources(str(folder)):
                raise
            yield Failure(relative, error)
        else:
            yield Fetched(path, relative, size_bytes=len(text))
    yield from failures


def _tables(
    grid: Grid,
    items: dict[LFN, GridObject],
    labels: Mapping[str, Mapping[str, str]],
    attributes: Sequence[str] | None,
) -> tuple[dict[str, str], list[Failure]]:
    """Tables of participants and sessions, by path; what they cannot say."""
    patients: dict[str, dict[str, str]] = {}
    visits: dict[str, dict[str, dict[str, str]]] = {}
    called: dict[tuple[str, str], set[str]] = {}  # visits by session and by study date
    failures: list[Failure] = []
    for item in items.values():
        patient = _whose(item)
        row = patients.setdefault(patient, {"participant_id": f"sub-{subject_of(patient)}"})
        if "PatientSex" in item.attributes:
            row["sex"] = str(item.attributes["PatientSex"])
        if isinstance(years := item.attributes.get("PatientAge"), int | float):
            row["age"] = plain_number(min(years, float(row.get("age", years))))
        if visit := visit_of(item.attributes):
            visits.setdefault(patient, {})[visit] = {}
            for name in {visit, str(item.attributes.get("StudyDate") or visit)}:
                called.setdefault((patient, name), set()).add(visit)
    units = {name: one.unit for name, one in grid.catalog.patient_attributes.names().items()}
    given = [
        said.given
        for said in grid.catalog.patient_attributes.of(patients)
        if attributes is None or said.given.name in attributes
    ]
    of_patients = [one for one in given if not one.visit]
    for one in of_patients:
        patients[one.patient][one.name] = one.word
    of_visits = [
        (one, visit) for one in given for visit in sorted(called.get((one.patient, one.visit), ()))
    ]
    for one, visit in sorted(of_visits, key=lambda pair: pair[0].visit != pair[1]):
        if visits[one.patient][visit].setdefault(one.name, one.word) != one.word:
            failures.append(_differs(one, visit))
    files = {"participants.tsv": table(patients.values(), "participant_id")}
    for patient, known in visits.items():
        subject = f"sub-{subject_of(patient)}"
        label = labels[patient]
        rows = [{"session_id": f"ses-{label[visit]}", **row} for visit, row in known.items()]
        if any(len(row) > 1 for row in rows):
            files[f"{subject}/{subject}_sessions.tsv"] = table(rows, "session_id")
    said_of = {"participants.json": of_patients, "sessions.json": [one for one, _ in of_visits]}
    for path, many in said_of.items():
        if many:
            files[path] = columns({one.name: units.get(one.name) for one in many})
    return files, failures


def _differs(given: Given, visit: str) -> Failure:
    what = f"{given.patient}/{given.visit}"
    message = f"{given.name} of {what} is in no table: visit {visit} has another"
    return Failure(what, UsageError(message, hint=f"'medgrid meta show {given.patient}' has both"))
