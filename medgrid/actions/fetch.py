"""Bring outputs of jobs and objects by LFN to a folder of this host."""

from __future__ import annotations

import contextlib
import filecmp
import re
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath

from medgrid.actions.files import (
    atomic_file,
    free_path,
    local_error,
    make_folder,
    sync_files,
    take_name,
)
from medgrid.actions.geometry import without_geometry
from medgrid.actions.grid import Grid
from medgrid.actions.held import is_fetched, is_unpacked
from medgrid.actions.keys import readable
from medgrid.actions.outcome import Failure, job_problem
from medgrid.actions.progress import SILENT, Progress
from medgrid.actions.transfer import BadReplica, fetch_file, fetch_packed
from medgrid.config import sync_folder
from medgrid.errors import AlreadyExists, MedgridError
from medgrid.model import (
    LFN,
    PACKED_SUFFIX,
    GridObject,
    Job,
    ObjectId,
    ObjectKind,
    Replica,
    is_tar,
)

__all__ = ["Fetched", "Layout", "fetch", "find", "write_text"]

_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file, or the folder of an unpacked series, that lies here now.

    `lacking` are those of its LFNs that lack private numbers (`without_geometry`), `companions`
    files of an image that lie beside it.
    """

    path: Path
    source: str  # LFN or job id
    role: str | None = None
    size_bytes: int = 0
    lacking: Sequence[str] = ()
    companions: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """Other paths than LFNs below the folder, and what is done to files before they come there.

    `amend` is given an LFN and each file of it that was unpacked, under its neutral name.
    """

    paths: Mapping[LFN, str]
    amend: Callable[[LFN, Path], None]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One object to bring, and where to."""

    source: str
    role: str | None
    item: GridObject
    path: Path


def fetch(
    grid: Grid,
    words: Sequence[str],
    folder: Path,
    *,
    packed: bool = False,
    force: bool = False,
    on_bad: Callable[[BadReplica], None],
    progress: Progress = SILENT,
    layout: Layout | None = None,
) -> Generator[Fetched | Failure, None, None]:
    """Bring what `words` name (LFNs, jobs) below `folder`.

    Outputs of job 42.7 become ``42.7/FILENAME`` (``42.7/ROLE/FILENAME`` where two have one name),
    its last words ``42.7/stdout.txt`` and ``stderr.txt``; an LFN becomes the file of that path. A
    series is unpacked into a folder unless `packed`, and an image's companions come to lie beside
    it (`T1w.json` beside `T1w.nii.gz`, `task-rest_events.tsv` beside `task-rest_bold.nii.gz`).

    Nothing that is there is written over unless `force`, but a file that is there with the same
    content counts as fetched. Each file appears when it is whole and verified.

    Yields
    ------
    Fetched or Failure
        In the order named, as they are ready.
    """
    make_folder(folder)
    plan = _Plan(grid, folder, packed, force, layout)
    for is_lfn, many in groupby(dict.fromkeys(words), lambda word: word.startswith("/")):
        (plan.add_lfns if is_lfn else plan.add_jobs)(list(many))
    wanted, told = plan.wanted, plan.told
    grid.keys([one.item for one in wanted], "fetch")
    replicas = grid.catalog.objects.replicas({one.item.id for one in wanted})
    progress.total(sum(one.item.size_bytes for one in wanted), "B")
    with _Crew(grid, replicas, packed, force, on_bad, progress, layout) as crew:
        results = [crew.start(one) for one in wanted]
        position = 0
        for before, result in told:
            for ready in results[position:before]:
                yield ready.result()
            position = before
            yield result
        for ready in results[position:]:
            yield ready.result()


