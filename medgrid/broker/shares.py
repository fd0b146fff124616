"""Fair share: whose turn it is, by the slots that users have now and had lately."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from medgrid.catalog.quotas import HALF_LIFE_S, Quota, Usage

__all__ = ["Claim", "Shares", "in_turn", "take_turns"]

_Key = TypeVar("_Key", str, int)
_LATELY = 0.5  # what was in use lately, beside what is in use now
_LN2 = 0.6931471805599453


@dataclass(frozen=True, slots=True)
class Claim:
    """A submission with jobs that want `slots` each; `has_more` tells whether a next one waits."""

    number: int
    owner: str
    slots: int
    has_more: Callable[[int], bool]


class Shares:
    """Slots in use by user and submission, now and lately.

    Parameters
    ----------
    lately : mapping
        What users have used, as the catalog remembers it.
    """

    def __init__(self, lately: Mapping[str, Usage], now_s: float) -> None:
        self._users: dict[str, int] = {}
        self._submissions: dict[int, int] = {}
        self._slot_s = {owner: one.faded(now_s) for owner, one in lately.items()}
        self._at_s = now_s
        self.quotas: Mapping[str, Quota] = {}

    def take(self, owner: str, submission: int, slots: int) -> None:
        """Count slots that a job got."""
        self._users[owner] = self._users.get(owner, 0) + slots
        self._submissions[submission] = self._submissions.get(submission, 0) + slots

    def give_back(self, owner: str, submission: int, slots: int) -> None:
        """Count slots that a job left."""
        _less(self._users, owner, slots)
        _less(self._submissions, submission, slots)

    def pass_time(self, now_s: float) -> None:
        """Add up what was in use until now, and let fade what is old."""
        passed_s = max(0.0, now_s - self._at_s)
        self._at_s = now_s
        fade = 0.5 ** (passed_s / HALF_LIFE_S)
        for owner in {*self._slot_s, *self._users}:
            slot_s = self._slot_s.get(owner, 0.0) * fade + self._users.get(owner, 0) * passed_s
            self._slot_s[owner] = slot_s
        self._slot_s = {owner: slot_s for owner, slot_s in self._slot_s.items() if slot_s >= 1.0}

    def usage(self) -> dict[str, Usage]:
        """What users have used until now, to be remembered."""
        return {owner: Usage(slot_s, self._at_s) for owner, slot_s in self._slot_s.items()}

    def burden(self, owner: str) -> float:
        """By how much a user stands back: slots in use now, and half of those in use lately."""
        lately = self._slot_s.get(owner, 0.0) * _LN2 / HALF_LIFE_S
        return self._users.get(owner, 0) + _LATELY * lately

    def has(self, submission: int) -> int:
        """Slots that the jobs of a submission have."""
        return self._submissions.get(submission, 0)

    def left(self, owner: str) -> float:
        """Slots that a user may have besides those in use."""
        limit = self.quotas[owner].slots if owner in self.quotas else None
        return float("inf") if limit is None else limit - self._users.get(owner, 0)


def take_turns(shares: Shares, claims: Iterable[Claim], room: int) -> list[int]:
    """Of which submissions the next jobs for `room` slots are, turn by turn.

    The user with the least burden is next, and of theirs the submission with the fewest slots; then
    the older one. Quotas are kept.

    Examples
    --------
    >>> def claim(number: int, owner: str) -> Claim:
    ...     return Claim(number, owner, 1, lambda count: True)
    >>> take_turns(Shares({}, 0.0), [claim(1, "ann"), claim(2, "bob")], 5)
    [1, 2, 1, 2, 1]
    """
    own: dict[str, list[tuple[int, int, Claim]]] = {}
    for claim in claims:
        own.setdefault(claim.owner, []).append((shares.has(claim.number), claim.number, claim))
    users = [(shares.burden(owner), owner) for owner in own]
    left = {owner: shares.left(owner) for owner in own}
    for heap in (users, *own.values()):
        heapq.heapify(heap)  # type: ignore[arg-type]
    turns: list[int] = []
    given: Counter[int] = Counter()
    while users and room > 0:
        burden, owner = users[0]
        has, number, claim = own[owner][0]
        if claim.slots > left[owner] or not claim.has_more(given[number]):
            heapq.heappop(own[owner])
            if not own[owner]:
                heapq.heappop(users)
            continue
        turns.append(number)
        given[number] += 1
        room -= claim.slots
        left[owner] -= claim.slots
        heapq.heapreplace(own[owner], (has + claim.slots, number, claim))
        heapq.heapreplace(users, (burden + claim.slots, owner))
    return turns


def in_turn(shares: Shares, claims: Iterable[Claim]) -> list[Claim]:
    """Claims, next turn first."""
    return sorted(
        claims, key=lambda one: (shares.burden(one.owner), shares.has(one.number), one.number)
    )


def _less(known: dict[_Key, int], key: _Key, slots: int) -> None:
    rest = known.get(key, 0) - slots
    if rest > 0:
        known[key] = rest
    else:
        known.pop(key, None)
