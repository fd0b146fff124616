"""BIDS: what the name of a NIfTI file says, and the files that belong to it.

Source: Brain Imaging Data Structure 1.11, "File name structure" and "The Inheritance Principle".
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

from medgrid.documents import MAX_BYTES, Unreadable, read_json, read_table
from medgrid.images.pack import FileStamp

__all__ = [
    "ENTITIES",
    "ENTITIES_AND_SUFFIX",
    "SIDE_CAR",
    "BidsName",
    "Companion",
    "Participant",
    "SideCar",
    "companions",
    "companions_above",
    "dataset_name",
    "dataset_root",
    "dataset_sources",
    "may_be_companion",
    "participant",
    "side_car",
    "subjects",
    "subjects_of",
    "visits",
    "whole_dataset",
]

SIDE_CAR = "image.json"
"""What the side-car is called beside ``image.nii.gz``."""

_MAX_LEVELS = 12
_MAX_KEPT_BYTES = 64 * 1024  # of one of many files; what is made of it takes twenty times that
_NAME = re.compile(r"((?:[a-z]+-[A-Za-z0-9+]+_)*)([A-Za-z0-9]+)")
_LONG = {
    "ses": "session",
    "sample": "sample",
    "task": "task",
    "tracksys": "tracksys",
    "acq": "acquisition",
    "ce": "ceagent",
    "trc": "tracer",
    "stain": "stain",
    "rec": "reconstruction",
    "dir": "direction",
    "run": "run",
    "mod": "source_suffix",
    "echo": "echo",
    "flip": "flip",
    "inv": "inversion",
    "mt": "mtransfer",
    "part": "part",
    "proc": "processed",
    "hemi": "hemisphere",
    "space": "space",
    "split": "split",
    "recording": "recording",
    "chunk": "chunk",
    "seg": "segmentation",
    "res": "resolution",
    "den": "density",
    "label": "label",
    "desc": "description",
    "atlas": "atlas",
    "scale": "scale",
    "tpl": "template",
    "cohort": "cohort",
    "nuc": "nucleus",
    "voi": "voi",
}
SHORT_NAMES = {name: key for key, name in _LONG.items()}
"""What names of files call these attributes."""

ENTITIES = frozenset(_LONG.values())
"""Attributes that come of a file's name."""

ENTITIES_AND_SUFFIX = ENTITIES | {"suffix"}

_DATATYPES = frozenset(
    """
    anat func dwi fmap perf pet meg eeg ieeg emg beh micr nirs mrs motion phenotype
    """.split()  # noqa: SIM905
)
_GRADIENTS = ("bval", "bvec")
_OF_ITS_SUFFIX = ("json", *_GRADIENTS, "tsv")
_TABLES = ("json", "tsv", "tsv.gz")
_TABLES_OF = {
    "bold": ("events", "physio", "physioevents", "stim"),
    "cbv": ("events", "physio", "physioevents", "stim"),
    "asl": ("aslcontext", "events", "physio"),
    "pet": ("blood", "events", "physio"),
    "dwi": ("physio",),
}
"""Suffixes of the files that go with images of a suffix."""

_RECORDINGS = frozenset(
    """
    cardiac respiratory pulse ppg ecg trigger eye1 eye2 eyetrack manual autosampler plasma
    """.split()  # noqa: SIM905
)
"""Labels of recordings that may stand in a name: any other could say anything."""

_MODALITIES = {"anat": "MR", "func": "MR", "dwi": "MR", "fmap": "MR", "perf": "MR", "pet": "PT"}


