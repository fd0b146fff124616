"""Tables about people that lie beside images: their columns become attributes of patients.

BIDS says which tables these are: ``participants.tsv``, ``_sessions.tsv``, ``_scans.tsv``, and those
in ``phenotype``. They are small, and read at each import.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Protocol

from medgrid.actions.attributes import give
from medgrid.actions.grid import Grid
from medgrid.actions.importing.drafts import Failure, Namer
from medgrid.catalog.patient_attributes import Given, Unfit
from medgrid.documents import Unreadable, read_file, read_json, read_table
from medgrid.images.bids import dataset_root, subjects_of
from medgrid.images.deidentify import segment
from medgrid.images.people import MISSING, PeopleTable, Wrong, attribute_of, people_table

__all__ = [
    "Called",
    "PeopleTables",
    "Subjects",
    "TableReport",
    "given",
    "is_table",
    "read_rows",
    "tell",
]

_TABLE = re.compile(
    r"participants\.tsv|(?P<sessions>sub-[A-Za-z0-9+]+)_sessions\.tsv"
    r"|(?P<subject>sub-[A-Za-z0-9+]+)(_(?P<session>ses-[A-Za-z0-9+]+))?_scans\.tsv"
)
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_ANY_DAY = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)")  # a session of BIDS may be called 20210304
_SESSION = re.compile(r"[\w+.-]{1,64}")
_OWN_COLUMNS = ("age", "sex", "gender", "sample_id", "acq_time", "filename")
"""Columns that images are described by, or that name files."""


@dataclass(slots=True)
class TableReport:
    """What became of one table.

    Attributes
    ----------
    name : str
        Its file's name.
    fresh, replaced : list of Given
        What is new in the grid, and what took the place of another value.
    left_out : dict
        Why columns are left out.
    wrong : list of Wrong
        Cells that are left out.
    unknown, others : list of str
        Rows of whom the grid does not know, or the user does not care for.
    lost : list of str
        Why somebody may not know any more what codes mean, by attribute.
    """

    name: str
    fresh: list[Given] = field(default_factory=list)
    replaced: list[Given] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    wrong: list[Wrong] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def is_table(path: str) -> bool:
    """Whether a file is one that BIDS says something of people in."""
    if not path.endswith(".tsv"):
        return False
    file = PurePath(path)
    return file.parent.name == "phenotype" or _TABLE.fullmatch(file.name) is not None


class PeopleTables:
    """Gathers tables, and gives what they say when the images are in the grid.

    Parameters
    ----------
    of_others : callable
        Which of some patients this user may not bring data of.
    leave_out : collection of str
        Attributes that are not taken.
    """

    def __init__(
        self,
        grid: Grid,
        namer: Namer,
        of_others: Callable[[Iterable[str]], set[str]],
        told: Callable[[TableReport], None],
        failed: Callable[[Failure], None],
        leave_out: Collection[str] = (),
    ) -> None:
        self._leave_out = set(map(attribute_of, leave_out))
        self._grid = grid
        self._namer = namer
        self._of_others = of_others
        self._told = told
        self._failed = failed
        self._paths: dict[str, None] = {}

    def add(self, path: str) -> None:
        """A table was found."""
        self._paths[path] = None

    def beside(self, path: str) -> None:
        """An image was found: what is said of its subject lies above it."""
        root = dataset_root(path)
        if root is None:
            return
        inner = PurePath(path).relative_to(root).parts
        subject = next((one for one in inner if one.startswith("sub-")), "")
        for table in ("participants.tsv", f"{subject}/{subject}_sessions.tsv"):
            where = Path(root, table)
            if where.is_file() and not where.is_symlink():
                self.add(str(where))

    @property
    def datasets(self) -> list[str]:
        """Folders of the datasets whose participants were found."""
        found = (one for one in map(Path, self._paths) if one.name == "participants.tsv")
        return sorted({_dataset_of(one) for one in found})

    def give(self, *, is_dry: bool) -> None:
        """Bring what the tables say of patients whom the grid has.

        Tables of one kind in a dataset, such as the sessions of each subject, are judged as one.
        """
        together: dict[tuple[str, str], list[Path]] = {}
        for path in map(Path, self._paths):
            root, kind = _dataset_of(path), _kind(path)
            together.setdefault((root, kind), []).append(path)
        tables = {key: self._read(paths, Path(*key)) for key, paths in together.items()}
        if tables and self._lack(tables.values()):
            return
        for (root, kind), paths in together.items():
            file = Path(root, kind)
            report = TableReport(file.name if len(paths) > 1 else paths[0].name)
            table = tables[root, kind]
            called = Subjects(self._namer, subjects_of(root))
            new = given(self._grid, table, called, self._of_others, report)
            report.left_out, report.wrong = table.left_out, table.wrong
            if report.others:
                who = ", ".join(report.others)
                reason = f"{who}: only their care team, or a registrar, may say something of them"
                self._failed(Failure(str(file), reason))
            if not is_dry:
                source = f"{kind.partition('/')[0]} {self._namer.file_key(str(file))[:8]}"
                tell(self._grid, new, source, table.units, report)
            self._told(report)

    def _lack(self, tables: Iterable[PeopleTable]) -> bool:
        """Whether what is to be left out is in no table: it may stand there by another name."""
        there = {attribute_of(column) for table in tables for column in table.left_out}
        for name in sorted(self._leave_out - there):
            reason = "no table has this column: nothing was taken of any"
            self._failed(Failure(f"--leave-out {name}", reason))
        return not there.issuperset(self._leave_out)

    def _read(self, paths: Sequence[Path], file: Path) -> PeopleTable:
        rows: list[dict[str, str]] = []
        places: list[str] = []
        described: dict[str, Any] = {}
        if file.name in ("sessions.tsv", "scans.tsv"):  # one file may say it for all subjects
            beside = file.with_suffix(".json")
            try:
                described = _described(beside)
            except Unreadable as exc:
                self._failed(Failure(str(beside), str(exc)))
        for path in paths:
            name = _TABLE.fullmatch(path.name)
            subject = (name["sessions"] or name["subject"]) if name else None
            session = name["session"] if name else None
            whose = {"participant_id": subject or "", "session_id": session or ""}
            try:
                found, said = read_rows(path)
            except Unreadable as exc:
                self._failed(Failure(str(path), str(exc)))
                continue
            rows += [{**whose, **row} for row in found]
            prefix = f"{path.name} " if len(paths) > 1 else ""
            places += [f"{prefix}row {number}" for number in range(1, len(found) + 1)]
            described = {**said, **described}
        columns = "participant_id", "session_id", _OWN_COLUMNS
        table = people_table(rows, described, *columns, places, self._leave_out)
        if file.name == "scans.tsv":
            _of_visit(table)
        return table


def _dataset_of(path: Path) -> str:
    folder = path.parent.parent if path.parent.name == "phenotype" else path.parent
    return dataset_root(str(path)) or str(folder)


def _kind(path: Path) -> str:
    """Name that tables of one kind go by, below their dataset."""
    if path.parent.name == "phenotype":
        return f"phenotype/{path.name}"
    return path.name.rpartition("_")[2]


def _described(path: Path) -> dict[str, Any]:
    """What a JSON file says of columns; nothing when there is none.

    Raises
    ------
    Unreadable
        It is none.
    """
    if not path.is_file() or path.is_symlink():
        return {}
    try:
        found = read_json(read_file(path))
    except (OSError, Unreadable) as exc:
        raise Unreadable(f"{path.name}: {exc}") from None
    return found if isinstance(found, dict) else {}


def read_rows(path: Path) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Rows of a table, and what the JSON file beside it says of its columns.

    Raises
    ------
    Unreadable
        One of them cannot be read.
    """
    try:
        rows = read_table(read_file(path), "," if path.suffix.lower() == ".csv" else "\t")
    except OSError as exc:
        raise Unreadable(f"cannot be read: {(exc.strerror or type(exc).__name__).lower()}") from exc
    return rows, _described(path.with_suffix(".json"))


