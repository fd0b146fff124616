"""A grid with data: storage elements, objects, ended jobs, and medgrid run in this process."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from medgrid.actions.grid import Grid
from medgrid.actions.identity_init import make_grid_identities
from medgrid.actions.patients import Patients
from medgrid.actions.transfer import Uploads, read_small
from medgrid.broker.ownership import of_result
from medgrid.catalog import Catalog
from medgrid.catalog.job_moves import AttemptEnd, Move
from medgrid.catalog.job_states import Event
from medgrid.catalog.jobs import NewSubmission
from medgrid.catalog.objects import Registration
from medgrid.catalog.provenance import Derivation, new_derivation_id
from medgrid.cli.main import run
from medgrid.config import Settings, load_settings, private_dir
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.pseudonym import load_key
from medgrid.crypto.vault import Whose
from medgrid.model import (
    LFN,
    Algorithm,
    Cause,
    DataClass,
    GridObject,
    JobId,
    ObjectId,
    ObjectKind,
    Sha256,
    Site,
    SiteClass,
    StorageElement,
    Worker,
    new_object_id,
)
from tests.lab.prompt import Ran

ME = "me"
"""Identity of the grid's user: a physician and researcher, and its registrar."""

MEASURE: Mapping[str, Any] = {
    "name": "measure",
    "tool-version": "1.0",
    "description": "Measures images against one.",
    "schema-version": "0.5",
    "command-line": "measure [SOURCE] [TARGETS]",
    "inputs": [
        {"id": "source", "name": "Source", "type": "File", "value-key": "[SOURCE]"},
        {
            "id": "targets",
            "name": "Targets",
            "type": "File",
            "list": True,
            "value-key": "[TARGETS]",
        },
    ],
    "output-files": [
        {"id": "measures", "name": "Measures", "path-template": "m-*.json", "list": True},
        {"id": "report", "name": "Report", "path-template": "report.txt", "optional": True},
    ],
    "custom": {
        "medgrid": {
            "item": "targets",
            "attributes": {"measures": ["ncc", "nmi"]},
            "per_input": {"measures": "targets"},
        }
    },
}


