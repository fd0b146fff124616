"""Cuts names, ids and days out of text, however they are spelled.

It is the second line: first, `medgrid.images.words` lets known words through alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from medgrid.images.words import RELEASABLE, SHIPPED, Vocabulary

__all__ = ["Scrubber"]

_ISO_DAY = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])", re.ASCII)
_GROUPED = r"[\s._/-]?"
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # noqa: SIM905
_PLAIN = str.maketrans("øłđðħŧŋ\u0131", "olddhtni") | str.maketrans(
    {"æ": "ae", "œ": "oe", "þ": "th"}
)
"""Letters that are not made of a plain one and an accent."""
_SPELLED = str.maketrans({"ä": "ae", "ö": "oe", "ø": "oe", "ü": "ue", "å": "aa"})


class Scrubber:
    """Cuts the words that name a patient out of text.

    Parameters
    ----------
    words : iterable of str
        Names, ids, and days as ``YYYY-MM-DD``. One of four or more letters or digits, or of another
        script than ASCII, is cut wherever it stands; a shorter one only where it stands alone. A
        number of six or more digits is cut when it is written in groups, too, and a day however
        people write it. Accents and case do not matter, nor does ue for ü, nor what is not seen.
    vocabulary : Vocabulary
        Words that descriptions may have.

    Attributes
    ----------
    held : set of str
        Words of descriptions that were held back, of those that do not name the patient.
    """

    def __init__(self, words: Iterable[str], vocabulary: Vocabulary = SHIPPED) -> None:
        self.vocabulary = vocabulary
        self.held: set[str] = set()
        self.cleaned: dict[tuple[str, str], str] = {}  # instances of a series say the same
        inside: set[str] = set()
        alone: set[str] = set()
        numbers: set[str] = set()
        for word in words:
            for folded in _spellings(word):
                if len(folded) >= 6 and folded.isascii() and folded.isdigit():
                    numbers.add(folded)
                if len(folded) >= 4 or (folded and not folded.isascii()):
                    inside.add(folded)
                elif len(folded) >= 2:
                    alone.add(folded)
        parts = [re.escape(word) for word in _longest_first(inside)]
        parts += [rf"(?<!\d){_GROUPED.join(word)}(?!\d)" for word in _longest_first(numbers)]
        if alone:
            short = "|".join(re.escape(word) for word in _longest_first(alone))
            parts.append(rf"(?<![^\W_])(?:{short})(?![^\W_])")
        self._pattern = re.compile("|".join(parts)) if parts else None

    def finds(self, text: str) -> bool:
        """Whether `text` holds a word to cut."""
        return self._pattern is not None and self._pattern.search(_fold(text)) is not None

    def hold(self, words: Iterable[str]) -> None:
        """Note words that are not known, of those that could be; not those held beside others."""
        self.held.update(
            word
            for word in words
            if RELEASABLE.fullmatch(word)
            and not self.finds(word)
            and not self.vocabulary.knows(word)
        )

    def __call__(self, text: str) -> str:
        """`text` without those words, and without what held them together."""
        if self._pattern is None:
            return text
        folded, places = _fold_with_places(text)
        keep = [True] * len(text)
        hit = False
        for match in self._pattern.finditer(folded):
            hit = True
            for place in range(match.start(), match.end()):
                keep[places[place]] = False
        if not hit:
            return text
        rest = "".join(char if kept else "\0" for char, kept in zip(text, keep, strict=True))
        rest = re.sub(r"[\s_^=,;:/\0-]+", lambda run: " " if "\0" in run[0] else run[0], rest)
        return " ".join(rest.split())


def _longest_first(words: Iterable[str]) -> list[str]:
    return sorted(words, key=lambda word: (-len(word), word))


def _spellings(word: str) -> set[str]:
    """A word without case and accents, and as those write it who have no such letters; or a day."""
    if _ISO_DAY.fullmatch(word):
        return {way.casefold() for way in _ways_of_day(*word.split("-"))}
    spelled = word.casefold().translate(_SPELLED)
    ways = {word, spelled, re.sub(r"([aou])e", r"\1", spelled)}
    return {_fold(way).strip(" .,;:^=-_") for way in ways}


def _ways_of_day(y: str, m: str, d: str) -> Iterator[str]:
    """Ways to write a day; those of digits alone are cut with signs between them, too."""
    short_m, short_d = m.lstrip("0"), d.lstrip("0")
    month = _MONTHS[int(m) - 1]
    for year in (y, y[2:]):
        yield from (year + m + d, d + m + year, m + d + year)
        for sep in "-./_ ":
            yield sep.join((year, short_m, short_d))
            yield sep.join((short_d, short_m, year))
            yield sep.join((short_m, short_d, year))
        for sep in ("", *"-. "):
            for one in (d, short_d):
                yield sep.join((one, month, year))
                yield sep.join((month, one, year))


def _fold(text: str) -> str:
    return _fold_with_places(text)[0]


def _fold_with_places(text: str) -> tuple[str, list[int]]:
    """Text without case and accents, and for each of its characters its place in `text`."""
    if text.isascii():
        return text.casefold(), list(range(len(text)))
    folded: list[str] = []
    places: list[int] = []
    for place, char in enumerate(text):
        for part in unicodedata.normalize("NFKD", char).casefold().translate(_PLAIN):
            if not unicodedata.combining(part) and unicodedata.category(part) != "Cf":
                folded.append(part)
                places.append(place)
    return "".join(folded), places