def _of_visit(table: PeopleTable) -> None:
    """Make rows of images one of their visit: what all of them say alike."""
    together: dict[tuple[str, str], dict[str, set[float | str]]] = {}
    places: dict[tuple[str, str], str] = {}  # of the first row of each visit
    for (subject, session, values), place in zip(table.rows, table.places, strict=True):
        places.setdefault((subject, session), place)
        one = together.setdefault((subject, session), {})
        for name, value in values.items():
            one.setdefault(name, set()).add(value)
    table.rows, table.places = [], list(places.values())
    for (subject, session), said in together.items():
        for name, found in said.items():
            if len(found) > 1:
                reason = "images of the visit differ in it"
                table.wrong.append(Wrong(places[subject, session], name, reason))
        alike = {name: found.pop() for name, found in said.items() if len(found) == 1}
        table.rows.append((subject, session, alike))


class Called(Protocol):
    """Whom a table speaks of, in the catalog's words."""

    def patient(self, subject: str) -> str:
        """Pseudonym of whom it calls so."""

    def visit(self, subject: str, session: str, there: Collection[str]) -> str:
        """Session of theirs, or a day, of those that are `there`; empty for none."""

    def shown(self, subject: str, place: str) -> str:
        """What may be printed of whom a row, at a place, is of."""