class _Plan:
    """What is to be brought, and what is to be said before which of it."""

    def __init__(
        self, grid: Grid, folder: Path, packed: bool, force: bool, layout: Layout | None
    ) -> None:
        self._grid = grid
        self._layout = layout
        self._catalog = grid.catalog
        self._folder = folder
        self._packed = packed
        self._force = force
        self.wanted: list[_Wanted] = []
        self.told: list[tuple[int, Fetched | Failure]] = []

    def _tell(self, what: Fetched | Failure) -> None:
        self.told.append((len(self.wanted), what))

    def add_lfns(self, words: Sequence[str]) -> None:
        """Want objects by LFN."""
        for word, item in find(self._grid, words):
            if isinstance(item, MedgridError):
                self._tell(Failure(word, item))
                continue
            lfn = LFN(word)
            own = self._layout.paths.get(lfn) if self._layout else None
            path = self._folder / (own or _path_of(lfn, item, self._packed))
            self.wanted.append(_Wanted(word, None, item, path))

    def add_jobs(self, words: Sequence[str]) -> None:
        """Want the outputs of jobs."""
        jobs: list[Job] = []
        try:
            jobs = self._catalog.jobs.jobs(words)
        except MedgridError as error:
            if len(words) == 1:
                self._tell(Failure(words[0], error))
                return
            for word in words:
                self.add_jobs([word])
            return
        ids = {one.object_id for job in jobs for one in job.outputs}
        items = self._catalog.objects.by_ids(ids)
        for job in jobs:
            self._texts(job)
            problem = job_problem(job)
            if problem is not None:
                self._tell(Failure(str(job.id), problem))
            self._outputs(job, items)

    def _texts(self, job: Job) -> None:
        """Write the last words of a job."""
        taken = {output.filename for output in job.outputs}
        job = readable(self._grid, job)
        for name, text in (("stdout.txt", job.stdout_tail), ("stderr.txt", job.stderr_tail)):
            if not text or name in taken or not job.state.is_final:
                continue
            path = self._folder / str(job.id) / name
            content = text.encode(errors="replace")
            try:
                make_folder(path.parent)
                write_text(path, content, self._force)
            except MedgridError as error:
                self._tell(Failure(str(job.id), error))
            else:
                self._tell(Fetched(path, str(job.id), size_bytes=len(content)))

    def _outputs(self, job: Job, items: Mapping[ObjectId, GridObject]) -> None:
        names = Counter(one.filename for one in job.outputs)
        in_role = Counter((one.role, one.filename) for one in job.outputs)
        seen: Counter[tuple[str, str]] = Counter()
        for output in job.outputs:
            key = (output.role, output.filename)
            path = self._folder / str(job.id)
            if names[output.filename] > 1:
                path /= output.role
            if in_role[key] > 1:
                seen[key] += 1
                path /= str(seen[key])
            path /= output.filename
            if output.object_id in items:
                item = items[output.object_id]
                self.wanted.append(_Wanted(str(job.id), output.role, item, path))


def find(grid: Grid, words: Sequence[str]) -> Iterator[tuple[str, GridObject | MedgridError]]:
    """Objects by LFN, each with its word, or why there is none."""
    lfns: dict[str, LFN] = {}
    for word in words:
        with contextlib.suppress(MedgridError):  # told below
            lfns[word] = LFN(word)
    items = grid.catalog.objects.get_many(lfns.values())
    for word in words:
        try:
            lfn = LFN(word)
            yield word, items.get(lfn) or grid.catalog.objects.get(lfn)
        except MedgridError as error:
            yield word, error


def _path_of(lfn: LFN, item: GridObject, packed: bool) -> PurePosixPath:
    """LFN as a relative path, with the extension that says what the file is."""
    path = PurePosixPath(lfn.removeprefix("/"))
    if item.kind is ObjectKind.SERIES and not packed:
        return path
    name = item.filename
    if is_tar(item.kind, name) and not packed:
        name = name.removesuffix(PACKED_SUFFIX)
    endings = PurePosixPath(name).suffixes
    whole = "".join(endings)
    said = next((one for one in (whole, *endings[:1]) if path.name.endswith(one)), "")
    return path.with_name(path.name.removesuffix(said) + whole)


class _Stopped(Exception):
    """The user has had enough."""