@dataclass(frozen=True, slots=True)
class BidsName:
    """What a file name says: ``sub-01_ses-pre_task-rest_run-1_bold``."""

    subject: str
    entities: dict[str, str]  # short key -> value, without sub
    suffix: str
    datatype: str

    @classmethod
    def parse(cls, path: str) -> BidsName | None:
        """Read the name of a file; None when it is not a BIDS name with a subject."""
        found = _parse(os.path.basename(path))
        if found is None or "sub" not in found.entities:
            return None
        entities = dict(found.entities)
        subject = entities.pop("sub")
        folder = os.path.basename(os.path.dirname(path))
        return cls(subject, entities, found.suffix, folder if folder in _DATATYPES else "")

    @property
    def rest(self) -> str:
        """The whole name without subject and session."""
        parts = [f"{key}-{value}" for key, value in self.entities.items() if key != "ses"]
        return "_".join([*parts, self.suffix])

    @property
    def parts(self) -> dict[str, str]:
        """Values of the entities that BIDS has, but subject and session, and the suffix."""
        found = {key: value for key, value in self.entities.items() if key in _LONG}
        found.pop("ses", None)
        return {**found, "suffix": self.suffix}

    def attributes(self, parts: Mapping[str, str]) -> dict[str, str]:
        """Attributes by long entity name, of those of `parts` that may be told."""
        found = {_LONG.get(key, key): value for key, value in parts.items()}
        if self.datatype:
            found["datatype"] = self.datatype
        if self.datatype in _MODALITIES:
            found["Modality"] = _MODALITIES[self.datatype]
        return found

    def label(self, parts: Mapping[str, str]) -> str:
        """The name without subject and session, of those of `parts` that may be told."""
        pairs = [f"{key}-{value}" for key, value in parts.items() if key != "suffix"]
        return "_".join([*pairs, *([parts["suffix"]] if "suffix" in parts else [])])


class _Parsed(NamedTuple):
    entities: dict[str, str]
    suffix: str


def _parse(name: str) -> _Parsed | None:
    match = _NAME.fullmatch(name.split(".", 1)[0])
    if match is None:
        return None
    pairs = [pair.split("-", 1) for pair in match[1].split("_") if pair]
    entities = dict(pairs)
    return _Parsed(entities, match[2]) if len(entities) == len(pairs) else None


class Companion(NamedTuple):
    """A file that belongs to an image; several side-cars may have one name.

    `name` is what it is called beside ``image.nii.gz``: ``image.bval``, ``events.tsv``.
    """

    name: str
    path: str
    stamp: FileStamp


@dataclass(slots=True)
class SideCar:
    """Fields of all side-cars that apply to a file, nearer ones over farther ones."""

    fields: dict[str, Any] = field(default_factory=dict)
    problem: str = ""  # why one of them could not be read

    def add(self, path: str) -> None:
        """Take the fields of one JSON file."""
        fields, problem = _read_json(path, _stamp(path))
        self.fields.update(fields)
        if problem:
            self.problem = f"side-car {os.path.basename(path)}: {problem}"


def dataset_root(path: str) -> str | None:
    """Folder of the dataset a file lies in; None when there is none.

    It is the nearest one that holds ``dataset_description.json``; without one, that which holds
    the folder ``sub-LABEL``. It may lie above the place the import began at, so that a subject
    brought alone is the same patient as one brought with its dataset.
    """
    above_subject = None
    folder = os.path.dirname(path)
    for _ in range(_MAX_LEVELS):
        if _is_dataset(folder, _stamp(folder)):
            return folder
        parent, name = os.path.split(folder)
        if name.startswith("sub-"):
            above_subject = parent
        if parent == folder:
            break
        folder = parent
    return above_subject


def whole_dataset(root: str) -> str:
    """Outermost dataset around `root`: derivatives are of the same subjects as their source."""
    outermost = folder = root
    for _ in range(_MAX_LEVELS):
        parent = os.path.dirname(folder)
        if parent == folder:
            break
        folder = parent
        if _is_dataset(folder, _stamp(folder)):
            outermost = folder
    return outermost


@lru_cache(maxsize=4096)
def _is_dataset(folder: str, _at: tuple[int, int]) -> bool:
    return os.path.isfile(os.path.join(folder, "dataset_description.json"))


def may_be_companion(path: str) -> bool:
    """Whether a file is called as one that may belong to an image."""
    name = path.lower()
    return name.endswith((".json", ".tsv", ".tsv.gz", ".bval", ".bvec", ".bvals", ".bvecs"))