class Subjects:
    """Whom a table of a BIDS dataset speaks of."""

    def __init__(self, namer: Namer, dataset: str) -> None:
        self._namer = namer
        self._dataset = dataset

    def patient(self, subject: str) -> str:
        """Pseudonym of a subject."""
        return self._namer.of_subject(subject.removeprefix("sub-"), self._dataset)

    def visit(self, subject: str, session: str, there: Collection[str]) -> str:
        """Session of a subject, or a day, of those that are `there`; empty for none.

        A day of a table has no time to move with: it is the one visit that may be of that day.
        """
        label = segment(session.removeprefix("ses-"))
        if not label or session.lower() in MISSING:
            return ""
        keys = self._namer.keys(self.patient(subject))
        if found := (_DAY if self._dataset else _ANY_DAY).fullmatch(label):
            day = "-".join(found.groups())
            may_be = keys.days(day).intersection(there)
            return may_be.pop() if len(may_be) == 1 else f"?{keys.day(day)}"
        told = self._namer.session(subject.removeprefix("sub-"), f"ses-{label}", keys)
        return told.removeprefix("ses-")

    def shown(self, subject: str, place: str) -> str:
        """The place: a label may be a name."""
        return place


def given(
    grid: Grid,
    table: PeopleTable,
    called: Called,
    of_others: Callable[[Iterable[str]], set[str]],
    report: TableReport,
) -> list[Given]:
    """What a table says of patients whom the grid has and the user may say something of."""
    patients = {subject: called.patient(subject) for subject, _, _ in table.rows if subject}
    unknown = grid.whole.access.without_team(patients.values())
    others = of_others(set(patients.values()) - unknown)
    shown: dict[str, str] = {}
    for (subject, _, _), place in zip(table.rows, table.places, strict=True):
        shown.setdefault(subject, called.shown(subject, place))
    report.unknown = [shown[one] for one, patient in patients.items() if patient in unknown]
    report.others = [shown[one] for one, patient in patients.items() if patient in others]
    known = set(patients.values()) - unknown - others
    visits = grid.whole.patient_attributes.visits(known)
    called_so = {
        (subject, session): called.visit(subject, session, visits.get(patients[subject], set()))
        for subject, session, _ in table.rows
        if patients.get(subject) in known
    }
    days = Counter((subject, visit) for (subject, _), visit in called_so.items())
    new: dict[tuple[str, str, str], Given] = {}
    for (subject, session, values), place in zip(table.rows, table.places, strict=True):
        visit = called_so.get((subject, session))
        if visit is None:
            continue
        patient = patients[subject]
        reason = ""
        if visit not in {"", *visits.get(patient, ())} and not _is_session(visit):
            reason = "no one visit is of this day, or no session"
        elif _DAY.fullmatch(visit) and days[subject, visit] > 1:
            reason = "rows of two days may be of this visit"
        if reason:
            table.wrong.append(Wrong(place, "session", reason))
            continue
        for name, value in values.items():
            one = new.setdefault((patient, visit, name), Given(patient, visit, name, value))
            if one.value != value:
                reason = "another row says something else"
                table.wrong.append(Wrong(place, name, reason))
    return list(new.values())


def _is_session(text: str) -> bool:
    """Whether there may be images of it later: a day that no image has may be a true one."""
    return _SESSION.fullmatch(text) is not None and _ANY_DAY.search(text) is None


def tell(
    grid: Grid, new: list[Given], source: str, units: Mapping[str, str], report: TableReport
) -> None:
    """Give what a table says; a column that does not go with what the grid has is left out."""
    left = list(new)
    while True:
        try:
            done = give(grid, left, source, units)
            break
        except Unfit as exc:
            report.left_out[exc.name] = exc.message
            left = [one for one in left if one.name != exc.name]
    report.fresh, report.replaced = done
