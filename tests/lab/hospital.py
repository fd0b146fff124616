"""A hospital: several people with identities and grid homes of their own on one grid.

Alice and dave are physicians, alice of the patients; carol is a physician of other patients; bob is
a researcher; paula is a patient; root administers all machines and has no identity.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from medgrid.actions.grid import Grid
from medgrid.actions.identity import publish
from medgrid.actions.patients import Patients
from medgrid.actions.transfer import Uploads
from medgrid.catalog import Catalog
from medgrid.catalog.objects import Registration
from medgrid.catalog.provenance import Derivation, new_derivation_id
from medgrid.cli.main import run
from medgrid.config import Settings, load_settings, private_dir
from medgrid.crypto.certificate import Certificate, Request, Role
from medgrid.crypto.identity_files import certificate_file, create_identity, request_file
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.private_file import replace_private
from medgrid.crypto.pseudonym import load_key
from medgrid.crypto.recovery import make_recovery
from medgrid.crypto.recovery_key import publish_recovery
from medgrid.crypto.registration import Registrar, create_registration, put_pin
from medgrid.crypto.vault import Whose
from medgrid.model import (
    LFN,
    DataClass,
    GridObject,
    ObjectId,
    ObjectKind,
    Review,
    Sha256,
    Site,
    SiteClass,
    StorageElement,
    Worker,
    new_object_id,
)
from tests.lab.prompt import Prompt, Ran

JANE, JOHN, OTHER = "P-JANE", "P-JOHN", "P-OTHER"
NAMES: Mapping[str, Mapping[str, str]] = {
    JANE: {"PatientName": "DOE^JANE^Q", "PatientBirthDate": "19510304", "PatientID": "H-4711"},
    JOHN: {"PatientName": "DOE^JOHN", "PatientBirthDate": "19620101", "PatientID": "H-4712"},
    OTHER: {"PatientName": "DOE^JANE", "PatientBirthDate": "19800630", "PatientID": "H-9"},
}
PEOPLE: Mapping[str, Sequence[Role]] = {
    "alice": (Role.PHYSICIAN, Role.RESEARCHER, Role.REGISTRAR),
    "dave": (Role.PHYSICIAN,),
    "carol": (Role.PHYSICIAN, Role.RESEARCHER),
    "bob": (Role.RESEARCHER,),
    "paula": (Role.PATIENT,),
    "broker": (Role.BROKER,),
}
SES = ("near", "far")


@dataclass
class Person:
    """Somebody at a prompt of their own."""

    name: str
    hospital: Hospital

    @property
    def home(self) -> Path:
        return self.hospital.folder / f"home-{self.name}"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "MEDGRID_HOME": str(self.home),
            "MEDGRID_USER": self.name,
            "MEDGRID_CATALOG": self.hospital.catalog_url,
            "MEDGRID_KEYSTORE": self.hospital.keystore_url,
            "MEDGRID_DEFAULT_SE": "near",
            "MEDGRID_BROKER_AUTOSTART": "no",
        }

    @property
    def settings(self) -> Settings:
        return load_settings(self.home, self.environ)

    @property
    def prompt(self) -> Prompt:
        """Commands in processes of their own."""
        return Prompt(self.home, self.environ)

    @contextlib.contextmanager
    def grid(self) -> Iterator[Grid]:
        with Grid(self.settings) as found:
            yield found

    def run(self, *words: str | Path, stdin: str = "") -> Ran:
        """Run a command in this process."""
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        with self.hospital.monkeypatch.context() as patch:
            for name, value in self.environ.items():
                patch.setenv(name, value)
            patch.setattr("sys.stdin", io.StringIO(stdin))
            patch.setattr("sys.stdout", out)
            patch.setattr("sys.stderr", err)
            code = run([str(word) for word in words])
        return Ran(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))

    def ok(self, *words: str | Path, stdin: str = "") -> Ran:
        """Run a command that must end well."""
        ran = self.run(*words, stdin=stdin)
        assert ran.code == 0, ran.err
        return ran

    def read(self, lfn: str) -> bytes:
        """Content of an LFN."""
        from medgrid.actions.transfer import read_small

        with self.grid() as grid:
            item = grid.catalog.objects.get(LFN(lfn))
            return read_small(grid, item, grid.catalog.objects.replicas([item.id])[item.id])


@dataclass
class Hospital:
    """The grid and its people; storage elements ``near`` and ``far`` are folders here."""

    folder: Path
    people: dict[str, Person] = field(default_factory=dict)
    objects: dict[str, GridObject] = field(default_factory=dict)
    registrar: Registrar | None = None
    shares: list[str] = field(default_factory=list)  # of the recovery key; two are needed
    monkeypatch: pytest.MonkeyPatch = field(init=False)

    @property
    def catalog_url(self) -> str:
        return f"sqlite:///{self.folder / 'catalog.db'}"

    @property
    def keystore_url(self) -> str:
        return f"sqlite:///{self.folder / 'keystore.db'}"

    def __getattr__(self, name: str) -> Person:
        people: dict[str, Person] = self.__dict__.get("people", {})
        if name not in people:
            raise AttributeError(name)
        return people[name]

    def root_of(self, se: str) -> Path:
        """Directory of a storage element."""
        return self.folder / se

    def stored(self, se: str = "near") -> list[Path]:
        """All files of a storage element, temporary ones too."""
        return sorted(path for path in self.root_of(se).rglob("*") if path.is_file())

    @contextlib.contextmanager
    def catalog(self) -> Iterator[Catalog]:
        """The catalog with all that is in it."""
        found = Catalog.open(self.catalog_url)
        try:
            yield found
        finally:
            found.close()

    @contextlib.contextmanager
    def keystore(self, who: str = "root") -> Iterator[KeyStore]:
        """The key store, for whoever holds the file."""
        found = KeyStore.open(self.keystore_url, who)
        try:
            yield found
        finally:
            found.close()

    def copy(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Hospital:
        """Another hospital with the same people and data, for a test that has `monkeypatch`."""
        forget_settings(monkeypatch)
        shutil.copytree(self.folder, folder)
        made = Hospital(folder, registrar=self.registrar, objects=dict(self.objects))
        made.shares = list(self.shares)
        made.people = {name: Person(name, made) for name in self.people}
        made.monkeypatch = monkeypatch
        with made.catalog() as catalog:
            for name in SES:
                element = catalog.places.se(name)
                catalog.places.put_se(dataclasses.replace(element, url=made.root_of(name).as_uri()))
        return made

    # -- people ------------------------------------------------------------------------------------

    def add_person(self, name: str, roles: Sequence[Role]) -> Person:
        """Make somebody's home; who has no role has no identity either."""
        person = self.people[name] = Person(name, self)
        keys_dir = private_dir(private_dir(person.home) / "keys")
        private_dir(person.home / "log")
        if self.registrar is None:
            self.registrar = create_registration(keys_dir, None)
            load_key(keys_dir, create=True)
        put_pin(keys_dir, self.registrar.public)
        if roles:
            create_identity(keys_dir, name, None)
            self.certify(name, roles)
        return person

    def certify(self, name: str, roles: Sequence[Role], *, days: float = 365) -> None:
        """Certify somebody, again if need be."""
        keys_dir = self.people[name].settings.keys_dir
        assert self.registrar is not None
        request = Request.from_bytes(request_file(keys_dir, name).read_bytes())
        until_s = int(time.time() + days * 86400)
        made = Certificate.issue(request, roles, until_s, self.registrar.sign)
        file = certificate_file(keys_dir, name)
        replace_private(file, made.blob)
        with self.keystore(name) as store:
            publish(keys_dir, store, file)

    # -- data --------------------------------------------------------------------------------------

    def put(
        self,
        lfn: str | None,
        content: bytes,
        *,
        patient: str | None = JANE,
        data_class: DataClass = DataClass.IMAGE,
        by: str = "alice",
        owner: str | None = None,
        kind: ObjectKind = ObjectKind.FILE,
        filename: str = "file.bin",
        review: Review = Review.NONE,
        attributes: Mapping[str, Any] | None = None,
        original: ObjectId | None = None,
        se: str = "near",
        replace: bool = False,
    ) -> GridObject:
        """Bring an object into the grid, as an import does.

        Who brings it owns it, unless `owner` names another; an owner who is named can open it
        besides the care team, as that of a job's result.
        """
        with self.people[by].grid() as grid, Uploads(grid) as uploads:
            object_id = new_object_id()
            item = GridObject(
                object_id,
                LFN(lfn) if lfn else None,
                kind,
                filename,
                len(content),
                Sha256(hashlib.sha256(content).hexdigest()),
                attributes=attributes or {},
                data_class=data_class,
                owner=by if owner is None else owner,
                patient=patient,
                review=review,
                original=original,
            )
            if data_class is DataClass.PUBLIC:
                replica = uploads.put(object_id, se, [content])
            else:
                if patient is not None:
                    Patients(grid).meet({patient: [NAMES[patient]]})
                readers = (owner,) if owner else () if patient else (by,)
                made = uploads.seal(object_id, se, [content], Whose(data_class, patient, readers))
                replica = made.replica
                grid.keep([made.sealing])
                item = dataclasses.replace(item, sha256=replica.sha256, digest=made.digest)
            grid.whole.objects.register([Registration(item, (replica,), patient)], replace=replace)
        if lfn:
            self.objects[lfn] = item
        return item

    def derived(
        self, algorithm: str, inputs: Sequence[GridObject], outputs: Sequence[GridObject]
    ) -> None:
        """Note that objects were made from others by ``NAME@VERSION``."""
        with self.catalog() as catalog:
            catalog.provenance.record(
                Derivation(
                    id=new_derivation_id(),
                    algorithm=Sha256(hashlib.sha256(algorithm.encode()).hexdigest()),
                    algorithm_label=algorithm,
                    inputs={"in": [one.id for one in inputs]},
                    outputs={"out": [one.id for one in outputs]},
                )
            )

    def object(self, lfn: str) -> GridObject:
        """What an LFN names now."""
        with self.catalog() as catalog:
            return catalog.objects.get(LFN(lfn))


