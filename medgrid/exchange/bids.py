"""Where images go in a BIDS dataset, by the rules that the standard publishes as a schema.

Source: Brain Imaging Data Structure, machine-readable schema (bidsschematools).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, count
from typing import Any, Final, NamedTuple

from medgrid import __version__
from medgrid.images.bids import SHORT_NAMES

__all__ = [
    "DERIVATIVES",
    "Misfit",
    "Place",
    "description",
    "named",
    "numbered",
    "place_of",
    "columns",
    "labels_of",
    "references",
    "subject_of",
    "table",
    "visit_of",
]

DERIVATIVES: Final = "derivatives/medgrid"
"""Folder of what was made of images, in the dataset of these."""

_REFERENCES: Final = ("IntendedFor", "Sources", "RawSources")


class Misfit(ValueError):
    """An image has no place in a BIDS dataset; the message says why."""


class Place(NamedTuple):
    """Where an image goes: labels and entities by their short names, suffix, and ending."""

    subject: str
    session: str
    datatype: str
    entities: tuple[tuple[str, str], ...]  # without subject and session
    suffix: str
    ending: str
    is_derived: bool

    @property
    def label(self) -> str:
        """Its name without subject, session and ending."""
        return "_".join([*(f"{key}-{value}" for key, value in self.entities), self.suffix])

    @property
    def path(self) -> str:
        """Path below the dataset's folder."""
        return self.stem + self.ending

    @property
    def stem(self) -> str:
        """Its path without ending, which its companions share."""
        whose = [f"sub-{self.subject}", *([f"ses-{self.session}"] if self.session else [])]
        folders = [DERIVATIVES] if self.is_derived else []
        name = "_".join([*whose, self.label])
        return "/".join([*folders, *whose, self.datatype, name])


class _Rule(NamedTuple):
    datatypes: tuple[str, ...]
    suffixes: frozenset[str]
    endings: frozenset[str]
    entities: frozenset[str]  # short names
    required: frozenset[str]


@cache
def _schema() -> Any:
    from bidsschematools.schema import load_schema

    return load_schema()


@cache
def _order() -> tuple[str, ...]:
    """Short names of all entities, in the order that names have them."""
    schema = _schema()
    return tuple(schema.objects.entities[one].name for one in schema.rules.entities)


@cache
def _rules(*, derived: bool) -> tuple[_Rule, ...]:
    schema = _schema()
    files = schema.rules.files
    groups = [files.deriv.imaging] if derived else list(files.raw.values())
    return tuple(_rule(one, schema) for group in groups for one in group.values())


def _rule(one: Any, schema: Any) -> _Rule:
    def short(entity: str) -> str:
        return str(schema.objects.entities[entity].name)

    needs = {
        short(name): need if isinstance(need, str) else need.get("level", "")
        for name, need in one.get("entities", {}).items()
    }
    return _Rule(
        tuple(one.get("datatypes", ())),
        frozenset(one.get("suffixes", ())),
        frozenset(one.get("extensions", ())),
        frozenset(needs),
        frozenset(name for name, need in needs.items() if need == "required"),
    )


def subject_of(pseudonym: str) -> str:
    """Label of a patient."""
    return label_of(pseudonym.removeprefix("P-"))


def visit_of(attributes: Mapping[str, Any]) -> str:
    """What the grid calls the visit of an image: its session, or its study date; may be empty."""
    return str(attributes.get("session") or attributes.get("StudyDate") or "")


def label_of(text: str) -> str:
    """Text as a label: letters and digits alone."""
    return re.sub(r"[^A-Za-z0-9]", "", text)


def labels_of(visits: Iterable[str]) -> dict[str, str]:
    """Labels of a patient's visits, no two alike; one that is a label as it stands keeps it."""
    found: dict[str, str] = {}
    for visit in sorted(set(visits), key=lambda one: (label_of(one) != one, one)):
        label = label_of(visit)
        numbers = (f"{label}x{number}" for number in count(2))
        found[visit] = next(one for one in chain([label], numbers) if one not in found.values())
    return found


