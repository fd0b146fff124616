"""What stands for a patient's dates and UIDs, the same in the catalog and in de-identified images.

Both follow from the grid's pseudonym key and the patient's pseudonym alone: a further import, by
whomever, gives the same ones. All moments of a patient move by the same seconds, so that intervals
stay true to the second; a date without a time moves as its noon does, by whole days, and a time
without a date turns within the day.

Sources: DICOM PS3.15 annex E.3.6 (Retain Longitudinal Temporal Information with Modified Dates),
PS3.5 annex B.2 (UIDs below 2.25).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from medgrid.crypto.pseudonym import keyed_digest

__all__ = ["MAX_SHIFT_DAYS", "PatientKeys", "is_standard_uid"]

MAX_SHIFT_DAYS = 1461  # four years with their leap day

_DAY_S = 86400
_TIME = re.compile(r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d|60)(\.\d{1,6})?)?)?")
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)(\d\d)(\d\d)(?!\d)")


@dataclass(frozen=True, slots=True)
class PatientKeys:
    """Pseudonym of a patient, and what goes with it.

    Attributes
    ----------
    pseudonym : str
    shift_days : int
        By how many days dates move to the past, 1 to `MAX_SHIFT_DAYS`.
    shift_s : int
        By how many seconds moments do: so many days, and up to half a day more or less.
    """

    pseudonym: str
    shift_days: int
    shift_s: int
    _key: bytes = field(repr=False)

    @classmethod
    def of(cls, key: bytes, pseudonym: str) -> PatientKeys:
        """Keys of a patient.

        Parameters
        ----------
        key : bytes
            The grid's pseudonym key.
        pseudonym : str
        """
        number = int.from_bytes(keyed_digest(key, "date shift", pseudonym)[:16], "big")
        turn = int.from_bytes(keyed_digest(key, "time shift", pseudonym)[:16], "big") % _DAY_S
        days = 1 + number % MAX_SHIFT_DAYS
        return cls(pseudonym, days, days * _DAY_S + turn - _DAY_S // 2, key)

    def uid(self, uid: str) -> str:
        """What stands for a UID: itself when the standard defines it, else a keyed one."""
        if not uid or is_standard_uid(uid):
            return uid
        digest = keyed_digest(self._key, "uid", self.pseudonym, uid)
        return f"2.25.{int.from_bytes(digest[:16], 'big')}"

    def day(self, day: str) -> str | None:
        """A date ``YYYY-MM-DD`` moved; None when it is none, or would lie before the year 1."""
        return _day(day, -self.shift_days)

    def back_day(self, day: str) -> str | None:
        """What `day` made a date of; of a moment's day, a day near it. None when it is none."""
        return _day(day, self.shift_days)

    def moment(self, day: str, time: str) -> tuple[str, str] | None:
        """A moment moved: day ``YYYY-MM-DD`` and time ``HHMMSS.FFFFFF`` (PS3.5 6.2 TM).

        None when it is none, or would lie before the year 1.
        """
        found = _seconds(time)
        if found is None:
            return None
        seconds, fraction = found
        try:
            start = datetime.fromisoformat(day)
            moved = start + timedelta(seconds=seconds - self.shift_s)
        except (ValueError, OverflowError):
            return None
        return moved.date().isoformat(), f"{moved:%H%M%S}{fraction}"

    def days(self, day: str) -> set[str]:
        """The days, two at most, that moments of a day ``YYYY-MM-DD`` move to."""
        ends = (self.moment(day, time) for time in ("000000", "235959"))
        return {one[0] for one in ends if one is not None}

    def time(self, time: str) -> str | None:
        """A time whose day is not known, turned within the day; None when it is none."""
        found = _seconds(time)
        if found is None:
            return None
        seconds, fraction = found
        minutes, second = divmod((seconds - self.shift_s) % _DAY_S, 60)
        return f"{minutes // 60:02d}{minutes % 60:02d}{second:02d}{fraction}"

    def told_day(self, told: str) -> str | None:
        """Day of a moment ``YYYY-MM-DDTHHMMSS``, or a date alone, moved."""
        day, _, time = told.partition("T")
        found = self.moment(day, time) if time else None
        return found[0] if found else self.day(day)

    def text(self, text: str) -> str:
        """Text whose dates ``YYYYMMDD`` are moved, such as ``ses-20210304``."""
        return _moved(text, -self.shift_days)

    def back(self, text: str) -> str:
        """What `text` made its text of."""
        return _moved(text, self.shift_days)

    def without_days(self, text: str) -> str:
        """Text without the dates that `text` moves."""
        return _DAY.sub(" ", text)


def _day(day: str, days: int) -> str | None:
    try:
        return (date.fromisoformat(day) + timedelta(days=days)).isoformat()
    except (ValueError, OverflowError):
        return None


def _moved(text: str, days: int) -> str:
    """Text whose dates ``YYYYMMDD`` are others."""

    def moved(match: re.Match[str]) -> str:
        day = _day("-".join(match.groups()), days)
        return match[0] if day is None else day.replace("-", "")

    return _DAY.sub(moved, text)


def _seconds(time: str) -> tuple[int, str] | None:
    """Seconds since midnight, and what stands after the point; None when it is no time."""
    match = _TIME.fullmatch(time.strip("\0 "))
    if match is None:
        return None
    hours, minutes, seconds = (int(one or 0) for one in match.group(1, 2, 3))
    return hours * 3600 + minutes * 60 + seconds, match[4] or ""


def is_standard_uid(uid: str) -> bool:
    """Whether DICOM itself defines this UID: a SOP class, a transfer syntax, an atlas."""
    from pydicom._uid_dict import UID_dictionary

    return uid in UID_dictionary
