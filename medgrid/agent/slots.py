"""Slots of a host: who has them, and from whom an emergency job takes some for a while."""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, List, Optional, Tuple

__all__ = ["Slots", "is_emergency", "rank_of", "slots_of"]

Launch = Dict[str, Any]

_NORMAL = 2


def slots_of(launch: Launch) -> int:
    """How many slots a launch takes."""
    return max(1, int(launch.get("slots", 1)))


def rank_of(launch: Launch) -> int:
    """Priority class of a launch: 0 is an emergency, the larger the less it matters."""
    return int(launch.get("rank", _NORMAL))


def is_emergency(launch: Launch) -> bool:
    """Whether others have to make room for it."""
    return rank_of(launch) == 0


def _memory_of(launch: Launch) -> int:
    return int(launch.get("limits", {}).get("memory_bytes") or 0)


class _Holder:
    """An attempt that has slots."""

    def __init__(self, launch: Launch) -> None:
        self.slots = slots_of(launch)
        self.rank = rank_of(launch)
        self.memory_bytes = _memory_of(launch)
        self.started_s: Optional[float] = None  # None: its program does not run yet
        self.is_suspended = False
        self.is_leaving = False  # told to suspend or to end


class Slots:
    """Who has slots.

    A suspended attempt has none, but they are kept for it: until it has them again, nobody but
    emergencies gets any.
    """

    def __init__(self) -> None:
        self.limit = os.cpu_count() or 1
        self.memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self._holders: Dict[str, _Holder] = {}
        self._used = 0

    def take(self, attempt: str, launch: Launch, started_s: Optional[float] = None) -> None:
        """Give slots to an attempt."""
        holder = self._holders[attempt] = _Holder(launch)
        holder.started_s = started_s
        self._used += holder.slots

    def give_back(self, attempt: str) -> None:
        """Take the slots of an attempt that ended."""
        holder = self._holders.pop(attempt)
        if not holder.is_suspended:
            self._used -= holder.slots

    def started(self, attempt: str, time_s: float) -> None:
        """Note that its program runs."""
        self._holders[attempt].started_s = time_s

    def suspended(self, attempt: str) -> None:
        """Note that an attempt stands still."""
        holder = self._holders[attempt]
        holder.is_leaving = False
        if not holder.is_suspended:
            holder.is_suspended = True
            self._used -= holder.slots

    def resumed(self, attempt: str) -> None:
        """Note that an attempt goes on."""
        holder = self._holders[attempt]
        if holder.is_suspended:
            holder.is_suspended = False
            self._used += holder.slots

    def has_room(self, launch: Launch) -> bool:
        """Whether a launch may start now; one that is larger than the host starts alone."""
        if not is_emergency(launch) and self.next_suspended() is not None:
            return False
        return not self._used or self._used + slots_of(launch) <= self.limit

    def next_suspended(self) -> Optional[str]:
        """The attempt that was suspended first, None when none is."""
        return next((one for one, holder in self._holders.items() if holder.is_suspended), None)

    def to_resume(self) -> List[str]:
        """Suspended attempts that there is room for again."""
        found: List[str] = []
        used = self._used
        for attempt, holder in self._holders.items():
            if holder.is_suspended:
                if used and used + holder.slots > self.limit:
                    break
                found.append(attempt)
                used += holder.slots
        return found

    def make_room(self, launch: Launch, used_bytes: Callable[[str], int]) -> List[Tuple[str, bool]]:
        """From whom to take slots for an emergency, each with whether it must be killed.

        The lowest class goes first, then what was started last. What was asked before counts. When
        all of them together would not make enough room, none is touched.

        Parameters
        ----------
        used_bytes : callable
            Memory of a running attempt, now.
        """
        staying = {one: holder for one, holder in self._holders.items() if not holder.is_leaving}
        leaving = sum(one.slots for one in self._holders.values() if one.is_leaving)
        short = self._used - leaving + slots_of(launch) - self.limit
        memory: Dict[str, int] = {}
        short_bytes = 0
        if _memory_of(launch):
            memory = {
                one: holder.memory_bytes or used_bytes(one) for one, holder in staying.items()
            }
            short_bytes = sum(memory.values()) + _memory_of(launch) - self.memory_bytes
        found: List[Tuple[str, bool]] = []
        for attempt, holder in sorted(staying.items(), key=lambda item: _worth(item[1])):
            if holder.rank == 0 or (short <= 0 and short_bytes <= 0):
                break
            kill = short_bytes > 0
            if holder.is_suspended and not kill:
                continue
            short_bytes -= memory[attempt] if kill else 0
            short -= 0 if holder.is_suspended else holder.slots
            found.append((attempt, kill))
        if short > 0 or short_bytes > 0:
            return []
        for attempt, _ in found:
            self._holders[attempt].is_leaving = True
        return found


def _worth(holder: _Holder) -> Tuple[bool, bool, int, bool, float]:
    """How much is lost when an attempt stands still; what has not started loses nothing.

    One whose program does not run yet cannot be stopped at once, so it comes last of its class.
    """
    is_starting = holder.started_s is None
    return (
        holder.rank == 0,
        holder.is_suspended,
        -holder.rank,
        is_starting,
        -(holder.started_s or 0.0),
    )
