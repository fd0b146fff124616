"""What stands for a patient's dates and UIDs, the same in the catalog and in de-identified images.

Both follow from the grid's pseudonym key and the patient's pseudonym alone: a further import, by
whomever, gives the same ones. All dates of a patient move by the same days, so that the intervals
between visits stay true.

Sources: DICOM PS3.15 annex E.3.6 (Retain Longitudinal Temporal Information with Modified Dates),
PS3.5 annex B.2 (UIDs below 2.25).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, timedelta

from medgrid.crypto.pseudonym import keyed_digest

__all__ = ["MAX_SHIFT_DAYS", "PatientKeys", "is_standard_uid"]

MAX_SHIFT_DAYS = 1461  # four years with their leap day

_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)(\d\d)(\d\d)(?!\d)")


@dataclass(frozen=True, slots=True)
class PatientKeys:
    """Pseudonym of a patient, and what goes with it.

    Attributes
    ----------
    pseudonym : str
    shift_days : int
        By how many days dates move to the past, 1 to `MAX_SHIFT_DAYS`.
    """

    pseudonym: str
    shift_days: int
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
        return cls(pseudonym, 1 + number % MAX_SHIFT_DAYS, key)

    def uid(self, uid: str) -> str:
        """What stands for a UID: itself when the standard defines it, else a keyed one."""
        if not uid or is_standard_uid(uid):
            return uid
        digest = keyed_digest(self._key, "uid", self.pseudonym, uid)
        return f"2.25.{int.from_bytes(digest[:16], 'big')}"

    def day(self, day: str) -> str | None:
        """A date ``YYYY-MM-DD`` moved; None when it is none, or would lie before the year 1."""
        try:
            return (date.fromisoformat(day) - timedelta(days=self.shift_days)).isoformat()
        except (ValueError, OverflowError):
            return None

    def text(self, text: str) -> str:
        """Text whose dates ``YYYYMMDD`` are moved, such as ``ses-20210304``."""
        return _DAY.sub(self._moved, text)

    def _moved(self, match: re.Match[str]) -> str:
        day = self.day("-".join(match.groups()))
        return match[0] if day is None else day.replace("-", "")


def is_standard_uid(uid: str) -> bool:
    """Whether DICOM itself defines this UID: a SOP class, a transfer syntax, an atlas."""
    from pydicom._uid_dict import UID_dictionary

    return uid in UID_dictionary