def companions(path: str, root: str | None) -> list[Companion]:
    """Find the files that belong to a NIfTI file, by name; side-cars from the farthest one on.

    Of other files the nearest counts; what is no regular file is passed over, but for side-cars:
    an image must not be described by half of them.

    Parameters
    ----------
    path : str
        The NIfTI file.
    root : str, optional
        Its dataset's folder; without one only files of the same name count.
    """
    target = _parse(os.path.basename(path))
    if root is None or target is None:
        found = _of_one_name(path)
    else:
        found = [
            (name, os.path.join(folder, file))
            for folder in _levels(root, os.path.dirname(path))
            for _, name, file in sorted(_applying(folder, target))
        ]
    kept: dict[tuple[str, str], Companion] = {}
    for name, file in found:
        try:
            at = os.lstat(file)
        except OSError:
            continue
        is_side_car = name.endswith(".json")
        key = name, file if is_side_car else ""
        kept.pop(key, None)
        if stat.S_ISREG(at.st_mode) or is_side_car:
            kept[key] = Companion(name, file, FileStamp.of(at))
    return sorted(kept.values(), key=lambda one: one.name)


def _of_one_name(path: str) -> list[tuple[str, str]]:
    stem = re.sub(r"\.nii(\.gz)?$", "", path, flags=re.IGNORECASE)
    if stem == path:
        return []
    plural = [(f"image.{ending}", f"{stem}.{ending}s") for ending in _GRADIENTS]
    return [*plural, *((f"image.{one}", f"{stem}.{one}") for one in ("json", *_GRADIENTS))]


def _applying(folder: str, target: _Parsed) -> Iterator[tuple[int, str, str]]:
    """Files of a folder that apply to an image: how many entities each has, its names."""
    described = _described(folder, _stamp(folder))
    tables = _TABLES_OF.get(target.suffix, ())
    whose = dict.fromkeys(("", target.entities.get("sub", "")))
    for key in product((target.suffix, *tables), whose):
        for file, one, ending in described.get(key, ()):
            name, entities = f"image.{ending}", one.entities
            if one.suffix in tables and ending in _TABLES:
                entities = dict(entities)
                recording = entities.pop("recording", "")
                if recording and recording not in _RECORDINGS:
                    continue
                name = f"recording-{recording}_" * bool(recording) + f"{one.suffix}.{ending}"
            elif one.suffix != target.suffix or ending not in _OF_ITS_SUFFIX:
                continue
            if entities.items() <= target.entities.items():
                yield len(one.entities), name, file


def companions_above(path: str) -> list[str]:
    """Files of the dataset around a file or folder that may apply to it, or to what is in it."""
    if not os.path.isdir(path):
        return [one.path for one in companions(path, dataset_root(path))]
    root = dataset_root(os.path.join(path, "x"))
    if root is None or root == path:
        return []
    return [
        os.path.join(folder, name)
        for folder in _levels(root, os.path.dirname(path))
        for files in _described(folder, _stamp(folder)).values()
        for name, _, _ in files
    ]


def side_car(found: Iterable[Companion]) -> SideCar:
    """Read the side-cars among the companions of a NIfTI file."""
    car = SideCar()
    for one in found:
        if one.name == SIDE_CAR:
            car.add(one.path)
    return car


def _levels(root: str, folder: str) -> Iterator[str]:
    """Folders from `root` down to `folder`."""
    place = root
    yield place
    for part in os.path.relpath(folder, root).split("/"):
        if part != ".":
            place = os.path.join(place, part)
            yield place


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = os.lstat(path)
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=256)
def _described(
    folder: str, _at: tuple[int, int]
) -> Mapping[tuple[str, str], Sequence[tuple[str, _Parsed, str]]]:
    """Files of a folder that may belong to images, by suffix and subject.

    Of each its name, what it says, and its ending. A folder may hold those of thousands of images.
    """
    found: dict[tuple[str, str], list[tuple[str, _Parsed, str]]] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if may_be_companion(name) and (parsed := _parse(name)) is not None:
                key = parsed.suffix, parsed.entities.get("sub", "")
                found.setdefault(key, []).append((name, parsed, name.partition(".")[2]))
    return found


def _read_json(path: str, at: tuple[int, int]) -> tuple[dict[str, Any], str]:
    """Fields of a JSON file, and what is wrong with it; small ones are kept."""
    return _kept_json(path, at) if at[1] <= _MAX_KEPT_BYTES else _parsed_json(path)


@lru_cache(maxsize=256)
def _kept_json(path: str, _at: tuple[int, int]) -> tuple[dict[str, Any], str]:
    return _parsed_json(path)


def _parsed_json(path: str) -> tuple[dict[str, Any], str]:
    data = _read(path)
    if isinstance(data, str):
        return {}, data
    try:
        document = read_json(data)
    except Unreadable as exc:
        return {}, str(exc)
    if not isinstance(document, dict):
        return {}, "no JSON object"
    return document, ""


