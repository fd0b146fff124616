"""What may stand in a private element: numbers within a range, or words of a list.

A value is read, and what was read is written anew: no byte is copied. What is out of range is no
such number, and a whole number of five digits or more that is one of the patient's own (an id, a
birth date) is none either.

Source: DICOM PS3.5 section 6.2 (value representations).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from medgrid.images.clean import BINARY_BYTES

__all__ = [
    "DIRECTIONALITY",
    "Codes",
    "IsClean",
    "Items",
    "Kept",
    "Numbers",
    "Rebuilt",
    "Value",
    "Words",
    "fitted",
    "number_text",
]

IsClean = Callable[[str], bool]
"""Whether text holds none of the patient's words."""

_FORMS: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_TEXT: Final = {
    "DS": re.compile(r" *([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:E[+-]?\d+)?) *", re.IGNORECASE),
    "IS": re.compile(r" *([+-]?\d{1,12}) *"),
}
_TELLING: Final = 10_000
_LEAST: Final = 1e-9
_MAX_BYTES: Final = 64 * 1024


class Value(Protocol):
    """How the value of a private element is kept; `vr` is its representation."""

    @property
    def vr(self) -> str:
        """Value representation it is written with."""

    def rebuilt(self, data: bytes, order: str, is_clean: IsClean) -> bytes | None:
        """Its value written anew in byte order `order`; None when it is not what it must be."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Up to `most` numbers from `low` to `high`."""

    vr: str
    low: float
    high: float
    most: int = 1

    def rebuilt(self, data: bytes, order: str, is_clean: IsClean) -> bytes | None:
        """The numbers, rounded to what a single-precision number tells."""
        found = [fitted(one, self.low, self.high, is_clean) for one in self._read(data, order)]
        values = [one for one in found if one is not None]
        if not values or len(values) != len(found) or len(values) > self.most:
            return None
        if self.vr in _TEXT:
            return "\\".join(map(number_text, values)).encode("ascii")
        form = _FORMS[self.vr]
        whole = [one if form in "fd" else int(one) for one in values]
        packed = [_packed(f"{order}{form}", one) for one in whole]
        return None if None in packed else b"".join(one for one in packed if one)

    def _read(self, data: bytes, order: str) -> Iterable[float]:
        if len(data) > _MAX_BYTES:
            return (math.nan,)
        if self.vr not in _TEXT:
            form, size = _FORMS[self.vr], BINARY_BYTES[self.vr]
            if len(data) % size:
                return (math.nan,)
            return struct.unpack(f"{order}{len(data) // size}{form}", data)
        texts = data.decode("ascii", "replace").rstrip("\0 ").split("\\")
        matches = map(_TEXT[self.vr].fullmatch, texts)
        return [float(match[1]) if match else math.nan for match in matches]


def _packed(form: str, value: float) -> bytes | None:
    """A number's bytes; None when they read as text.

    Four capitals may well be a number that was measured (200.2 is ``33HC``): it is rounded to six
    digits, which leaves such a number as it is, and of a word not much.
    """
    packed = struct.pack(form, value)
    if len(packed) < 4 or not packed.isalnum() or packed != packed.upper():
        return packed
    if packed.isdigit() or len(packed) > 4:
        return None
    return struct.pack(form, float(f"{value:.6g}"))


@dataclass(frozen=True, slots=True)
class Words:
    """One of a few words; with `within` the first of them that the value holds.

    Another word says nothing that is needed, and goes.
    """

    words: tuple[str, ...]
    vr: str = "CS"
    within: bool = False

    def rebuilt(self, data: bytes, order: str, is_clean: IsClean) -> bytes:
        """The word; empty when there is none."""
        text = data.decode("ascii", "replace").strip("\0 ")
        for word in self.words:
            if word == text or (self.within and word in text):
                return word.encode("ascii")
        return b""


@dataclass(frozen=True, slots=True)
class Codes:
    """Words of a list, in their places; what is none of them leaves its place empty."""

    words: frozenset[str]
    vr: str = "CS"

    def rebuilt(self, data: bytes, order: str, is_clean: IsClean) -> bytes:
        """The words; empty when there is none."""
        parts = [part.strip() for part in data.decode("ascii", "replace").strip("\0").split("\\")]
        kept = [part if part in self.words else "" for part in parts]
        return "\\".join(kept).encode("ascii") if any(kept) else b""


@dataclass(frozen=True, slots=True)
class Items:
    """A sequence is kept: its items are cleaned as any dataset is."""

    vr: str = "SQ"


Kept = Value | Items
"""How one private element is kept."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """An element with a form of its own, which `rebuild` reads and writes anew."""

    rebuild: Callable[[bytes, IsClean], bytes | None]
    vr: str = "OB"

    def rebuilt(self, data: bytes, order: str, is_clean: IsClean) -> bytes | None:
        """What `rebuild` makes of it."""
        return self.rebuild(data, is_clean)


def fitted(value: float, low: float, high: float, is_clean: IsClean) -> float | None:
    """A number to nine digits, None when it is out of range or one of the patient's own."""
    if not low <= value <= high:
        return None
    # text of digits and spaces, taken for a number, is next to nothing
    value = float(f"{value:.9g}") if abs(value) > _LEAST else 0.0
    if value.is_integer() and abs(value) >= _TELLING and not is_clean(str(int(abs(value)))):
        return None
    return value


def number_text(value: float) -> str:
    """A number as a decimal string of at most 16 characters (PS3.5 6.2 DS).

    Examples
    --------
    >>> number_text(1000.0), number_text(-0.70710678)
    ('1000', '-0.70710678')
    """
    return f"{value:.9g}"


DIRECTIONALITY: Final = Words(
    tuple("NONE DIRECTIONAL ISOTROPIC BMATRIX BIPOLAR I S P O M R L A H F".split())  # noqa: SIM905
)
"""How an image is weighted by diffusion: DICOM's words, and one letter of Philips."""
