"""One record of the audit log: who did what to which thing, and the bytes that are hashed of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from medgrid.crypto.merkle import leaf_hash

__all__ = ["Event", "Record"]


class Event(NamedTuple):
    """What happened, before the log gives it a number, a time and a name.

    `verb` is one word; `thing` is an object's id, a submission's number or an identity's name;
    `patient` a pseudonym. Nothing that names a patient may stand in any of them.
    """

    verb: str
    thing: str = ""
    patient: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """An event in the log. Records are numbered from 0; `time_us` is microseconds since 1970."""

    seq: int
    time_us: int
    who: str
    verb: str
    thing: str
    patient: str
    detail: str

    @property
    def time_s(self) -> float:
        """Seconds since 1970 (UTC)."""
        return self.time_us / 1e6

    def to_bytes(self) -> bytes:
        """What is hashed: each field as its length in bytes, a colon, the field, a comma."""
        found = bytearray()
        for field in (
            str(self.seq),
            str(self.time_us),
            self.who,
            self.verb,
            self.thing,
            self.patient,
            self.detail,
        ):
            data = field.encode("utf-8")
            found += b"%d:%b," % (len(data), data)
        return bytes(found)

    def leaf(self) -> bytes:
        """Hash of this record in the log's tree."""
        return leaf_hash(self.to_bytes())