def _read(path: str) -> bytes | str:
    """Content of a small file, or why it is not read; follows no symbolic link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as exc:
        return f"cannot be read: {(exc.strerror or type(exc).__name__).lower()}"


def dataset_sources(root: str) -> list[str]:
    """Addresses of what a dataset was made from, as its description gives them."""
    path = os.path.join(root, "dataset_description.json")
    fields, _ = _read_json(path, _stamp(path))
    many = fields.get("SourceDatasets")
    known = many if isinstance(many, list) else []
    return [str(one.get("URL")) for one in known if isinstance(one, dict)]


def dataset_name(root: str) -> str:
    """Name of a dataset as its description gives it; empty when it gives none."""
    path = os.path.join(root, "dataset_description.json")
    fields, _ = _read_json(path, _stamp(path))
    return str(fields.get("Name", ""))


def subjects_of(root: str | None) -> str:
    """What tells the subjects of one dataset from those of others."""
    return f"bids:{dataset_name(whole_dataset(root)) if root else ''}"


class Participant(NamedTuple):
    """What the tables of a dataset say of a subject."""

    age: str = ""
    sex: str = ""
    age_unit: str = ""
    problem: str = ""  # why a table could not be read


def participant(root: str, subject: str, session: str = "") -> Participant:
    """Look a subject up in a dataset's ``participants.tsv``, and the age at a session in theirs."""
    found = _looked_up(os.path.join(root, "participants.tsv"), "participant_id", f"sub-{subject}")
    if not session or found.problem:
        return found
    visit = _looked_up(_sessions(root, subject), "session_id", f"ses-{session}")
    has_age = visit.age.strip().lower() not in ("", "n/a")
    if has_age:
        found = found._replace(age=visit.age, age_unit=visit.age_unit)
    return found._replace(problem=visit.problem)


def subjects(root: str) -> list[str]:
    """Subjects whom a dataset's ``participants.tsv`` names."""
    table = os.path.join(root, "participants.tsv")
    return [one.removeprefix("sub-") for one in _people(table, "participant_id", _stamp(table))[0]]


def visits(root: str, subject: str) -> list[str]:
    """Sessions that a subject's table of them names."""
    table = _sessions(root, subject)
    return [one.removeprefix("ses-") for one in _people(table, "session_id", _stamp(table))[0]]


def _sessions(root: str, subject: str) -> str:
    return os.path.join(root, f"sub-{subject}", f"sub-{subject}_sessions.tsv")


def _looked_up(path: str, key: str, name: str) -> Participant:
    found, problem = _people(path, key, _stamp(path))
    if problem:
        return Participant(problem=problem)
    return found.get(name, Participant())._replace(age_unit=_age_unit(path))


def _age_unit(path: str) -> str:
    """Unit of the ages of a table, as the JSON file beside it says; empty when it says none."""
    beside = f"{path.removesuffix('.tsv')}.json"
    fields, _ = _read_json(beside, _stamp(beside))
    column = fields.get("age")
    return str(column.get("Units") or "") if isinstance(column, dict) else ""


@lru_cache(maxsize=16)
def _people(path: str, key: str, _at: tuple[int, int]) -> tuple[dict[str, Participant], str]:
    """What a table says by subject or session, and what is wrong with it; there need be none."""
    if not os.path.lexists(path):
        return {}, ""
    name = os.path.basename(path)
    data = _read(path)
    if isinstance(data, str):
        return {}, f"{name}: {data}"
    try:
        rows = read_table(data)
    except Unreadable as exc:
        return {}, f"{name}: {exc}"
    prefix = "sub-" if key == "participant_id" else "ses-"
    said: dict[str, tuple[set[str], set[str]]] = {}
    for row in rows:
        if label := row.get(key, "").removeprefix(prefix):
            ages, sexes = said.setdefault(prefix + label, (set(), set()))
            ages.add(row.get("age", "").strip())
            sexes.add(row.get("sex", "").strip())
    return {label: Participant(*map(_one, columns)) for label, columns in said.items()}, ""


def _one(cells: set[str]) -> str:
    """What rows say alike; where they differ, nothing is known."""
    known = {one for one in cells if one.lower() not in ("", "n/a")}
    return known.pop() if len(known) == 1 else ""
