"""The words that may stand in descriptions; every other one is held back.

Names are not listed anywhere, so that text is judged by what is known of it: ``words.tsv`` holds
what sequences, contrasts, planes, parts of the body, devices and tasks are called, and a grid
releases words of its own. Dates and long numbers are no words, and never pass.
``tests/images/test_words.py`` has examples; ``tests/words`` measures what passes of real texts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Final, Literal, NamedTuple

__all__ = ["RELEASABLE", "SHIPPED", "Place", "Sifted", "Vocabulary", "folded", "normal"]

Place = Literal["", "machine", "structure", "table"]
"""Where a text stands: in a description, in what a device says of itself, in the name of a
structure (a contour, a segment), in a table beside an image."""

RELEASABLE: Final = re.compile(r"[^\W\d_]{2,32}")
"""What can be released: one word of letters."""

_ONLY_IN: Final[Mapping[Place, frozenset[str]]] = {
    "": frozenset(),
    "machine": frozenset(("vendor", "model", "software")),
    "structure": frozenset(("structure",)),
    "table": frozenset(("table",)),
}
_ONLY: Final = frozenset[str]().union(*_ONLY_IN.values())
_GLUED: Final = frozenset(("unit", "span", "measure", "counter"))
_TOKEN: Final = re.compile(r"(?:[^\W_]|(?<=\d)[.,](?=\d))+")
_ATOM: Final = re.compile(
    r"\d+(?:[.,p]\d+)*"  # 0.8, also 0p8
    r"|[^\W\d_]*[^\W\d_a-zA-Z][^\W\d_]*"  # no case tells its words apart
    r"|[A-Z]+(?=[A-Z][a-z])"  # the next letter may end this word or begin another
    r"|(?<=[A-Z])[A-Z](?=[a-z])|[A-Z]?[a-z]+|[A-Z]+"
)
_SHORT_CODE: Final = re.compile(
    r"(?=.*\d)(?!.*\d{6})[a-z]{0,3}(?:\d{1,3}[a-z]{0,3}){1,3}", re.IGNORECASE
)
_LETTERS: Final = re.compile(  # single letters that say something: with or without contrast
    r"(?<![^\W_])w/o?(?![^\W_])"
    r"|(?<![^\W_])w[ _-]o(?=[ _-]+(?:iv|contrast|cont?|gad|gado|gd|km|dye)(?![^\W_]))"
    r"|(?<![^\W_])[mo]\.? ?(?=km(?![^\W_]))"  # mit, ohne Kontrastmittel
    r"|(?<![^\W\d_])[+-] ?c(?![^\W_])"
    r"|(?<![^\W_])[SIAPLRHF] ?(?:to|-?>{1,2}) ?[SIAPLRHF](?![^\W_])",  # a direction
    re.IGNORECASE,
)
_MONTHS: Final = frozenset(
    """
    jan feb mar apr may jun jul aug sep sept oct nov dec
    january february march april june july august september october november december
    januar februar maerz mai juni juli oktober dezember okt dez
    janvier fevrier mars avril juin juillet aout septembre octobre novembre decembre
    """.split()  # noqa: SIM905
)
_SIGNS: Final = frozenset("°±µ")
_SEPARATORS: Final = re.compile(r"[\s_^=,;:/&+#*~|.\0-]+")
_EMPTY_BRACKETS: Final = re.compile(r"\(\s*\)|\[\s*\]|\{\s*\}|<\s*>")
_SPELLED: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "å": "aa"})
_COMPOUND: Final = 10  # letters of words that may be joined without a sign
_PART: Final = 4  # letters of each of them
_BETWEEN: Final = (
    "and",
    "for",
    "or",
    "to",
    "of",
    "in",
    "on",
    "vs",
)  # may stand between two of them
_TOKEN_LETTERS: Final = 80  # a longer one is not looked into
_RUN_DIGITS: Final = 7  # of numbers that stand together: a telephone's, an id in groups
_AFTER_TITLE: Final = 2  # words


class Sifted(NamedTuple):
    """Text that passes, and the words of it that do not, as they were written."""

    text: str
    held: tuple[str, ...]


class _Atom(NamedTuple):
    """Letters or digits that stand together; `token` counts what is joined without a sign."""

    text: str
    start: int
    end: int
    token: int
    gap: str  # what stands before it

    @property
    def is_number(self) -> bool:
        return self.text[0].isdigit()


class Vocabulary:
    """Known words: those that ship with medgrid, and what a grid has released.

    Parameters
    ----------
    released : iterable of str
        Further words, one each.
    """

    def __init__(self, released: Iterable[str] = ()) -> None:
        self.released = frozenset(map(folded, released))
        kinds = _shipped()
        self._kinds: Mapping[str, frozenset[str]] = (
            {
                **kinds,
                **{word: kinds.get(word, frozenset()) | {"released"} for word in self.released},
            }
            if self.released
            else kinds
        )
        self._sift = lru_cache(4096)(self._sifted)

    def __reduce__(self) -> tuple[type[Vocabulary], tuple[frozenset[str]]]:
        return Vocabulary, (self.released,)

    def sift(
        self, text: str, *, place: Place = "", refuses: Callable[[str], bool] | None = None
    ) -> Sifted:
        """Take out of a text all that is not known.

        Parameters
        ----------
        text : str
            In the form that `normal` gives.
        place : str
            Where it stands: some words may stand in one place alone. What a device writes, not
            people, may name vendors, models and versions, and have short codes such as ``VE11C``.
        refuses : callable, optional
            Whether a piece that is no word, such as a number, must not pass all the same.
        """
        return self._sift(text, place) if refuses is None else self._sifted(text, place, refuses)

    def is_unit(self, text: str) -> bool:
        """Whether a text is a unit, such as ``Bq/mL``."""
        words = [atom.text for atom in _atoms(text)]
        return bool(words) and all(self._is("unit", one) or one == "1" for one in words)

    def knows(self, text: str, place: Place = "") -> bool:
        """Whether all of a text passes."""
        return not self.sift(text, place=place).held

    def _sifted(
        self, text: str, where: Place, refuses: Callable[[str], bool] | None = None
    ) -> Sifted:
        atoms = list(_atoms(text))
        held = self._by_place(atoms)
        begin = 0
        while begin < len(atoms):
            end = begin
            while end < len(atoms) and atoms[end].token == atoms[begin].token:
                end += 1
            if not held.issuperset(range(begin, end)):
                held |= self._of_token(text, atoms, begin, end, where, refuses)
            begin = end
        for said in _LETTERS.finditer(text) if held else ():
            held -= {
                place
                for place in held
                if said.start() <= atoms[place].start and atoms[place].end <= said.end()
            }
        if not held:
            return Sifted(_tidy(text), ())
        chars = list(text)
        for place in held:
            atom = atoms[place]
            chars[atom.start : atom.end] = "\0" * (atom.end - atom.start)
        words = _joined(atoms, sorted(held))
        return Sifted(_tidy("".join(chars)), tuple(dict.fromkeys(words)))

    def _has(self, word: str, where: Place) -> bool:
        """Whether it is a word that may stand alone."""
        kinds = self._kinds.get(folded(word), frozenset())
        return any(kind not in _GLUED and kind != "title" for kind in kinds - _ONLY) or bool(
            kinds & _ONLY_IN[where]
        )

    def _is(self, kind: str, word: str) -> bool:
        return kind in self._kinds.get(folded(word), ())

    def _by_place(self, atoms: list[_Atom]) -> set[int]:
        """Atoms that are held for what stands beside them: dates, telephones, who has a title."""
        held: set[int] = set()
        begin = 0
        while begin < len(atoms):
            end = begin
            if not self._is_of_word(atoms, begin):
                while end < len(atoms) and _goes_on(atoms, begin, end):
                    end += 1
            if end > begin:
                if _is_run_held(atoms[begin:end]):
                    held.update(range(begin, end))
                begin = end
            else:
                begin += 1
        for place, atom in enumerate(atoms):
            if self._is("title", atom.text):
                held.add(place)
                after = [one for one in range(place + 1, len(atoms)) if not atoms[one].is_number][
                    :_AFTER_TITLE
                ]
                held.update(after)
        alone = [place for place in range(len(atoms)) if _is_letter_alone(atoms, place)]
        for one, other in pairwise(alone):
            if other == one + 1:
                held.update((one, other))  # T E S T A
        return held

    def _is_of_word(self, atoms: list[_Atom], place: int) -> bool:
        """Whether an atom ends a word that has a digit in it, such as ``T1``."""
        before = atoms[place - 1] if place else None
        return (
            before is not None
            and not atoms[place].gap
            and self._has(before.text + atoms[place].text, "")
        )

    def _of_token(
        self,
        text: str,
        atoms: list[_Atom],
        begin: int,
        end: int,
        where: Place,
        refuses: Callable[[str], bool] | None,
    ) -> set[int]:
        """Atoms of one token that are held: as few letters and digits as can be."""
        whole = text[atoms[begin].start : atoms[end - 1].end]
        if len(whole) > _TOKEN_LETTERS:
            return set(range(begin, end))
        if self._has(whole, where) or self._covers(folded(whole)):
            return set()
        if refuses and refuses(whole):
            return set(range(begin, end))
        if where == "machine" and _SHORT_CODE.fullmatch(whole):
            return set()
        # best[n]: (characters held, groups, held atoms) of the atoms before n
        best: list[tuple[int, int, frozenset[int]]] = [(0, 0, frozenset())]
        for stop in range(begin + 1, end + 1):
            options = []
            for start in range(begin, stop):
                lost, groups, held = best[start - begin]
                piece = text[atoms[start].start : atoms[stop - 1].end]
                if self._passes(atoms, start, stop, piece, where) and not (
                    refuses and atoms[start].is_number and refuses(piece)
                ):
                    options.append((lost, groups + 1, held))
                elif stop == start + 1:
                    options.append((lost + len(piece), groups + 1, held | {start}))
            best.append(min(options, key=lambda one: one[:2]))
        return set(best[-1][2])

    def _passes(self, atoms: list[_Atom], start: int, stop: int, piece: str, where: Place) -> bool:
        """Whether atoms `start` to `stop`, which are joined, are one thing that is known."""
        if stop > start + 1:
            return self._has(piece, where)
        before = atoms[start - 1] if start else None
        after = atoms[stop] if stop < len(atoms) else None
        if not atoms[start].is_number:
            if self._has(piece, where):
                return True
            joins_before = before is not None and before.is_number
            joins_after = after is not None and after.is_number
            is_unit = self._is("unit", piece) or self._is("span", piece)
            if is_unit and joins_before and _is_near(atoms[start]):
                return True
            if joins_after and after is not None and _is_near(after):
                is_joined = after.token == atoms[start].token
                return self._is("measure", piece) or (
                    (is_joined or after.gap == "_") and self._is("counter", piece)
                )
            return False
        is_measured = (
            before is not None
            and not before.is_number
            and self._is("measure", before.text)
            and _is_near(atoms[start])
        ) or (
            after is not None
            and not after.is_number
            and self._is("unit", after.text)
            and not after.gap
        )
        return _is_short(piece, is_measured=is_measured)

    def _covers(self, token: str) -> bool:
        """Whether a token is made of known words that hang together.

        Letters are parted only beside a word with a digit in it (``axt2flair``), and where all of a
        long one is parted into long words (``stopsignal``): few names are.
        """
        if token.isalpha():
            return len(token) >= _COMPOUND and self._compound(token)
        return token.isalnum() and token.isascii() and self._cover(token, 0, False)

    def _compound(self, token: str) -> bool:
        for size in range(_PART, len(token) + 1):
            if self._is_part(token[:size]):
                rest = token[size:]
                if not rest or self._compound(rest):
                    return True
                if any(
                    rest.startswith(one) and self._compound(rest[len(one) :]) for one in _BETWEEN
                ):
                    return True
        return False

    def _is_part(self, word: str) -> bool:
        kinds = self._kinds.get(word, frozenset()) - _ONLY - _GLUED
        return bool(kinds - {"title"})

    def _cover(self, token: str, at: int, after_digit: bool) -> bool:
        """Whether the rest of a token is known words and short numbers."""
        if at == len(token):
            return True
        is_inside = at > 0 and token[at - 1].isalpha() and token[at].isalpha()
        if token[at].isdigit() and (at == 0 or not token[at - 1].isdigit()):
            end = at
            while end < len(token) and token[end].isdigit():
                end += 1
            if end - at <= 3 and self._cover(token, end, False):
                return True
        for end in range(len(token), at + 1, -1):
            word = token[at:end]
            has_digit = not word.isalpha()
            if is_inside and not (after_digit or has_digit):
                continue
            if end < len(token) and token[end - 1].isdigit() and token[end].isdigit():
                continue
            if self._is_part(word) and self._cover(token, end, has_digit):
                return True
        return False


def folded(word: str) -> str:
    """A word without case and accents, as the vocabulary has it."""
    word = word.casefold()
    if word.isascii():
        return word
    plain = unicodedata.normalize("NFKD", word.translate(_SPELLED))
    return "".join(char for char in plain if not unicodedata.combining(char))


def normal(text: str) -> str:
    """Text in one form: what is not seen is gone, wide and joined letters are plain ones."""
    if text.isascii() and text.isprintable():
        return text
    text = unicodedata.normalize("NFKC", text)
    found = []
    for char in text:
        kind = unicodedata.category(char)
        if kind == "Cf":
            continue  # parts no word: a soft hyphen, a joiner
        keeps = char.isascii() or char.isalnum() or char in _SIGNS
        found.append(" " if kind[0] in "CZ" or not keeps else char)
    return "".join(found)


def _atoms(text: str) -> Iterator[_Atom]:
    end = 0
    for number, token in enumerate(_TOKEN.finditer(text)):
        for match in _ATOM.finditer(token[0]):
            start = token.start() + match.start()
            stop = token.start() + match.end()
            yield _Atom(match[0], start, stop, number, text[end:start])
            end = stop


def _is_letter_alone(atoms: list[_Atom], place: int) -> bool:
    """Whether an atom is one letter that nothing is joined with."""
    is_joined = any(
        0 <= beside < len(atoms) and atoms[beside].token == atoms[place].token
        for beside in (place - 1, place + 1)
    )
    return len(atoms[place].text) == 1 and atoms[place].text.isalpha() and not is_joined


def _is_near(atom: _Atom) -> bool:
    """Whether it stands right after the one before it, or after one sign."""
    return atom.gap in ("", " ", "_", "-", "=", ":", "= ", ": ", " = ")


def _is_short(number: str, *, is_measured: bool) -> bool:
    """Whether a number may stand: one that is short, or has a unit or a name."""
    parts = re.split(r"[.,p]", number)
    if len(parts) == 1:
        return len(number) <= (5 if is_measured else 3)
    if len(parts) == 2:
        return all(len(part) <= 3 for part in parts) and (is_measured or not _is_day(*parts))
    return len(parts) <= 4 and all(len(part) <= 2 for part in parts) and not _is_date(parts)


def _is_day(one: str, other: str) -> bool:
    """Whether two numbers may be a day and its month, as ``24.12``."""
    return len(one) == len(other) == 2 and 1 <= int(one) <= 31 and 1 <= int(other) <= 12


def _is_date(parts: Iterable[str]) -> bool:
    """Whether numbers hold a day, a month and a year next to each other, in any order."""
    numbers = list(parts)
    return any(map(_is_full_date, zip(numbers, numbers[1:], numbers[2:], strict=False)))


def _is_full_date(three: tuple[str, str, str]) -> bool:
    first, middle, last = three
    return any(
        len(year) in (2, 4)
        and len(month) <= 2
        and len(day) <= 2
        and 1 <= int(month) <= 12
        and 1 <= int(day) <= 31
        for year, month, day in (
            (first, middle, last),
            (first, last, middle),
            (last, middle, first),
            (last, first, middle),
        )
    )


def _goes_on(atoms: list[_Atom], begin: int, place: int) -> bool:
    """Whether an atom belongs to a run of numbers and months that began at `begin`."""
    atom = atoms[place]
    if not (atom.is_number or folded(atom.text) in _MONTHS):
        return False
    return place == begin or bool(re.fullmatch(r"[\s._/:,^'-]{0,3}", atom.gap))


def _is_run_held(run: list[_Atom]) -> bool:
    """Whether numbers that stand together may be a date, a telephone number or an id."""
    if len(run) == 1:
        return False
    if not all(atom.is_number for atom in run):
        return any(atom.is_number for atom in run)
    parts = [part for atom in run for part in re.split(r"[.,p]", atom.text)]
    if _is_date(parts):
        return True
    if len(run) == 2 and len(parts) == 2 and run[1].gap in ("/", "."):
        return _is_day(*parts) or _is_day(parts[1], parts[0])
    whole = [atom.text for atom in run if atom.text.isdigit()]
    return sum(map(len, whole)) >= _RUN_DIGITS


def _joined(atoms: list[_Atom], held: list[int]) -> Iterator[str]:
    """Held atoms as words: those that were joined, together."""
    word, last = "", -2
    for place in held:
        if place == last + 1 and atoms[place].gap == "" and word:
            word += atoms[place].text
        else:
            if word:
                yield word
            word = atoms[place].text
        last = place
    if word:
        yield word


def _tidy(text: str) -> str:
    """Text without what held together the words that are gone."""
    if "\0" in text:
        text = _SEPARATORS.sub(lambda run: " " if "\0" in run[0] else run[0], text)
        text = _EMPTY_BRACKETS.sub(" ", text)
        if not any(char.isalnum() for char in text):
            return ""
    return " ".join(text.split())


@cache
def _shipped() -> Mapping[str, frozenset[str]]:
    """Kinds of each word that ships with medgrid."""
    found: dict[str, set[str]] = {}
    text = files("medgrid.images").joinpath("words.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, kind = line.split("\t")
            found.setdefault(word, set()).add(kind)
    return {word: frozenset(kinds) for word, kinds in found.items()}


SHIPPED: Final = Vocabulary()
"""What ships with medgrid."""
