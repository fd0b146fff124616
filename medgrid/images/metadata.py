"""What the headers of a series say together: metadata that names nobody.

An attribute has one value, or a list where instances or frames differ. What one of them lacks comes
from the first that has it.

Whatever the allow-list lets through (`medgrid.images.allowed`) is taken from every instance: there
is no second list. That one names what was acquired and how, and nothing that tells the instances of
a series apart by nature, such as SOPInstanceUID, InstanceNumber, positions and times of day. What
of it changes from slice to slice, such as XRayTubeCurrent, is bounded by `MAX_DISTINCT`.
``tests/images/test_metadata.py`` looks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from medgrid.images import allowed
from medgrid.images.deidentify import (
    Attributes,
    age_years,
    allowed_value,
    first_value,
    keyed,
    readable,
    told_moment,
    values_of,
    words_of,
)
from medgrid.images.dicom import quiet_pydicom
from medgrid.images.nominative import NOMINATIVE, nominative
from medgrid.images.patient import PatientKeys
from medgrid.images.scrub import Scrubber
from medgrid.images.words import SHIPPED, Vocabulary
from medgrid.model import VARIES, VARIES_WIDELY

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["MAX_DISTINCT", "SeriesMetadata", "distinct"]

MAX_DISTINCT: Final = 64
"""So many values of one attribute are kept; of more, the least and greatest number or date."""

_ORDERED: Final = allowed.NUMBERS | allowed.DATES | {"PatientAge"}
_LISTED: Final = allowed.UIDS | allowed.DATES | allowed.NUMBERS | allowed.CODES | allowed.FREE_TEXT
_AGE: Final = ("PatientAge", "PatientBirthDate", "StudyDate")
_FRAMES: Final = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_NO_WORDS: Final = Scrubber(())


class SeriesMetadata:
    """Gathers what may be known of the instances of a series, one header after another.

    An element is decoded when its bytes are new: a further instance that differs in nothing costs a
    look at each of its elements.

    Parameters
    ----------
    vocabulary : Vocabulary
        Words that descriptions may have.

    Attributes
    ----------
    names : dict of str to str
        What names the patient (`medgrid.images.nominative`).
    held : set of str
        Words of descriptions that `attributes` held back.
    """

    def __init__(self, vocabulary: Vocabulary = SHIPPED) -> None:
        self.names: dict[str, str] = {}
        self.held: set[str] = set()
        self._vocabulary = vocabulary
        self._words: set[str] = set()
        self._seen: defaultdict[int, set[Hashable]] = defaultdict(set)
        self._said: dict[str, _Said] = {}

    def __bool__(self) -> bool:
        """Whether there was a header that says anything."""
        return bool(self._seen)

    def add(self, ds: Dataset, words: Iterable[str] | None = None) -> None:
        """Take what a header says.

        Parameters
        ----------
        ds : pydicom.dataset.Dataset
            The whole header; elements of it are decoded.
        words : iterable of str
            What `medgrid.images.deidentify.words_of` finds in it, where that is known.
        """
        with quiet_pydicom():
            self._words.update(words_of(ds) if words is None else words)
            fresh = self._fresh(ds)
            self._take(ds, fresh)
            for group in _functional_groups(ds):
                self._take(group, {tag for tag in self._fresh(group) if not _has(ds, tag)})
            syntax = str(getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", ""))
            self._note("TransferSyntaxUID", allowed_value("SOPClassUID", [syntax], _NO_WORDS))
            changed = {_watched()[tag] for tag in fresh}
            if not changed.isdisjoint(_AGE):
                self._note("PatientAge", age_years(*(first_value(ds, name) for name in _AGE)))
            if not changed.isdisjoint(NOMINATIVE):
                self.names = nominative(ds) | self.names

    def attributes(self, keys: PatientKeys) -> Attributes:
        """What all headers say together: attribute name -> value, or list where they differ.

        Dates are ``YYYY-MM-DD``, `PatientAge` is in years; dates and UIDs are what `keys` makes of
        them. Numbers and dates are sorted, texts stand in the order of the instances. A value of
        several components is a list, too; several of these are a list of lists.
        """
        scrub = Scrubber(self._words, self._vocabulary)
        found = keyed(_told(self._said, scrub), keys)
        self.held |= scrub.held
        return found

    def _fresh(self, ds: Dataset) -> set[int]:
        """Tags of elements with a value that none had before."""
        watched, fresh = _watched(), set()
        for one, element in ds.items():
            tag = int(one)
            if tag not in watched:
                continue
            value = element.value if element.is_raw else str(element.value)
            seen = self._seen[tag]
            if value not in seen:
                fresh.add(tag)
                if len(seen) <= MAX_DISTINCT:
                    seen.add(value)
        return fresh

    def _take(self, ds: Dataset, tags: Set[int]) -> None:
        if not tags:
            return
        for element in readable(ds, lambda tag, _: tag in tags and _watched()[tag] in _LISTED):
            values = values_of(element)
            if element.keyword in allowed.JUDGED:  # they are judged when all names are known
                self._note(element.keyword, _texts(values), values)
                continue
            found = allowed_value(element.keyword, values, _NO_WORDS)
            if element.keyword in allowed.DATES and isinstance(found, str):
                time = element.keyword.replace("Date", "Time")
                found = told_moment(found, first_value(ds, time).strip("\0 "))
            self._note(element.keyword, found, values)

    def _note(self, name: str, value: Any, values: list[Any] | None = None) -> None:
        if value is not None:
            self._said.setdefault(name, _Said()).add(value, values or [value])


def _texts(values: list[Any]) -> list[str] | None:
    """Values as they stand, None when they cannot be texts."""
    if any(isinstance(value, bytes) for value in values):
        return None
    return [text for value in values if (text := str(value).strip())] or None


def distinct(name: str, values: Iterable[Any]) -> Attributes:
    """One attribute, told as a series tells it."""
    said = _Said()
    for value in values:
        said.add(value, [value])
    return _told({name: said}, _NO_WORDS)


@dataclass(slots=True)
class _Said:
    """Distinct values of one attribute, beside what they were before they were cleaned."""

    is_wide: bool = False
    _found: dict[Hashable, list[Any]] = field(default_factory=dict)
    _beyond: list[Any] = field(default_factory=list)  # least and greatest of those not in `_found`

    def add(self, value: Any, values: list[Any]) -> None:
        """Add a value; a text as it stands."""
        key = tuple(value) if isinstance(value, list) else value
        if key in self._found:
            return
        if len(self._found) < MAX_DISTINCT:
            self._found[key] = values
            return
        self.is_wide = True
        if not isinstance(value, list):
            known = [*self._beyond, value]
            self._beyond = [min(known), max(known)]

    def values(self, name: str, scrub: Scrubber) -> list[Any]:
        """What is kept of it, each value once."""
        known: list[Any] = [list(key) if isinstance(key, tuple) else key for key in self._found]
        has_order = name in _ORDERED and not any(isinstance(one, list) for one in known)
        if self.is_wide:
            known += self._beyond
            return [min(known), max(known)] if has_order else []
        if name in allowed.JUDGED:
            clean = [allowed_value(name, values, scrub) for values in self._found.values()]
            known = [one for place, one in enumerate(clean) if one not in (None, *clean[:place])]
        return sorted(known) if has_order else known


def _told(said: Mapping[str, _Said], scrub: Scrubber) -> Attributes:
    """Attributes, and which of them have several values, or too many."""
    kept = {name: one.values(name, scrub) for name, one in said.items()}
    found: Attributes = {
        name: values if len(values) > 1 else values[0] for name, values in kept.items() if values
    }
    widely = {name for name, one in said.items() if one.is_wide}
    several = widely | {name for name, values in kept.items() if len(values) > 1}
    if several:
        found[VARIES] = sorted(several)
    if widely:
        found[VARIES_WIDELY] = sorted(widely)
    return found


def _functional_groups(ds: Dataset) -> Iterator[Dataset]:
    """Macros of an enhanced object: those that all its frames share, then those of each."""
    sequences, groups = _tags(_FRAMES), _tags(allowed.FUNCTIONAL_GROUPS)
    if not any(tag in ds for tag in sequences):
        return
    for sequence in readable(ds, lambda tag, _: tag in sequences):
        for frame in sequence.value or ():
            for group in readable(frame, lambda tag, _: tag in groups):
                yield from group.value or ()


def _has(ds: Dataset, tag: int) -> bool:
    """Whether an element has a value, which is then not decoded."""
    return tag in ds and getattr(ds.get_item(tag), "value", None) not in (None, b"", "")


@cache
def _tags(keywords: tuple[str, ...]) -> frozenset[int]:
    from pydicom.datadict import tag_for_keyword

    return frozenset(tag for one in keywords if (tag := tag_for_keyword(one)) is not None)


@cache
def _watched() -> dict[int, str]:
    """Elements that are looked at, by tag."""
    from pydicom.datadict import keyword_for_tag

    wanted = tuple(sorted(_LISTED | {*_AGE, *NOMINATIVE}))
    return {tag: keyword_for_tag(tag) for tag in _tags(wanted)}
