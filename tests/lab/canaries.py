"""Canaries: words and numbers that name a patient, and that nobody must find.

Each canary word begins with the same letters, so that one search finds all of them, cut ones too;
the letters differ in each run, so that runs beside each other do not find each other's. UIDs begin
alike, too; other numbers (dates, telephones) are searched one by one.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

__all__ = ["UID_ROOT", "Canaries", "written_dates"]

UID_ROOT = "1.2.826.0.1.3680043.10.511.73"
"""Each canary UID begins so, and nothing else."""


def _mark() -> str:
    return "zqx" + "".join(random.choices("bcdfghjklmnpqrstvwxz", k=5))


@dataclass
class Canaries:
    """What names a patient: word or number -> what it is.

    Attributes
    ----------
    mark : str
        Eight letters that every word begins with.
    words, numbers : dict of str to str
    dates : list of str
        Those of the numbers that are dates, as DICOM writes them.
    """

    mark: str = field(default_factory=_mark)
    words: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    dates: list[str] = field(default_factory=list)

    def word(self, what: str) -> str:
        """A new word, of 10 letters."""
        first, second = divmod(len(self.words), 26)
        found = (self.mark + string.ascii_lowercase[first] + string.ascii_lowercase[second]).title()
        self.words[found] = what
        return found

    def name(self, what: str) -> str:
        """A new name, as DICOM writes them."""
        return f"{self.word(f'family name of {what}')}^{self.word(f'given name of {what}')}"

    def number(self, what: str, digits: str) -> str:
        """Take a number that is long enough to be found."""
        assert len(digits) >= 8
        self.numbers[digits] = what
        return digits

    def date(self, what: str) -> str:
        """A new date; dates lie so far apart that none, moved, is taken for another."""
        count = len(self.dates)
        found = f"{1931 + 5 * count:04}{1 + count % 12:02}{11 + count % 17:02}"
        assert found < "2024"
        self.dates.append(found)
        return self.number(what, found)

    def uid(self, what: str) -> str:
        """A new UID."""
        count = len(self.numbers)
        return self.number(what, f"{UID_ROOT}{19 + count * 104_729:08}")

    def __len__(self) -> int:
        return len(self.words) + len(self.numbers)

    def named_in(self, texts: Iterable[str]) -> set[str]:
        """Canaries that stand, as they are, in any of `texts`."""
        seen = "\n".join(texts).casefold()
        return {one for one in (*self.words, *self.numbers) if one.casefold() in seen}


def written_dates(day: str) -> list[str]:
    """The forms in which people and programs write a date, but DICOM's own."""
    when = date(int(day[:4]), int(day[4:6]), int(day[6:]))
    forms = (
        *("%Y-%m-%d", "%Y.%m.%d", "%Y/%m/%d", "%Y_%m_%d", "%Y:%m:%d", "%Y%%2F%m%%2F%d"),
        *("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%d%m%Y", "%m/%d/%Y", "%m-%d-%Y", "%m%d%Y"),
        *("%d %b %Y", "%d-%b-%Y", "%d%b%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y"),
    )
    return [when.strftime(form) for form in forms]