@dataclass
class DataGrid:
    """A grid home with storage elements ``near`` (the default) and ``far``, both folders here."""

    home: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    @property
    def settings(self) -> Settings:
        return load_settings(self.home)

    @contextlib.contextmanager
    def grid(self) -> Iterator[Grid]:
        with Grid(self.settings) as found:
            yield found

    def root(self, se: str) -> Path:
        """Directory of a storage element."""
        return self.home.parent / se

    def stored(self, se: str) -> list[Path]:
        """All files of a storage element, temporary ones too."""
        return sorted(path for path in self.root(se).rglob("*") if path.is_file())

    def run(self, *words: str | Path, stdin: str = "") -> Ran:
        """Run a command."""
        self.capsys.readouterr()
        self.monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = run([str(word) for word in words])
        out, err = self.capsys.readouterr()
        return Ran(code, out, err)

    def ok(self, *words: str | Path, stdin: str = "") -> Ran:
        """Run a command that must end well."""
        ran = self.run(*words, stdin=stdin)
        assert (ran.code, ran.err) == (0, "")
        return ran

    def put(
        self,
        lfn: str | None,
        content: bytes = b"bytes",
        *,
        se: str = "near",
        kind: ObjectKind = ObjectKind.FILE,
        filename: str = "file.bin",
        attributes: Mapping[str, Any] | None = None,
        data_class: DataClass = DataClass.PUBLIC,
        patient: str | None = None,
        owner: str = ME,
    ) -> GridObject:
        """Put an object into the grid, encrypted unless it is public.

        It is sealed to the care team of `patient`, whom `meet` made known, or else to `owner`.
        """
        with self.grid() as grid, Uploads(grid) as uploads:
            object_id = new_object_id()
            digest = None
            if data_class is DataClass.PUBLIC:
                replica = uploads.put(object_id, se, [content])
            else:
                whose = Whose(data_class, patient, () if patient else (owner,))
                sealed = uploads.seal(object_id, se, [content], whose)
                grid.keep([sealed.sealing])
                replica, digest = sealed.replica, sealed.digest
            item = GridObject(
                object_id,
                LFN(lfn) if lfn else None,
                kind,
                filename,
                len(content),
                replica.sha256,
                attributes=attributes or {},
                data_class=data_class,
                owner=owner,
                patient=patient,
                digest=digest,
            )
            grid.whole.objects.register([Registration(item, (replica,), patient)])
        return item

    def meet(self, patient: str, *team: str) -> str:
        """Make a patient known, whom `team` cares for, by default this user."""
        with self.grid() as grid:
            Patients(grid, team).meet({patient: [{"PatientName": f"Name of {patient}"}]})
        return patient

    def identity(self, name: str) -> None:
        """Make another identity, as able as this user."""
        with self.grid() as grid:
            make_grid_identities(self.settings.keys_dir, name, grid.vault.store)

    @contextlib.contextmanager
    def acting_as(self, name: str) -> Iterator[None]:
        """Run commands as another identity of this home."""
        with self.monkeypatch.context() as patch:
            patch.setenv("MEDGRID_USER", name)
            yield

    def item(self, lfn: str, version: int | None = None) -> GridObject:
        """What an LFN names."""
        with self.grid() as grid:
            return grid.catalog.objects.get(LFN(lfn), version)

    def replicas(self, lfn: str) -> list[str]:
        """Storage elements that hold an LFN, by the catalog."""
        with self.grid() as grid:
            objects = grid.catalog.objects
            item = objects.get(LFN(lfn))
            return [one.se for one in objects.replicas([item.id])[item.id]]

    def file_of(self, lfn: str, se: str = "near") -> Path:
        """File that holds an LFN's bytes at a storage element."""
        item = self.item(lfn)
        return self.root(se) / item.id[:2] / item.id[2:4] / item.id

    def read(self, lfn: str) -> bytes:
        """Content of an LFN."""
        with self.grid() as grid:
            item = grid.catalog.objects.get(LFN(lfn))
            return read_small(grid, item, grid.catalog.objects.replicas([item.id])[item.id])

    # -- jobs --------------------------------------------------------------------------------------

    def submit(
        self, items: Sequence[Sequence[ObjectId]], source: ObjectId | None = None
    ) -> list[JobId]:
        """Write a submission of algorithm ``measure``; its jobs wait."""
        digest = Sha256(hashlib.sha256(b"measure").hexdigest())
        with self.grid() as grid:
            grid.catalog.algorithms.add(Algorithm("measure", "1.0", digest, MEASURE))
            return grid.catalog.jobs.create_submission(
                NewSubmission(
                    algorithm=digest,
                    algorithm_label="measure@1.0",
                    owner=ME,
                    items=items,
                    item_role="targets",
                    inputs={"source": [source]} if source else {},
                    parameters={"bins": 64},
                )
            )[1]

    def end(
        self,
        job: JobId,
        outputs: Mapping[str, Sequence[tuple[str, bytes]]] | None = None,
        *,
        cause: Cause = Cause.OK,
        stdout: str = "",
        stderr: str = "",
    ) -> dict[str, list[ObjectId]]:
        """End a job: (file name, bytes) of its outputs by role; their objects have no LFN."""
        made = self._outputs(job, outputs or {})
        exit_code = 0 if cause is Cause.OK else 1
        now = time.time()
        end = AttemptEnd(cause, exit_code, "", stdout, stderr, now - 1, now)
        with self.grid() as grid, grid.catalog.transaction():
            desk = grid.catalog.jobs.desk
            reason = "done" if cause is Cause.OK else f"exit code {exit_code}"
            desk.apply(
                [
                    Move(job, 0, Event.ASSIGN, now, worker="w1"),
                    Move(job, 1, Event.END, now, reason, worker="w1", end=end),
                ]
            )
            if cause is Cause.OK:
                found = grid.catalog.jobs.job(job)
                grid.catalog.provenance.record(
                    Derivation(
                        id=new_derivation_id(),
                        algorithm=found.algorithm,
                        algorithm_label=found.algorithm_label,
                        inputs=found.inputs,
                        outputs=made,
                        parameters=found.parameters,
                        job=job,
                        worker="w1",
                        started_s=now - 1,
                        ended_s=1_700_000_000.0,
                        exit_code=0,
                        output_inputs=_belonging(found.inputs, made),
                    )
                )
        return made

    def _outputs(
        self, job: JobId, outputs: Mapping[str, Sequence[tuple[str, bytes]]]
    ) -> dict[str, list[ObjectId]]:
        """Objects for the outputs of a job, of the class and the patient that its inputs say."""
        with self.grid() as grid:
            found = grid.catalog.jobs.job(job)
            inputs = grid.catalog.objects.by_ids(
                {one for many in found.inputs.values() for one in many}
            )
        result = of_result(inputs.values())
        return {
            role: [
                self.put(
                    None,
                    content,
                    filename=name,
                    kind=_kind(name),
                    data_class=result.data_class,
                    patient=result.patient,
                    owner=found.owner,
                ).id
                for name, content in many
            ]
            for role, many in outputs.items()
        }