def _build(folder: Path) -> Hospital:
    made = Hospital(folder)
    catalog = Catalog.create(made.catalog_url)
    catalog.places.put_site(Site("here", SiteClass.KEYS))
    for name in SES:
        made.root_of(name).mkdir(mode=0o700)
        catalog.places.put_se(StorageElement(name, made.root_of(name).as_uri(), "here"))
    catalog.places.put_worker(Worker("w1", "local:", "here"))
    catalog.close()
    KeyStore.create(made.keystore_url).close()
    made.add_person("alice", PEOPLE["alice"])
    public, made.shares = make_recovery(2, 3)
    assert made.registrar is not None
    with made.keystore("alice") as store:
        keys_dir = made.people["alice"].settings.keys_dir
        publish_recovery(keys_dir, store, public, made.registrar.sign)
    for name, roles in PEOPLE.items():
        if name not in made.people:
            made.add_person(name, roles)
    made.add_person("root", ())
    return made


def _fill(made: Hospital) -> None:
    """Images of jane and john, alice's patients, and of one of carol's."""
    head = {"Modality": "MR", "BodyPartExamined": "HEAD", "StudyDate": "2021-03-04"}
    for patient, by in ((JANE, "alice"), (JOHN, "alice"), (OTHER, "carol")):
        name = patient.removeprefix("P-").lower()
        original = made.put(
            f"/trial/{patient}/T1w.original",
            f"original of {name}".encode(),
            patient=patient,
            data_class=DataClass.NOMINATIVE,
            by=by,
            attributes=head,
        )
        made.put(
            f"/trial/{patient}/T1w",
            f"twin of {name}".encode(),
            patient=patient,
            by=by,
            attributes=head,
            original=original.id,
        )
    made.put(
        f"/trial/{JANE}/US",
        b"picture with text",
        attributes={"Modality": "US", "StudyDate": "2021-03-05"},
        review=Review.NEEDED,
    )
    made.put("/code/mask", b"mask", patient=None, data_class=DataClass.PUBLIC)


@pytest.fixture(scope="session")
def _hospital_template(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    """A hospital with data, made once; tests get copies."""
    with pytest.MonkeyPatch.context() as patch:
        forget_settings(patch)
        made = _build(tmp_path_factory.mktemp("hospital"))
        _fill(made)
    return made


def forget_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the environment says of a grid."""
    for name in list(os.environ):
        if name.startswith("MEDGRID_"):
            monkeypatch.delenv(name)


@pytest.fixture
def hospital(
    _hospital_template: Hospital,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Hospital:
    """A hospital with images: of jane and john, alice's patients, and of one of carol's."""
    return _hospital_template.copy(tmp_path / "hospital", monkeypatch)
