"""A grid, and imports into it."""

from __future__ import annotations

import contextlib
import io
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from medgrid.actions.grid import Grid
from medgrid.actions.identity_init import make_grid_identities
from medgrid.actions.importing.doubts import Doubt
from medgrid.actions.importing.drafts import Failure
from medgrid.actions.importing.images import import_images
from medgrid.actions.importing.request import ImportRequest
from medgrid.actions.importing.tables import TableReport
from medgrid.actions.importing.telling import Summary
from medgrid.actions.importing.twins import ORIGINAL_SUFFIX
from medgrid.actions.init import initialise
from medgrid.actions.transfer import read_small
from medgrid.config import Settings
from medgrid.crypto.pseudonym import load_key, pseudonym
from medgrid.images.patient import PatientKeys
from medgrid.model import LFN, GridObject
from tests.lab.datagrid import ME, kept_keys


@dataclass
class Importer:
    """A grid, and imports into it."""

    grid: Grid
    new: list[GridObject] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    damaged: list[Failure] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    files: dict[str, list[str]] = field(default_factory=dict)
    tables: list[TableReport] = field(default_factory=list)

    def __call__(self, *paths: Path, to: str = "/trial", **options: object) -> Summary:
        self.new, self.failures, self.doubts, self.tables = [], [], [], []
        self.damaged, self.left_out, self.files = [], [], {}
        listener = _Listener(self)
        request = ImportRequest([str(path) for path in paths], LFN(to), **options)  # type: ignore[arg-type]
        return import_images(self.grid, request, listener)

    @property
    def lfns(self) -> list[str]:
        return sorted(str(item.lfn) for item in self.new)

    @property
    def reasons(self) -> list[tuple[str, str]]:
        return sorted((Path(one.path).name, one.reason) for one in self.failures)

    def patient(self, patient_id: str = "PAT-4711", issuer: str = "") -> str:
        return pseudonym(load_key(self.grid.settings.keys_dir), patient_id, issuer)

    def day(self, day: str = "2021-03-04", patient: str = "", time: str = "185059") -> str:
        """Day of a moment as the catalog knows it; the time is that of `tests.lab.dicoms`."""
        key = load_key(self.grid.settings.keys_dir)
        moved = PatientKeys.of(key, patient or self.patient()).told_day(f"{day}T{time}")
        assert moved is not None
        return moved

    def twin(self, lfn: str, version: int | None = None) -> GridObject:
        """What an LFN names."""
        return self.grid.catalog.objects.get(LFN(lfn), version)

    def original(self, lfn: str, version: int | None = None) -> GridObject:
        """What an LFN is the de-identified twin of."""
        return self.twin(lfn + ORIGINAL_SUFFIX, version)

    def stored(self, item: GridObject) -> bytes:
        """Bytes of an object as they lie in storage."""
        (replica,) = self.grid.catalog.objects.replicas([item.id])[item.id]
        with self.grid.storage(replica.se).open(replica.pfn) as stream:
            return stream.read()

    def content(self, item: GridObject) -> bytes:
        """Content of an object."""
        replicas = self.grid.catalog.objects.replicas([item.id])[item.id]
        return read_small(self.grid, item, replicas)

    def parts(self, item: GridObject) -> dict[str, bytes]:
        """Files that an object is a tar of, by name."""
        with tarfile.open(fileobj=io.BytesIO(self.content(item))) as tar:
            return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]

    def members(self, item: GridObject) -> list[bytes]:
        """Content of the instances of a series."""
        return list(self.parts(item).values())

    @contextlib.contextmanager
    def acting_as(self, name: str) -> Iterator[Grid]:
        """Work as an identity of this home, which is made when it lacks; it remembers nothing."""
        before = self.grid
        make_grid_identities(before.settings.keys_dir, name, before.vault.store)
        with Grid(replace(before.settings, user=name)) as self.grid:
            try:
                yield self.grid
            finally:
                self.grid = before


def nothing_is_left(grid: Grid) -> bool:
    """Whether there are no objects, bytes or keys."""
    listing = grid.whole.objects.list("/")
    return (listing, list(grid.storage("local").walk()), kept_keys(grid.settings)) == (
        [],
        [],
        set(),
    )


class _Listener:
    def __init__(self, importer: Importer) -> None:
        self._importer = importer

    def new(self, item: GridObject, files: Sequence[str]) -> None:
        self._importer.new.append(item)
        self._importer.files[str(item.lfn)] = list(files)

    def left_out(self, path: str, reason: str) -> None:
        self._importer.left_out.append((path, reason))

    def damaged(self, failure: Failure) -> None:
        self._importer.damaged.append(failure)

    def failed(self, failure: Failure) -> None:
        self._importer.failures.append(failure)

    def doubted(self, doubt: Doubt) -> None:
        self._importer.doubts.append(doubt)

    def table(self, report: TableReport) -> None:
        self._importer.tables.append(report)


@pytest.fixture
def bring(home: Path, _home_template: Path, catalog_url: str) -> Iterator[Importer]:
    """Imports into a grid of its own, on each kind of database."""
    shutil.copytree(_home_template, home)
    with Grid(Settings(home, catalog=catalog_url, user=ME)) as grid:
        initialise(grid)
        yield Importer(grid)