def _kind(name: str) -> ObjectKind:
    if name.endswith((".nii", ".nii.gz")):
        return ObjectKind.VOLUME
    return ObjectKind.TABLE if name.endswith(".json") else ObjectKind.FILE


def _belonging(
    inputs: Mapping[str, Sequence[ObjectId]], made: Mapping[str, Sequence[ObjectId]]
) -> dict[ObjectId, list[ObjectId]]:
    targets, measures = inputs["targets"], made.get("measures", ())
    if len(targets) != len(measures):
        return {}
    shared = list(inputs.get("source", ()))
    return {one: [target, *shared] for one, target in zip(measures, targets, strict=True)}


def measures(*values: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    """Files of output ``measures``."""
    return [(f"m-{n}.json", json.dumps(value).encode()) for n, value in enumerate(values, 1)]


def kept_keys(settings: Settings) -> set[str]:
    """Objects that have keys in the key store."""
    (url,) = settings.keystore_urls
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as store:
        return {row[0] for row in store.execute("SELECT DISTINCT object_id FROM header")}


@pytest.fixture(scope="session")
def _home_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid home with keys and a key store, for `ME`."""
    home = tmp_path_factory.mktemp("template") / "grid"
    settings = Settings(home, user=ME)
    private_dir(home)
    private_dir(settings.keys_dir)
    load_key(settings.keys_dir, create=True)
    store = KeyStore.create(settings.keystore_urls[0], ME)
    make_grid_identities(settings.keys_dir, ME, store)
    store.close()
    return home


def _make(
    home: Path,
    template: Path,
    url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> DataGrid:
    shutil.copytree(template, home)
    monkeypatch.setenv("MEDGRID_CATALOG", url)
    monkeypatch.setenv("MEDGRID_USER", ME)
    made = DataGrid(home, capsys, monkeypatch)
    catalog = Catalog.open(url)
    catalog.places.put_site(Site("here", SiteClass.KEYS))
    for name in ("near", "far"):
        made.root(name).mkdir(mode=0o700)
        catalog.places.put_se(StorageElement(name, made.root(name).as_uri(), "here"))
    catalog.places.put_worker(Worker("w1", "local:", "here"))
    catalog.close()
    monkeypatch.setenv("MEDGRID_DEFAULT_SE", "near")
    return made


@pytest.fixture
def data(
    home: Path,
    tmp_path: Path,
    _sqlite_template: Path,
    _home_template: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> DataGrid:
    """A grid for data, on SQLite."""
    path = tmp_path / "catalog.db"
    path.write_bytes(_sqlite_template.read_bytes())
    return _make(home, _home_template, f"sqlite:///{path}", capsys, monkeypatch)


@pytest.fixture
def any_data(
    home: Path,
    catalog_url: str,
    _home_template: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> DataGrid:
    """A grid for data, on each kind of database."""
    return _make(home, _home_template, catalog_url, capsys, monkeypatch)
