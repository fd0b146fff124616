"""The value of one kept element, cleaned, as it is encoded.

How follows from the value representation of the data dictionary: numbers must be numbers, codes
codes of their tables, dates move, UIDs are keyed, text keeps known words, look-up tables stay. What
cannot be read as what it should be is dropped.

Source: DICOM PS3.5 section 6.2 (value representations).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from medgrid.images.codes import clean_code
from medgrid.images.deidentify import MODALITIES, clean_text, dicom_day
from medgrid.images.patient import PatientKeys, is_standard_uid
from medgrid.images.scrub import Scrubber

__all__ = ["BINARY_BYTES", "Cleaner", "pad"]

BINARY_BYTES: Final = {
    "US": 2, "SS": 2, "UL": 4, "SL": 4, "UV": 8, "SV": 8, "FL": 4, "FD": 8, "AT": 4,
    "OB": 1, "OW": 2, "OL": 4, "OV": 8, "OF": 4, "OD": 8,
}  # fmt: skip
"""Bytes of one value of the representations that are not text."""

_NUMBERS: Final = {
    "DS": re.compile(r" *[+-]?(\d+(\.\d*)?|\.\d+)(E[+-]?\d+)? *|\s*", re.IGNORECASE),
    "IS": re.compile(r" *[+-]?\d{1,12} *|\s*"),
}
_MOMENT: Final = re.compile(r"(\d{8})((?:\d\d){0,3}(?:\.\d{1,6})?)([+-]\d{4})?")
_AGE: Final = re.compile(r"(\d{3})([DWMY])")
_MAX_NAME: Final = 64  # characters
_SEX: Final = ("M", "F", "O")
_REGISTERED: Final = ("SOPClassUID", "ReferencedSOPClassUID")


class Cleaner:
    """Cleans the values of one patient's elements.

    Parameters
    ----------
    keys : PatientKeys
        What stands for dates and UIDs.
    scrub : Scrubber
        Cuts the patient's words.
    """

    def __init__(self, keys: PatientKeys, scrub: Scrubber) -> None:
        self._keys = keys
        self._scrub = scrub
        self._of_vr: dict[str, Callable[[str], str | None]] = {
            "DA": self._date,
            "TM": keys.time,
            "DT": self._moment,
            "AS": self._age,
        }

    def text(self, text: str, keyword: str = "") -> str:
        """Known words of the text of an attribute; it may come out empty."""
        return clean_text(text, self._scrub, keyword)

    def is_clean(self, text: str) -> bool:
        """Whether text holds none of the patient's words."""
        return not self._scrub.finds(text)

    def names_structure(self, text: str) -> bool:
        """Whether text is a name of a structure of known words, none of them the patient's."""
        known = self._scrub.vocabulary.knows
        is_name = text.isascii() and len(text) <= _MAX_NAME and any(map(str.isalpha, text))
        return is_name and known(text, "structure") and self.is_clean(text)

    def value(self, keyword: str, vr: str, data: bytes, beside: str = "") -> bytes | None:
        """Encoded value of an element that is no text, without padding.

        Parameters
        ----------
        keyword : str
        vr : str
            Value representation of the data dictionary.
        data : bytes
            The value as the file has it.
        beside : str
            The date that goes with a time, or the time that goes with a date; they move together.

        Returns
        -------
        bytes or None
            None when it is dropped.
        """
        size = BINARY_BYTES.get(vr)
        if size is not None:
            return data if len(data) % size == 0 else None
        try:
            parts = data.decode("ascii").rstrip("\0 ").split("\\")
        except UnicodeDecodeError:
            return None
        found = self._strings(keyword, vr, parts, beside)
        return None if found is None else "\\".join(found).encode("ascii")

    def _strings(self, keyword: str, vr: str, parts: list[str], beside: str) -> list[str] | None:
        pattern = _NUMBERS.get(vr)
        if pattern is not None:
            is_number = all(pattern.fullmatch(part) for part in parts)
            return [part.strip() for part in parts] if is_number else None
        if keyword == "Modality":
            return parts if parts[0] in MODALITIES and len(parts) == 1 else None
        if keyword == "PatientSex":
            return parts if parts[0] in _SEX and len(parts) == 1 else [""]
        parts = [part.strip("\0 ") for part in parts]
        if vr == "UI":
            if keyword in _REGISTERED and not all(map(is_standard_uid, parts)):
                return None
            return [self._keys.uid(part) for part in parts]
        clean = self._of_vr.get(vr)
        if vr in ("DA", "TM") and beside and len(parts) == 1:
            found = [self._half(vr, parts[0], beside)]
        elif vr == "CS":
            found = [clean_code(keyword, part, self._scrub) if part else "" for part in parts]
        elif clean is None:
            return None
        else:
            found = [clean(part) if part else "" for part in parts]
        # one of several keeps its place, since what it says depends on that
        return None if all(part is None for part in found) else [part or "" for part in found]

    def _date(self, text: str) -> str | None:
        day = dicom_day(text)
        moved = self._keys.day(day) if day else None
        return moved.replace("-", "") if moved else None

    def _half(self, vr: str, text: str, beside: str) -> str | None:
        """Date or time of a moment."""
        date, time = (text, beside) if vr == "DA" else (beside, text)
        moved = self._keys.moment(dicom_day(date) or "", time)
        if moved is None:
            return self._date(text) if vr == "DA" else self._keys.time(text)
        return moved[0].replace("-", "") if vr == "DA" else moved[1]

    def _moment(self, text: str) -> str | None:
        """Date and time without its time zone, which says where it was."""
        match = _MOMENT.fullmatch(text)
        if match is None:
            return None
        if not match[2]:
            return self._date(match[1])
        moved = self._keys.moment(dicom_day(match[1]) or "", match[2])
        return moved[0].replace("-", "") + moved[1] if moved else None

    def _age(self, text: str) -> str | None:
        match = _AGE.fullmatch(text)
        if match is None or match[1] == "000":
            return None
        return "090Y" if match[2] == "Y" and int(match[1]) > 89 else text


def pad(vr: str, value: bytes) -> bytes:
    """Value of even length (PS3.5 6.2)."""
    return (
        value + (b"\0" if vr in BINARY_BYTES or vr == "UI" else b" ") if len(value) % 2 else value
    )
