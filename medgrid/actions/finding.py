"""What a check of the grid finds, and what is done about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from medgrid.actions.outcome import Failure

__all__ = ["DAY_S", "Finding", "Kind", "Orders", "Report"]

DAY_S = 24 * 3600.0


class Kind(StrEnum):
    """What can be wrong. The first three cost data; the others only space."""

    LOST = "LOST"  # catalogued, not stored
    CORRUPT = "CORRUPT"  # stored, but other bytes than the catalog says
    NO_REPLICA = "NO-REPLICA"  # an object without any copy
    DARK = "DARK"  # stored, not catalogued
    HALF_DONE = "HALF-DONE"  # an upload or deletion that was announced and never ended
    TEMPORARY = "TEMPORARY"  # left by a put that was killed
    ORPHAN = "ORPHAN"  # an attempt's directory on a worker, which no job is at

    @property
    def is_harmless(self) -> bool:
        """Whether only space is lost."""
        return self not in (Kind.LOST, Kind.CORRUPT, Kind.NO_REPLICA)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and what was, or would be, done about it.

    `action` is empty when nothing was asked for or can be done; `mended` says it was done.
    """

    kind: Kind
    se: str
    pfn: str = ""
    name: str = ""  # LFN, or what is known of the object
    detail: str = ""
    action: str = ""
    mended: bool = False
    worker: str = ""


@dataclass(slots=True)
class Report:
    """What a check came to; findings are told one by one."""

    places: int = 0  # storage elements and workers checked to their end
    checked: int = 0  # replicas
    harmful: int = 0
    harmless: int = 0
    mended: int = 0
    failures: list[Failure] = field(default_factory=list)

    def count(self, finding: Finding) -> None:
        """Add a finding."""
        if finding.mended:
            self.mended += 1
        elif finding.kind.is_harmless:
            self.harmless += 1
        else:
            self.harmful += 1


@dataclass(frozen=True, slots=True)
class Orders:
    """How to check: what the user asked for."""

    deep: bool = False
    mend: bool = False
    dry_run: bool = False
    min_age_s: float = DAY_S
    restart: bool = False