class _Crew:
    """Threads that fetch; when the block is left early they stop and clean up."""

    def __init__(
        self,
        grid: Grid,
        replicas: dict[ObjectId, list[Replica]],
        packed: bool,
        force: bool,
        on_bad: Callable[[BadReplica], None],
        progress: Progress,
        layout: Layout | None,
    ) -> None:
        self._layout = layout
        self._grid = grid
        self._replicas = replicas
        self._packed = packed
        self._force = force
        self._on_bad = on_bad
        self._progress = progress
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(_AT_ONCE, "fetch")

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def start(self, wanted: _Wanted) -> Future[Fetched | Failure]:
        """Fetch one object when its turn comes."""
        return self._pool.submit(self._fetch, wanted)

    # the crew is the listener of transfers, so that it can end them

    def advance(self, amount: int = 1) -> None:
        """Pass progress on."""
        if self._stop.is_set():
            raise _Stopped
        self._progress.advance(amount)

    def _fetch(self, wanted: _Wanted) -> Fetched | Failure:
        companions: list[Path] = []
        try:
            if is_tar(wanted.item.kind, wanted.item.filename) and not self._packed:
                if wanted.item.kind is ObjectKind.SERIES:
                    self._unpacked(wanted)
                else:
                    companions = self._with_companions(wanted)
            else:
                make_folder(wanted.path.parent)
                self._file(wanted.item, wanted.path)
        except MedgridError as error:
            return Failure(wanted.source, error)
        item = wanted.item
        lacking = without_geometry([item])
        return Fetched(
            wanted.path, wanted.source, wanted.role, item.size_bytes, lacking, companions
        )

    def _file(self, item: GridObject, path: Path) -> None:
        try:
            fetch_file(
                self._grid,
                item,
                self._replicas[item.id],
                path,
                force=self._force,
                on_bad=self._on_bad,
                advance=self.advance,
            )
        except AlreadyExists:
            if not is_fetched(self._grid, item, path):
                raise
            self.advance(item.size_bytes)

    def _unpacked(self, wanted: _Wanted) -> None:
        """Bring a series as a folder: made beside its place, then renamed."""
        folder = wanted.path
        if not self._force and folder.is_dir():
            if not is_unpacked(self._grid, wanted.item, folder):
                raise AlreadyExists(
                    f"{folder} exists already and has other content",
                    hint="say --force to write into it",
                )
            self.advance(wanted.item.size_bytes)
            return
        with self._unpacking(wanted) as parts:
            _put_folder(parts[0].parent, folder, force=self._force)

    def _with_companions(self, wanted: _Wanted) -> list[Path]:
        """Bring an image and its companions, which get their names before it has its own."""
        with self._unpacking(wanted) as parts:
            if self._layout is not None:
                for part in parts:
                    self._layout.amend(LFN(wanted.source), part)
            names = [_name_beside(wanted, one.name) for one in parts[1:]]
            targets = [wanted.path, *(wanted.path.with_name(name) for name in names)]
            new = [
                (part, target)
                for part, target in zip(parts, targets, strict=True)
                if self._force or not _is_same(part, target)
            ]
            for _, target in new:
                free_path(target, force=self._force)
            sync_files(parts[0].parent)
            for part, target in reversed(new):
                take_name(part, target, self._force)
            sync_folder(wanted.path.parent)
        return targets[1:]

    @contextlib.contextmanager
    def _unpacking(self, wanted: _Wanted) -> Iterator[list[Path]]:
        """Unpack an object into a folder beside its place, which goes when the block ends."""
        place = wanted.path
        make_folder(place.parent)
        work = place.with_name(f".medgrid-{secrets.token_hex(8)}")
        try:
            work.mkdir(mode=0o700)
            yield fetch_packed(
                self._grid,
                wanted.item,
                self._replicas[wanted.item.id],
                work / "parts",
                on_bad=self._on_bad,
                advance=self.advance,
            )
        except OSError as exc:
            raise local_error(exc, place, "written") from exc
        finally:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(work)


def _name_beside(wanted: _Wanted, name: str) -> str:
    """What a companion is called beside its image: its BIDS suffix takes that of the image."""
    stem = re.sub(r"\.nii(\.gz)?$", "", wanted.path.name)
    if name.startswith("image."):
        return stem + name.removeprefix("image")
    suffix = str(wanted.item.attributes.get("suffix", ""))
    start = stem.removesuffix(suffix)
    is_bids = start != stem and (not start or start.endswith("_"))
    return (start if is_bids else f"{stem}_") + name


def _is_same(part: Path, target: Path) -> bool:
    """Whether a file is there already with this content."""
    return target.is_file() and not target.is_symlink() and filecmp.cmp(part, target, shallow=False)


def write_text(path: Path, content: bytes, force: bool) -> None:
    """Write a small file, which may be there with this content already.

    Raises
    ------
    AlreadyExists
        It is there with other content, and `force` is not given.
    """
    try:
        with atomic_file(path, force=force) as stream:
            stream.write(content)
    except AlreadyExists:
        if not path.is_file() or path.read_bytes() != content:
            raise


def _put_folder(parts: Path, folder: Path, *, force: bool) -> None:
    sync_files(parts)
    if not force or not folder.is_dir():
        free_path(folder, force=force)
        parts.rename(folder)
        sync_folder(folder.parent)
        return
    for part in parts.iterdir():
        free_path(folder / part.name, force=True)
        part.replace(folder / part.name)
    sync_folder(folder)
