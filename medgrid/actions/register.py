"""Give files of this host and outputs of jobs an LFN, metadata and a place.

All is looked at first: sources, jobs, names, attributes. Then bytes are copied, and in the end one
transaction makes everything known, or nothing.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from medgrid.actions.grid import Grid
from medgrid.actions.lfn import as_folder, is_folder
from medgrid.actions.outcome import Failure
from medgrid.actions.permission import patients_allowed
from medgrid.actions.progress import SILENT, Progress
from medgrid.actions.register_files import LocalFile, look_at
from medgrid.actions.register_jobs import JobResult, results_of
from medgrid.actions.transfer import OnBad, Sealed, Uploads, ignore_bad
from medgrid.actions.versions import Loss, Succession
from medgrid.catalog.attributes import check_name
from medgrid.catalog.objects import Naming, Registration
from medgrid.crypto.policy import Verb
from medgrid.crypto.vault import Whose
from medgrid.errors import AlreadyExists, UsageError
from medgrid.model import (
    LFN,
    AttributeValue,
    DataClass,
    GridObject,
    ObjectId,
    Replica,
    new_object_id,
)

__all__ = ["Meta", "Registered", "parse_meta", "register"]

_AT_ONCE = 4
_JOB_WORD = re.compile(r"[1-9]\d*(\.[1-9]\d*)?")


T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Meta:
    """What the user says of all that is registered."""

    values: Mapping[str, AttributeValue] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Registered:
    """An object that has its LFN now, and where it came from: a file or a job."""

    lfn: LFN
    object_id: ObjectId
    source: str
    role: str | None = None


def parse_meta(words: Sequence[str]) -> Meta:
    """Read ``name=value`` and ``name=number:unit``.

    What reads as a number is one, unless it stands in double quotes.

    Examples
    --------
    >>> parse_meta(["volume=1432.5:ml", "site=A"])
    Meta(values={'volume': 1432.5, 'site': 'A'}, units={'volume': 'ml'})

    Raises
    ------
    UsageError
        A word has no ``=``, its name is not allowed or stands twice.
    """
    values: dict[str, AttributeValue] = {}
    units: dict[str, str] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise UsageError(
                f"{word!r} is no metadata", hint="write name=value, or name=number:unit"
            )
        check_name(name)
        if name in values:
            raise UsageError(f"metadata {name!r} is given twice")
        number_text, colon, unit = text.rpartition(":")
        if colon and unit and (number := _number(number_text)) is not None:
            values[name], units[name] = number, unit
        elif (number := _number(text)) is not None:
            values[name] = number
        elif len(text) > 1 and text[0] == text[-1] == '"':
            values[name] = text[1:-1]
        elif text:
            values[name] = text
        else:
            raise UsageError(f"metadata {name!r} has no value")
    return Meta(values, units)


def _number(text: str) -> int | float | None:
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", text):
        return None
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)


def register(
    grid: Grid,
    sources: Sequence[str],
    to: str,
    *,
    se: str | None = None,
    meta: Meta | None = None,
    replace: bool = False,
    role: str | None = None,
    public: bool = False,
    on_bad: OnBad = ignore_bad,
    on_lost: Callable[[Loss], None] = lambda _: None,
    progress: Progress = SILENT,
) -> tuple[list[Registered], list[Failure]]:
    """Register outputs of jobs (``42``, ``42.7``) and files of this host.

    A job's output becomes ``TO/42.7/ROLE`` (``ROLE-1``, ``ROLE-2`` of a list); a file becomes `to`
    itself, or ``TO/NAME`` when `to` ends with ``/``, is a folder, or there are several.

    Parameters
    ----------
    se : str, optional
        Where the bytes shall lie: outputs get another replica there, files go there (by default to
        the grid's default).
    role : str, optional
        Register only outputs of this role.
    public : bool
        The files are nobody's data: store them in the clear, for everybody to see.
    on_lost : callable
        Told of those who do not see a new version of what is granted to them.

    Returns
    -------
    registered, failures
        Jobs that are not done, or failed, are failures; the others are registered.

    Raises
    ------
    AlreadyExists
        An LFN is taken; nothing was changed.
    MedgridError
        A source, the storage element or metadata are not usable; nothing was changed.
    """
    meta = meta or Meta()
    target = grid.catalog.places.se(se).name if se else None
    words = list(dict.fromkeys(sources))
    jobs = [word for word in words if _JOB_WORD.fullmatch(word)]
    paths = [word for word in words if word not in jobs]
    files = _placed(grid, [look_at(Path(word)) for word in paths], to, bool(jobs))
    results, failures = (
        results_of(grid, jobs, as_folder(to), role, on_bad, progress) if jobs else ([], [])
    )
    _check_free(grid, [*files, *(one.lfn for one in results)], replace)
    home = target or (grid.default_se().name if files else "")
    whose = _whose(grid, meta, public)
    carrier = _Carrier(grid, on_bad, progress)
    succession = Succession(grid)
    with Uploads(grid) as uploads:
        entries = carrier.store(uploads, files, home, meta, whose)
        copies = carrier.copy(uploads, results, target) if target else []
        new = [
            *(one.object for one in entries),
            *(dataclasses.replace(one.item, lfn=one.lfn) for one in results),
        ]
        succession.prepare(new)
        with grid.catalog.transaction():
            objects = grid.catalog.objects
            objects.register(entries, replace, uploaded=True)
            objects.name_many(
                [
                    Naming(
                        one.item.id, one.lfn, {**one.attributes, **meta.values}, dict(meta.units)
                    )
                    for one in results
                ],
                replace,
            )
            for copy in copies:
                objects.add_replica(copy, uploaded=True)
            succession.hand_on(grid.catalog, {one.id for one in new})
    for loss in succession.settle():
        on_lost(loss)
    done = [
        Registered(lfn, entry.object.id, str(file.path))
        for (lfn, file), entry in zip(files.items(), entries, strict=True)
    ]
    done += [Registered(one.lfn, one.item.id, str(one.job), one.role) for one in results]
    return done, failures


def _placed(
    grid: Grid, files: Sequence[LocalFile], to: str, with_jobs: bool
) -> dict[LFN, LocalFile]:
    """LFN of each file."""
    if not files:
        return {}
    folder = as_folder(to)
    into = (
        with_jobs or len(files) > 1 or to.endswith("/") or is_folder(grid.catalog.objects, folder)
    )
    if not into:
        return {LFN(to): files[0]}
    placed: dict[LFN, LocalFile] = {}
    for file in files:
        lfn = LFN(f"{folder.rstrip('/')}/{file.path.name}")
        if lfn in placed:
            raise UsageError(f"{placed[lfn].path} and {file.path} would both become {lfn}")
        placed[lfn] = file
    return placed


def _check_free(grid: Grid, lfns: Sequence[LFN], replace: bool) -> None:
    twice = [lfn for lfn, count in Counter(lfns).items() if count > 1]
    if twice:
        raise UsageError(f"{twice[0]} would be given to two objects")
    taken = {} if replace else grid.catalog.objects.get_many(lfns)
    if taken:
        more = f" (and {len(taken) - 1} more)" if len(taken) > 1 else ""
        raise AlreadyExists(
            f"{next(lfn for lfn in lfns if lfn in taken)} already exists{more}",
            hint="choose another LFN, or ask for a new version with --replace",
        )


class _Carrier:
    """Brings bytes to storage elements, several at a time."""

    def __init__(self, grid: Grid, on_bad: OnBad, progress: Progress) -> None:
        self._grid = grid
        self._on_bad = on_bad
        self._progress = progress

    def store(
        self,
        uploads: Uploads,
        files: Mapping[LFN, LocalFile],
        se: str,
        meta: Meta,
        whose: Whose,
    ) -> list[Registration]:
        """Write files of this host to `se`."""
        ids = {lfn: new_object_id() for lfn in files}
        uploads.reserve(ids.values(), se)
        owner = self._grid.settings.user

        def one(lfn: LFN) -> tuple[LFN, Replica | Sealed]:
            chunks = files[lfn].chunks()
            if whose.data_class is DataClass.PUBLIC:
                return lfn, uploads.put(ids[lfn], se, chunks)
            return lfn, uploads.seal(ids[lfn], se, chunks, whose)

        done = self._each(one, list(files))
        self._grid.keep(copy.sealing for _, copy in done if isinstance(copy, Sealed))
        return [_entry(lfn, files[lfn], copy, meta, whose, owner) for lfn, copy in done]

    def copy(self, uploads: Uploads, results: Sequence[JobResult], se: str) -> list[Replica]:
        """Write outputs that are elsewhere to `se`, too."""
        away = [one for one in results if all(copy.se != se for copy in one.replicas)]
        uploads.reserve([one.item.id for one in away], se)
        return self._each(lambda one: uploads.copy(one.item, one.replicas, se, self._on_bad), away)

    def _each(self, work: Callable[[T], R], many: Sequence[T]) -> list[R]:
        if not many:
            return []
        self._progress.total(len(many))
        done: list[R] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for result in pool.map(work, many):
                done.append(result)
                self._progress.advance()
        return done


def _whose(grid: Grid, meta: Meta, public: bool) -> Whose:
    """Who shall be able to open files: the care team of the patient they are said to be of."""
    if public:
        return Whose(DataClass.PUBLIC)
    user = grid.settings.user
    patient = str(meta.values.get("PatientID") or "") or None
    if patient is not None:
        refusal = patients_allowed(grid, Verb.WRITE, [patient])[patient]
        if refusal is not None:
            refusal.hint = "register it without PatientID: then it is yours alone"
            raise refusal
    return Whose(DataClass.IMAGE, patient, () if patient else (user,))


def _entry(
    lfn: LFN, file: LocalFile, copy: Replica | Sealed, meta: Meta, whose: Whose, owner: str
) -> Registration:
    replica = copy.replica if isinstance(copy, Sealed) else copy
    item = GridObject(
        id=replica.object_id,
        lfn=lfn,
        kind=file.kind,
        filename=file.filename,
        size_bytes=copy.size_bytes,
        sha256=replica.sha256,
        attributes=file.attributes,
        data_class=whose.data_class,
        owner=owner,
        patient=whose.patient,
        digest=copy.digest if isinstance(copy, Sealed) else None,
    )
    return Registration(
        item,
        (replica,),
        whose.patient,
        user_attributes=dict(meta.values),
        units=dict(meta.units),
    )