def place_of(attributes: Mapping[str, Any], pseudonym: str | None, filename: str) -> Place:
    """Find the place of an image.

    Parameters
    ----------
    attributes : mapping
        Of the image; entities by their long names, suffix, datatype.
    pseudonym : str, optional
        Of its patient.
    filename : str
        Its ending counts.

    Raises
    ------
    Misfit
        It has none.
    """
    if pseudonym is None:
        raise Misfit("it is of no patient")
    suffix = str(attributes.get("suffix", ""))
    if not suffix:
        raise Misfit("nothing says what it shows, such as T1w: it has no suffix")
    ending = ".nii.gz" if filename.endswith(".gz") else ".nii"
    entities = {
        key: label_of(str(attributes[name]))
        for name, key in SHORT_NAMES.items()
        if name != "session" and attributes.get(name) not in (None, "")
    }
    datatype = str(attributes.get("datatype", ""))
    reasons = []
    for is_derived in (False, True):
        for rule in _rules(derived=is_derived):
            if suffix not in rule.suffixes or ending not in rule.endings:
                continue
            if datatype and datatype not in rule.datatypes:
                continue
            lacking = rule.required - entities.keys() - {"sub"}
            if lacking:
                reasons.append(f"a {suffix} image needs {', '.join(sorted(lacking))}")
            elif entities.keys() <= rule.entities:
                return Place(
                    subject_of(pseudonym),
                    label_of(visit_of(attributes)),
                    datatype or rule.datatypes[0],
                    tuple((key, entities[key]) for key in _order() if key in entities),
                    suffix,
                    ending,
                    is_derived,
                )
            else:
                more = sorted(entities.keys() - rule.entities)
                reasons.append(f"a {suffix} image has no {', '.join(more)}")
    raise Misfit(reasons[0] if reasons else f"BIDS has no {suffix} image like this")


def numbered(places: Sequence[Place]) -> list[Place | Misfit]:
    """Give images that would have one name a run each that none has, in their order."""
    many = Counter(one.stem for one in places)
    taken = set(many)
    runs: dict[str, Iterator[int]] = {}
    given: set[str] = set()
    found: list[Place | Misfit] = []
    for place in places:
        if many[place.stem] > 1 and "run" not in dict(place.entities):
            free = (_of_run(place, run) for run in runs.setdefault(place.stem, count(1)))
            place = next(one for one in free if one.stem not in taken)
        is_new = place.stem not in given
        found.append(place if is_new else Misfit("another image that was asked for has its name"))
        given.add(place.stem)
        taken.add(place.stem)
    return found


def _of_run(place: Place, run: int) -> Place:
    entities = {**dict(place.entities), "run": str(run)}
    return place._replace(
        entities=tuple((key, entities[key]) for key in _order() if key in entities)
    )


def named(places: Iterable[Place]) -> dict[tuple[str, str], str]:
    """Paths by subject and by what the grid calls an image: ``ses-pre/task-rest_bold``."""
    return {
        (
            one.subject,
            "/".join([*([f"ses-{one.session}"] if one.session else []), one.label]),
        ): one.path
        for one in places
    }


def references(
    fields: Mapping[str, Any], subject: str, known: Mapping[tuple[str, str], str]
) -> dict[str, Any]:
    """Fields of a side-car whose references to images are those of the dataset (`named`).

    What is not in the dataset is left out.
    """
    found = dict(fields)
    for name in _REFERENCES:
        if name not in found:
            continue
        many = found.pop(name)
        wanted = [(subject, one) for one in (many if isinstance(many, list) else [many])]
        there = [known[one] for one in wanted if one in known]
        if there:
            found[name] = [f"bids::{path}" for path in there]
    return found


def description(grid_id: str, name: str, *, derived: bool) -> str:
    """``dataset_description.json`` of what a grid gives out."""
    document = {
        "Name": name,
        "BIDSVersion": str(_schema().bids_version),
        "DatasetType": "derivative" if derived else "raw",
        "GeneratedBy": [{"Name": "medgrid", "Version": __version__}],
        "SourceDatasets": [{"URL": f"medgrid:{grid_id}"}],
    }
    return json.dumps(document, indent=2) + "\n"


def table(rows: Iterable[Mapping[str, str]], first: str) -> str:
    """A table of rows, sorted by the column `first`; what is not known is ``n/a``."""
    known = sorted(rows, key=lambda row: row[first])
    others = sorted({name for row in known for name in row} - {first})
    return "".join(f"{line}\n" for line in _lines(known, [first, *others]))


def columns(units: Mapping[str, str | None]) -> str:
    """The JSON file beside a table, which describes attributes, by their units."""
    document = {
        name: {"Description": "An attribute that the grid has", **({"Units": unit} if unit else {})}
        for name, unit in sorted(units.items())
    }
    return json.dumps(document, indent=2) + "\n"


def _lines(rows: Iterable[Mapping[str, str]], columns: Sequence[str]) -> Iterator[str]:
    yield "\t".join(columns)
    for row in rows:
        yield "\t".join(row.get(name) or "n/a" for name in columns)
